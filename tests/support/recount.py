"""The figures of a closing, counted a second time from the accepted commands and the wire's section 6 alone.

It keeps no running totals: every figure is looked up anew in the list of what happened, with fractions and plain
loops. It shares no line with the service, so that both being wrong in the same way is unlikely.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from itertools import repeat
from typing import Any, Final

from tests.support import recount_orders
from tests.support.recount_orders import (
    OTHER,
    Exchange,
    amount_of,
    entries,
    is_finished,
    is_refund,
    is_sold,
    tenders_of,
    tip_of,
    to_base,
    total_of,
)

Body = dict[str, Any]

INWARD = ("pay_in", "float_loan")
OUTWARD = ("pay_out", "safe_drop", "bank_pickup", "tip_out")
MOVEMENTS = (*INWARD, *OUTWARD, "no_sale")
NO_LINK = "0" * 64
ALWAYS_THE_FIRST: Final = repeat(1)
FIGURES = (
    *("tenders", "cash_movements", "sales", "summary", "orders", "refunds", "discounts", "service_charges"),
    *("cancellations", "tips", "prepaid", "taxes", "staff"),
)
KEYS = ("tender", "provider", "order_type", "name", "rate")
"""What tells the rows of one list apart."""
BOTH_SIDES = ("gross_minor", "discounts_minor", "service_charges_minor", "total_minor", "net_minor")


def figures(
    opening_command: Body,
    commands: Sequence[Body],
    counted: Sequence[Body] | None,
    own_provider: str = "STORE",
    profile_tenders: Sequence[Body] | None = None,
    *,
    carried: Mapping[str, int] | None = None,
    left: Mapping[str, int] | None = None,
) -> Body:
    """What a closing shows from `tenders` to `staff`.

    `commands` are the accepted bodies after the opening, in the order of their sequence; `counted` is that of the last
    `close_session`, None for a closing that nobody counted. `profile_tenders` hold when the opening names none.
    `carried` and `left` are by tender of type cash: all that was counted is left where it isn't said.
    """
    tenders = tenders_of(opening_command, commands, profile_tenders)
    base = opening_command["currency"]
    orders = _orders_that_hold(commands)
    rows = [_tender_row(tender, base, opening_command, commands, orders, counted) for tender in tenders]
    rows = [_with_carried(row, carried or {}, left, base) for row in rows]
    rows.sort(key=lambda row: row["tender"])
    recorded, exchange = _recorded(commands), Exchange(tenders, base)
    return {
        "tenders": rows,
        "cash_movements": _cash_movements(rows),
        "sales": _sales(rows, orders, commands, exchange),
        "summary": _summary(orders, own_provider),
        "orders": _order_counts(orders, commands),
        "refunds": _refunds(orders, commands, exchange),
        "discounts": _named_entries("discounts", orders, commands),
        "service_charges": _named_entries("service_charges", orders, commands),
        "cancellations": _cancellations(orders, commands),
        "tips": _tips(rows, orders),
        "prepaid": recount_orders.prepaid(rows, orders),
        "taxes": recount_orders.taxes(orders, recorded),
        "staff": recount_orders.staff(orders, recorded, exchange),
    }


def journal_hash(accepted: Iterable[Body], versions: Iterable[int] = ALWAYS_THE_FIRST) -> str:
    """The last link of a session's journal; `accepted` are all its accepted bodies, the opening first.

    `versions` are those of its profile, one for each body as its answer says.
    """
    link = NO_LINK
    for sequence, (command, version) in enumerate(zip(accepted, versions), start=1):  # noqa: B905 - may be endless
        text = _canonical({"sequence": sequence, "profile_version": version, "command": command})
        link = sha256_hex(link.encode() + text)
    return link


def closing_hash(closing: Body) -> str:
    """What the closing's `hash` must say."""
    return sha256_hex(_canonical({name: closing[name] for name in closing if name != "hash"}))


def body_hash(body: Body) -> str:
    """What names a refused body in its `event_id`; for bodies whose numbers are all integers."""
    return sha256_hex(_canonical(body))


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def closing_chain(closings: Iterable[Body]) -> list[str]:
    """What is wrong with the closings of one profile, given in the order of z_number: empty when they form a chain."""
    wrong = []
    previous = NO_LINK
    for number, closing in enumerate(closings, start=1):
        if closing["z_number"] != number:
            wrong.append(f"closing {number} has z_number {closing['z_number']}")
        if closing["prev_hash"] != previous:
            wrong.append(f"closing {number} does not follow the one before")
        if closing["hash"] != closing_hash(closing):
            wrong.append(f"closing {number} is not what its hash says")
        previous = closing["hash"]
    return wrong


def _canonical(value: Any) -> bytes:
    """RFC 8785 for what this wire allows: no fractions, so only the order of members needs care (UTF-16 units)."""
    return json.dumps(_in_order(value), ensure_ascii=False, separators=(",", ":")).encode()


def _in_order(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _in_order(value[name]) for name in sorted(value, key=lambda name: name.encode("utf-16-be"))}
    if isinstance(value, list):
        return [_in_order(item) for item in value]
    return value


def _orders_that_hold(commands: Sequence[Body]) -> list[Body]:
    """The highest revision of each order."""
    highest: dict[str, Body] = {}
    for command in commands:
        if command["kind"] == "record_order":
            highest[command["order_id"]] = command
    return list(highest.values())


def _sold(orders: Iterable[Body]) -> list[Body]:
    return [order for order in orders if is_sold(order)]


def _refunded(orders: Iterable[Body]) -> list[Body]:
    return [order for order in orders if is_finished(order) and is_refund(order)]


def _payments(orders: Iterable[Body], tender: str) -> list[Body]:
    return entries(orders, "payments", tender)


def _movement_figures(commands: Sequence[Body], tender: str) -> dict[str, Body]:
    voided = {command["movement_id"].lower() for command in commands if command["kind"] == "void_movement"}
    amounts: dict[str, list[int]] = {movement: [] for movement in MOVEMENTS}
    for command in commands:
        held = command["kind"] == "move_cash" and command["command_id"].lower() not in voided
        if held and (command.get("tender") or "cash") == tender:
            amounts[command["movement"]].append(command["amount_minor"])
    return {movement: {"total_minor": sum(minors), "count": len(minors)} for movement, minors in amounts.items()}


def _amount_of(rows: Sequence[Body], tender: str) -> int | None:
    for row in rows:
        if row["tender"] == tender:
            return int(row["amount_minor"])
    return None


def _tender_row(
    tender: Body,
    base: str,
    opening_command: Body,
    commands: Sequence[Body],
    orders: Sequence[Body],
    counted: Sequence[Body] | None,
) -> Body:
    sold = _payments(_sold(orders), tender["id"])
    back = _payments(_refunded(orders), tender["id"])
    held = [order for order in orders if recount_orders.is_held(order)]
    movements = _movement_figures(commands, tender["id"])
    money_in = sum(movements[movement]["total_minor"] for movement in INWARD)
    money_out = sum(movements[movement]["total_minor"] for movement in OUTWARD)
    own: dict[str, Any] = {
        "opening_minor": _amount_of(opening_command["opening"], tender["id"]) or 0,
        "sales_minor": sum(payment["amount_minor"] - tip_of(payment) for payment in sold),
        "refunds_minor": sum(payment["amount_minor"] - tip_of(payment) for payment in back),
        "tips_minor": sum(tip_of(payment) for payment in sold) - sum(tip_of(payment) for payment in back),
        "prepaid_minor": amount_of(held, "payments", tender["id"]) - amount_of(held, "change", tender["id"]),
    }
    own["sales_minor"] -= amount_of(_sold(orders), "change", tender["id"])
    back_out = [entry["amount_minor"] for entry in entries(_sold(orders), "change", tender["id"])]
    expected, reported = None, None
    if tender["type"] != "third_party":
        expected = own["opening_minor"] + own["sales_minor"] + own["tips_minor"] - own["refunds_minor"]
        expected += own["prepaid_minor"]
        expected += money_in - money_out
        reported = _amount_of(counted or [], tender["id"])
    in_base = {name: to_base(amount, tender, base) for name, amount in own.items()}
    in_base["change_given_minor"] = to_base(sum(back_out), tender, base)
    in_base["movements_in_minor"] = to_base(money_in, tender, base)
    in_base["movements_out_minor"] = to_base(money_out, tender, base)
    return {
        "tender": tender["id"],
        "name": tender["name"],
        "type": tender["type"],
        "currency": tender["currency"],
        "exchange_rate": tender["exchange_rate"],
        **own,
        "change_given": {"total_minor": sum(back_out), "count": sum(amount > 0 for amount in back_out)},
        "movements": movements,
        **_drawer(expected, reported),
        "base": {
            **in_base,
            **_drawer(to_base(expected, tender, base), to_base(reported, tender, base)),
        },
    }


def _with_carried(row: Body, carried: Mapping[str, int], left: Mapping[str, int] | None, base: str) -> Body:
    """The row with what lies in its drawer from one session to the next, each figure in its place."""
    before = carried.get(row["tender"]) if row["type"] == "cash" else None
    after = row["counted_minor"] if left is None else left.get(row["tender"])
    in_base = to_base(before, row, base)
    difference = None if before is None else row["opening_minor"] - before
    base_difference = None if in_base is None else row["base"]["opening_minor"] - in_base
    own = {
        "left_minor": after if row["type"] == "cash" else None,
        "carried_minor": before,
        "opening_difference_minor": difference,
    }
    row_base = {**row["base"], "opening_difference_minor": base_difference}
    return {**{name: part for name, part in row.items() if name != "base"}, **own, "base": row_base}


def _drawer(expected: int | None, counted: int | None) -> Body:
    over_short = None if expected is None or counted is None else counted - expected
    return {"expected_minor": expected, "counted_minor": counted, "over_short_minor": over_short}


def _cash_movements(rows: Sequence[Body]) -> Body:
    cash = [row["base"] for row in rows if row["type"] == "cash"]
    counted = [base for base in cash if base["counted_minor"] is not None]
    known = [base for base in cash if base["opening_difference_minor"] is not None]
    return {
        "starting_minor": sum(base["opening_minor"] for base in cash),
        "deposits_minor": sum(base["movements_in_minor"] for base in cash),
        "withdrawals_minor": sum(base["movements_out_minor"] for base in cash),
        "expected_minor": sum(base["expected_minor"] for base in cash),
        "reported_minor": sum(base["counted_minor"] for base in counted) if counted else None,
        "difference_minor": sum(base["over_short_minor"] for base in counted) if counted else None,
        "opening_difference_minor": sum(base["opening_difference_minor"] for base in known) if known else None,
    }


def _with_a_row(keys: Iterable[Any]) -> set[Any]:
    return recount_orders.with_a_row((key for key in keys if key != (OTHER, OTHER)), OTHER)


def _table(entries: Iterable[tuple[Any, int, int]], with_a_row: set[Any], names: tuple[str, ...]) -> list[Body]:
    """Rows of `total_minor` and `count` from (key, amount, count); keys are texts or pairs of them."""
    sums: dict[Any, list[int]] = {}
    for key, amount, count in entries:
        parts = (key,) if isinstance(key, str) else key
        held = sums.setdefault(parts if key in with_a_row else tuple(OTHER for _ in parts), [0, 0])
        held[0] += amount
        held[1] += count
    return [
        {**dict(zip(names, parts, strict=True)), "total_minor": total, "count": count}
        for parts, (total, count) in sorted(sums.items())
        if total or count
    ]


def _recorded(commands: Sequence[Body]) -> list[Body]:
    return [command for command in commands if command["kind"] == "record_order"]


def _sales(rows: Sequence[Body], orders: Sequence[Body], commands: Sequence[Body], exchange: Exchange) -> Body:
    sold = _sold(orders)
    by_tender = []
    for row in rows:
        count = sum(any(payment["tender"] == row["tender"] for payment in order["payments"]) for order in sold)
        if row["base"]["sales_minor"] or count:
            by_tender.append({"tender": row["tender"], "total_minor": row["base"]["sales_minor"], "count": count})
    return {
        "total_minor": sum(map(total_of, sold)),
        "count": len(sold),
        **recount_orders.more_of_sales(orders, by_tender, recount_orders.lowerings(_recorded(commands), exchange)),
        "by_provider": _table(
            ((order["provider"], total_of(order), 1) for order in sold),
            _with_a_row(order["provider"] for order in _recorded(commands)),
            ("provider",),
        ),
        "by_tender": by_tender,
        "by_order_type": _table(
            ((order["order_type"], total_of(order), 1) for order in sold),
            _with_a_row(order["order_type"] for order in _recorded(commands)),
            ("order_type",),
        ),
    }


def _summary(orders: Sequence[Body], own_provider: str) -> Body:
    sides = {side: dict.fromkeys(BOTH_SIDES, 0) for side in ("store", "providers")}
    for order in _sold(orders):
        side = sides["store" if order["provider"] == own_provider else "providers"]
        side["gross_minor"] += order["gross_minor"]
        side["discounts_minor"] += sum(entry["amount_minor"] for entry in order["discounts"])
        side["service_charges_minor"] += sum(entry["amount_minor"] for entry in order["service_charges"])
        side["total_minor"] += total_of(order)
        side["net_minor"] += total_of(order) - order["tax_minor"]
    return dict(sides)


def _order_counts(orders: Sequence[Body], commands: Sequence[Body]) -> list[Body]:
    statuses = ("open", "finished", "forced_close", "canceled_by_pos", "canceled_by_external", "carried_over")
    with_a_row = _with_a_row(order["provider"] for order in _recorded(commands))
    counts: dict[str, Body] = {}
    for order in orders:
        if not is_refund(order):
            provider = order["provider"] if order["provider"] in with_a_row else OTHER
            row = counts.setdefault(provider, {"provider": provider, **dict.fromkeys(statuses, 0)})
            row[order["status"]] += 1
    return [counts[provider] for provider in sorted(counts)]


def _refunds(orders: Sequence[Body], commands: Sequence[Body], exchange: Exchange) -> list[Body]:
    with_a_row = _with_a_row(order["provider"] for order in _recorded(commands))
    rows: dict[str, Body] = {}
    for order in _refunded(orders):
        provider = order["provider"] if order["provider"] in with_a_row else OTHER
        nothing = dict.fromkeys(("total_minor", "count", "tax_minor", "rounding_minor"), 0)
        row = rows.setdefault(provider, {"provider": provider, **nothing})
        row["total_minor"] += sum(exchange(p["amount_minor"] - tip_of(p), p["tender"]) for p in order["payments"])
        row["count"] += 1
        row["tax_minor"] += order["tax_minor"]
        row["rounding_minor"] += order.get("rounding_minor") or 0
    return [rows[provider] for provider in sorted(rows)]


def _named_entries(what: str, orders: Sequence[Body], commands: Sequence[Body]) -> list[Body]:
    def entries(some: Iterable[Body]) -> list[tuple[tuple[str, str], int, int]]:
        return [
            ((order["provider"], entry["name"]), entry["amount_minor"], 1) for order in some for entry in order[what]
        ]

    with_a_row = _with_a_row(key for key, _, _ in entries(_recorded(commands)))
    return _table(entries(_sold(orders)), with_a_row, ("provider", "name"))


def _cancellations(orders: Sequence[Body], commands: Sequence[Body]) -> list[Body]:
    canceled = [order for order in orders if order["status"].startswith("canceled") and not is_refund(order)]
    return _table(
        ((order["provider"], total_of(order), 1) for order in canceled),
        _with_a_row(order["provider"] for order in _recorded(commands)),
        ("provider",),
    )


def _tips(rows: Sequence[Body], orders: Sequence[Body]) -> list[Body]:
    table = []
    for row in rows:
        tipped = [payment for payment in _payments(_sold(orders), row["tender"]) if tip_of(payment)]
        if tipped or row["tips_minor"]:
            table.append({"tender": row["tender"], "total_minor": row["tips_minor"], "count": len(tipped)})
    return table


def flat(figures: Any, path: tuple[Any, ...] = ()) -> Counter[tuple[Any, ...]]:
    """Every figure by its place, rows by their keys; null as 0, zeros left out."""
    sums: Counter[tuple[Any, ...]] = Counter()
    if isinstance(figures, dict):
        keys = ("id",) if "id" in figures else KEYS
        row = tuple(figures[name] for name in keys if name in figures and not isinstance(figures[name], dict))
        for name, part in figures.items():
            sums.update(flat(part, (*path, row, name)))
    elif isinstance(figures, list):
        for part in figures:
            sums.update(flat(part, path))
    elif isinstance(figures, int) and figures:
        sums[path] = figures
    return sums
