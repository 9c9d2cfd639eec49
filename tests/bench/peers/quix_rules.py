"""The rules of the Quix Streams way: the same ones for opening, moving, ordering and closing, on plain dicts.

Bodies are what orjson reads and no schema is checked, unlike in the service: that is less to do, in the peer's favour.
The state of one till is `till` (its counters, and its open session with running totals), the latest revision of each
order, and a line for every closed session. A till can't see its neighbours: what is unique in a store is checked
within one till only.
"""

from typing import Any, Final, Protocol

from contracts.events import (
    CLAIMLESS,
    CashMoved,
    CommandRejected,
    Filled,
    OrderRecorded,
    Reason,
    SessionClosed,
    SessionOpened,
    closing_id_of,
    fill,
    write_answer,
    write_filled,
)
from contracts.money import is_one
from contracts.times import business_date, offset_of, read_time
from contracts.values import Actor
from services.sessions.rules.answers import MESSAGES
from services.sessions.rules.totals import ADDS, TAKES
from tests.bench.peers.topic import PROFILE_VERSION

TILL: Final = b"till"
CURRENCY: Final = "EUR"
SALES: Final = frozenset({"finished", "forced_close"})

Body = dict[str, Any]


class State(Protocol):
    """What Quix Streams gives a function: the values of one record key."""

    def get(self, key: bytes, default: Any = None) -> Any: ...

    def set(self, key: bytes, value: Any) -> None: ...


class Refused(Exception):
    """The command is answered with this reason."""

    def __init__(self, reason: Reason, open_session_id: str | None = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.open_session_id = open_session_id


def decide(state: State, body: Body, event_id: str, received_at: str, *, known_till: bool) -> tuple[str, bytes]:
    """Apply one command to its till; the answer's kind and bytes. Raises Refused where the answer claims nothing."""
    try:
        if not known_till:
            raise Refused("profile_unknown")
        answer = RULES[body["kind"]](state, body, event_id, received_at)
    except Refused as refused:
        if refused.reason in CLAIMLESS:
            raise
        return "command_rejected", reject(body, event_id, received_at, refused)
    return answer["kind"], write_filled(answer)


def reject(body: Body, event_id: str, received_at: str, refused: Refused) -> bytes:
    """The answer to a refused command."""
    return write_answer(
        CommandRejected(
            event_id=event_id,
            command_id=body["command_id"].lower(),
            command_kind=body["kind"],
            store_id=body["store_id"],
            profile_id=body["profile_id"],
            session_id=body["session_id"].lower(),
            occurred_at=read_time(body["occurred_at"]),
            received_at=received_at,
            actor=Actor.model_validate(body["actor"]),
            reason=refused.reason,
            message=MESSAGES[refused.reason],
            open_session_id=refused.open_session_id,
        )
    )


def _open(state: State, body: Body, event_id: str, received_at: str) -> Filled:
    till = state.get(TILL) or {"opened": 0, "z": 0, "session": None}
    session_id, opening = body["session_id"].lower(), body["opening"]
    if till["session"] is not None:
        raise Refused("session_already_open", till["session"]["id"])
    if state.get(_closed_key(session_id)) is not None:
        raise Refused("session_closed")
    tenders = body.get("tenders") or [_only_cash(body["currency"])]
    if not {entry["tender"] for entry in opening} <= {t["id"] for t in tenders if t["type"] != "third_party"}:
        raise Refused("tender_unknown")
    off_base = any(t["currency"] == CURRENCY and not is_one(t["exchange_rate"]) for t in tenders)
    if body["currency"] != CURRENCY or off_base:
        raise Refused("currency_mismatch")
    floats = _amounts(opening)
    till["opened"] += 1
    session = till["session"] = {
        "id": session_id,
        "sequence": 0,
        # type, expected, sales, tips, orders
        "totals": {tender["id"]: [tender["type"], floats.get(tender["id"], 0), 0, 0, 0] for tender in tenders},
    }
    common = _accept(session, body, event_id, received_at)
    state.set(TILL, till)
    opened_at = min(common["occurred_at"], received_at)
    return fill(
        SessionOpened,
        common,
        currency=body["currency"],
        tenders=[{name: tender[name] for name in TENDER} for tender in tenders],
        opening=[_amount(entry) for entry in opening],
        business_date=body.get("business_date") or business_date(opened_at, offset_of(body["occurred_at"]), "00:00"),
        session_number=body.get("session_number") or str(till["opened"]),
        station=body.get("station"),
        note=body.get("note"),
        notes=body.get("notes") or [],
    )


def _move_cash(state: State, body: Body, event_id: str, received_at: str) -> Filled:
    till = _till_of(state, body)
    session = till["session"]
    tender, movement, amount = body.get("tender") or "cash", body["movement"], body["amount_minor"]
    row = session["totals"].get(tender)
    if row is None or row[0] != "cash":
        raise Refused("tender_unknown")
    if (amount == 0) != (movement == "no_sale"):
        raise Refused("amount_invalid")
    row[1] += amount * ((movement in ADDS) - (movement in TAKES))
    common = _accept(session, body, event_id, received_at)
    state.set(TILL, till)
    return fill(
        CashMoved,
        common,
        movement=movement,
        amount_minor=amount,
        tender=tender,
        category=body["category"],
        description=body.get("description"),
    )


def _record_order(state: State, body: Body, event_id: str, received_at: str) -> Filled:
    till = _till_of(state, body)
    session, order_id, revision = till["session"], body["order_id"], body["revision"]
    totals = session["totals"]
    payments = [[entry["tender"], entry["amount_minor"], entry.get("tip_minor") or 0] for entry in body["payments"]]
    if any(tender not in totals for tender, _, _ in payments):
        raise Refused("tender_unknown")
    if any(tip > amount for _, amount, tip in payments) or body["tax_minor"] > _order_total(body):
        raise Refused("amount_invalid")
    key = f"order/{session['id']}/{order_id}".encode()
    earlier = state.get(key)
    if earlier is not None:
        if revision <= earlier[0]:
            raise Refused("order_revision_stale")
        _pay(totals, earlier[1], -1)
    counted = payments if body["status"] in SALES else []
    _pay(totals, counted, 1)
    common = _accept(session, body, event_id, received_at)
    state.set(key, [revision, counted])
    state.set(TILL, till)
    return fill(OrderRecorded, common, order_id=order_id, revision=revision, status=body["status"])


def _close(state: State, body: Body, event_id: str, received_at: str) -> Filled:
    till = _till_of(state, body)
    session, totals = till["session"], till["session"]["totals"]
    if any(entry["tender"] not in totals for entry in body["counted"]):
        raise Refused("tender_unknown")
    counted = _amounts(body["counted"])
    till["session"] = None
    till["z"] += 1
    common = _accept(session, body, event_id, received_at)
    closed_at = min(common["occurred_at"], received_at)
    figures = {tender: [*row, counted.get(tender, row[1]) - row[1]] for tender, row in totals.items()}
    state.set(_closed_key(session["id"]), [till["z"], closed_at, figures])
    state.set(TILL, till)
    return fill(
        SessionClosed,
        common,
        closing_id=closing_id_of(body["store_id"], session["id"]),
        z_number=till["z"],
        closed_at=closed_at,
        uncounted=False,
        approved_by=None,
    )


RULES: Final = {"open_session": _open, "move_cash": _move_cash, "record_order": _record_order, "close_session": _close}

# The members of an answer stand in the order of its model, for its bytes must be equal.
TENDER: Final = ("id", "name", "type", "currency", "exchange_rate")
TENDER_AMOUNT: Final = ("tender", "amount_minor", "denominations")


def _till_of(state: State, body: Body) -> dict[str, Any]:
    """The till with the session that the command is for, open."""
    till: dict[str, Any] | None = state.get(TILL)
    session_id = body["session_id"].lower()
    if till is not None and till["session"] is not None and till["session"]["id"] == session_id:
        return till
    raise Refused("session_unknown" if state.get(_closed_key(session_id)) is None else "session_closed")


def _closed_key(session_id: str) -> bytes:
    return b"closed/" + session_id.encode()


def _pay(totals: dict[str, list[Any]], payments: list[list[Any]], sign: int) -> None:
    for tender, amount, tip in payments:
        row = totals[tender]
        row[1] += sign * amount
        row[2] += sign * (amount - tip)
        row[3] += sign * tip
        row[4] += sign


def _order_total(body: Body) -> int:
    discounts = sum(entry["amount_minor"] for entry in body["discounts"])
    charges = sum(entry["amount_minor"] for entry in body["service_charges"])
    return int(body["gross_minor"] - discounts + charges)


def _amounts(entries: list[Body]) -> dict[str, int]:
    """Amounts by tender."""
    amounts = {entry["tender"]: entry["amount_minor"] for entry in entries}
    if len(amounts) != len(entries):
        raise Refused("amount_invalid")
    return amounts


def _amount(entry: Body) -> Body:
    return {name: entry.get(name) for name in TENDER_AMOUNT}


def _only_cash(currency: str) -> Body:
    return {"id": "cash", "name": "cash", "type": "cash", "currency": currency, "exchange_rate": "1"}


def _accept(session: Body, body: Body, event_id: str, received_at: str) -> Filled:
    """Give the command its number in the session; what the answer to every accepted command says."""
    session["sequence"] += 1
    return {
        "event_id": event_id,
        "command_id": body["command_id"].lower(),
        "command_kind": body["kind"],
        "store_id": body["store_id"],
        "profile_id": body["profile_id"],
        "session_id": session["id"],
        "sequence": session["sequence"],
        "profile_version": PROFILE_VERSION,
        "occurred_at": read_time(body["occurred_at"]),
        "received_at": received_at,
        "actor": {"id": body["actor"]["id"], "name": body["actor"].get("name")},
    }
