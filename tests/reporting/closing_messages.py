"""Closings and corrections as the sessions service publishes them, filled from few words."""

from typing import Any
from uuid import NAMESPACE_URL, uuid5

from contracts.closings import GENESIS_HASH, Figures, closing_hash
from contracts.events import closing_id_of, correction_id_of
from contracts.jsontext import compact

JOURNAL_HASH = "ab" * 32
MOVEMENTS = ("pay_in", "float_loan", "pay_out", "safe_drop", "bank_pickup", "tip_out", "no_sale")

Row = dict[str, Any]


def session_id_of(number: int) -> str:
    return str(uuid5(NAMESPACE_URL, f"test-session/{number}"))


def tender(
    name: str,
    kind: str = "cash",
    *,
    shown: str | None = None,
    currency: str = "MXN",
    rate: str = "1",
    sales: int = 0,
    counted: int | None = None,
) -> Row:
    """One tender's row; its base figures are its own, so a foreign one must not be looked at."""
    drawer = kind != "third_party"
    figures = {
        "opening_minor": 0,
        "sales_minor": sales,
        "refunds_minor": 0,
        "tips_minor": 0,
        "expected_minor": sales if drawer else None,
        "counted_minor": counted,
        "over_short_minor": None if counted is None else counted - sales,
    }
    return {
        "tender": name,
        "name": shown or name,
        "type": kind,
        "currency": currency,
        "exchange_rate": rate,
        **figures,
        "movements": {movement: total(0, 0) for movement in MOVEMENTS},
        "base": figures | {"movements_in_minor": 0, "movements_out_minor": 0},
    }


def total(minor: int, count: int, **keys: str) -> Row:
    return keys | {"total_minor": minor, "count": count}


def side(gross: int = 0, discounts: int = 0, net: int = 0) -> Row:
    return {
        "gross_minor": gross,
        "discounts_minor": discounts,
        "service_charges_minor": 0,
        "total_minor": gross - discounts,
        "net_minor": net,
    }


def orders(provider: str, **counts: int) -> Row:
    names = ("open", "finished", "forced_close", "canceled_by_pos", "canceled_by_external")
    return {"provider": provider} | {name: counts.get(name, 0) for name in names}


def closing(number: int = 1, **changed: Any) -> Row:
    """The closing of the session `number`, with one empty cash drawer unless `changed`."""
    store_id = changed.get("store_id", "s1")
    session_id = changed.pop("session_id", session_id_of(number))
    empty = {"starting_minor": 0, "deposits_minor": 0, "withdrawals_minor": 0}
    figures = {"expected_minor": 0, "reported_minor": 0, "difference_minor": 0}
    message = {
        "kind": "closing",
        "schema_version": 1,
        "closing_id": closing_id_of(store_id, session_id),
        "z_number": number,
        "prev_hash": GENESIS_HASH,
        "hash": "",
        "journal_hash": JOURNAL_HASH,
        "store_id": store_id,
        "store_name": "Parrot Cafe",
        "profile_id": "p1",
        "profile_name": "Caja 1",
        "company_id": None,
        "session_id": session_id,
        "session_number": str(number),
        "business_date": "2025-01-01",
        "currency": "MXN",
        "opened_at": "2025-01-01T08:00:00.000000Z",
        "opened_by": {"id": "ana", "name": None},
        "closed_at": "2025-01-01T16:00:00.000000Z",
        "closed_by": {"id": "ana", "name": None},
        "approved_at": None,
        "approved_by": None,
        "counted_by": {"id": "ana", "name": None},
        "origin": "register",
        "uncounted": False,
        "limit_in_force_minor": None,
        "first_register_seq": None,
        "last_register_seq": None,
        "register_seq_gaps": [],
        "station": None,
        "opening_note": None,
        "closing_note": None,
        "notes": [],
        "sales_report": None,
        "tenders": [tender("cash", shown="Efectivo", counted=0)],
        "cash_movements": empty | figures,
        "sales": {**total(0, 0), "by_provider": [], "by_tender": [], "by_order_type": []},
        "summary": {"store": side(), "providers": side()},
        "orders": [],
        "refunds": [],
        "discounts": [],
        "service_charges": [],
        "cancellations": [],
        "tips": [],
    } | changed
    return message | {"hash": closing_hash(message)}


def voided(of: Row, **changed: Any) -> Row:
    """The correction that voids the session of the closing `of`, one whose figures are all 0."""
    command_id = session_id_of(-of["z_number"])
    return {
        "kind": "closing_correction",
        "schema_version": 1,
        "correction_id": correction_id_of(of["store_id"], command_id),
        "correction_number": 1,
        "closing_id": of["closing_id"],
        "closing_hash": of["hash"],
        "store_id": of["store_id"],
        "profile_id": of["profile_id"],
        "session_id": of["session_id"],
        "command_id": command_id,
        "correction": "session_voided",
        "occurred_at": "2025-01-02T09:00:00.000000Z",
        "received_at": "2025-01-02T09:00:01.000000Z",
        "actor": {"id": "boss", "name": None},
        "reason": "test sale",
        "needs_review": False,
        "deltas": {name: of[name] for name in Figures.model_fields if name in of},
    } | changed


def value(message: Row) -> bytes:
    """The message as the bytes of a record."""
    return compact(message)
