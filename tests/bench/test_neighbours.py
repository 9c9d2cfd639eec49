"""A steady store is measured beside those who attack, and an attack that does nothing is no attack."""

import asyncio
import io
import sys
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from rich.console import Console

from services.platform.auth.tokens import COMMANDS_AUDIENCE, bearer, open_verifier
from services.platform.settings import Settings
from tests.bench import __main__ as bench
from tests.bench import attacks, gateway, latency, neighbours, tables
from tests.bench.corner import BenchFailed, worker
from tests.bench.latency import Latency
from tests.bench.neighbours import Beside, Neighbours
from tests.bench.report import Report
from tests.bench.traffic import Progress
from tests.bench.workload import Workload

TOP = Path(__file__).parents[2]


def no_bar(_label: str, _total: int) -> Progress:
    return lambda _done: None


async def test_a_steady_store_is_measured_beside_each_attack(
    corner: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = corner.model_copy(update={"gateway_http": gateway.free_address()})
    monkeypatch.setattr(attacks, "ON_KAFKA", (attacks.malformed_bodies,))
    monkeypatch.setattr(attacks, "BY_HTTP", (attacks.silent_connections,))
    measured = await neighbours.measure(settings, 1, tmp_path, no_bar)
    assert list(measured.calm) == list(measured.beside) == ["on Kafka", "by the gateway"]
    for way, (beside,) in measured.beside.items():
        assert beside.steady is not None, beside.failed
        assert beside.steady.commands == measured.calm[way].commands == neighbours.PER_S
        assert 0 < beside.steady.p50_ms <= beside.steady.p99_ms
        assert set(beside.memory_mib) == {"worker", "gateway"}
        assert min(beside.memory_mib.values()) > 10
        assert beside.meaning.endswith(".")
        head, _, nobody, row = tables.neighbour_rows(measured, way)
        assert head.count("|") == nobody.count("|") == row.count("|") == 7
        assert beside.meaning[:-1] in row

    (never_sent,) = islice(Workload(sessions=1, seed=11).commands(), 1)
    with pytest.raises(BenchFailed, match="1 of 1 answered commands are not in the ledger"):
        await neighbours.check_ledger(settings, [never_sent])


async def test_a_command_that_was_parked_is_not_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    commands = list(islice(Workload(sessions=1).commands(), 1))
    sent = asyncio.Event()

    class _Answers:
        """A consumer that is handed a single answer."""

        async def start(self) -> None: ...
        async def stop(self) -> None: ...
        async def seek_to_end(self) -> None: ...

        async def getmany(self, timeout_ms: int) -> Any:  # noqa: ARG002
            await sent.wait()
            headers = [("till-command-id", commands[0].command_id.encode()), ("ce_type", b"till.command_parked.v1")]
            return {0: [SimpleNamespace(headers=headers)]}

    async def publish(_settings: Settings, pulse: latency.Pulse, *_: Any) -> None:
        pulse.due[commands[0].command_id] = 0.0
        sent.set()

    monkeypatch.setattr(latency, "follower", lambda *_: _Answers())
    monkeypatch.setattr(latency, "_publish", publish)
    with pytest.raises(BenchFailed, match=f"gave up on the command {commands[0].command_id}"):
        await latency.measure("ours", Settings(), "events", commands, 50, warm_up=0)


def test_forged_tokens_can_be_read_and_name_a_key_that_nobody_has(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path)
    verifier = open_verifier(settings)
    for _, _, headers in islice(attacks.strangers_forged_tokens(settings), 3):
        token = bearer(headers)
        assert token is not None
        assert verifier.judge(token, time.time(), COMMANDS_AUDIENCE) == "unknown_key"


def test_a_process_that_a_container_would_not_hold_is_red() -> None:
    services = yaml.safe_load((TOP / "docker-compose.yml").read_text())["services"]
    limits = {services[name]["deploy"]["resources"]["limits"]["memory"] for name in ("sessions", "gateway")}
    assert limits == {f"{tables.NEIGHBOUR_MEMORY_MIB}m"}
    assert tables._memory(512) == "512 MiB"
    assert tables._memory(513) == "[red]513 MiB[/red]"


def test_an_attack_that_was_not_borne_has_a_row_that_says_so() -> None:
    calm = Latency("on Kafka", 50, 100, 5.0, 12.6, 20.0, 1_234.4)
    beside = Beside("x", "Somebody attacks.", None, "too late", 1.0, {"worker": 100.0, "gateway": 1.0})
    assert tables.neighbour_rows(Neighbours({"on Kafka": calm}, {"on Kafka": [beside]}), "on Kafka")[2:] == [
        "| nobody | 5.0 ms | 13 ms |  | 1,234 ms |  |",
        "| Somebody attacks |  |  | not held |  |  |",
    ]


def beside(attack: str, p99_ms: float | None, worker_mib: float = 100.0, gateway_mib: float = 100.0) -> Beside:
    """What was measured beside an attack; nothing where the store's commands were not answered."""
    steady = None if p99_ms is None else Latency("on Kafka", 50, 100, 5.0, p99_ms, p99_ms, p99_ms)
    return Beside(attack, "Somebody attacks.", steady, "", 1.0, {"worker": worker_mib, "gateway": gateway_mib})


@pytest.mark.parametrize(
    ("one", "calm_p99_ms", "miss"),
    [
        (beside("at_the_goal", 126.0, 512.0, 512.0), 12.6, None),
        (beside("too_late", 127.0), 12.6, "too_late (p99 10.1 times the calm one)"),
        (beside("below_a_second", 999.0), 100.0, None),
        (beside("a_second", 1_000.0), 100.0, "a_second (p99 1,000 ms)"),
        (beside("large", 13.0, 513.0, 600.0), 12.6, "large (worker 513 MiB, gateway 600 MiB)"),
        (beside("not_borne", None), 12.6, "not_borne (not held)"),
    ],
    ids=lambda value: value.attack if isinstance(value, Beside) else "",
)
def test_an_attack_beside_which_the_goal_is_missed_is_named_under_the_table(
    one: Beside, calm_p99_ms: float, miss: str | None
) -> None:
    calm = Latency("on Kafka", 50, 100, 5.0, calm_p99_ms, 20.0, 20.0)
    measured = Neighbours({"on Kafka": calm}, {"on Kafka": [beside("harmless", calm_p99_ms), one]})
    report = Report({}, {}, neighbours=measured)
    console = Console(width=200, record=True, file=io.StringIO())

    tables._show_neighbours(measured, console)

    lines = [line for line in console.export_text().splitlines() if line.startswith("Missed")]
    assert lines == ([] if miss is None else [f"Missed on Kafka: {miss}."])
    assert tables.missed_goals(report) == (miss is not None)


def test_a_run_that_misses_the_goal_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calm = Latency("on Kafka", 50, 100, 5.0, 12.6, 20.0, 20.0)
    attacks_beside = [beside("harmless", 20.0)]
    report = Report({}, {}, neighbours=Neighbours({"on Kafka": calm}, {"on Kafka": attacks_beside}))

    async def run(*_: Any) -> Report:
        return report

    monkeypatch.setattr(sys, "argv", ["bench", "--only", "neighbours"])
    for name, value in {
        "default_home": lambda: tmp_path,
        "up": lambda *_, **__: None,
        "wipe": lambda _: None,
        "run": run,
    }.items():
        monkeypatch.setattr(bench, name, value)
    monkeypatch.setattr(bench.tables, "show", lambda *_: None)
    monkeypatch.setattr(bench.report, "write", lambda *_: tmp_path / "figures.json")
    monkeypatch.setattr(bench.plot, "draw", lambda *_: [])

    assert bench.main() == 0
    attacks_beside.append(beside("too_late", 1_200.0))
    assert bench.main() == 1


async def test_an_attack_that_ends_before_it_begins_is_not_counted(tmp_path: Path) -> None:
    log = tmp_path / "attack.log"
    nobody_knows_it = (sys.executable, "-m", "tests.bench.attacks", "do_nothing")
    async with worker(nobody_knows_it, Settings(), log) as attacker:
        with pytest.raises(BenchFailed, match="before it began"):
            await neighbours.begun(attacker, log)
