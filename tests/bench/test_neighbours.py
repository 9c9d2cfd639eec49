"""A steady store is measured beside those who attack, and an attack that does nothing is no attack."""

import sys
from pathlib import Path

import pytest

from services.platform.settings import Settings
from tests.bench import attacks, gateway, neighbours, tables
from tests.bench.corner import BenchFailed, worker
from tests.bench.latency import Latency
from tests.bench.neighbours import Beside, Neighbours
from tests.bench.traffic import Progress


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
