"""A steady store is measured beside those who attack, and an attack that does nothing is no attack."""

import sys
from pathlib import Path

import pytest

from services.platform.settings import Settings
from tests.bench import attacks, gateway, neighbours
from tests.bench.corner import BenchFailed, worker
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


async def test_an_attack_that_ends_before_it_begins_is_not_counted(tmp_path: Path) -> None:
    log = tmp_path / "attack.log"
    nobody_knows_it = (sys.executable, "-m", "tests.bench.attacks", "do_nothing")
    async with worker(nobody_knows_it, Settings(), log) as attacker:
        with pytest.raises(BenchFailed, match="before it began"):
            await neighbours.begun(attacker, log)
