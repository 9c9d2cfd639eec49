"""How figures are made of what was seen: clocks, medians and growth, on numbers that can be worked out by hand."""

import re
import shlex
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from tests.bench import attacks, latency, plot, sizes, speed, summary
from tests.bench.__main__ import options
from tests.bench.meter import Meter, Reading
from tests.bench.parts import PARTS, Bench, run_parts
from tests.bench.race import Race
from tests.bench.report import Report
from tests.bench.scaling import Scale, growth_of_cost
from tests.bench.speed import Speed

TOP = Path(__file__).parents[2]
SPEED = Speed(
    way="ours",
    topic="events",
    workers=1,
    commands=1_000,
    repeats=0,
    counted=800,
    seconds=0.1,
    per_s=8_000.0,
    cpu_us={"worker": 60.0, "kafka": 20.0, "postgres": 30.0, "redis": 1.0, "others": 10.0, "stolen": 0.0},
    rss_peak_mib=100.0,
    wal_bytes=2_000.0,
    log_bytes={"events": 700.0, "closings": 50.0, "__consumer_offsets": 1.0},
    load=0.5,
)


def test_the_bench_takes_what_pages_give_it() -> None:
    written = [
        arguments
        for page in [TOP / "README.md", *(TOP / "docs").glob("*.md")]
        for arguments in re.findall(r'make bench ARGS="([^"]*)"', page.read_text())
    ]
    assert written
    for arguments in written:
        options(shlex.split(arguments))


def test_attacks_are_chosen_by_their_names() -> None:
    assert options([]).attacks == attacks.NAMES
    assert options(["--attacks", "silent_connections, refused_openings"]).attacks == (
        "silent_connections",
        "refused_openings",
    )
    with pytest.raises(SystemExit):
        options(["--attacks", "nothing"])


def test_the_clock_starts_where_a_batch_ends() -> None:
    batches = [0] * 100 + [200] * 100 + [400] * 100
    assert speed.clock(batches, 50) == (200, 0.4)
    assert speed.clock(batches, 100) == (200, 0.4)
    assert speed.clock(batches, 150) == (100, 0.2)


def test_without_pauses_the_clock_starts_after_the_warm_up() -> None:
    assert speed.clock(list(range(1_000)), 200) == (800, 0.8)


def test_the_sample_is_a_share_and_the_same_for_everyone() -> None:
    ids = [f"00000000-0000-7000-8000-{number:012x}" for number in range(4_096)]
    keep = speed.sampled(16)
    assert sum(map(keep, ids)) == 256
    assert all(map(speed.sampled(1), ids))


def test_cpu_is_counted_between_the_readings_that_bound_the_clock() -> None:
    meter = Meter({}, [])
    seen = ((0, 0.0), (100, 5.0), (300, 6.0), (1_000, 9.5), (1_000, 11.0))
    meter.readings = [Reading(answered, Counter(worker=cpu_s)) for answered, cpu_s in seen]
    assert meter.spent(200, 1_000) == (700, Counter(worker=3.5))


def test_shares_of_times_are_taken_from_above() -> None:
    figures = latency.summed_up("ours", 100, [number / 1_000 for number in range(1_000, 0, -1)])
    assert (figures.p50_ms, figures.p99_ms, figures.p999_ms, figures.max_ms) == (501.0, 991.0, 1_000.0, 1_000.0)


def test_rounds_are_taken_together_by_their_median() -> None:
    rounds = [SPEED, replace(SPEED, way="other", topic="other"), replace(SPEED, per_s=10_000.0, repeats=3)]
    ours, other = summary.summaries(rounds)
    assert (ours.per_s, ours.per_s_range, ours.rounds, ours.repeats) == (9_000.0, (8_000.0, 10_000.0), 2, 3)
    assert ours.cpu_us["all"] == 111.0
    assert (ours.answers_bytes, ours.other_log_bytes) == (700.0, 51.0)
    assert other.answers_bytes == 0.0
    assert ours.other_cores == pytest.approx(0.09)


def test_growth_of_cost_is_beside_the_smallest_size() -> None:
    dear = replace(SPEED, cpu_us=SPEED.cpu_us | {"worker": 66.0})
    scales = [
        Scale("stored sessions", size, 400, one) for size, one in ((10_000, SPEED), (10, SPEED), (1_000_000, dear))
    ]
    assert growth_of_cost(scales, "worker") == pytest.approx({10: 0.0, 10_000: 0.0, 1_000_000: 0.1})


def test_the_larger_ledger_is_chosen_and_smaller_ones_stay() -> None:
    chosen = sizes.sizes_of(quick=False, commands=1_000_000, stored=10_000_000)
    assert chosen.commands == 1_000_000
    assert chosen.steps.stored == (10_000, 1_000_000, 10_000_000)
    assert sizes.sizes_of(quick=True, commands=None, stored=5_000).steps.stored == (5_000,)


def test_so_many_closings_are_chosen_and_fewer_stay() -> None:
    chosen = sizes.sizes_of(quick=False, commands=None, stored=None, closings=10_000_000)
    assert chosen.closings_listed == (10_000, 1_000_000, 10_000_000)
    assert chosen.closings_exported == (10_000, 100_000, 10_000_000)
    assert (chosen.ingested, chosen.console_closings, chosen.steps) == (10_000_000, 10_000_000, sizes.FULL.steps)
    assert options(["--closings", "10000000"]).closings == 10_000_000
    with pytest.raises(SystemExit):
        options(["--closings", "9"])


async def test_a_part_runs_once_and_its_failure_leaves_the_others_going(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    async def good(_bench: Bench) -> None:
        ran.append("good")

    async def bad(_bench: Bench) -> None:
        raise speed.BenchFailed("No.")

    for name, part in {"speed": good, "efficiency": good, "limits": bad, "stages": good}.items():
        monkeypatch.setitem(PARTS, name, part)
    bench = Bench.__new__(Bench)
    bench.results = Report({}, {})
    await run_parts(bench, ["stages", "limits", "efficiency", "speed"])
    assert ran == ["good"]
    assert bench.results.failures == {"limits": "No."}


def test_a_plot_is_drawn_of_what_there_is(tmp_path: Path) -> None:
    machine = {"cores": 2, "processor": "some", "memory_gib": 4, "load_1min": 0.1}
    report = Report(machine, {})
    assert plot.draw(report, tmp_path / "empty.json") == []
    report.race = Race([SPEED, replace(SPEED, way="other", per_s=100.0)])
    report.scales = [Scale("stored sessions", size, 400, SPEED) for size in (10_000, 1_000_000)]
    drawn = plot.draw(report, tmp_path / "results.json")
    assert [path.suffix for path in drawn] == [".svg", ".png"]
    assert all(path.stat().st_size > 10_000 for path in drawn)
