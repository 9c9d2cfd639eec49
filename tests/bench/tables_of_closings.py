"""What the reader's tables, pushes and views cost, as tables for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.rebuilding import Rebuilt
from tests.bench.webhooks import Pushes


def show_rebuilt(rebuilt: Rebuilt | None, console: Console) -> None:
    """One row for the one run."""
    if rebuilt is None:
        return
    table = _table("till reporting rebuild, from its start to its end", "closings", "seconds", "closings/s")
    for name in ("its CPU", "PostgreSQL CPU", "Kafka CPU", "others", "memory"):
        table.add_column(name, justify="right")
    table.add_row(
        f"{rebuilt.closings:,}",
        f"{rebuilt.seconds:,.1f}",
        f"{rebuilt.per_s:,.0f}",
        *(f"{rebuilt.cpu_us.get(name, 0):,.0f} µs" for name in ("worker", "postgres", "kafka", "others")),
        f"{rebuilt.rss_peak_mib:,.0f} MiB",
    )
    console.print(table)
    _say(console, f"CPU is for one closing. {rebuilt.words}")


def show_pushes(pushes: Sequence[Pushes], console: Console) -> None:
    """A row for each number of endpoints."""
    if not pushes:
        return
    table = _table(
        "Closings pushed by one sender to receivers that answer at once", "endpoints", "deliveries", "deliveries/s"
    )
    for name in ("sender CPU", "PostgreSQL CPU", "receivers", "others", "memory"):
        table.add_column(name, justify="right")
    for one in pushes:
        table.add_row(
            str(one.endpoints),
            f"{one.deliveries:,}",
            f"{one.per_s:,.0f}",
            *(f"{one.cpu_us.get(name, 0):,.0f} µs" for name in ("worker", "postgres")),
            f"{one.receiver_cores:.2f} cores",
            f"{one.cpu_us.get('others', 0):,.0f} µs",
            f"{one.rss_peak_mib:,.0f} MiB",
        )
    console.print(table)
    _say(console, "CPU is for one delivery. Each endpoint wants all stores, from the beginning.")


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    for name in (first, *others):
        table.add_column(name, justify="right")
    return table


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, style="dim", highlight=False)
