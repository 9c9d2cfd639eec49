"""A session as the Final API shows it: from its books, and from the words that no command carries.

Times come back as they were sent, from the commands in the journal. Amounts have all decimals of their currency.
"""

from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.commands import Actor
from contracts.times import wire_time
from services.gateway.adapters.amounts import decimal_text
from services.gateway.adapters.base import cash_tender, to_the_milli
from services.sessions.rules.model import HOLDING, Session
from services.sessions.rules.totals import OPENING

WORDS: Final = ("closingAmount", "closingReportData", "closingNote")
"""What can change without a command for it: the sender's own words about the closing."""
REPORT_WORDS: Final = frozenset({"closingAmount", "closingReportData"})

OPENED_AND_CLOSED = text("""
    (SELECT sequence, received_at, command FROM journal
      WHERE store_id = :store_id AND session_id = :session_id AND sequence = 1)
    UNION ALL
    (SELECT sequence, received_at, command FROM journal
      WHERE store_id = :store_id AND session_id = :session_id AND sequence > 1
        AND kind IN ('closing_pending', 'session_closed')
      ORDER BY sequence DESC LIMIT 2)
""")
FIND_WORDS = text(
    "SELECT sequence, words FROM gateway.final_words WHERE store_id = :store_id AND session_id = :session_id"
)
KEEP_WORDS = text("""
    INSERT INTO gateway.final_words (store_id, session_id, sequence, words)
    VALUES (:store_id, :session_id, :sequence, :words)
    ON CONFLICT (store_id, session_id) DO UPDATE SET sequence = excluded.sequence, words = excluded.words
""")


@dataclass(frozen=True, slots=True)
class Told:
    """What a session's commands and the words beside it say. `close` is None while the session is open."""

    created_at: str
    open_time: str
    close: dict[str, Any] | None
    words: dict[str, str | None]


async def told(ledger: AsyncEngine, own: AsyncEngine, session: Session) -> Told:
    """What the session was told, as it came."""
    place = {"store_id": session.store_id, "session_id": session.session_id}
    async with ledger.connect() as tx:
        rows = (await tx.execute(OPENED_AND_CLOSED, place)).all()
    async with own.connect() as tx:
        kept = (await tx.execute(FIND_WORDS, place)).one_or_none()
    opened = orjson.loads(rows[0].command)
    since, close = 1, None
    if session.state not in HOLDING:
        # The latest of two may be an approval; the words are those of the closing that was approved.
        closings = ((row.sequence, orjson.loads(row.command)) for row in rows[1:])
        since, close = next((found for found in closings if found[1]["kind"] != "approve_closing"), (1, None))
    words = _closing_words(close, session)
    if kept is not None and kept.sequence >= since:
        words |= orjson.loads(kept.words)
    return Told(wire_time(rows[0].received_at), opened["occurred_at"], close, words)


async def keep_words(own: AsyncEngine, session: Session, words: dict[str, str | None]) -> None:
    """Keep these words beside the session, as it stands now."""
    async with own.begin() as tx:
        await tx.execute(
            KEEP_WORDS,
            {
                "store_id": session.store_id,
                "session_id": session.session_id,
                "sequence": session.sequence,
                "words": orjson.dumps(words),
            },
        )


def document(session: Session, said: Told, company_id: str | None) -> dict[str, Any]:
    """The session's record; members in the order of the published example."""
    opening = session.opening
    # What is said of a closing that did not happen yet is kept for it, and not shown.
    words = said.words if said.close is not None else dict.fromkeys(WORDS)
    closer = None if said.close is None else Actor.model_validate(said.close["actor"])
    return {
        "id": session.session_id,
        "createdAt": to_the_milli(said.created_at) + "+00:00",
        "updatedAt": to_the_milli(session.moved_at) + "+00:00",
        "companyId": opening.company_id or company_id,
        "stationId": session.profile_id,
        "sessionNumber": opening.session_number,
        "openedBy": name_of(opening.opened_by),
        "closedBy": None if closer is None else name_of(closer),
        "openTime": said.open_time,
        "closeTime": None if said.close is None else said.close["occurred_at"],
        "openingAmount": decimal_text(opening_minor(session), opening.currency),
        "closingAmount": words["closingAmount"],
        "closingReportData": words["closingReportData"],
        "notes": list(opening.notes),
        "closingAmounts": {
            tender: decimal_text(minor, opening.tenders.tenders[tender].currency)
            for tender, minor in counted(session).items()
        },
        "closingNote": words["closingNote"],
        "openingNote": opening.note,
    }


def name_of(actor: Actor) -> str:
    """Who it was, as people call them."""
    return actor.name or actor.id


def counted(session: Session) -> dict[str, int]:
    """What counts as counted, by tender: later counts included, and those that await approval."""
    if session.ended is not None:
        return session.ended.counted
    return session.attempt.counted if session.attempt is not None and session.state == "pending" else {}


def opening_minor(session: Session) -> int:
    """The cash that the session was opened with."""
    cells = session.totals.tenders.get(_cash(session))
    return 0 if cells is None else cells[OPENING]


def _cash(session: Session) -> str:
    opening = session.opening
    return cash_tender([tender.model_dump() for tender in opening.tenders.tenders.values()], opening.currency)


def _closing_words(close: dict[str, Any] | None, session: Session) -> dict[str, str | None]:
    """The words of the closing command; a register's own report is shown as the text that it is."""
    words: dict[str, str | None] = dict.fromkeys(WORDS)
    if close is None:
        return words
    words["closingNote"] = close.get("note")
    report = close.get("sales_report")
    if report is not None and report.keys() <= REPORT_WORDS:
        return {**words, **report}
    cash = counted(session).get(_cash(session))
    if cash is not None and report is not None:
        words["closingAmount"] = decimal_text(cash, session.opening.currency)
    words["closingReportData"] = None if report is None else orjson.dumps(report).decode()
    return words
