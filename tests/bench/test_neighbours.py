"""A steady store is measured beside those who attack, and an attack that does nothing is no attack."""

import asyncio
import sys
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from services.platform.auth.tokens import COMMANDS_AUDIENCE, bearer, open_verifier
from services.platform.settings import Settings
from tests.bench import attacks, gateway, latency, neighbours, tables
from tests.bench.corner import BenchFailed, worker
from tests.bench.latency import Latency
from tests.bench.neighbours import Beside, Neighbours
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


async def test_an_attack_that_ends_before_it_begins_is_not_counted(tmp_path: Path) -> None:
    log = tmp_path / "attack.log"
    nobody_knows_it = (sys.executable, "-m", "tests.bench.attacks", "do_nothing")
    async with worker(nobody_knows_it, Settings(), log) as attacker:
        with pytest.raises(BenchFailed, match="before it began"):
            await neighbours.begun(attacker, log)
