"""One picture of a run: throughput, latency, and cost as the ledger grows."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")

from matplotlib import pyplot as plt

from tests.bench.latency import Latency
from tests.bench.report import Report
from tests.bench.scaling import Scale
from tests.bench.summary import Summary, summaries

OURS_COLOUR: Final = "#0b6e4f"
PEER_COLOURS: Final = ("#c8553d", "#588b8b", "#f2a65a", "#7d6b91", "#8d99ae")
PERCENTILES: Final[dict[str, Callable[[Latency], float]]] = {
    "p50": lambda one: one.p50_ms,
    "p99": lambda one: one.p99_ms,
    "p99.9": lambda one: one.p999_ms,
}


def draw(report: Report, file: Path) -> list[Path]:
    """Draw what the report has figures for, as SVG and PNG beside `file`; their paths."""
    speeds = summaries(report.race.speeds) if report.race else []
    latencies = report.paces.latencies if report.paces else []
    stored = [one for one in report.scales if one.grows == "stored sessions"]
    panels: list[Callable[[Any], None]] = []
    if speeds:
        panels.append(lambda axes: _throughput(axes, speeds))
    if latencies:
        panels.append(lambda axes: _latency(axes, latencies))
    if stored:
        panels.append(lambda axes: _stored(axes, stored))
    if not panels:
        return []
    figure, all_axes = plt.subplots(
        len(panels), 1, figsize=(12, 3.8 * len(panels)), squeeze=False, layout="constrained"
    )
    for axes, panel in zip(all_axes[:, 0], panels, strict=True):
        panel(axes)
        axes.spines[["top", "right"]].set_visible(False)
    machine = report.machine
    figure.text(
        0.01,
        -0.02,
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, everything on one machine; "
        f"load at the start {machine['load_1min']}; {report.begun_at}",
        fontsize=8,
        color="dimgrey",
    )
    drawn = [file.with_suffix(suffix) for suffix in (".svg", ".png")]
    for path in drawn:
        figure.savefig(path, dpi=150, bbox_inches="tight")
    plt.close(figure)
    return drawn


def colours(ways: Sequence[str]) -> dict[str, str]:
    """Ours always has the same colour; the peers have theirs in their order."""
    peers = [way for way in ways if not way.startswith("ours")]
    return {way: OURS_COLOUR for way in ways if way.startswith("ours")} | dict(
        zip(peers, (PEER_COLOURS * len(peers))[: len(peers)], strict=True)
    )


def _throughput(axes: Any, figures: Sequence[Summary]) -> None:
    ordered = sorted(figures, key=lambda one: one.per_s)
    colour = colours([one.way for one in figures])
    names, rates = [one.way for one in ordered], [one.per_s for one in ordered]
    spread = [[one.per_s - one.per_s_range[0] for one in ordered], [one.per_s_range[1] - one.per_s for one in ordered]]
    bars = axes.barh(names, rates, color=[colour[name] for name in names], xerr=spread, ecolor="dimgrey")
    axes.bar_label(bars, [f"{rate:,.0f}" for rate in rates], padding=6)
    axes.set_xlim(0, max(one.per_s_range[1] for one in ordered) * 1.15)
    axes.set_title("Commands a second, one worker process, median of the rounds", loc="left")
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _latency(axes: Any, figures: Sequence[Latency]) -> None:
    ways, rates = list(dict.fromkeys(one.way for one in figures)), sorted({one.per_s for one in figures})
    colour, width = colours(ways), 0.8 / len(ways)
    ticks, labels = [], []
    for group, (per_s, name) in enumerate((per_s, name) for per_s in rates for name in PERCENTILES):
        ticks.append(group + 0.4 - width / 2)
        labels.append(f"{name}\n{per_s:,}/s")
        for at, way in enumerate(ways):
            one = next((one for one in figures if (one.way, one.per_s) == (way, per_s)), None)
            if one is not None:
                value = PERCENTILES[name](one)
                bars = axes.bar(group + at * width, value, width, color=colour[way], label=None if group else way)
                axes.bar_label(bars, [f"{value:.0f}"], fontsize=7, padding=2, rotation=90)
    axes.set_yscale("log")
    axes.margins(y=0.15)
    axes.set_xticks(ticks, labels, fontsize=8)
    axes.yaxis.set_major_formatter("{x:,.0f} ms")
    axes.set_title("From due to answered, by rate; no bar: the rate is not held", loc="left")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))


def _stored(axes: Any, figures: Sequence[Scale]) -> None:
    sizes = sorted({one.size for one in figures})
    highest = 0.0
    for tree, colour in (("worker", OURS_COLOUR), ("postgres", PEER_COLOURS[0])):
        costs = [median(one.speed.cpu_us[tree] for one in figures if one.size == size) for size in sizes]
        axes.plot(sizes, costs, marker="o", color=colour, label=tree)
        highest = max(highest, *costs)
        for size, cost in zip(sizes, costs, strict=True):
            axes.annotate(f"{cost:.0f} µs", (size, cost), textcoords="offset points", xytext=(0, 7), ha="center")
    axes.set_xscale("log")
    axes.set_xlim(min(sizes) / 2, max(sizes) * 2)
    axes.set_ylim(0, highest * 1.2)
    axes.xaxis.set_major_formatter("{x:,.0f}")
    axes.set_title("CPU per command of ours, by closed sessions in the ledger", loc="left")
    axes.legend(fontsize=8, frameon=False, loc="upper left", bbox_to_anchor=(1, 1))
