"""What a simulation shows: how far the day is, what went over the line, and how the recount came out."""

from collections.abc import Iterable, Iterator
from statistics import quantiles
from types import TracebackType
from typing import Final, Self

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars
from rich.table import Table
from rich.text import Text

from deploy.demo.screen import signed
from deploy.demo.tally import Difference
from deploy.simulation.chain import Plan
from deploy.simulation.differences import StoreClosings
from deploy.simulation.lines import Traffic
from deploy.simulation.recount import TillRecount
from services.platform.money_text import grouped_text

ROWS_MAX: Final = 40
"""So many rows of a table are shown; that there are more is said."""
LINES_WITHOUT_TERMINAL: Final = 10


class Progress:
    """How far the day is: a bar, or a line at each tenth where nobody sits at a terminal."""

    def __init__(self, console: Console) -> None:
        """Shown while it is entered."""
        self._console, self._tenth = console, 0
        columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
        self._bars = Bars(*columns, console=console, transient=True, disable=not console.is_terminal)
        self._task = self._bars.add_task("", total=1.0)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def show(self, traffic: Traffic, elapsed: float, waiting: int) -> None:
        """`elapsed` is the share of the day that is over; `waiting` are commands whose line is down."""
        words = f"{traffic.sent:,} sent, {traffic.answered:,} answered, {waiting:,} wait for their line"
        self._bars.update(self._task, completed=elapsed, description=words)
        tenth = int(elapsed * LINES_WITHOUT_TERMINAL)
        if not self._console.is_terminal and tenth > self._tenth:
            self._tenth = tenth
            note(self._console, f"{tenth * 10} % of the day: {words}.")


def begin(console: Console, plan: Plan, over_s: float, gateway_url: str) -> None:
    """Say what is about to happen, and where to look."""
    tills = plan.stores * plan.tills
    note(
        console,
        f"{plan.stores} stores with {plan.tills} tills each ({plan.run}-…) are set up at {gateway_url}: "
        f"about {plan.orders_per_minute * plan.minutes * tills:,.0f} orders in a day of {plan.minutes:g} minutes, "
        f"played in {over_s:,.0f} s. Ctrl-C closes the shops early.",
    )


def note(console: Console, sentence: str) -> None:
    """Say something in passing."""
    console.print(Text(sentence))


def refuse(console: Console, sentence: str) -> None:
    """Say why it can't go on."""
    console.print(Text(sentence, style="red"))


def totals(
    console: Console, stores: list[StoreClosings], tills: list[TillRecount], traffic: Traffic, seconds: float
) -> None:
    """What the reader has of each store, and what went over the line."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("store", overflow="fold")
    for heading in ("closings", "corrections", "look at", "sales", "over/short"):
        table.add_column(heading, justify="right", no_wrap=True)
    with_closings = [store for store in stores if store.closings]
    for store in with_closings[:ROWS_MAX]:
        currency = store.closings[0]["currency"]
        sold = sum(closing["sales"]["total_minor"] for closing in store.closings)
        sold += sum(correction["deltas"]["sales"]["total_minor"] for correction in store.corrections)
        now = [row or {} for row in store.standing]
        table.add_row(
            store.closings[0]["store_id"],
            str(len(store.closings)),
            str(len(store.corrections)),
            str(sum(bool(row.get("needs_review")) for row in now)),
            f"{grouped_text(sold, currency)} {currency}",
            signed(sum(row.get("over_short_minor") or 0 for row in now), currency),
        )
    console.print()
    console.print(table)
    _say_more(console, len(with_closings) - ROWS_MAX, "stores")
    refused = sum(till.refused for till in tills)
    console.print()
    note(
        console,
        f"{traffic.sent:,} commands in {seconds:,.1f} s ({traffic.sent / seconds:,.0f}/s): {traffic.answered:,} "
        f"answered, {refused:,} of them refused as the rules have it, {traffic.repeated:,} sent twice, "
        f"{traffic.tried_again:,} tried again. {_latency(traffic.latencies)}",
    )


def verdict(console: Console, unlike: list[Difference], faults: list[str]) -> None:
    """Whether the recount agrees with the closings; where it does not, a table."""
    if not unlike and not faults:
        console.print(Text("The recount agrees with every closing and every correction.", style="bold green"))
        return
    console.print(Text("The recount does not agree:", style="bold red"))
    if unlike:
        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
        for heading in ("what", "member", "the service says", "the recount says"):
            table.add_column(heading, overflow="fold")
        for difference in unlike[:ROWS_MAX]:
            if difference.member is None:
                table.add_row(difference.name, difference.fault, "", "")
                continue
            for member, shown, expected in _parts(difference.member, difference.shown, difference.expected):
                table.add_row(difference.name, member, str(shown), str(expected))
        console.print(table)
        _say_more(console, len(unlike) - ROWS_MAX, "differences")
    for sentence in faults[:ROWS_MAX]:
        refuse(console, sentence)
    _say_more(console, len(faults) - ROWS_MAX, "answers that are not as they must be")


def _parts(member: str, shown: object, expected: object) -> Iterator[tuple[str, object, object]]:
    """What differs within a member, as deep as it goes."""
    if not isinstance(shown, dict) or not isinstance(expected, dict):
        yield member, shown, expected
        return
    for name in sorted(shown.keys() | expected.keys()):
        if shown.get(name) != expected.get(name):
            yield from _parts(f"{member}.{name}", shown.get(name), expected.get(name))


def _say_more(console: Console, more: int, what: str) -> None:
    if more > 0:
        note(console, f"… and {more:,} more {what}.")


def _latency(seconds: Iterable[float]) -> str:
    """The middle and the slow end of what people waited for answers."""
    values = sorted(seconds)
    if len(values) < 2:
        return ""
    hundredths = quantiles(values, n=100)
    return f"An answer took {hundredths[49] * 1000:,.0f} ms (median), {hundredths[98] * 1000:,.0f} ms (p99)."
