"""The rules of tenders that a running session gets: those that its till has meanwhile, and those that are brought.

A session's tenders are frozen; it can have more of them, each frozen from then on.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain
from typing import Any, Final

from contracts.money import is_one
from contracts.records import CloseSession, CountDrawer, HandOver, MoveCash, RecordOrder, SessionCommand, Tender
from services.sessions.rules.answers import Refusal
from services.sessions.rules.context import Decision, RuleContext
from services.sessions.rules.model import CASH, UNCLOSED, Session, profile_tenders
from services.sessions.rules.totals import TENDER_CELLS, Tenders

SESSION_TENDERS_MAX: Final = 50
"""Tenders: as many as an opening may name. Every report has a row for each."""


def with_added(
    context: RuleContext,
    session: Session,
    command: SessionCommand,
    rule: Callable[[RuleContext, Session, Any], Decision | Refusal],
) -> Decision | Refusal | None:
    """What the rule says once the session has the tenders that the command names and only the profile knows.

    None where that makes none of them known. A command that is refused adds none.
    """
    missing = [tender_id for tender_id in named(command) if tender_id not in session.opening.tenders.tenders]
    added = known_to_the_profile(context, session, missing)
    if not added or len(added) < len({*missing}):
        return None
    opening, amended = session.opening, session.amended
    add_tenders(session, added)
    decision = rule(context, session, command)
    if isinstance(decision, Refusal):
        session.opening, session.amended = opening, amended
        for tender in added:
            del session.totals.tenders[tender.id]
        return decision
    decision.answer["tenders_added"] = added
    return decision


def add_tenders(session: Session, added: Sequence[Tender]) -> None:
    """Let the session have these tenders, too, with nothing in them."""
    opening = session.opening
    tenders = Tenders((*opening.tenders.tenders.values(), *added), opening.currency)
    session.opening = replace(opening, tenders=tenders, added=(*opening.added, *added))
    session.amended = True
    for tender in added:
        session.totals.tenders[tender.id] = [0] * TENDER_CELLS


def known_to_the_profile(context: RuleContext, session: Session, missing: Iterable[str]) -> tuple[Tender, ...]:
    """Of the tenders that the session lacks those that it may take from its profile, each once, in their order."""
    opening, profile = session.opening, context.till.profile
    if session.state not in UNCLOSED or not opening.follows_profile or profile.currency != opening.currency:
        return ()
    theirs = {tender.id: tender for tender in profile_tenders(profile)}
    added = tuple(theirs[tender_id] for tender_id in dict.fromkeys(missing) if tender_id in theirs)
    return added[: SESSION_TENDERS_MAX - len(opening.tenders.tenders)]


def named(command: SessionCommand) -> Iterator[str]:
    """The tenders that a command names, in the order in which its members are listed."""
    match command:
        case RecordOrder():
            yield from (payment.tender for payment in command.payments)
            yield from (coins.tender for coins in command.change or ())
        case MoveCash():
            yield command.tender or CASH
        case CountDrawer() | HandOver():
            for counted in command.counted or ():
                yield counted.tender
        case CloseSession():
            for counted in chain(command.counted, command.left or ()):
                yield counted.tender


def bad_tenders(session: Session, brought: Sequence[Tender]) -> Refusal | None:
    """Why the session can't be given these tenders."""
    opening = session.opening
    if any(tender.id in opening.tenders.tenders for tender in brought):
        return Refusal("tender_in_use")
    if any(tender.currency == opening.currency and not is_one(tender.exchange_rate) for tender in brought):
        return Refusal("currency_mismatch")
    if len(opening.tenders.tenders) + len(brought) > SESSION_TENDERS_MAX:
        return Refusal("amount_invalid")
    return None
