"""What a register's side takes, as tables for people."""

from typing import Any

from rich.console import Console
from rich.table import Table

from tests.bench.registers import Registers


def show_registers(registers: Registers | None, console: Console) -> None:
    """Rates and times of durable acknowledgements, then memory by how much waits."""
    if registers is None:
        return
    figures = registers.figures
    table = Table(title="Commands that a register acknowledges once they are durable", title_justify="left")
    for name in ("what", "a second", "p50", "p99"):
        table.add_column(name, justify="right")
    table.add_row("a page written and synced, for comparison", *_times(figures["disk"]))
    for one in figures["taken"]:
        table.add_row(f"{one['at_once']} at a time", *_times(one))
    console.print(table)
    table = Table(title="A register by how many commands wait", title_justify="left")
    for name in ("waiting", "one at a time", "p50", "p99", "its status", "memory", "outbox"):
        table.add_column(name, justify="right")
    for one in figures["queued"]:
        sizes = (f"{one['status_ms']:,.1f} ms", f"{one['rss_mib']:,.0f} MiB", f"{one['file_mib']:,.0f} MiB")
        table.add_row(f"{one['queued']:,}", *_times(one), *sizes)
    console.print(table)
    begun, opened, after = (f"{figures[name]:,.0f}" for name in ("rss_mib", "opened_ms", "rss_sent_mib"))
    console.print(
        f"{registers.puts:,} commands each. It began with {begun} MiB. With all of them waiting it opens in {opened} "
        f"ms, sends and records {figures['sent_per_s']:,.0f} a second of one till on a line that answers at once, and "
        f"has {after} MiB then.",
        style="dim",
        highlight=False,
    )


def _times(one: dict[str, Any]) -> tuple[str, str, str]:
    return f"{one['per_s']:,.0f}", f"{one['p50_ms']:,.1f} ms", f"{one['p99_ms']:,.1f} ms"
