"""What is said of a session of the Final API: by its commands, and by the words that no command carries."""

from dataclasses import dataclass
from typing import Any, Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.times import wire_time
from services.gateway.ledger_queries import opened_and_closed
from services.platform.money_text import decimal_text
from services.sessions.rules.model import HOLDING, Session

WORDS: Final = ("closingAmount", "closingReportData", "closingNote")
"""What can change without a command for it: the sender's own words about the closing."""
REPORT_WORDS: Final = frozenset({"closingAmount", "closingReportData"})

FIND_WORDS = text(
    "SELECT sequence, words FROM gateway.final_words WHERE store_id = :store_id AND session_id = :session_id"
)
KEEP_WORDS = text("""
    INSERT INTO gateway.final_words (store_id, session_id, sequence, words)
    VALUES (:store_id, :session_id, :sequence, :words)
    ON CONFLICT (store_id, session_id) DO UPDATE SET sequence = excluded.sequence, words = excluded.words
""")


@dataclass(frozen=True, slots=True)
class SessionWords:
    """What a session's commands and the words beside it say. `close` is None while the session is open."""

    created_at: str
    open_time: str
    close: dict[str, Any] | None
    words: dict[str, str | None]


async def session_words(ledger: AsyncEngine, own: AsyncEngine, session: Session) -> SessionWords:
    """What the session was told, as it came."""
    opening, *closings = await opened_and_closed(ledger, session.store_id, session.session_id)
    async with own.connect() as tx:
        values = {"store_id": session.store_id, "session_id": session.session_id}
        row = (await tx.execute(FIND_WORDS, values)).one_or_none()
    opened = orjson.loads(opening.command)
    since, close = 1, None
    if session.state not in HOLDING:
        # The latest of two may be an approval; the words are those of the closing that was approved.
        commands = ((entry.sequence, orjson.loads(entry.command)) for entry in closings)
        since, close = next((one for one in commands if one[1]["kind"] != "approve_closing"), (1, None))
    words = _closing_words(close, session)
    if row is not None and row.sequence >= since:
        words |= orjson.loads(row.words)
    return SessionWords(wire_time(opening.received_at), opened["occurred_at"], close, words)


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


def _closing_words(close: dict[str, Any] | None, session: Session) -> dict[str, str | None]:
    """The words of the closing command; a register's own report is shown as the text that it is."""
    words: dict[str, str | None] = dict.fromkeys(WORDS)
    if close is None:
        return words
    words["closingNote"] = close.get("note")
    report = close.get("sales_report")
    if report is not None and report.keys() <= REPORT_WORDS:
        return {**words, **report}
    cash = session.counted.get(session.opening.cash_tender)
    if cash is not None and report is not None:
        words["closingAmount"] = decimal_text(cash, session.opening.currency)
    words["closingReportData"] = None if report is None else orjson.dumps(report).decode()
    return words
