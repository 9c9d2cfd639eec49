"""The rules of what stays in a drawer for the next session: left at the end of one, carried into the one after it."""

from dataclasses import replace

from contracts.records import CloseSession, Recount
from services.sessions.rules.context import by_tender
from services.sessions.rules.declared import Declared
from services.sessions.rules.model import NOTHING_CARRIED, BatchState, Carried, LeftTender, Session, TillKey
from services.sessions.rules.totals import Tenders, expected


def named_left(tenders: Tenders, command: CloseSession | Recount) -> dict[str, int]:
    """What a count says of what stays, by tender: 0 of counted cash that it doesn't name; nothing without `left`."""
    if command.left is None:
        return {}
    cash = [entry.tender for entry in command.counted if tenders.is_cash(entry.tender)]
    return dict.fromkeys(cash, 0) | by_tender(command.left)


def recounted(declared: Declared, tenders: Tenders, command: Recount) -> Declared:
    """What is declared after a recount: of the tenders that it counts, its own `left`; of all else what was before."""
    counted = {**declared.counted, **by_tender(command.counted)}
    return replace(declared, counted=counted, left_named={**declared.left_named, **named_left(tenders, command)})


def previous_session(state: BatchState, till: TillKey) -> Session | None:
    """The till's latest session that was closed or awaits its approval or a new count, voided ones left out.

    The till must be free: a session that holds it would be the latest.
    """
    opened = state.by_opening.get(till, [])
    # A voided session stays voided: it is passed over once, not at every opening.
    while opened and opened[-1].state == "voided":
        opened.pop()
    return opened[-1] if opened else None


def carry(previous: Session | None, tenders: Tenders) -> Carried:
    """What a session with these tenders finds of what the one before it left, as corrected by now."""
    if previous is None or (previous.attempt is not None and previous.attempt.waits_for == "count"):
        return NOTHING_CARRIED
    amounts: dict[str, int] = {}
    not_carried: list[LeftTender] = []
    for tender_id, amount in left_by_tender(previous).items():
        currency = previous.opening.tenders.tenders[tender_id].currency
        if tenders.is_cash(tender_id) and tenders.tenders[tender_id].currency == currency:
            amounts[tender_id] = amount
        elif amount:
            not_carried.append(LeftTender(tender_id, currency, amount))
    return Carried(previous.session_id, amounts, tuple(not_carried), previous.sequence)


def left_by_tender(session: Session) -> dict[str, int]:
    """What a session leaves of each tender of type cash, as far as it is known; where nobody counted, all there is."""
    tenders, declared = session.opening.tenders, session.declared
    uncounted = session.ended is not None and session.ended.counted_by is None
    left: dict[str, int] = {}
    for tender_id in filter(tenders.is_cash, tenders.tenders):
        amount = declared.left(tender_id)
        if amount is None and uncounted:
            amount = expected(session.totals.tenders[tender_id])
        if amount is not None:
            left[tender_id] = amount
    return left
