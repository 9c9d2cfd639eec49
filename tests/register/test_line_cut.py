"""Whatever happens to its line: a register loses nothing, doubles nothing and goes on by itself."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.gateway.access import api_keys
from services.register import kafka_line, sender
from services.register.register import Register
from services.register.settings import RegisterSettings
from tests.register.whole_day import Count, counted, play, until_down, until_sent
from tests.support.access import new_key, revoke_key
from tests.support.cut_line import CutLine, cut_line
from tests.support.market import Market
from tests.support.waiting import eventually

SALES = 40
Record = Callable[[str, object], None]


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """The waits between two tries, a tenth and less of what they are."""
    monkeypatch.setattr(sender, "HOLD_S", 0.05)
    monkeypatch.setattr(sender, "HOLD_S_MAX", 0.5)


@pytest.fixture
async def line(market: Market) -> AsyncIterator[CutLine]:
    """A line to the market's gateway."""
    async with cut_line(*address_of(str(market.client.base_url))) as line:
        yield line


def address_of(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname is not None
    assert parts.port is not None
    return parts.hostname, parts.port


@asynccontextmanager
async def opened(line: CutLine, folder: Path, **more: Any) -> AsyncIterator[Register]:
    """A register of the till p1 by this line, with the key in the folder's file."""
    settings = RegisterSettings(
        outbox=folder / "register.outbox",
        gateway_url=f"http://{line.address}",
        api_key_file=folder / "key",
        store_id="s1",
        profile_id="p1",
        actor="ana",
        currency="MXN",
        **more,
    )
    async with Register(settings) as register:
        yield register


def as_it_should_be(count: Count) -> None:
    assert (count.lost, count.doubled, count.refused) == (0, 0, 0), count
    assert count.answered == count.taken, count
    assert count.cash_minor == count.expected_minor, count


async def test_the_line_is_cut_in_the_middle_of_a_day(
    market: Market, line: CutLine, tmp_path: Path, record_property: Record
) -> None:
    await new_key(market.engine, tmp_path / "key")
    async with opened(line, tmp_path) as register:

        async def cut() -> None:
            line.cut()

        async def mend() -> None:
            await until_down(register)
            waits = (await register.status()).counts.queued
            assert waits >= 15, "the till went on selling"
            line.mend()

        taken = await play(register, SALES, {10: cut, 30: mend})
        count = await counted(market, register, taken)
        status = await register.status()

    record_property("faults", f"register, line cut: {count}")
    as_it_should_be(count)
    assert (status.line_up, status.let_in, status.counts.queued) == (True, True, 0)


async def test_the_line_ends_in_the_middle_of_replies_again_and_again(
    market: Market, line: CutLine, tmp_path: Path, record_property: Record
) -> None:
    """The service has worked on what was sent, and the register never hears of it."""
    await new_key(market.engine, tmp_path / "key")
    cuts = 0

    async def cut_and_mend() -> None:
        nonlocal cuts
        size = 1
        while True:
            line.cut_after_bytes = size
            size = (size * 3 + 1) % 1_009
            while not line.is_cut:
                await asyncio.sleep(0.01)
            cuts += 1
            line.mend()

    async with opened(line, tmp_path) as register:
        cutting = asyncio.create_task(cut_and_mend())
        taken = await play(register, SALES // 2, {})

        async def often() -> bool:
            return cuts >= 15 or (await register.status()).counts.queued == 0

        await eventually(often)
        cutting.cancel()
        line.mend()
        count = await counted(market, register, taken)

    record_property("faults", f"register, line cut {cuts} times in the middle of replies: {count}")
    as_it_should_be(count)
    assert cuts >= 10


async def test_the_program_is_started_again_while_the_line_is_cut(
    market: Market, line: CutLine, tmp_path: Path, record_property: Record
) -> None:
    await new_key(market.engine, tmp_path / "key")
    async with opened(line, tmp_path) as register:

        async def cut() -> None:
            line.cut()

        taken = await play(register, SALES, {20: cut})
    line.mend()
    async with opened(line, tmp_path) as register:
        count = await counted(market, register, taken)

    record_property("faults", f"register, started again while its line was cut: {count}")
    as_it_should_be(count)


async def test_the_gateway_is_killed_and_another_one_is_started(
    market: Market, tmp_path: Path, record_property: Record
) -> None:
    await new_key(market.engine, tmp_path / "key")
    process = market.start("gateway")
    await process.until_logged("gateway_started")
    async with (
        cut_line(*address_of(process.address("gateway_started"))) as line,
        opened(line, tmp_path) as register,
    ):

        async def kill() -> None:
            process.kill()

        async def start() -> None:
            await until_down(register)
            another = market.start("gateway")
            await another.until_logged("gateway_started")
            line.lead_to(*address_of(another.address("gateway_started")))

        taken = await play(register, SALES, {10: kill, 30: start})
        count = await counted(market, register, taken)

    record_property("faults", f"register, gateway killed: {count}")
    as_it_should_be(count)


async def test_the_key_is_revoked_and_a_new_one_is_put_into_the_file(
    market: Market, line: CutLine, tmp_path: Path, record_property: Record
) -> None:
    key_id = await new_key(market.engine, tmp_path / "key")
    async with opened(line, tmp_path) as register:

        async def revoke() -> None:
            await until_sent(register)
            # Not before the gateway knows: what comes until then is let in.
            traded = await market.client.post(
                "/auth/key-token", headers={"x-api-key": (tmp_path / "key").read_text().strip()}
            )
            bearer = {"authorization": f"Bearer {traded.json()['access_token']}"}
            await revoke_key(market.settings, market.engine, "s1", key_id)

            async def is_refused() -> bool:
                return (await market.client.get("/api/tills", headers=bearer)).status_code == 401

            await eventually(is_refused)

        async def renew() -> None:
            async def is_held() -> bool:
                return not (await register.status()).let_in

            await eventually(is_held)
            status = await register.status()
            assert status.line_up is False
            assert str(tmp_path / "key") in status.line, "it says what to do"
            await new_key(market.engine, tmp_path / "key")

        taken = await play(register, SALES, {10: revoke, 30: renew})
        count = await counted(market, register, taken)
        status = await register.status()

    record_property("faults", f"register, key revoked and a new one given: {count}")
    as_it_should_be(count)
    assert (status.line_up, status.let_in) == (True, True)


async def test_the_key_is_rotated_in_the_middle_of_a_day(
    market: Market, line: CutLine, tmp_path: Path, record_property: Record
) -> None:
    key_id = await new_key(market.engine, tmp_path / "key")
    async with opened(line, tmp_path) as register:

        async def rotate() -> None:
            await until_sent(register)
            async with market.engine.begin() as tx:
                secret = await api_keys.rotate(tx, "s1", key_id, overlap_s=0)
            assert secret is not None
            (tmp_path / "key").write_text(secret)

        taken = await play(register, SALES, {20: rotate})
        count = await counted(market, register, taken)

    record_property("faults", f"register, key rotated: {count}")
    as_it_should_be(count)


@pytest.fixture
def frozen_broker(market: Market) -> Iterator[Callable[[], None]]:
    """Freezes the broker; it goes on at the end in any case."""
    if "kafka" not in market.stack.pids:
        pytest.skip("servers in containers can't be frozen from here")
    pid = market.stack.pids["kafka"]
    yield lambda: os.kill(pid, signal.SIGSTOP)
    os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("way", ["the gateway", "Kafka"])
async def test_the_broker_is_away(
    market: Market,
    line: CutLine,
    tmp_path: Path,
    record_property: Record,
    frozen_broker: Callable[[], None],
    monkeypatch: pytest.MonkeyPatch,
    way: str,
) -> None:
    monkeypatch.setattr(kafka_line, "SENT_WITHIN_S", 2.0)
    await new_key(market.engine, tmp_path / "key")
    kafka = {"kafka": market.settings.kafka, "topic_prefix": market.settings.topic_prefix} if way == "Kafka" else {}
    async with opened(line, tmp_path, **kafka) as register:

        async def freeze() -> None:
            frozen_broker()

        async def thaw() -> None:
            if way == "Kafka":
                await until_down(register)
            assert (await register.status()).counts.queued >= 15
            os.kill(market.stack.pids["kafka"], signal.SIGCONT)

        taken = await play(register, SALES, {10: freeze, 30: thaw})
        count = await counted(market, register, taken)

    record_property("faults", f"register by {way}, broker frozen: {count}")
    as_it_should_be(count)


async def test_a_day_by_kafka(market: Market, line: CutLine, tmp_path: Path, record_property: Record) -> None:
    """With the gateway away meanwhile: what is sent is on the topic, and its answers wait."""
    await new_key(market.engine, tmp_path / "key")
    kafka = {"kafka": market.settings.kafka, "topic_prefix": market.settings.topic_prefix}
    async with opened(line, tmp_path, **kafka) as register:

        async def cut() -> None:
            line.cut()

        async def mend() -> None:
            await until_down(register)
            line.mend()

        taken = await play(register, SALES, {15: cut, 25: mend})
        count = await counted(market, register, taken)

    record_property("faults", f"register by Kafka, gateway away: {count}")
    as_it_should_be(count)
