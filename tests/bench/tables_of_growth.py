"""What things cost as they grow, as tables for people."""

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from tests.bench.scaling import FLAT_WITHIN, Scale, growth_of_cost

TITLES = {
    "workers": "More workers on the same two servers' cores",
    "profiles": "More profiles known, and more of them busy at a time",
    "stored sessions": "More closed sessions in the ledger",
}


def show_scales(scales: Sequence[Scale], console: Console) -> None:
    """One table for each thing that grew."""
    for grows in dict.fromkeys(one.grows for one in scales):
        of_kind = [one for one in scales if one.grows == grows]
        console.print(_table_of(grows, of_kind))
        if grows == "stored sessions":
            console.print(f"{_verdict(of_kind)}", style="dim", highlight=False)


def _table_of(grows: str, scales: Sequence[Scale]) -> Table:
    table = Table(title=TITLES[grows], title_justify="left")
    for name in (grows, "busy", "commands/s", "worker CPU", "postgres CPU", "kafka CPU", "memory", "WAL", "others"):
        table.add_column(name, justify="right")
    for one in scales:
        speed = one.speed
        others = (speed.cpu_us["others"] + speed.cpu_us["stolen"]) * speed.per_s / 1e6
        table.add_row(
            f"{one.size:,}" + (f" ({one.database_gib:.1f} GiB)" if one.database_gib else ""),
            f"{one.busy:,}",
            f"{speed.per_s:,.0f}",
            *(f"{speed.cpu_us[tree]:,.1f} µs" for tree in ("worker", "postgres", "kafka")),
            f"{speed.rss_peak_mib:,.0f} MiB",
            f"{speed.wal_bytes:,.0f} B",
            f"{others:.2f}",
        )
    return table


def _verdict(scales: Sequence[Scale]) -> str:
    sentences = []
    for tree in ("worker", "postgres"):
        growth = growth_of_cost(scales, tree)
        largest = max(growth)
        word = "flat" if abs(growth[largest]) <= FLAT_WITHIN else "not flat"
        sentences.append(f"{tree} {growth[largest]:+.0%} ({word})")
    return (
        f"CPU per command at {max(one.size for one in scales):,} sessions beside {min(one.size for one in scales):,}: "
        f"{', '.join(sentences)}; called flat within {FLAT_WITHIN:.0%}, medians of the rounds."
    )
