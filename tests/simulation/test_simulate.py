"""`till simulate` against real services: it agrees with them, and says so where somebody meddles."""

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest

from services.platform.postgres.migrate import upgrade
from tests.support.market import Market
from tests.support.processes import environment_of, till
from tests.support.waiting import eventually

SMALL = ("--tills", "1", "--minutes", "60", "--orders-per-minute", "0.4", "--over", "0", "--seed", "8")
TROUBLE = ("--offline", "20%", "--clock-skew", "90s", "--duplicates", "10%")
AGREES = "The recount agrees with every closing and every correction."


@pytest.fixture(scope="module")
async def addresses(market: Market) -> dict[str, str]:
    """Where gateway and reporting reader answer, in the environment's words."""
    await upgrade(market.settings.database_url, "services.reporting.migrations")
    reporting = market.start("reporting", TILL_REPORTING_HTTP="127.0.0.1:0")
    await reporting.until_logged("reporting_started")
    return {
        "TILL_GATEWAY_URL": str(market.client.base_url).rstrip("/"),
        "TILL_REPORTING_URL": reporting.address("reporting_started"),
        "COLUMNS": "250",
    }


@dataclass
class LongDay:
    """A chain of one till whose day goes on until somebody ends it."""

    store_id: str
    process: subprocess.Popen[str]

    async def ended(self) -> str:
        """What it printed, after an interrupt."""
        self.process.send_signal(signal.SIGINT)
        printed, _ = await asyncio.to_thread(self.process.communicate, timeout=300)
        return printed


@pytest.fixture
def long_day(market: Market, addresses: dict[str, str]) -> Iterator[LongDay]:
    run = f"long-{uuid4().hex[:8]}"
    day = ("--minutes", "1440", "--orders-per-minute", "0.5", "--over", "900")
    words = ("--stores", "1", "--tills", "1", *day, "--run", run)
    process = subprocess.Popen(
        [sys.executable, "-m", "deploy.till", "simulate", *words],
        env=environment_of(market.settings) | addresses,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    yield LongDay(f"{run}-cafe-1", process)
    process.kill()
    process.communicate()


async def opened(market: Market, store_id: str) -> str:
    """The session that the simulation has open in a store, once it is there."""

    async def is_open() -> str | None:
        items = (await market.get("/api/sessions", store_id, store=store_id)).json()["items"]
        return next((item["session_id"] for item in items if item["state"] == "open"), None)

    return str(await eventually(is_open))


async def test_a_day_with_every_trouble_agrees_with_the_closings(market: Market, addresses: dict[str, str]) -> None:
    played = await till(market.settings, "simulate", "--stores", "4", *SMALL, *TROUBLE, **addresses)

    assert played.returncode == 0, played.stdout + played.stderr
    assert AGREES in played.stdout
    assert " 0 sent twice" not in played.stdout
    rows = await market.rows("SELECT body FROM corrections WHERE store_id LIKE 'sim-%'")
    assert {"late_order", "recount"} <= {json.loads(row.body)["correction"] for row in rows}
    states = await market.rows("SELECT DISTINCT state FROM sessions WHERE store_id LIKE 'sim-%'")
    assert [row[0] for row in states] == ["closed"]

    again = await till(market.settings, "simulate", "--stores", "4", *SMALL, **addresses)

    assert again.returncode == 2
    assert "Store sim-cafe-1 has sessions already" in again.stdout
    assert "name another --run" in again.stdout


async def test_by_kafka_it_is_the_same_day(market: Market, addresses: dict[str, str]) -> None:
    words = ("--stores", "2", *SMALL, *TROUBLE, "--kafka", "--run", "by-kafka")
    played = await till(market.settings, "simulate", *words, **addresses)

    assert played.returncode == 0, played.stdout + played.stderr
    assert AGREES in played.stdout


async def test_an_interrupt_closes_the_shops_and_recounts(market: Market, long_day: LongDay) -> None:
    store_id = long_day.store_id
    session_id = await opened(market, store_id)

    printed = await long_day.ended()

    assert long_day.process.returncode == 0, printed
    assert "Closing the shops early" in printed
    assert AGREES in printed
    closed = (await market.get(f"/api/sessions/{session_id}", store_id)).json()
    assert closed["state"] == "closed"


async def test_a_stranger_s_movement_is_seen_in_a_table_and_the_exit_code(market: Market, long_day: LongDay) -> None:
    store_id = long_day.store_id
    session_id = await opened(market, store_id)
    pay_in = {
        "kind": "move_cash",
        "command_id": str(uuid4()),
        "store_id": store_id,
        "profile_id": "till-1",
        "session_id": session_id,
        "occurred_at": datetime.now(UTC).isoformat(),
        "actor": {"id": "stranger"},
        "movement": "pay_in",
        "amount_minor": 12_345,
        "category": "unknown",
    }
    assert (await market.post(pay_in)).status_code == 200

    printed = await long_day.ended()

    assert long_day.process.returncode == 1, printed
    assert "The recount does not agree:" in printed
    assert "the service says" in printed
    assert f"{store_id}/till-1 Z 1" in printed
    assert "over_short_minor as it stands" in printed
    assert "tenders.cash.expected_minor" in printed


async def test_where_no_key_is_tokens_come_from_files(
    market: Market, addresses: dict[str, str], tmp_path: Path
) -> None:
    elsewhere = addresses | {"TILL_HOME": str(tmp_path)}
    words = ("simulate", "--stores", "1", *SMALL, "--run", "by-token")

    refused = await till(market.settings, *words, **elsewhere)
    assert refused.returncode == 2
    assert "name --token-file and --manager-token-file" in refused.stdout
    assert list(tmp_path.iterdir()) == []

    files = [tmp_path / "register.jwt", tmp_path / "manager.jwt"]
    for file, role in zip(files, ("register", "manager"), strict=True):
        file.write_text(market.token("by-token-cafe-1", role=role, sub=f"simulated-{role}") + "\n")
    named = ("--token-file", str(files[0]), "--manager-token-file", str(files[1]))
    files[1].rename(tmp_path / "manager.aside")
    files[1].write_text("no token")
    garbled = await till(market.settings, *words, *named, **elsewhere)
    assert garbled.returncode == 2
    assert "holds no token" in garbled.stdout
    (tmp_path / "manager.aside").rename(files[1])
    played = await till(market.settings, *words, *named, **elsewhere)

    assert played.returncode == 0, played.stdout + played.stderr
    assert AGREES in played.stdout


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--offline", "120%"), "no number from 0 to 100"),
        (("--clock-skew", "soon"), "no number from 0 to 86400"),
        (("--duplicates", "-1"), "no number from 0 to 100"),
        (("--run", "no spaces"), "at most 32 letters, digits and hyphens"),
    ],
)
async def test_an_option_that_says_nothing_is_refused(market: Market, words: tuple[str, str], sentence: str) -> None:
    refused = await till(market.settings, "simulate", *words, COLUMNS="250")

    assert refused.returncode == 2
    assert sentence in refused.stderr
