"""The rules of what moves a session's figures: cash movements, their voids, and orders."""

from typing import Final

from contracts.commands import MoveCash, RecordOrder, VoidMovement
from contracts.events import CashMoved, MovementVoided, OrderRecorded, fill
from services.sessions.rules.answers import Refusal
from services.sessions.rules.context import Decision, RuleContext, accept, answer_fields, apply_change
from services.sessions.rules.corrections import corrected
from services.sessions.rules.model import CASH, Opening, Session
from services.sessions.rules.totals import Tenders, Totals, add_movement, add_order, order_total, order_weight

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
    accept(context, session)
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
    accept(context, session)
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
    opening, tenders = session.opening, session.opening.tenders
    for payment in command.payments:
        if payment.tender not in tenders.tenders:
            return Refusal("tender_unknown")
    if not _order_adds_up(command):
        return Refusal("amount_invalid")
    if _tells_a_blind_figure(context, tenders, [(one.tender, one.amount_minor) for one in command.payments]):
        return Refusal("amount_invalid")
    key = (command.store_id, command.session_id, command.order_id)
    earlier = context.state.orders.get(key)
    if earlier is not None and command.revision <= earlier.revision:
        return Refusal("order_revision_stale")

    def change(totals: Totals) -> None:
        replace_order(totals, opening, earlier, command)

    before = session.totals.copy() if context.late else None
    paid: dict[str, int] = {}
    for payment in (*command.payments, *(earlier.payments if earlier else ())):
        paid[payment.tender] = paid.get(payment.tender, 0) + payment.amount_minor
    refusal = apply_change(context, session, paid, order_weight(tenders, command), change)
    if refusal is not None:
        return refusal
    context.state.orders[key] = command
    accept(context, session)
    ids, correction = corrected(context, session, command, before)
    answer = fill(
        OrderRecorded,
        answer_fields(context, session, command),
        ids,
        order_id=command.order_id,
        revision=command.revision,
        status=command.status,
    )
    return Decision(answer, correction=correction)


def movement_of(command: MoveCash) -> tuple[str, str, int]:
    """What a movement adds to the totals: its kind, its tender, and its amount in minor units."""
    return command.movement, command.tender or CASH, command.amount_minor


def replace_order(totals: Totals, opening: Opening, earlier: RecordOrder | None, order: RecordOrder) -> None:
    """Put an order into the totals, in the place of its earlier revision."""
    if earlier is not None:
        add_order(totals, opening.tenders, opening.own_provider, earlier, -1)
    add_order(totals, opening.tenders, opening.own_provider, order)


def _tells_a_blind_figure(context: RuleContext, tenders: Tenders, amounts: list[tuple[str, int]]) -> bool:
    """Whether these amounts by tender could find a blind till's figure: by what is refused for passing 2^53 − 1."""
    if not context.till.profile.blind:
        return False
    return sum(tenders.exchanges[tender].base(amount) for tender, amount in amounts) > BLIND_AMOUNT_MINOR_MAX


def _order_adds_up(order: RecordOrder) -> bool:
    """What the fields of an order say only together."""
    for payment in order.payments:
        tip, change = payment.tip_minor or 0, payment.change_minor or 0
        tendered = payment.tendered_minor
        if tendered is None and change:
            return False
        if tendered is not None and tendered - change != payment.amount_minor:
            return False
        if tip > payment.amount_minor or (tip and order.refund_of is not None):
            return False
    if order.discounts and sum(discount.amount_minor for discount in order.discounts) > order.gross_minor:
        return False
    return order.tax_minor <= order_total(order)
