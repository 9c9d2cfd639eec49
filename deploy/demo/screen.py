"""What the demo shows: closings as compact tables, refusals explained, totals. Fits 80 columns."""

from collections.abc import Iterable
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from deploy.demo.tally import News, Tally
from services.platform.money_text import grouped_text

Body = dict[str, Any]

EXPLAINED = {
    "unauthenticated": "A record without a token changes nothing, whatever it asks:",
    "forbidden": "Stores are walls; a token of one shop asked for another shop's cash:",
    "command_id_reused": "An id was used again for another amount; the first one stands:",
    "malformed": "Money has no fractions of a minor unit, and no field may be missing:",
    "profile_unknown": "Somebody opened a till that nobody has set up:",
    "profile_disabled": "Somebody opened a till that is switched off:",
    "session_already_open": ("A profile holds at most one open session; this second opening was refused:"),
    "session_unknown": "A register named the session of the till beside it:",
    "session_closed": "A sale was made after the drawer had been counted and closed:",
    "tender_unknown": "Money came in a tender that the session does not have:",
    "currency_mismatch": "A drawer of pesos can't be opened in dollars:",
    "amount_invalid": "140 from 200 leaves 60, not 50; the figures must agree:",
    "movement_unknown": "Only a movement that was made can be taken back:",
    "movement_already_voided": "And it can be taken back once:",
    "order_revision_stale": "A screen sent an order as it had been before it was paid:",
    "session_suspended": "The stall was suspended for the rain, and sells nothing until it is resumed:",
    "session_voided": "A voided session never was, and takes nothing more:",
    "awaiting_approval": "What awaits a manager's word can't be counted again meanwhile:",
    "not_enough_cash": "This shop allows no drawer below zero; the pay-out was too large:",
}
ACCEPTED = {
    "closing_pending": "A count was off by more than the till's limit: it waits for a second person.",
    "count_requested": "The manager sent a count back; the drawer is counted anew.",
    "drawer_counted": "A spot check: the drawer was counted in mid-shift, and nothing changed.",
    "profile_set": "A till's settings are commands, too: from here on the restaurant takes dollars.",
    "session_amended": "A note was amended; figures never are.",
    "session_handed_over": "A colleague took the drawer over without closing it.",
    "session_resumed": "It stopped raining: the session goes on where it was.",
    "session_suspended": "It rained on the market stall: its session was suspended.",
    "session_voided": "A session opened by mistake was voided: no closing, and no number lost.",
}
"""What a viewer is told of an accepted command; its kind is not that of a refusal, even where the word is."""
CORRECTED = {
    "late_movement": "a movement that came late",
    "late_order": "news of a sale that came late",
    "late_void": "a movement taken back late",
    "recount": "the drawer was counted again",
    "session_voided": "the session was voided",
}
REPEATED = "A register heard no answer and asked again: it got the same answer, byte for byte."
PARKED = "These bytes are no command. They were parked with their place, and nobody was held up:"


def signed(minor: int, currency: str) -> Text:
    """An over/short with its sign: nothing missing is green, everything else stands out."""
    if minor == 0:
        return Text(grouped_text(0, currency), style="green")
    return Text(_change(minor, currency), style="bold yellow")


def closing_view(closing: Body) -> RenderableType:
    """One closing: its drawer tender by tender, its sales by provider, and what else happened."""
    title = Text(f"{closing['store_name']}, {closing['profile_name']}", style="bold")
    title.append(f"  Z {closing['z_number']}, session {closing['session_number']}", style="cyan")
    title.append(f"  {closing['business_date']}  {closing['currency']}", style="dim")
    drawer = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    # Names give way where there is little room; an amount is never cut.
    drawer.add_column("tender", max_width=26)
    for heading in ("expected", "counted", "over/short"):
        drawer.add_column(heading, justify="right", no_wrap=True)
    for row in closing["tenders"]:
        if row["expected_minor"] is not None:
            drawer.add_row(*_tender_row(row, closing["currency"]))
    return Group(title, Padding(Group(drawer, *_sales(closing)), (0, 0, 0, 2)), Text())


def _tender_row(row: Body, base: str) -> Iterable[RenderableType]:
    currency = row["currency"]
    name = row["name"] if currency == base else f"{row['name']} ({currency})"
    yield name
    yield grouped_text(row["expected_minor"], currency)
    if row["counted_minor"] is None:
        yield Text("not counted", style="dim")
        yield Text("-", style="dim")
    else:
        yield grouped_text(row["counted_minor"], currency)
        yield signed(row["over_short_minor"], currency)


def _sales(closing: Body) -> Iterable[Text]:
    currency, sales = closing["currency"], closing["sales"]
    providers = [
        f"{row['provider']} {grouped_text(row['total_minor'], currency)} ({row['count']})"
        for row in sales["by_provider"]
    ]
    total = grouped_text(sales["total_minor"], currency)
    yield Text(
        f"sales {total} in {sales['count']} {'order' if sales['count'] == 1 else 'orders'}: {', '.join(providers)}"
    )
    others = []
    for name in ("discounts", "service_charges", "tips", "refunds", "cancellations"):
        count = sum(row["count"] for row in closing[name])
        if count:
            amount = _total(closing, name)
            others.append(f"{name.replace('_', ' ')} {grouped_text(amount, currency)} ({count})")
    others += [
        f"{label} {grouped_text(amount, currency)}"
        for label, amount in (
            ("change given", sum(row["base"]["change_given_minor"] for row in closing["tenders"])),
            ("rounding", sales["rounding_minor"]),
            ("paid before", sales["paid_before_minor"]),
            ("lowered", sales["lowered"]["total_minor"]),
            ("carried over", sales["carried_over_minor"]),
            ("prepaid", sum(row["total_minor"] for row in closing["prepaid"])),
        )
        if amount
    ]
    left = [
        f"{row['name']} {grouped_text(row['left_minor'], row['currency'])}"
        for row in closing["tenders"]
        if row["left_minor"] not in {None, row["counted_minor"]}
    ]
    if left:
        others.append(f"left in the drawer: {', '.join(left)}")
    if closing["clock_adjusted"]:
        others.append("a clock was wrong")
    standing = sum(row["open"] for row in closing["orders"])
    if standing:
        others.append(f"still open {standing}")
    if others:
        yield Text("; ".join(others), style="dim")


def _total(closing: Body, table: str) -> int:
    """A table's sum in base currency; tips are the one table that is in the tenders' own."""
    if table != "tips":
        return sum(row["total_minor"] for row in closing[table])
    return sum(row["base"]["tips_minor"] for row in closing["tenders"])


def correction_view(correction: Body) -> RenderableType:
    """A correction in two lines: why, and what it changes; the closing itself stays as it was."""
    title = Text("Correction ", style="bold")
    title.append(f"{correction['correction_number']} at {correction['store_id']}/{correction['profile_id']}: ")
    title.append(CORRECTED[correction["correction"]])
    changes = [
        f"{row['tender']} {name} {_change(row[figure], row['currency'])}"
        for row in correction["deltas"]["tenders"]
        for name, figure in (("expected", "expected_minor"), ("counted", "counted_minor"), ("off", "over_short_minor"))
        if row[figure]
    ]
    line = Text(", ".join(changes) or "no figure")
    review = "somebody should look at it" if correction["needs_review"] else "needs no review"
    line.append(f"; {review}", style="bold yellow" if correction["needs_review"] else "dim")
    return Group(title, Padding(line, (0, 0, 0, 2)), Text())


def _change(minor: int, currency: str) -> str:
    return ("+" if minor > 0 else "") + grouped_text(minor, currency)


def news_view(news: News) -> RenderableType:
    """A sentence for what a viewer sees for the first time."""
    if news.kind == "closing":
        return closing_view(news.body)
    if news.kind == "correction":
        return correction_view(news.body)
    if news.body.get("kind") in ACCEPTED:
        return Group(Text(ACCEPTED[news.body["kind"]], style="blue"), Text())
    if news.kind == "repeated":
        return Group(Text(REPEATED, style="magenta"), Text())
    if news.kind == "parked":
        return Group(Text(PARKED, style="magenta"), _quoted(news.body["error"]), Text())
    sentence = EXPLAINED.get(news.kind, "The service refused a command:")
    heading = Text(sentence, style="magenta")
    return Group(heading, _quoted(f"{news.kind}: {news.body['message']}"), Text())


def _quoted(text: str) -> RenderableType:
    return Padding(Text(text, style="italic"), (0, 0, 0, 2))


def totals_view(tally: Tally, records: int, seconds: float, over_s: float = 0) -> RenderableType:
    """The day in numbers; `over_s` is how long its records were spread over."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(justify="right", no_wrap=True)
    table.add_column()
    table.add_row(f"{records:,}", "records published, in the order of the day")
    kinds = ", ".join(f"{kind} {n:,}" for kind, n in sorted(tally.accepted.items()))
    table.add_row(f"{tally.accepted.total():,}", f"accepted: {kinds}")
    reasons = ", ".join(f"{reason} {n}" for reason, n in sorted(tally.refused.items()))
    table.add_row(f"{tally.refused.total():,}", f"refused: {reasons}")
    table.add_row(f"{tally.repeated:,}", "repeated, and answered with the same bytes")
    table.add_row(f"{len(tally.parked):,}", "parked, because they are no commands")
    table.add_row(f"{len(tally.closings):,}", f"closings, and {len(tally.corrections)} corrections of them")
    speed = Text(
        f"The day was spread over {over_s:.0f} s, for whoever watches; `make demo` alone says how fast it goes."
        if over_s
        else f"{records / seconds:,.0f} commands per second: {records:,} records in {seconds:.2f} s, from the first "
        "publish to the last answer read back, from a cold start, with everything on this machine. "
        "`make bench` measures properly."
    )
    return Group(table, Text(), _by_store(tally), Text(), speed)


def _by_store(tally: Tally) -> RenderableType:
    """Over and short per store, in its base currency."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("store", max_width=30)
    for heading in ("closings", "sales", "over/short"):
        table.add_column(heading, justify="right", no_wrap=True)
    closings = sorted(tally.closings.values(), key=lambda closing: closing["store_name"])
    for store in sorted({closing["store_name"] for closing in closings}):
        mine = [closing for closing in closings if closing["store_name"] == store]
        currency = mine[0]["currency"]
        sales = sum(closing["sales"]["total_minor"] for closing in mine)
        off = sum(row["base"]["over_short_minor"] or 0 for closing in mine for row in closing["tenders"])
        sold = f"{grouped_text(sales, currency)} {currency}"
        table.add_row(store, str(len(mine)), sold, signed(off, currency))
    return table


def parrot_view(page: Body) -> RenderableType:
    """The café's day as `GET /v1/cashier-sessions/` tells it."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("session", no_wrap=True)
    for heading in ("totalSales", "netSales", "finished orders", "difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    for session in page["data"]:
        summary = session["sales"]["salesSummary"]
        net = summary["store"]["netSales"] + summary["providers"]["netSales"]
        table.add_row(
            str(session["sessionNumber"]),
            f"{session['sales']['totalSales']:,}",
            f"{net:,}",
            str(session["orders"]["numFinishedOrders"]),
            f"{session['cashMovements']['differenceAmount']:+,}",
        )
    return table


def phase(console: Console, title: str, sentence: str) -> None:
    """Begin a part of the demo."""
    console.print()
    console.print(Text(f" {title} ", style="bold reverse"))
    console.print(Text(sentence))
    console.print()
