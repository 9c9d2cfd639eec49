"""The rules of what may be told of an order once its drawer was counted: all that leaves the cash as it was counted.

Tips are keyed in from slips after the count, cards are topped up, tabs go on in another session. When that occurred
doesn't matter: no coin moves by it.
"""

from datetime import timedelta

from contracts.records import RecordOrder
from contracts.times import moment
from services.sessions.rules.added_tenders import known_to_the_profile, named
from services.sessions.rules.context import RuleContext
from services.sessions.rules.model import Session
from services.sessions.rules.totals import CANCELED, COUNTING, Tenders, order_total


def leaves_the_cash(context: RuleContext, session: Session, order: RecordOrder) -> bool:
    """Whether this is a higher revision of an order of this session that moves no expected figure of type cash."""
    state, key = context.state, (order.store_id, order.session_id, order.order_id)
    earlier = state.orders.get(key)
    if earlier is None or order.revision <= earlier.revision:
        return False
    tenders = _tenders_after(context, session, order)
    before = _in_drawers(tenders, earlier, uncounted_while_open=key in state.orders_of_before)
    return before == _in_drawers(tenders, order)


def _tenders_after(context: RuleContext, session: Session, order: RecordOrder) -> Tenders:
    """The session's tenders with those that the order would bring in."""
    tenders = session.opening.tenders
    missing = [tender_id for tender_id in named(order) if tender_id not in tenders.tenders]
    added = known_to_the_profile(context, session, missing) if missing else ()
    return Tenders((*tenders.tenders.values(), *added), session.opening.currency) if added else tenders


def in_window(context: RuleContext, applied_at: str) -> bool:
    """Whether a command comes within the profile's window after its session's closing was applied."""
    window = timedelta(seconds=context.till.profile.late_window_s)
    return moment(context.record.received_at) - moment(applied_at) <= window


def takes_back(earlier: RecordOrder, order: RecordOrder) -> bool:
    """Whether an order counts no more by this revision, or for less, or with less tax.

    A sale that goes on counts, too: its money is prepaid until a cancellation leaves it nowhere.
    """
    if earlier.status in COUNTING and order.status not in COUNTING:
        return True
    if order.refund_of is None and earlier.status not in CANCELED and order.status in CANCELED:
        return True
    return order_total(order) < order_total(earlier) or order.tax_minor < earlier.tax_minor


def _in_drawers(tenders: Tenders, order: RecordOrder, *, uncounted_while_open: bool = False) -> dict[str, int]:
    """What an order adds to the expected figure of each tender of type cash, where that is not 0.

    The version before counted the money of an order only once it was finished. Nobody's tenders are none of type cash.
    """
    finished = order.status in COUNTING
    if order.status in CANCELED or (not finished and (order.refund_of is not None or uncounted_while_open)):
        return {}
    sign = 1 if order.refund_of is None else -1
    moved: dict[str, int] = {}
    for payment in order.payments:
        if tenders.is_cash(payment.tender):
            moved[payment.tender] = moved.get(payment.tender, 0) + sign * payment.amount_minor
    for coins in order.change or ():
        if tenders.is_cash(coins.tender):
            moved[coins.tender] = moved.get(coins.tender, 0) - coins.amount_minor
    return {tender: amount for tender, amount in moved.items() if amount}
