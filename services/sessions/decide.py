"""The rules: what becomes of one command, given all that its batch has loaded. Pure.

`answer` checks reasons in the order of `contracts.events.Reason`. A command that is accepted moves the book; one that
is refused leaves it as it was, except that the register's own sequence number has been seen.
"""

from collections.abc import Callable, Iterable, Sequence

from contracts.closings import journal_link
from contracts.commands import (
    CloseSession,
    Command,
    MoveCash,
    OpenSession,
    RecordOrder,
    Tender,
    TenderAmount,
    VoidMovement,
)
from contracts.events import (
    Accepted,
    CashMoved,
    MovementVoided,
    OrderRecorded,
    SessionClosed,
    SessionOpened,
    claimless_event_id_of,
    event_id_of,
    reused_event_id_of,
    write_answer,
)
from contracts.jsontext import SAFE_INTEGER, compact
from contracts.money import is_one
from contracts.times import business_date, offset_of
from services.sessions import figures
from services.sessions.answers import Refusal, common, parked, rejection
from services.sessions.book import (
    HOLDING,
    UNCLOSED,
    Book,
    Kept,
    KnownAnswer,
    Opening,
    Outcome,
    Profile,
    Received,
    Session,
    Till,
)
from services.sessions.closing import close
from services.sessions.figures import Tenders, Totals

SUPPORTED = (OpenSession, MoveCash, VoidMovement, RecordOrder, CloseSession)


def answer(book: Book, record: Received) -> Outcome:
    """The one answer to a record, and what to keep of it."""
    if record.refused_right is not None:
        event_id = claimless_event_id_of(record.topic, record.partition, record.offset)
        return _refused(record, Refusal(record.refused_right), event_id, "place")
    known = book.answers.get((record.store_id, record.command_id))
    if known is not None:
        return _repeat(record, known) if known.body_hash == record.body_hash else _reused(book, record)
    outcome = _first_answer(book, record)
    book.answers[record.store_id, record.command_id] = KnownAnswer(
        record.body_hash, outcome.event_id, outcome.kind, outcome.received_at, outcome.value
    )
    return outcome


def _repeat(record: Received, known: KnownAnswer) -> Outcome:
    return Outcome(record, "nothing", known.event_id, known.kind, known.received_at, known.value)


def _reused(book: Book, record: Received) -> Outcome:
    event_id = reused_event_id_of(record.store_id, record.command_id, record.body_hash.hex())
    known = book.reused.get(event_id)
    if known is not None:
        return _repeat(record, known)
    outcome = _refused(record, Refusal("command_id_reused"), event_id, "reused")
    book.reused[event_id] = KnownAnswer(record.body_hash, event_id, outcome.kind, outcome.received_at, outcome.value)
    return outcome


def _first_answer(book: Book, record: Received) -> Outcome:
    event_id = event_id_of(record.store_id, record.command_id)
    command = record.command
    if command is None:
        return _refused(record, Refusal("malformed", errors=record.errors), event_id, "journal")
    decision = _decide(book, record, command, event_id)
    if isinstance(decision, Refusal):
        return _refused(record, decision, event_id, "journal")
    accepted, closing = decision
    session = book.sessions[record.store_id, command.session_id]
    return Outcome(
        record,
        "journal",
        event_id,
        accepted.kind,
        record.received_at,
        write_answer(accepted),
        sequence=session.sequence,
        link=session.journal_hash,
        register_seq=command.register_seq,
        closing=closing,
        closing_value=None if closing is None else compact(closing),
    )


def park(record: Received, error: str) -> Outcome:
    """The answer to a command that can't be applied; it claims nothing, so the command can be brought back."""
    event_id = claimless_event_id_of(record.topic, record.partition, record.offset)
    answered = parked(record, event_id)
    value = write_answer(answered)
    return Outcome(record, "place", event_id, answered.kind, record.received_at, value, error=error)


def _refused(record: Received, refusal: Refusal, event_id: str, kept: Kept) -> Outcome:
    rejected = rejection(record, refusal, event_id)
    return Outcome(
        record,
        kept,
        event_id,
        rejected.kind,
        record.received_at,
        write_answer(rejected),
        reason=refusal.reason,
        register_seq=refusal.register_seq,
    )


Decision = tuple[Accepted, dict[str, object] | None]


def _decide(book: Book, record: Received, command: Command, event_id: str) -> Decision | Refusal:
    if not isinstance(command, SUPPORTED):
        return Refusal("not_supported_yet")
    till = book.tills.get((command.store_id, command.profile_id))
    if till is None:
        return Refusal("profile_unknown")
    if isinstance(command, OpenSession):
        return _open(book, record, till, command, event_id)
    session = book.sessions.get((command.store_id, command.session_id))
    if session is None or session.profile_id != command.profile_id:
        return Refusal("session_unknown")
    # A closed session's closing states its numbers for good, so later ones are not noted any more.
    noted = command.register_seq if session.state in UNCLOSED else None
    if noted is not None:
        session.register.see(noted)
        session.changed = True
    decision = _decide_on_session(book, record, till, session, command, event_id)
    if isinstance(decision, Refusal):
        return decision.seen(noted)
    return decision


def _decide_on_session(
    book: Book, record: Received, till: Till, session: Session, command: Command, event_id: str
) -> Decision | Refusal:
    if session.state != "open":
        return Refusal("session_closed")
    match command:
        case MoveCash():
            return _move_cash(book, record, till, session, command, event_id)
        case VoidMovement():
            return _void_movement(book, record, till, session, command, event_id)
        case RecordOrder():
            return _record_order(book, record, till, session, command, event_id)
        case CloseSession():
            return _close(record, till, session, command, event_id)
    raise AssertionError(f"no rule for {command.kind}")


def _open(book: Book, record: Received, till: Till, command: OpenSession, event_id: str) -> Decision | Refusal:
    profile = till.profile
    refusal = _cannot_open(book, till, command)
    if refusal is not None:
        return refusal
    tenders = command.tenders or profile.tenders or (_only_cash(command.currency),)
    refusal = _bad_opening(command, profile, tenders)
    if refusal is not None:
        return refusal
    frozen = Tenders(tenders, command.currency)
    totals = figures.new_totals(frozen, {entry.tender: entry.amount_minor for entry in command.opening})
    if not figures.fits(totals, frozen, {}):
        return Refusal("amount_invalid")
    till.sessions_opened += 1
    opening = _opening(record, till, command, frozen)
    session = Session(command.store_id, command.profile_id, command.session_id, "open", opening, totals)
    if command.register_seq is not None:
        session.register.see(command.register_seq)
    book.sessions[command.store_id, command.session_id] = session
    till.open_session_id = command.session_id
    till.changed = True
    _accept(session, record)
    opened = SessionOpened(
        **common(record, command, session, event_id),
        currency=command.currency,
        tenders=tenders,
        opening=command.opening,
        business_date=opening.business_date,
        session_number=opening.session_number,
        station=command.station,
        note=command.note,
        notes=opening.notes,
    )
    return opened, None


def _cannot_open(book: Book, till: Till, command: OpenSession) -> Refusal | None:
    if not till.profile.enabled:
        return Refusal("profile_disabled")
    if till.open_session_id is not None:
        return Refusal("session_already_open", open_session_id=till.open_session_id)
    same_id = book.sessions.get((command.store_id, command.session_id))
    if same_id is not None:
        if same_id.state in HOLDING:
            return Refusal("session_already_open", open_session_id=same_id.session_id)
        return Refusal("session_closed")
    return None


def _bad_opening(command: OpenSession, profile: Profile, tenders: Sequence[Tender]) -> Refusal | None:
    with_drawer = {tender.id for tender in tenders if tender.type != "third_party"}
    if any(entry.tender not in with_drawer for entry in command.opening):
        return Refusal("tender_unknown")
    off_base = any(t.currency == command.currency and not is_one(t.exchange_rate) for t in tenders)
    if command.currency != profile.currency or off_base:
        return Refusal("currency_mismatch")
    return None if _adds_up(command.opening) else Refusal("amount_invalid")


def _opening(record: Received, till: Till, command: OpenSession, tenders: Tenders) -> Opening:
    profile = till.profile
    opened_at = min(command.occurred_at, record.received_at)
    offset = offset_of(record.body["occurred_at"])
    return Opening(
        currency=command.currency,
        tenders=tenders,
        opened_at=opened_at,
        opened_by=command.actor,
        business_date=command.business_date or business_date(opened_at, offset, profile.business_day_starts_at),
        session_number=command.session_number or str(till.sessions_opened),
        station=command.station,
        note=command.note,
        notes=command.notes or (),
        own_provider=profile.own_provider,
        store_name=profile.store_name,
        profile_name=profile.name,
        company_id=profile.company_id,
    )


def _only_cash(currency: str) -> Tender:
    return Tender(id="cash", name="cash", type="cash", currency=currency, exchange_rate="1")


def _move_cash(
    book: Book, record: Received, till: Till, session: Session, command: MoveCash, event_id: str
) -> Decision | Refusal:
    tenders = session.opening.tenders
    tender = command.tender or "cash"
    if not tenders.is_cash(tender):
        return Refusal("tender_unknown")
    if (command.amount_minor == 0) != (command.movement == "no_sale"):
        return Refusal("amount_invalid")
    movement = (command.movement, tender, command.amount_minor)
    weight = tenders.weight(command.amount_minor)
    refusal = _moved(till, session, (tender,), weight, lambda totals: figures.add_movement(totals, movement))
    if refusal is not None:
        return refusal
    book.movements[command.store_id, command.command_id] = command
    _accept(session, record)
    moved = CashMoved(
        **common(record, command, session, event_id),
        movement=command.movement,
        amount_minor=command.amount_minor,
        tender=tender,
        category=command.category,
        description=command.description,
    )
    return moved, None


def _void_movement(
    book: Book, record: Received, till: Till, session: Session, command: VoidMovement, event_id: str
) -> Decision | Refusal:
    key = (command.store_id, command.movement_id)
    voided = book.movements.get(key)
    if voided is None or voided.session_id != command.session_id:
        return Refusal("movement_unknown")
    if key in book.voided:
        return Refusal("movement_already_voided")
    movement = (voided.movement, voided.tender or "cash", voided.amount_minor)
    refusal = _moved(till, session, (movement[1],), 0, lambda totals: figures.add_movement(totals, movement, -1))
    if refusal is not None:
        return refusal
    book.voided.add(key)
    _accept(session, record)
    done = MovementVoided(
        **common(record, command, session, event_id),
        movement_id=command.movement_id,
        reason=command.reason,
    )
    return done, None


def _record_order(
    book: Book, record: Received, till: Till, session: Session, command: RecordOrder, event_id: str
) -> Decision | Refusal:
    tenders = session.opening.tenders
    if any(payment.tender not in tenders.tenders for payment in command.payments):
        return Refusal("tender_unknown")
    if not _order_adds_up(command):
        return Refusal("amount_invalid")
    key = (command.store_id, command.session_id, command.order_id)
    earlier = book.orders.get(key)
    if earlier is not None and command.revision <= earlier.revision:
        return Refusal("order_revision_stale")
    own = session.opening.own_provider

    def change(totals: Totals) -> None:
        if earlier is not None:
            figures.add_order(totals, tenders, own, earlier, -1)
        figures.add_order(totals, tenders, own, command)

    paid = [payment.tender for payment in (*command.payments, *(earlier.payments if earlier else ()))]
    refusal = _moved(till, session, paid, figures.order_weight(tenders, command), change)
    if refusal is not None:
        return refusal
    book.orders[key] = command
    _accept(session, record)
    recorded = OrderRecorded(
        **common(record, command, session, event_id),
        order_id=command.order_id,
        revision=command.revision,
        status=command.status,
    )
    return recorded, None


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
    if sum(discount.amount_minor for discount in order.discounts) > order.gross_minor:
        return False
    return order.tax_minor <= figures.order_total(order)


def _close(record: Received, till: Till, session: Session, command: CloseSession, event_id: str) -> Decision | Refusal:
    tenders = session.opening.tenders
    if not all(tenders.has_drawer(entry.tender) for entry in command.counted):
        return Refusal("tender_unknown")
    counted = {entry.tender: entry.amount_minor for entry in command.counted}
    if not _adds_up(command.counted) or not figures.fits(session.totals, tenders, counted):
        return Refusal("amount_invalid")
    session.state = "closed"
    till.open_session_id = None
    till.changed = True
    _accept(session, record)
    closing = close(
        session,
        z_number=till.z_number + 1,
        prev_hash=till.last_hash,
        counted=counted,
        closed_at=min(command.occurred_at, record.received_at),
        closed_by=command.actor,
        origin="register",
        limit_minor=None,
        closing_note=command.note,
        closing_notes=command.notes or (),
        sales_report=command.sales_report,
    )
    till.z_number, till.last_hash = closing["z_number"], closing["hash"]
    closed = SessionClosed(
        **common(record, command, session, event_id),
        closing_id=closing["closing_id"],
        z_number=closing["z_number"],
        closed_at=closing["closed_at"],
        uncounted=False,
        approved_by=None,
    )
    return closed, closing


def _adds_up(amounts: Iterable[TenderAmount]) -> bool:
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


def _moved(
    till: Till,
    session: Session,
    tender_ids: Iterable[str],
    weight: int,
    change: Callable[[Totals], None],
) -> Refusal | None:
    """Apply `change`, which moves no figure by more than `weight`, or say why the session can't take it.

    A refused change leaves the totals as they were; they are copied only where a refusal is possible at all.
    """
    tenders, totals = session.opening.tenders, session.totals
    never_short = till.profile.allow_negative_drawer
    if never_short and totals.bound + weight <= SAFE_INTEGER:
        totals.bound += weight
        change(totals)
        return None
    after = totals.copy()
    after.bound += weight
    change(after)
    if not figures.fits(after, tenders, {}):
        return Refusal("amount_invalid")
    for tender_id in () if never_short else filter(tenders.is_cash, set(tender_ids)):
        left = figures.expected(after.tenders[tender_id])
        if left < 0 and left < figures.expected(totals.tenders[tender_id]):
            return Refusal("not_enough_cash")
    session.totals = after
    return None


def _accept(session: Session, record: Received) -> None:
    """Give the command its place in the session's journal."""
    session.sequence += 1
    session.journal_hash = journal_link(session.journal_hash, session.sequence, record.text)
    session.changed = True
