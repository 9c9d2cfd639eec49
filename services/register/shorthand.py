"""Commands in few words, for POS programs that have no use for the rest: `/open`, `/sale`, `/cash` and others.

Pure. What a request names beside the words of its path goes into the command as it is, so nothing that the wire knows
is out of reach; what is wrong is said by the wire's own reading.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

CASH: Final = "cash"
OWN_PROVIDER: Final = "STORE"
"""Who the store's own sales are by, where its till is set to no other name (contracts/WIRE.md §6)."""
ORDER_TYPE: Final = "counter"

Members = dict[str, Any]


def open_session(members: Members) -> Members:
    """`float_minor`: the cash that lies in the drawer. Also `currency`, unless the register has one.

    `instead`: true where the session that is open as far as the register knows was closed elsewhere.
    """
    opening = _amounts(members.pop("float_minor", None))
    return {"kind": "open_session", "opening": opening or []} | members


def record_order(members: Members) -> Members:
    """`order_id` and `total_minor`, what is to be paid, taxes included; `tender` (cash), `tendered_minor`, `tip_minor`.

    A payment in several tenders is said by `payments`, as on the wire.
    """
    total, tip = members.pop("total_minor", None), members.pop("tip_minor", None)
    payment = {"tender": members.pop("tender", CASH), "amount_minor": total}
    if tip is not None:
        payment |= {"amount_minor": _added(total, tip, 1), "tip_minor": tip}
    tendered = members.pop("tendered_minor", None)
    if tendered is not None:
        payment |= {"tendered_minor": tendered, "change_minor": _added(tendered, payment["amount_minor"], -1)}
    sold: Members = {
        "kind": "record_order",
        "revision": 0,
        "provider": OWN_PROVIDER,
        "order_type": ORDER_TYPE,
        "status": "finished",
        "gross_minor": total,
        "discounts": [],
        "service_charges": [],
        "tax_minor": 0,
        "payments": [payment],
    }
    return sold | members


def move_cash(members: Members) -> Members:
    """`movement`, `amount_minor` and `category`."""
    return {"kind": "move_cash"} | members


def count_drawer(members: Members) -> Members:
    """`cash_minor`: what was counted."""
    return {"kind": "count_drawer"} | _counted(members)


def close_session(members: Members) -> Members:
    """`cash_minor`: what was counted; `left_minor`: what stays in the drawer of it, all where it is missing."""
    left = _amounts(members.pop("left_minor", None))
    return {"kind": "close_session"} | _counted(members) | ({} if left is None else {"left": left})


def hand_over(members: Members) -> Members:
    """`to`: the id of who has the drawer from here on; `cash_minor`: what was counted, where it was."""
    if isinstance(members.get("to"), str):
        members["to"] = {"id": members["to"]}
    return {"kind": "hand_over"} | _counted(members)


def suspend_session(members: Members) -> Members:
    """Nothing but what every command has."""
    return {"kind": "suspend_session"} | members


def resume_session(members: Members) -> Members:
    """Nothing but what every command has."""
    return {"kind": "resume_session"} | members


PATHS: Final[Mapping[str, Callable[[Members], Members]]] = {
    "/open": open_session,
    "/sale": record_order,
    "/cash": move_cash,
    "/count": count_drawer,
    "/hand-over": hand_over,
    "/suspend": suspend_session,
    "/resume": resume_session,
    "/close": close_session,
}


def command_of(path: str, members: Mapping[str, Any]) -> Members:
    """The command that a request to one of `PATHS` is about; `actor` may be an id alone."""
    own = {name: value for name, value in members.items() if value is not None}
    if isinstance(own.get("actor"), str):
        own["actor"] = {"id": own["actor"]}
    return PATHS[path](own)


def _amounts(cash_minor: Any) -> list[Members] | None:
    return None if cash_minor is None else [{"tender": CASH, "amount_minor": cash_minor}]


def _counted(members: Members) -> Members:
    counted = _amounts(members.pop("cash_minor", None))
    return members if counted is None else {"counted": counted} | members


def _added(one: Any, other: Any, sign: int) -> Any:
    """A sum of amounts; what is none is left for the wire to refuse."""
    return one + sign * other if type(one) is int and type(other) is int else one
