"""The rules of the textbook way: the same ones for opening, moving, ordering and closing, on ORM objects."""

from typing import Any
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncSession

from contracts.commands import CloseSession, MoveCash, OpenSession, RecordOrder
from contracts.events import (
    CLAIMLESS,
    Accepted,
    CashMoved,
    CommandRejected,
    OrderRecorded,
    Reason,
    SessionClosed,
    SessionOpened,
    claimless_event_id_of,
    closing_id_of,
    event_id_of,
)
from contracts.times import business_date, moment, offset_of
from services.sessions.rules.answers import MESSAGES
from services.sessions.rules.totals import ADDS, TAKES, order_total
from tests.bench.peers.textbook_tables import Entry, Session, Till
from tests.bench.peers.topic import PROFILE_VERSION

Command = OpenSession | MoveCash | RecordOrder | CloseSession


class Refused(Exception):
    """The command is answered with this reason."""

    def __init__(self, reason: Reason, open_session_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.open_session_id = open_session_id


async def decide(
    tx: AsyncSession, command: Command, received_at: str, position: tuple[str, int, int]
) -> Accepted | CommandRejected:
    """Apply one command in the caller's transaction; the answer. `position` is its topic, partition and offset."""
    try:
        if isinstance(command, OpenSession):
            return await _open(tx, await _till(tx, command), command, received_at)
        session = await tx.get(Session, (command.store_id, UUID(command.session_id)))
        if session is None or session.profile_id != command.profile_id:
            await _till(tx, command)
            raise Refused("session_unknown")
        if session.state != "open":
            raise Refused("session_closed")
        match command:
            case MoveCash():
                return _move_cash(tx, session, command, received_at)
            case RecordOrder():
                return await _record_order(tx, session, command, received_at)
            case CloseSession():
                return _close(tx, await _till(tx, command), session, command, received_at)
    except Refused as refused:
        return _rejection(command, received_at, refused, position)


def claims(event: Accepted | CommandRejected) -> bool:
    """Whether an answer is the one to its command id for good."""
    return not isinstance(event, CommandRejected) or event.reason not in CLAIMLESS


async def _till(tx: AsyncSession, command: Command) -> Till:
    till = await tx.get(Till, (command.store_id, command.profile_id))
    if till is None:
        raise Refused("profile_unknown")
    return till


async def _open(tx: AsyncSession, till: Till, command: OpenSession, received_at: str) -> SessionOpened:
    if till.open_session_id is not None:
        raise Refused("session_already_open", str(till.open_session_id))
    if await tx.get(Session, (command.store_id, UUID(command.session_id))) is not None:
        raise Refused("session_closed")
    tenders = command.tenders or ()
    if any(entry.tender not in {tender.id for tender in tenders} for entry in command.opening):
        raise Refused("tender_unknown")
    if command.currency != till.currency:
        raise Refused("currency_mismatch")
    floats = {entry.tender: entry.amount_minor for entry in command.opening}
    if len(floats) != len(command.opening):
        raise Refused("amount_invalid")
    opened_at = min(command.occurred_at, received_at)
    session = Session(
        store_id=command.store_id,
        session_id=UUID(command.session_id),
        profile_id=command.profile_id,
        state="open",
        sequence=0,
        opened_at=moment(opened_at),
        totals={
            tender.id: {"type": tender.type, "expected": floats.get(tender.id, 0), "sales": 0, "tips": 0, "orders": 0}
            for tender in tenders
        },
    )
    till.open_session_id = session.session_id
    tx.add(session)
    return SessionOpened(
        **_accept(tx, session, command, received_at),
        currency=command.currency,
        tenders=tenders,
        opening=command.opening,
        business_date=command.business_date or business_date(opened_at, offset_of(command.occurred_at), "00:00"),
        session_number=command.session_number or "1",
        station=command.station,
        note=command.note,
        notes=command.notes or (),
    )


def _move_cash(tx: AsyncSession, session: Session, command: MoveCash, received_at: str) -> CashMoved:
    tender = command.tender or "cash"
    totals = session.totals.get(tender)
    if totals is None or totals["type"] != "cash":
        raise Refused("tender_unknown")
    if (command.amount_minor == 0) != (command.movement == "no_sale"):
        raise Refused("amount_invalid")
    sign = (command.movement in ADDS) - (command.movement in TAKES)
    session.totals = session.totals | {
        tender: totals | {"expected": totals["expected"] + sign * command.amount_minor},
    }
    return CashMoved(
        **_accept(tx, session, command, received_at),
        movement=command.movement,
        amount_minor=command.amount_minor,
        tender=tender,
        category=command.category,
        description=command.description,
    )


async def _record_order(tx: AsyncSession, session: Session, command: RecordOrder, received_at: str) -> OrderRecorded:
    if any(payment.tender not in session.totals for payment in command.payments):
        raise Refused("tender_unknown")
    tips_fit = all((payment.tip_minor or 0) <= payment.amount_minor for payment in command.payments)
    if not tips_fit or command.tax_minor > order_total(command):
        raise Refused("amount_invalid")
    statement = (
        select(Entry)
        .where(
            Entry.store_id == command.store_id,
            Entry.session_id == UUID(command.session_id),
            Entry.order_id == command.order_id,
        )
        .order_by(Entry.revision.desc())
        .limit(1)
    )
    earlier = (await tx.scalars(statement)).first()
    totals = session.totals
    if earlier is not None:
        order = RecordOrder.model_validate(earlier.command)
        if command.revision <= order.revision:
            raise Refused("order_revision_stale")
        totals = _with_order(totals, order, -1)
    session.totals = _with_order(totals, command, 1)
    return OrderRecorded(
        **_accept(tx, session, command, received_at),
        order_id=command.order_id,
        revision=command.revision,
        status=command.status,
    )


def _with_order(totals: dict[str, Any], order: RecordOrder, sign: int) -> dict[str, Any]:
    if order.status not in ("finished", "forced_close"):
        return totals
    for payment in order.payments:
        row, tip = totals[payment.tender], payment.tip_minor or 0
        totals = totals | {
            payment.tender: row
            | {
                "expected": row["expected"] + sign * payment.amount_minor,
                "sales": row["sales"] + sign * (payment.amount_minor - tip),
                "tips": row["tips"] + sign * tip,
                "orders": row["orders"] + sign,
            }
        }
    return totals


def _close(tx: AsyncSession, till: Till, session: Session, command: CloseSession, received_at: str) -> SessionClosed:
    counted = {entry.tender: entry.amount_minor for entry in command.counted}
    if any(tender not in session.totals for tender in counted):
        raise Refused("tender_unknown")
    if len(counted) != len(command.counted):
        raise Refused("amount_invalid")
    closed_at = min(command.occurred_at, received_at)
    session.totals = {
        tender: row
        | {"counted": counted.get(tender), "over_short": counted.get(tender, row["expected"]) - row["expected"]}
        for tender, row in session.totals.items()
    }
    session.state, session.closed_at = "closed", moment(closed_at)
    till.open_session_id = None
    till.z_number += 1
    return SessionClosed(
        **_accept(tx, session, command, received_at),
        closing_id=closing_id_of(command.store_id, command.session_id),
        z_number=till.z_number,
        closed_at=closed_at,
        uncounted=False,
        approved_by=None,
    )


def _accept(tx: AsyncSession, session: Session, command: Command, received_at: str) -> dict[str, Any]:
    """Put the command in the journal; what the answer to every accepted command says."""
    session.sequence += 1
    order = command if isinstance(command, RecordOrder) else None
    entry = Entry(
        store_id=command.store_id,
        command_id=UUID(command.command_id),
        session_id=session.session_id,
        sequence=session.sequence,
        received_at=moment(received_at),
        order_id=order.order_id if order else None,
        revision=order.revision if order else None,
        command=command.model_dump(mode="json"),
    )
    tx.add(entry)
    numbers = {"sequence": session.sequence, "profile_version": PROFILE_VERSION}
    return _echo(command, received_at) | {"session_id": command.session_id} | numbers


def _echo(command: Command, received_at: str) -> dict[str, Any]:
    return {
        "event_id": event_id_of(command.store_id, command.command_id),
        "command_id": command.command_id,
        "command_kind": command.kind,
        "store_id": command.store_id,
        "profile_id": command.profile_id,
        "session_id": command.session_id,
        "occurred_at": command.occurred_at,
        "received_at": received_at,
        "actor": command.actor,
    }


def _rejection(command: Command, received_at: str, refused: Refused, position: tuple[str, int, int]) -> CommandRejected:
    unclaimed = {"event_id": claimless_event_id_of(*position)} if refused.reason in CLAIMLESS else {}
    return CommandRejected(
        **_echo(command, received_at) | unclaimed,
        reason=refused.reason,
        message=MESSAGES[refused.reason],
        open_session_id=refused.open_session_id,
    )
