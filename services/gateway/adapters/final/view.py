"""A session as the Final API shows it: from its row, and from the words that no command carries.

Times come back as they were sent, from the commands in the journal. Amounts have all decimals of their currency.
"""

from typing import Any

from contracts.values import Actor
from services.gateway.adapters.base import to_the_milli
from services.gateway.adapters.final.words import WORDS, SessionWords
from services.platform.money_text import decimal_text
from services.sessions.rules.model import Session


def document(session: Session, texts: SessionWords, company_id: str | None) -> dict[str, Any]:
    """The session's record; members in the order of the published example."""
    opening = session.opening
    # What is said of a closing that did not happen yet is kept for it, and not shown.
    words = texts.words if texts.close is not None else dict.fromkeys(WORDS)
    closer = None if texts.close is None else Actor.model_validate(texts.close["actor"])
    return {
        "id": session.session_id,
        "createdAt": to_the_milli(texts.created_at) + "+00:00",
        "updatedAt": to_the_milli(session.last_command_at) + "+00:00",
        "companyId": opening.company_id or company_id,
        "stationId": session.profile_id,
        "sessionNumber": opening.session_number,
        "openedBy": name_of(opening.opened_by),
        "closedBy": None if closer is None else name_of(closer),
        "openTime": texts.open_time,
        "closeTime": None if texts.close is None else texts.close["occurred_at"],
        "openingAmount": decimal_text(session.opening_minor, opening.currency),
        "closingAmount": words["closingAmount"],
        "closingReportData": words["closingReportData"],
        "notes": list(opening.notes),
        "closingAmounts": {
            tender: decimal_text(minor, opening.tenders.tenders[tender].currency)
            for tender, minor in session.counted.items()
        },
        "closingNote": words["closingNote"],
        "openingNote": opening.note,
    }


def name_of(actor: Actor) -> str:
    """Who it was, as people call them."""
    return actor.name or actor.id
