"""A till as a cashier knows it: it is opened, money goes in and out, orders come, it is closed.

Every command goes the way of a real one: JSON bytes, `reading.read`, `decide.answer`; what comes back is the JSON of
the answer. Nothing here knows how the rules work.
"""

import itertools
import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from contracts.records import Tender
from services.sessions.rules import decide
from services.sessions.rules.model import BatchState, Outcome, Profile, Received
from services.sessions.rules.model import Till as TillRow
from services.sessions.worker.read_record import Headers, Verify, read
from tests.support.settings_objects import hash_of

Body = dict[str, Any]
Amounts = dict[str, int] | list[Body]

TOPIC = "till.commands.v1"
MORNING_MS = 1_772_438_400_000
"""2026-03-02T08:00:00Z, a Monday: when the first record of every test is appended."""
GENESIS = "0" * 64
NOBODY = "00000000-0000-7000-8000-00000000dead"
LUCIA = {"id": "lucia", "name": "Lucía"}

CASH: Body = {"id": "cash", "name": "Efectivo", "type": "cash", "currency": "MXN", "exchange_rate": "1"}
CARD: Body = {"id": "card", "name": "Tarjeta", "type": "debit_card", "currency": "MXN", "exchange_rate": "1"}
DOLLARS: Body = {"id": "usd", "name": "Dólares", "type": "cash", "currency": "USD", "exchange_rate": "17.105"}
YEN: Body = {"id": "jpy", "name": "Yen", "type": "cash", "currency": "JPY", "exchange_rate": "0.1185"}
DINARS: Body = {"id": "kwd", "name": "Dinar", "type": "wallet", "currency": "KWD", "exchange_rate": "55.75"}
AMEX: Body = {"id": "amex", "name": "Amex", "type": "credit_card", "currency": "MXN", "exchange_rate": "1"}
EUROS: Body = {"id": "eur", "name": "Euros", "type": "cash", "currency": "EUR", "exchange_rate": "20.5"}
RAPPI: Body = {"id": "rappi", "name": "Rappi", "type": "third_party", "currency": "MXN", "exchange_rate": "1"}
TENDERS = (CASH, CARD, DOLLARS, YEN, DINARS, RAPPI)


@dataclass(frozen=True)
class Raw:
    """A record as the consumer hands it over."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers = ()


def received(value: bytes, offset: int, at_ms: int, verify: Verify | None = None) -> Received:
    """A readable command at its place in the topic."""
    command = read(Raw(TOPIC, 0, offset, at_ms, None, value), verify)
    assert isinstance(command, Received), command
    return command


def wire_time(at_ms: int) -> str:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def profile(**rules: Any) -> Profile:
    """The rules of a till in Mexico that takes all of TENDERS, where `rules` do not say otherwise."""
    tenders = rules.pop("tenders", TENDERS)
    usual: dict[str, Any] = {
        "name": "Caja 1",
        "currency": "MXN",
        "tenders": tuple(Tender(**tender) for tender in tenders),
        "enabled": True,
        "blind": False,
        "allow_negative_drawer": True,
        "business_day_starts_at": "00:00",
        "own_provider": "PARROT",
        "store_name": "Parrot Cafe",
        "company_id": None,
        "over_short_limit_minor": None,
        "late_window_s": 7 * 86_400,
    }
    return Profile(**(usual | rules))


class Till:
    """One till of one store, with the records that its registers put on the topic.

    `beside` is another till whose book and topic it shares. What a till remembers for its tests: every outcome, every
    closing, and the accepted bodies of every session.
    """

    def __init__(
        self, store: str = "s", name: str = "p", *, beside: "Till | None" = None, ids: int = 0, **rules: Any
    ) -> None:
        self.store, self.name = store, name
        self.batch_state = beside.batch_state if beside else BatchState()
        self.offsets = beside.offsets if beside else itertools.count()
        self.ids = beside.ids if beside and not ids else itertools.count(ids + 1)
        self.profile = profile(**rules)
        self.batch_state.tills[store, name] = TillRow(
            store, name, self.profile, None, 0, 0, GENESIS, 0, profile_hash=hash_of(self.profile)
        )
        self.session_id = NOBODY
        self.outcomes: list[Outcome] = []
        self.closings: list[Body] = []
        self.accepted: dict[str, list[Body]] = {}

    @property
    def correction(self) -> Body:
        """The correction that the latest command led to."""
        latest = self.outcomes[-1].correction
        assert latest is not None
        return latest

    def new_id(self) -> str:
        return f"0195e3a0-0000-7000-8000-{next(self.ids):012x}"

    def body(self, kind: str, **members: Any) -> Body:
        """A command of this till. `None` in `members` leaves the member out."""
        usual = {
            "kind": kind,
            "command_id": members.get("command_id") or self.new_id(),
            "store_id": self.store,
            "profile_id": self.name,
            "session_id": self.session_id,
            "occurred_at": "2026-03-02T07:59:00Z",
            "actor": LUCIA,
        }
        return {name: value for name, value in (usual | members).items() if value is not None}

    def send(self, body: Body, *, at_ms: int | None = None, verify: Verify | None = None) -> Body:
        """Put a command on the topic; its answer."""
        return self.send_bytes(json.dumps(body).encode(), at_ms=at_ms, verify=verify)

    def send_bytes(self, value: bytes, *, at_ms: int | None = None, verify: Verify | None = None) -> Body:
        offset = next(self.offsets)
        at_ms = MORNING_MS + 1_000 * offset if at_ms is None else at_ms
        outcome = decide.answer(self.batch_state, received(value, offset, at_ms, verify))
        self.outcomes.append(outcome)
        if outcome.closing_value is not None:
            self.closings.append(json.loads(outcome.closing_value))
        if outcome.sequence is not None:
            body = json.loads(value)
            self.accepted.setdefault(body["session_id"].lower(), []).append(body)
        answer: Body = json.loads(outcome.value)
        return answer

    def says(self, kind: str, /, **members: Any) -> Body:
        """Send a command of this kind; `at_ms` is the broker's append time, all else is in its body."""
        at_ms, verify = members.pop("at_ms", None), members.pop("verify", None)
        return self.send(self.body(kind, **members), at_ms=at_ms, verify=verify)

    def open(self, opening: Amounts | None = None, **members: Any) -> Body:
        """Open the next session with these amounts by tender."""
        self.session_id = members.setdefault("session_id", self.new_id())
        members.setdefault("currency", self.profile.currency)
        members.setdefault("opening", amounts(opening or {}))
        return self.says("open_session", **members)

    def move(self, movement: str, amount: int, tender: str | None = None, **members: Any) -> Body:
        members.setdefault("category", "change")
        return self.says("move_cash", movement=movement, amount_minor=amount, tender=tender, **members)

    def void(self, movement_id: str, **members: Any) -> Body:
        members.setdefault("reason", "typo")
        return self.says("void_movement", movement_id=movement_id, **members)

    def order(self, order_id: str, paid: dict[str, int] | None = None, **members: Any) -> Body:
        return self.says("record_order", **order(order_id, paid, **members))

    def refund(self, order_id: str, paid: dict[str, int], **members: Any) -> Body:
        return self.order(order_id, paid, refund_of="an order of yesterday", **members)

    def close(self, counted: Amounts, **members: Any) -> Body:
        members.setdefault("counted", amounts(counted))
        return self.says("close_session", **members)

    def closed(self, counted: Amounts, **members: Any) -> Body:
        """Close the session; its closing."""
        answer = self.close(counted, **members)
        assert answer["kind"] == "session_closed", answer
        return self.closings[-1]


def amounts(by_tender: Amounts) -> list[Body]:
    """Opening, counted or paid amounts as they are written; a list is written already."""
    if isinstance(by_tender, list):
        return by_tender
    return [{"tender": tender, "amount_minor": amount} for tender, amount in by_tender.items()]


def order(order_id: str, paid: dict[str, int] | None = None, **members: Any) -> Body:
    """An order's own members: paid as said, and costing what is paid in pesos unless `gross_minor` says otherwise."""
    paid = paid or {}
    usual: Body = {
        "order_id": order_id,
        "revision": 0,
        "provider": "PARROT",
        "order_type": "Mostrador",
        "status": "finished",
        "gross_minor": sum(paid.values()),
        "discounts": [],
        "service_charges": [],
        "tax_minor": 0,
        "payments": amounts(paid),
    }
    return usual | members


def named(**amounts_by_name: int) -> list[Body]:
    """Discounts or charges by name."""
    return [{"name": name, "amount_minor": amount} for name, amount in amounts_by_name.items()]


def row(closing: Body, tender: str) -> Body:
    """A tender's row."""
    tender_row: Body = next(row for row in closing["tenders"] if row["tender"] == tender)
    return tender_row
