"""The registers in `contracts/examples/registers` play a restaurant's day, and its closings are the golden ones."""

import asyncio
import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord, TopicPartition
from kafka import TopicPartition as Place
from kafka.admin import KafkaAdminClient

from contracts.events import CLAIMLESS
from contracts.jsontext import compact
from deploy.embedded.stack import Stack
from services.platform.auth.tokens import COMMANDS_AUDIENCE, mint
from services.platform.kafka.partitioners import murmur2_of
from tests.support.example_programs import EXAMPLES, PATIENCE_S, build, code_lines, of_each_language, sources
from tests.support.golden_cases import HERE, load
from tests.support.market import Market, opened_market
from tests.support.profiles import import_profiles
from tests.support.waiting import eventually

DAY: Final = EXAMPLES / "registers" / "day.jsonl"
STORY: Final = json.loads((HERE / "restaurant-day.json").read_bytes())
GOLDEN: Final = ("closing.restaurant.json", "closing_correction.tips.json")
EXPECTED: Final = [f"{answer['command_id']} {answer['command_kind']} {answer['kind']}" for answer in STORY["answers"]]
KEY: Final = b"restaurant-day/till-1"
PARTITIONS: Final = 12
"""As many as topics have by themselves: of three, other partitioners choose the same one for this key."""
LINES_MAX: Final = 80
"""Of code."""


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A language's register, built once: the folder and the words that start it there."""
    return build("registers", request.param, tmp_path_factory.mktemp("register"))


@pytest.fixture
async def restaurant(stack: Stack, tmp_path: Path) -> AsyncIterator[Market]:
    """A market of its own, with the till of the day and nothing else that happened there."""
    async with opened_market(stack, tmp_path, topic_partitions=PARTITIONS) as market:
        await import_profiles(market.engine, load("restaurant-day", tmp_path).profiles)
        yield market


class Register:
    """One language's register at the restaurant."""

    def __init__(self, folder: Path, command: list[str], market: Market) -> None:
        self._folder, self._command, self._market = folder, command, market
        self._started: list[subprocess.Popen[str]] = []

    def start(
        self, sends: str | None = None, asks: str | None = None, gateway: str | None = None
    ) -> subprocess.Popen[str]:
        """Start it, with good tokens or others, at the market's gateway or another."""
        settings = self._market.settings
        gateway = gateway or str(self._market.client.base_url)
        tokens = {"SENDS": sends or self.sends(), "ASKS": asks or self._market.token("restaurant-day", sub="till-1")}
        process = subprocess.Popen(
            [*self._command, settings.kafka, settings.topics.commands, gateway, str(DAY)],
            cwd=self._folder,
            env=os.environ | tokens,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._started.append(process)
        return process

    def kill(self) -> None:
        """End whatever of it still runs."""
        for process in self._started:
            process.kill()
            process.communicate()

    def sends(self, store: str = "restaurant-day") -> str:
        """A token for the records of a store's register."""
        market = self._market.settings
        return mint(market, sub="till-1", role="register", stores=[store], ttl_s=600, audiences=[COMMANDS_AUDIENCE])

    async def run(self, **tokens: str) -> tuple[int, list[str], str]:
        """Run it to its end: its status, the lines it printed, and what it complained of."""
        process = self.start(**tokens)
        printed, complained = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)
        return process.returncode, printed.splitlines(), complained


@pytest.fixture
async def register(built: tuple[Path, list[str]], restaurant: Market) -> AsyncIterator[Register]:
    """A register there, not started yet."""
    register = Register(*built, restaurant)
    yield register
    register.kill()


async def published(market: Market, topic: str) -> list[ConsumerRecord]:
    """All records of a topic so far, by partition."""
    consumer = AIOKafkaConsumer(bootstrap_servers=market.settings.kafka)
    await consumer.start()
    try:
        positions = [TopicPartition(topic, number) for number in range(PARTITIONS)]
        consumer.assign(positions)
        await consumer.seek_to_beginning(*positions)
        waiting = {position for position, end in (await consumer.end_offsets(positions)).items() if end}
        records: list[ConsumerRecord] = []
        while waiting:
            for some in (await consumer.getmany(timeout_ms=100)).values():
                records += some
            ends = await consumer.end_offsets(list(waiting))
            waiting = {position for position in waiting if await consumer.position(position) < ends[position]}
        return sorted(records, key=lambda record: (record.partition, record.offset))
    finally:
        await consumer.stop()


def producers(market: Market, partition: int) -> int:
    """How many idempotent producers have written to this partition of the commands."""
    with closing(KafkaAdminClient(bootstrap_servers=market.settings.kafka)) as admin:
        position = Place(market.settings.topics.commands, partition)
        return len(admin.describe_producers([position])[position].active_producers)


def without_receipt(message: dict[str, Any]) -> dict[str, Any]:
    """A message without the one time that is the broker's."""
    return {name: value for name, value in message.items() if name != "received_at"}


@pytest.mark.timeout(1800)
@of_each_language
async def test_a_register_plays_the_day_and_its_closings_are_the_golden_ones(
    register: Register, restaurant: Market
) -> None:
    # Who may not ask says so and sends nothing.
    status, lines, complaint = await register.run(asks="nobody's")
    assert (status, lines) == (1, [])
    assert "The gateway does not take the token in ASKS: " in complaint
    assert await published(restaurant, restaurant.settings.topics.commands) == []

    # A token of another store: the first command is refused, and nothing is sent behind it.
    status, lines, complaint = await register.run(sends=register.sends("s1"))
    opening = STORY["records"][0]["value"]["command_id"]
    assert (status, lines) == (1, [f"{opening} open_session command_rejected"]), complaint
    assert f"{opening} was refused (forbidden): " in complaint

    # With a good one, the refusal from before is not taken for the answer. It ends as by a power cut, and begins anew.
    process = register.start()
    assert process.stdout is not None
    for line in EXPECTED[:5]:
        assert (await asyncio.to_thread(process.stdout.readline)).rstrip() == line
    process.send_signal(signal.SIGKILL)
    await asyncio.to_thread(process.communicate)
    assert (await register.run())[:2] == (0, EXPECTED)

    sent = await published(restaurant, restaurant.settings.topics.commands)
    partition = murmur2_of(KEY) % PARTITIONS
    assert {(record.key, record.partition) for record in sent} == {(KEY, partition)}
    assert {record.value for record in sent} == set(DAY.read_bytes().splitlines())
    assert all([name for name, _ in record.headers] == ["authorization"] for record in sent)
    # The first run's, the second one's, and the third one's, unless the second was through before it ended.
    assert producers(restaurant, partition) in (2, 3)

    # Once more: everything has its answer, so nothing is sent and nothing changes.
    assert (await register.run())[:2] == (0, EXPECTED)
    assert len(await published(restaurant, restaurant.settings.topics.commands)) == len(sent)

    async def all_closed() -> list[ConsumerRecord] | None:
        records = await published(restaurant, restaurant.settings.topics.closings)
        return records if len(records) >= len(STORY["closings"]) else None

    records = await eventually(all_closed) or []
    closings = [json.loads(record.value) for record in records]
    golden = [json.loads((EXAMPLES.parent / "golden" / name).read_bytes()) for name in GOLDEN]
    assert [record.value for record in records[:2]] == [compact(STORY["closings"][0]), compact(golden[0])]
    assert [*map(without_receipt, closings[2:])] == [without_receipt(golden[1])]


@pytest.mark.timeout(1800)
@of_each_language
async def test_a_register_waits_for_a_gateway_that_is_away(
    register: Register, restaurant: Market, free_port: int
) -> None:
    gateway = f"127.0.0.1:{free_port}"
    process = register.start(gateway=f"http://{gateway}")
    assert process.stderr is not None
    complaint = await asyncio.to_thread(process.stderr.readline)
    assert "The gateway is asked again: " in complaint

    async with restaurant.another_gateway(gateway_http=gateway):
        printed, _ = await asyncio.to_thread(process.communicate, timeout=PATIENCE_S)

    assert process.returncode == 0
    assert printed.splitlines() == EXPECTED


def test_the_file_of_the_day_is_the_golden_one() -> None:
    assert [json.loads(line) for line in DAY.read_bytes().splitlines()] == [r["value"] for r in STORY["records"]]


def test_registers_know_the_refusals_that_claim_nothing() -> None:
    for file in sources("registers"):
        text = file.read_text(encoding="utf-8").replace('"', " ").replace(",", " ")
        assert {word for word in text.split() if word in CLAIMLESS} == CLAIMLESS, file


def test_a_register_is_read_in_one_go() -> None:
    assert {file: lines for file in sources("registers") if (lines := code_lines(file)) > LINES_MAX} == {}
