"""The rules of what moves a session's figures: cash movements, their voids, and orders."""

from typing import Final

from contracts.events import CashMoved, MovementVoided, OrderRecorded, fill
from contracts.records import Actor, MoveCash, PaidBefore, Payment, RecordOrder, VoidMovement
from services.sessions.rules.after_count import takes_back
from services.sessions.rules.answers import Refusal
from services.sessions.rules.context import Decision, RuleContext, accept_dated, answer_fields, apply_change
from services.sessions.rules.corrections import corrected
from services.sessions.rules.model import CASH, Opening, Session
from services.sessions.rules.totals import (
    Tenders,
    Totals,
    add_lowered,
    add_movement,
    add_order,
    order_total,
    order_weight,
    plain_rate,
)

BLIND_AMOUNT_MINOR_MAX: Final = 10**12
"""Base currency: the most that one movement or order of a blind till may be. With less than 2^53 − 1 at a time, asking
where the figures end takes thousands of accepted commands, which everybody sees."""


def move_cash(context: RuleContext, session: Session, command: MoveCash) -> Decision | Refusal:
    """Money in or out that is no sale."""
    tenders = session.opening.tenders
    tender = command.tender or CASH
    if not tenders.is_cash(tender):
        return Refusal("tender_unknown")
    if (command.amount_minor == 0) != (command.movement == "no_sale"):
        return Refusal("amount_invalid")
    if _tells_a_blind_figure(context, tenders, [(tender, command.amount_minor)]):
        return Refusal("amount_invalid")
    movement = movement_of(command)

    def change(totals: Totals) -> None:
        add_movement(totals, movement)

    before = session.totals.copy() if context.late else None
    refusal = apply_change(
        context, session, {tender: command.amount_minor}, tenders.weight(command.amount_minor), change
    )
    if refusal is not None:
        return refusal
    context.state.movements[command.store_id, command.command_id] = command
    accept_dated(context, session)
    ids, correction = corrected(context, session, command, before)
    answer = fill(
        CashMoved,
        answer_fields(context, session, command),
        ids,
        movement=command.movement,
        amount_minor=command.amount_minor,
        tender=tender,
        category=command.category,
        description=command.description,
    )
    return Decision(answer, correction=correction)


def void_movement(context: RuleContext, session: Session, command: VoidMovement) -> Decision | Refusal:
    """Take one movement of this session back."""
    key = (command.store_id, command.movement_id)
    voided = context.state.movements.get(key)
    if voided is None or voided.session_id != command.session_id:
        return Refusal("movement_unknown")
    if key in context.state.voided:
        return Refusal("movement_already_voided")
    movement = movement_of(voided)

    def change(totals: Totals) -> None:
        add_movement(totals, movement, -1)

    before = session.totals.copy() if context.late else None
    refusal = apply_change(context, session, {movement[1]: voided.amount_minor}, 0, change)
    if refusal is not None:
        return refusal
    context.state.voided.add(key)
    accept_dated(context, session)
    ids, correction = corrected(context, session, command, before, reason=command.reason)
    answer = fill(
        MovementVoided,
        answer_fields(context, session, command),
        ids,
        movement_id=command.movement_id,
        reason=command.reason,
    )
    return Decision(answer, correction=correction)


def record_order(context: RuleContext, session: Session, command: RecordOrder) -> Decision | Refusal:
    """An order as it is now; it replaces what its earlier revision added."""
    state, opening, tenders = context.state, session.opening, session.opening.tenders
    key = (command.store_id, command.session_id, command.order_id)
    earlier = state.orders.get(key)
    refusal = _bad_order(context, tenders, command, earlier)
    if refusal is not None:
        return refusal
    keeps = command.actor if earlier is None else state.seller_of(key)
    seller = command.sold_by or keeps
    counted_for = None if key in state.orders_of_before else keeps

    def change(totals: Totals) -> None:
        replace_order(totals, opening, (earlier, counted_for), (command, seller))

    before = session.totals.copy() if context.late else None
    refusal = apply_change(context, session, _drawn(command, earlier), order_weight(tenders, command), change)
    if refusal is not None:
        return refusal
    context.to_review = context.after_count and earlier is not None and takes_back(earlier, command)
    if earlier is not None:
        state.sold_by[key] = seller
        state.orders_of_before.discard(key)
    state.orders[key] = command
    accept_dated(context, session)
    ids, correction = corrected(context, session, command, before)
    answer = fill(
        OrderRecorded,
        answer_fields(context, session, command),
        ids,
        order_id=command.order_id,
        revision=command.revision,
        status=command.status,
    )
    sold_by = None if earlier is None and command.sold_by is None else seller
    return Decision(answer, correction=correction, sold_by=sold_by)


def movement_of(command: MoveCash) -> tuple[str, str, int]:
    """What a movement adds to the totals: its kind, its tender, and its amount in minor units."""
    return command.movement, command.tender or CASH, command.amount_minor


def replace_order(
    totals: Totals,
    opening: Opening,
    earlier: tuple[RecordOrder | None, Actor | None],
    latest: tuple[RecordOrder, Actor | None],
) -> None:
    """Put an order into the totals, in the place of its earlier revision; each with whose sale it is (`add_order`)."""
    was, was_sold_by = earlier
    order, seller = latest
    if was is not None:
        add_order(totals, opening.tenders, opening.own_provider, was, was_sold_by, -1)
    add_order(totals, opening.tenders, opening.own_provider, order, seller)
    if was is not None and seller is not None:
        add_lowered(totals, opening.tenders, was, order, seller)


def _bad_order(
    context: RuleContext, tenders: Tenders, order: RecordOrder, earlier: RecordOrder | None
) -> Refusal | None:
    """Why the order can't be taken, whatever the figures are."""
    for payment in order.payments:
        if payment.tender not in tenders.tenders:
            return Refusal("tender_unknown")
    if order.change and not all(tenders.has_drawer(coins.tender) for coins in order.change):
        return Refusal("tender_unknown")
    if not _order_adds_up(order) or (earlier is not None and (earlier.refund_of is None) != (order.refund_of is None)):
        return Refusal("amount_invalid")
    if context.till.profile.blind:
        amounts = [(payment.tender, payment.amount_minor) for payment in order.payments]
        amounts += [(coins.tender, coins.amount_minor) for coins in order.change or ()]
        if _tells_a_blind_figure(context, tenders, amounts):
            return Refusal("amount_invalid")
    if earlier is not None and order.revision <= earlier.revision:
        return Refusal("order_revision_stale")
    return None


def _drawn(order: RecordOrder, earlier: RecordOrder | None) -> dict[str, int]:
    """The most by which an order can lower what is in each drawer: all that is paid in one, or given back out of it."""
    drawn: dict[str, int] = {}
    for one in (order, earlier) if earlier is not None else (order,):
        for payment in one.payments:
            drawn[payment.tender] = drawn.get(payment.tender, 0) + payment.amount_minor
        for coins in one.change or ():
            drawn[coins.tender] = drawn.get(coins.tender, 0) + coins.amount_minor
    return drawn


def _tells_a_blind_figure(context: RuleContext, tenders: Tenders, amounts: list[tuple[str, int]]) -> bool:
    """Whether these amounts by tender could find a blind till's figure: by what is refused for passing 2^53 − 1."""
    if not context.till.profile.blind:
        return False
    return sum(tenders.exchanges[tender].base(amount) for tender, amount in amounts) > BLIND_AMOUNT_MINOR_MAX


def _order_adds_up(order: RecordOrder) -> bool:
    """What the fields of an order say only together. What most orders don't have is not looked at."""
    for payment in order.payments:
        if not _payment_adds_up(payment):
            return False
    if order.discounts and sum(discount.amount_minor for discount in order.discounts) > order.gross_minor:
        return False
    if order.change and not _change_adds_up(order):
        return False
    if order.taxes is not None and not _taxes_add_up(order):
        return False
    if order.paid_before is not None and not _may_be_paid_before(order, order.paid_before):
        return False
    return order.tax_minor <= order_total(order)


def _payment_adds_up(payment: Payment) -> bool:
    tip, change = payment.tip_minor or 0, payment.change_minor or 0
    tendered = payment.tendered_minor
    if tendered is None:
        return not change and tip <= payment.amount_minor
    return tendered - change == payment.amount_minor and tip <= payment.amount_minor


def _may_be_paid_before(order: RecordOrder, paid: PaidBefore) -> bool:
    """Whether it was another session's, and is no refund: what is given back was not paid on it."""
    return paid.session_id != order.session_id and (order.refund_of is None or paid.amount_minor == 0)


def _change_adds_up(order: RecordOrder) -> bool:
    """Whether change names no tender twice, nor one that gives change of its own, and is not given on a refund."""
    drawers = [entry.tender for entry in order.change or ()]
    own = {payment.tender for payment in order.payments if payment.change_minor}
    if order.refund_of is not None and any(entry.amount_minor for entry in order.change or ()):
        return False
    return len({*drawers}) == len(drawers) and own.isdisjoint(drawers)


def _taxes_add_up(order: RecordOrder) -> bool:
    """Whether taxes name no rate twice, by its value, and add up to the order's tax."""
    taxes = order.taxes or ()
    rates = {(tax.name, plain_rate(tax.rate)) for tax in taxes}
    return len(rates) == len(taxes) and sum(tax.tax_minor for tax in taxes) == order.tax_minor
