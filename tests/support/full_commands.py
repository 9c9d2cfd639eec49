"""A command of every kind with every member set, for tests to bend."""

import copy
from typing import Any

from contracts.commands import Malformed, read_command

Path = tuple[str | int, ...]
"""Where a value stands in a body."""

UUID = "0194225e-7e60-7000-8000-0123456789ab"
ACTOR = {"id": "412a1ebb", "name": "Lucía"}
COUNTED = [
    {
        "tender": "cash",
        "amount_minor": 340_200,
        "denominations": [{"value_minor": 50_000, "count": 6}, {"value_minor": 40_200, "count": 1}],
    }
]
TENDER = {
    "id": "cash",
    "name": "Efectivo",
    "type": "cash",
    "currency": "MXN",
    "exchange_rate": "1",
}
ORDER: dict[str, Any] = {
    "order_id": "A-107",
    "revision": 2,
    "provider": "PARROT",
    "order_type": "Mostrador",
    "status": "finished",
    "gross_minor": 20_000,
    "discounts": [{"name": "Point of sale", "amount_minor": 500}],
    "service_charges": [{"name": "Delivery", "amount_minor": 100}],
    "tax_minor": 2_700,
    "payments": [
        {
            "tender": "cash",
            "amount_minor": 19_600,
            "tip_minor": 0,
            "tendered_minor": 20_000,
            "change_minor": 400,
        }
    ],
    "refund_of": "A-100",
    "rounding_minor": -3,
    "taxes": [{"name": "IVA", "rate": "16.0", "net_minor": 16_900, "tax_minor": 2_700}],
    "change": [{"tender": "usd", "amount_minor": 0}],
    "paid_before": {"session_id": "0194225e-7e60-7000-8000-0000000000bb", "amount_minor": 0},
    "sold_by": {"id": "77", "name": "Eva"},
}
WORDS = {"session_number": "308", "station": "Caja 1", "note": "Turno", "notes": ["uno", "dos"]}

PROFILE = {
    "name": "Caja 1",
    "currency": "MXN",
    "tenders": [TENDER],
    "over_short_limit_minor": 5_000,
    "blind": False,
    "idle_close_after_s": 3_600,
    "late_window_s": 604_800,
    "allow_negative_drawer": True,
    "business_day_starts_at": "05:00",
    "own_provider": "PARROT",
    "enabled": True,
    "store_name": "Parrot Cafe",
    "company_id": "parrot-mx",
    "time_zone": "America/Mexico_City",
}

ADDED: dict[str, dict[str, Any]] = {
    "open_session": {
        "currency": "MXN",
        "opening": COUNTED,
        "tenders": [TENDER],
        "business_date": "2025-01-01",
        **WORDS,
    },
    "move_cash": {
        "movement": "pay_in",
        "amount_minor": 50_000,
        "tender": "cash",
        "category": "change",
        "description": "Cambio",
    },
    "void_movement": {"movement_id": "0194225e-7e60-7000-8000-0000000000aa", "reason": "typo"},
    "record_order": ORDER,
    "count_drawer": {"counted": COUNTED},
    "close_session": {
        "counted": COUNTED,
        "note": "Corte",
        "notes": ["bien"],
        "sales_report": {"Z": [1, None, {"a": True}]},
    },
    "approve_closing": {"decision": "approve", "reason": "counted twice"},
    "force_close": {"reason": "device_lost", "unless_after": 12},
    "recount": {"counted": COUNTED, "reason": "coins found"},
    "hand_over": {"to": {"id": "b", "name": None}, "counted": COUNTED},
    "suspend_session": {"station": "Caja 1"},
    "resume_session": {"station": "Caja 2"},
    "amend_session": WORDS,
    "void_session": {"reason": "training"},
    "set_profile": {"profile": PROFILE},
}
"""What each kind adds to the members of every command."""


def body(kind: str, /, **changed: Any) -> dict[str, Any]:
    """A command of `kind` that is accepted, but for what is `changed`."""
    session = {"session_id": "df44b988-3523-40a1-8e58-7c4306e7dd0e", "register_seq": 7}
    return {
        "kind": kind,
        "command_id": "0194225e-7e60-7000-8000-000000000001",
        "store_id": "parrot-cafe",
        "profile_id": "caja-1",
        "occurred_at": "2025-01-01T09:46:52-06:00",
        "actor": ACTOR,
        **({} if kind == "set_profile" else session),
        **ADDED[kind],
        **changed,
    }


def errors_of(members: dict[str, Any]) -> dict[str, str]:
    """The problems by field; none when the command is accepted."""
    try:
        read_command(members)
    except Malformed as malformed:
        return {error.field: error.problem for error in malformed.errors}
    return {}


def with_value(kind: str, path: Path, value: Any) -> dict[str, Any]:
    members = copy.deepcopy(body(kind))
    inner: Any = members
    for member in path[:-1]:
        inner = inner[member]
    inner[path[-1]] = value
    return members


def dotted(path: Path) -> str:
    return ".".join(map(str, path))
