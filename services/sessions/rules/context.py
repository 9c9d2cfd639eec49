"""What every rule is given and what it gives back."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from contracts.closings import journal_link
from contracts.events import Filled
from contracts.jsontext import SAFE_INTEGER
from contracts.records import Actor, SessionCommand, TenderAmount
from services.sessions.rules import differences
from services.sessions.rules.answers import Refusal
from services.sessions.rules.model import LINKED_WITH_VERSION, BatchState, Received, Session, Till
from services.sessions.rules.report import fits, report
from services.sessions.rules.totals import Tenders, Totals, expected

BEHIND_A_BORDER: Final = frozenset({"suspended", "pending"})
"""The states in which only what occurred before a certain moment is taken."""


@dataclass(slots=True)
class RuleContext:
    """What a rule is given of one command.

    `occurred` is the time that counts: the register's, or the broker's where the register's clock is fast or was never
    set (`clock_set` is False then).
    `late` is set once it is known that the command comes after the closing and corrects it; `after_count` where it
    does so only because it leaves the cash as it was counted, and `to_review` where somebody should look at that.
    """

    state: BatchState
    record: Received
    till: Till
    event_id: str
    occurred: str
    clock_set: bool = True
    late: bool = False
    after_count: bool = False
    to_review: bool = False

    def before(self, border: str) -> bool:
        """Whether the command occurred before `border`; one whose clock was never set is before any."""
        return self.occurred < border or not self.clock_set


@dataclass(slots=True)
class Decision:
    """An accepted command: its answer, the closing or correction that goes with it, and what to keep of an order.

    `sold_by` is whose sale an order is, where one of its revisions said so or may have.
    """

    answer: Filled
    closing: dict[str, Any] | None = None
    correction: dict[str, Any] | None = None
    sold_by: Actor | None = None


def accept(context: RuleContext, session: Session) -> None:
    """Give the command its place in the session's journal."""
    session.sequence += 1
    version = context.till.profile_version if session.journal_form == LINKED_WITH_VERSION else None
    session.journal_hash = journal_link(session.journal_hash, session.sequence, context.record.text, version)
    session.last_command_at = context.record.received_at
    session.changed = True


def accept_dated(context: RuleContext, session: Session) -> None:
    """As `accept`, for what a closing holds: it is never closed before that."""
    note_time(session, context.occurred, clock_set=context.clock_set)
    accept(context, session)


def note_time(session: Session, occurred: str, *, clock_set: bool) -> None:
    """Note the time that counts of what a closing holds; of a clock that was not set, that it was not believed."""
    if clock_set:
        session.register.latest_at = max(session.register.latest_at, occurred)
    elif session.state in BEHIND_A_BORDER:
        session.register.clock_adjusted = True


def border_time(context: RuleContext, session: Session) -> str:
    """The moment at which the session is closed or suspended by this command."""
    return border_at(session, context.occurred)


def border_at(session: Session, occurred: str) -> str:
    """The moment of a closing or suspension that occurred at `occurred`: never before what the session holds."""
    return max(occurred, session.opening.opened_at, session.register.latest_at)


def answer_fields(context: RuleContext, session: Session, command: SessionCommand) -> dict[str, Any]:
    """What the answer to every accepted command says; the command has its place already."""
    return {
        "event_id": context.event_id,
        "command_id": command.command_id,
        "command_kind": command.kind,
        "store_id": command.store_id,
        "profile_id": command.profile_id,
        "session_id": command.session_id,
        "sequence": session.sequence,
        "profile_version": context.till.profile_version,
        "occurred_at": command.occurred_at,
        "received_at": context.record.received_at,
        "actor": command.actor,
    }


def apply_change(
    context: RuleContext, session: Session, moved: Mapping[str, int], weight: int, change: Callable[[Totals], None]
) -> Refusal | None:
    """Apply `change`, which moves no figure by more than `weight`, or say why the session can't take it.

    `moved` is the most by which the drawer of each tender can sink, in the tender's minor units.
    A refused change leaves the totals as they were; they are copied only where a refusal is possible at all.
    What comes after the closing is never refused for want of cash: the drawer is long counted.
    """
    tenders, totals = session.opening.tenders, session.totals
    never_short = context.late or context.till.profile.allow_negative_drawer or _enough_cash(totals, tenders, moved)
    bound = totals.bound + weight
    if session.state != "open":
        bound += tenders.weight(*session.counted.values())
    # From one end of the range to the other is twice its length: that is how far a correction can go.
    if never_short and 2 * bound <= SAFE_INTEGER:
        totals.bound += weight
        change(totals)
        return None
    after = totals.copy()
    after.bound += weight
    change(after)
    declared = session.declared
    if not fits(after, tenders, declared):
        return Refusal("amount_invalid")
    if context.late and not differences.fit(*(report(side, tenders, declared) for side in (totals, after))):
        return Refusal("amount_invalid")
    for tender_id in () if never_short else filter(tenders.is_cash, moved):
        left = expected(after.tenders[tender_id])
        if left < 0 and left < expected(totals.tenders[tender_id]):
            return Refusal("not_enough_cash")
    session.totals = after
    return None


def _enough_cash(totals: Totals, tenders: Tenders, moved: Mapping[str, int]) -> bool:
    for tender_id, amount in moved.items():
        if tenders.is_cash(tender_id) and expected(totals.tenders[tender_id]) < amount:
            return False
    return True


def bad_count(
    session: Session, counted: Iterable[TenderAmount], *, in_report: bool, left: Iterable[TenderAmount] = ()
) -> Refusal | None:
    """Why these counted amounts, and what is `left` of them, can't be taken.

    `in_report`: they will stand in a report beside expected figures.
    """
    entries, staying = tuple(counted), tuple(left)
    tenders = session.opening.tenders
    if not all(tenders.has_drawer(entry.tender) for entry in entries):
        return Refusal("tender_unknown")
    if not all(tenders.is_cash(entry.tender) for entry in staying):
        return Refusal("tender_unknown")
    if not adds_up(entries) or (staying and not _lies_there(staying, by_tender(entries))):
        return Refusal("amount_invalid")
    if in_report and not fits(session.totals, tenders, replace(session.declared, counted=by_tender(entries))):
        return Refusal("amount_invalid")
    return None


def _lies_there(left: tuple[TenderAmount, ...], counted: Mapping[str, int]) -> bool:
    """Whether what is to stay was counted: a tender that was not has nothing to leave, not even 0."""
    return adds_up(left) and all(entry.amount_minor <= counted.get(entry.tender, -1) for entry in left)


def by_tender(amounts: Iterable[TenderAmount]) -> dict[str, int]:
    """Amounts by tender id."""
    return {entry.tender: entry.amount_minor for entry in amounts}


def adds_up(amounts: Iterable[TenderAmount]) -> bool:
    """Whether no tender stands twice and all denominations add up to their amounts."""
    seen: set[str] = set()
    for entry in amounts:
        if entry.tender in seen:
            return False
        seen.add(entry.tender)
        parts = entry.denominations
        if parts is not None and sum(part.value_minor * part.count for part in parts) != entry.amount_minor:
            return False
    return True
