"""X and Z reports as slips of paper: figures in major units, never wider than asked."""

from collections.abc import Iterator
from datetime import timezone
from typing import Any, Final
from unicodedata import east_asian_width

from contracts.times import moment
from contracts.zones import ZONES, offset_in
from services.platform.money_text import grouped_text
from services.sessions.rules.model import Session

WIDTH_MIN: Final = 42
WIDTH_MAX: Final = 80

Report = dict[str, Any]
NOTHING: Final = {"total_minor": 0, "count": 0}
"""What a figure is that closings of the version before don't have."""
WRONG_CLOCK: Final = {"Register's clock": "wrong, times adjusted"}
"""The line of a session in which another time counted than the register said."""


def x_slip(session: Session, report: Report, width: int) -> list[str]:
    """The lines of an X report: how a session stands."""
    opening, zone = session.opening, session.opening.time_zone
    words = {
        "Store": opening.store_name,
        "Till": opening.profile_name,
        "Session": opening.session_number,
        "Business date": opening.business_date,
        "Opened": f"{_time(opening.opened_at, zone)} by {opening.opened_by.name or opening.opened_by.id}",
        "State": session.state,
    }
    if session.register.clock_adjusted or (session.attempt is not None and session.attempt.clock_adjusted):
        words |= WRONG_CLOCK
    return _slip("X REPORT", words, report, opening.currency, width)


def z_slip(closing: Report, corrections: int, width: int) -> list[str]:
    """The lines of a Z report: a closing as it was frozen; later corrections are only mentioned."""
    zone = closing.get("time_zone")
    words = {
        "Store": closing["store_name"],
        "Till": closing["profile_name"],
        "Session": closing["session_number"],
        "Business date": closing["business_date"],
        "Opened": f"{_time(closing['opened_at'], zone)} by {_name(closing['opened_by'])}",
        "Closed": f"{_time(closing['closed_at'], zone)} by {_name(closing['closed_by'])}",
    }
    if closing["approved_by"]:
        words["Approved"] = f"{_time(closing['approved_at'], zone)} by {_name(closing['approved_by'])}"
    if closing.get("clock_adjusted"):
        words |= WRONG_CLOCK
    lines = _slip(f"Z REPORT {closing['z_number']}", words, closing, closing["currency"], width)
    if corrections:
        lines.append(f"Corrections since, not shown here: {corrections}")
    return [*lines, *_folded(f"Hash {closing['hash']}", _within(width))]


def amount_text(amount_minor: int | None, currency: str) -> str:
    """An amount as people write it, with the decimals that its currency has; a dash for none."""
    if amount_minor is None:
        return "-"
    return f"{grouped_text(amount_minor, currency)} {currency}"


def _slip(title: str, words: dict[str, str], report: Report, currency: str, width: int) -> list[str]:
    width = _within(width)
    lines = [title.center(width).rstrip(), "=" * width]
    for label, word in words.items():
        lines += _line(label, word, width)
    for tender in report["tenders"]:
        lines += ["-" * width, *_folded(f"{tender['name']} ({tender['currency']})", width)]
        for label, amount in _tender(tender):
            lines += _line(f"  {label}", amount_text(amount, tender["currency"]), width)
    cash = report["cash_movements"]
    if len({tender["currency"] for tender in report["tenders"] if tender["type"] == "cash"}) > 1:
        lines += ["-" * width, f"All cash in {currency}"]
        for label in ("expected", "reported", "difference"):
            lines += _line(f"  {label.capitalize()}", amount_text(cash[f"{label}_minor"], currency), width)
    for heading, rows in _tables(report):
        lines += ["-" * width, heading]
        for label, row in rows:
            times = f" × {row['count']}" if "count" in row else ""
            lines += _line(f"  {label}{times}", amount_text(row["total_minor"], row.get("in", currency)), width)
    lines += ["-" * width, *_line(f"Sales × {report['sales']['count']}", _sold(report, currency), width)]
    for label, amount in (*_to_pay(report), *_taxes(report, currency)):
        lines += _line(f"  {label}", amount_text(amount, currency), width)
    net = sum(side["net_minor"] for side in report["summary"].values())
    return [*lines, *_line("Net of tax", amount_text(net, currency), width), "=" * width]


def _tender(row: Report) -> Iterator[tuple[str, int | None]]:
    """What a tender's block shows: what it opened with and what it holds always, the rest where it is something."""
    yield "Opening float", row["opening_minor"]
    if row.get("carried_minor") or row.get("opening_difference_minor"):
        yield "Left by the session before", row["carried_minor"]
    if row.get("opening_difference_minor"):
        yield "Differs from what was left", row["opening_difference_minor"]
    yield "Sales", row["sales_minor"]
    prepaid = row.get("prepaid_minor", 0)
    for label, amount in (("Prepaid", prepaid), ("Tips", row["tips_minor"]), ("Refunds", -row["refunds_minor"])):
        if amount:
            yield label, amount
    change = row.get("change_given", NOTHING)
    if change["count"]:
        yield f"of sales, change given × {change['count']}", -change["total_minor"]
    for kind, moved in row["movements"].items():
        if moved["count"]:
            sign = 1 if kind in ("pay_in", "float_loan", "no_sale") else -1
            yield f"{kind.replace('_', ' ').capitalize()} × {moved['count']}", sign * moved["total_minor"]
    if row["type"] != "third_party":
        yield "Expected", row["expected_minor"]
        yield "Counted", row["counted_minor"]
        yield "Over/short", row["over_short_minor"]
    # Closings of before do not say it, and mostly all that was counted stays.
    if row.get("left_minor") is not None and row["left_minor"] != row["counted_minor"]:
        yield "Left for the next session", row["left_minor"]


def _tables(report: Report) -> Iterator[tuple[str, list[tuple[str, Report]]]]:
    """The tables that have rows, each with what its rows are called."""
    currencies = {tender["tender"]: tender["currency"] for tender in report["tenders"]}
    tips = [row | {"in": currencies[row["tender"]]} for row in report["tips"]]
    tables = (
        ("Sales by provider", report["sales"]["by_provider"], ("provider",)),
        ("Sales by order type", report["sales"]["by_order_type"], ("order_type",)),
        ("Discounts", report["discounts"], ("provider", "name")),
        ("Service charges", report["service_charges"], ("provider", "name")),
        ("Refunds", [line for row in report["refunds"] for line in _refunded(row)], ("provider",)),
        ("Cancellations", report["cancellations"], ("provider",)),
        ("Tips", tips, ("tender",)),
        ("Prepaid", report.get("prepaid", []), ("tender",)),
        ("Sales by person", _by_person(report, "sales_minor", "sales_count"), ("person",)),
        ("Refunds by person", _by_person(report, "refunds_minor", "refund_count"), ("person",)),
        ("Discounts by person", _by_person(report, "discounts_minor"), ("person",)),
        ("Tips by person", _by_person(report, "tips_minor"), ("person",)),
        ("Change given by person", _by_person(report, "change_given_minor"), ("person",)),
        ("Paid before by person", _by_person(report, "paid_before_minor"), ("person",)),
        ("Canceled by person", _by_person(report, "canceled_minor", "canceled_count"), ("person",)),
        ("Lowered by person", _by_person(report, "lowered_minor", "lowered_count"), ("person",)),
        ("Left before, not in this drawer", [_not_carried(row) for row in report.get("not_carried", [])], ("tender",)),
    )
    for heading, rows, keys in tables:
        if rows:
            yield heading, [(" ".join(row[key] for key in keys), row) for row in rows]


def _by_person(report: Report, amount: str, count: str | None = None) -> list[Report]:
    """A figure of the persons who have it, with its count where it has one. Slips of before have none."""
    return [
        {"person": row["name"] or row["id"], "total_minor": row[amount]} | ({"count": row[count]} if count else {})
        for row in report.get("staff", [])
        if row[count or amount]
    ]


def _refunded(row: Report) -> Iterator[Report]:
    """What was paid back of a provider's sales, then its tax and its rounding where there is any."""
    yield row
    for label, amount in (("Tax", row.get("tax_minor")), ("Rounding", row.get("rounding_minor"))):
        if amount:
            yield {"provider": f"  {label}", "total_minor": amount}


def _not_carried(row: Report) -> Report:
    """What the session before left of a tender that this one doesn't have in that currency."""
    return {"tender": row["tender"], "total_minor": row["left_minor"], "in": row["currency"]}


def _taxes(report: Report, currency: str) -> Iterator[tuple[str, int]]:
    """Each rate with what it was on and its tax, both sold less refunded. Slips of before have none."""
    for row in report.get("taxes", []):
        net = grouped_text(row["net_minor"] - row["refunded_net_minor"], currency)
        yield f"{row['name']} {row['rate']}% on {net}", row["tax_minor"] - row["refunded_tax_minor"]


def _to_pay(report: Report) -> Iterator[tuple[str, int]]:
    """What lies between what was sold and what was paid, and what was lowered afterwards, where there is any."""
    sales = report["sales"]
    words = {
        "Rounding": sales.get("rounding_minor"),
        "Paid before": sales.get("paid_before_minor"),
        "Not paid": sales.get("unpaid_minor"),
        "Carried over": sales.get("carried_over_minor"),
        f"Lowered × {sales.get('lowered', NOTHING)['count']}": sales.get("lowered", NOTHING)["total_minor"],
    }
    yield from ((label, amount) for label, amount in words.items() if amount)


def _sold(report: Report, currency: str) -> str:
    return amount_text(report["sales"]["total_minor"], currency)


def _line(label: str, value: str, width: int) -> list[str]:
    """A label on the left and its value on the right; the value on a line of its own where both don't fit."""
    space = width - _cells(label) - _cells(value)
    if space >= 1:
        return [label + " " * space + value]
    return [*_folded(label, width), *(" " * max(0, width - _cells(part)) + part for part in _folded(value, width))]


def _folded(words: str, width: int) -> list[str]:
    """Cut into lines that fit, whatever the words are."""
    lines, line = [], ""
    for character in words:
        if _cells(line + character) > width:
            lines.append(line)
            line = ""
        line += character
    return [*lines, line]


def _cells(words: str) -> int:
    """How many columns the words take on a screen."""
    return sum(2 if east_asian_width(character) in "WF" else 1 for character in words)


def _within(width: int) -> int:
    return max(WIDTH_MIN, min(width, WIDTH_MAX))


def _time(written: str, zone: str | None) -> str:
    """A time by the shop's clock, with its offset: one hour of the year comes twice. In UTC where no zone is known."""
    if zone is None or zone not in ZONES:
        return f"{written[:10]} {written[11:16]} UTC"
    return moment(written).astimezone(timezone(offset_in(zone, written))).isoformat(" ", "minutes")


def _name(actor: dict[str, str | None]) -> str:
    return str(actor["name"] or actor["id"])
