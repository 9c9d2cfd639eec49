"""Publishes the day and follows what comes back: answers, closings, dead letters."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.errors import KafkaError
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from deploy.demo import screen
from deploy.demo.day import Entry
from deploy.demo.tally import News, Tally, complete
from deploy.embedded.stack import StackError
from services.platform.auth import tokens
from services.platform.auth.claims import Role
from services.platform.kafka.connection import connection
from services.platform.settings import Settings

SILENCE_LIMIT_S = 120.0
"""How long nothing may come back before the demo gives up."""
OUTAGE_LIMIT_MS = 110_000
"""How long a record waits for a broker that is away."""
TOKEN_TTL_S = 3_600
POLL_MS = 200
LINES_WITHOUT_TERMINAL = 4

Headers = list[tuple[str, bytes]]


class Playing:
    """The state that publisher and follower share: the tally, the clock, the bars."""

    def __init__(self, console: Console, day: list[Entry], expected: dict[str, Any], pause_s: float = 0) -> None:
        """Nothing published, nothing answered."""
        self.console, self.day, self.expected, self.pause_s = console, day, expected, pause_s
        self.tally = Tally()
        self.shown: set[str] = set()
        self.published = 0
        self.over = self.gave_up = False
        self.seconds = 0.0
        self.begun_at = self.answered_at = self.heard_at = time.perf_counter()
        self.changed = asyncio.Event()
        self.bars = Progress(
            TextColumn("{task.description:>9}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self.sent_bar = self.bars.add_task("published", total=len(day))
        self.answered_bar = self.bars.add_task("answered", total=len(day) - expected["parked"])

    def show(self, news: News | None) -> None:
        """Show every closing and correction, and of everything else the first of its kind."""
        if news is None or (news.kind not in {"closing", "correction"} and news.kind in self.shown):
            return
        self.shown.add(news.kind)
        self.console.print(screen.news_view(news))

    def progress(self) -> None:
        """Move the bars; where there is no terminal, print a line at each quarter."""
        self.bars.update(self.sent_bar, completed=self.published)
        self.bars.update(self.answered_bar, completed=self.tally.answered())
        commands = max(1, len(self.day) - self.expected["parked"])
        quarter = min(self.tally.answered(), commands) * LINES_WITHOUT_TERMINAL // commands
        if not self.console.is_terminal and f"quarter {quarter}" not in self.shown:
            self.shown.add(f"quarter {quarter}")
            figures = f"published {self.published:,}, answered {self.tally.answered():,}"
            self.console.print(Text(f"  {figures} of {len(self.day):,}", style="dim"))


async def play(
    console: Console,
    settings: Settings,
    day: list[Entry],
    expected: dict[str, Any],
    more: Callable[[Tally], dict[str, Any]] | None = None,
    over_s: float = 0,
) -> tuple[Tally, float]:
    """Publish the day and follow it to its end, or to SILENCE_LIMIT_S without news.

    The records are spread over `over_s` seconds. `more` runs in a thread when the day is complete, asks for what it
    likes, and gives what is expected then.
    Gives the tally, and the seconds from the first publish to the last answer of the day read back.
    Raises StackError where a day was played already: its commands would all be repeats.
    """
    playing = Playing(console, day, expected, over_s / len(day))
    async with _consumer(settings) as consumer, producer_of(settings) as producer:
        await _refuse_a_played_topic(consumer, settings)
        with playing.bars:
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(_follow(consumer, settings, playing))
                    both.create_task(_day(producer, settings, playing, more))
            except* KafkaError as errors:
                first = errors.exceptions[0]
                raise StackError(f"Kafka failed in the middle of the day: {first!r}") from first
    return playing.tally, playing.seconds


@asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[AIOKafkaConsumer]:
    """Reads the three topics from their beginning, in no group: it only looks on."""
    topics = settings.topics
    consumer = AIOKafkaConsumer(
        topics.events,
        topics.closings,
        topics.dead_letters,
        **connection(settings),
        group_id=None,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        yield consumer
    finally:
        await consumer.stop()


@asynccontextmanager
async def producer_of(settings: Settings) -> AsyncIterator[AIOKafkaProducer]:
    """Idempotent and acknowledged by all replicas: what this wire calls acknowledged."""
    producer = AIOKafkaProducer(
        **connection(settings), acks="all", enable_idempotence=True, linger_ms=5, request_timeout_ms=OUTAGE_LIMIT_MS
    )
    await producer.start()
    try:
        yield producer
    finally:
        await producer.stop()


async def _refuse_a_played_topic(consumer: AIOKafkaConsumer, settings: Settings) -> None:
    """Tills may have been set up: answers to that are passed over, and anything else is of a day."""
    ends = await consumer.end_offsets(consumer.assignment())
    played = any(end for partition, end in ends.items() if partition.topic != settings.topics.events)
    while not played and [partition for partition, end in ends.items() if await consumer.position(partition) < end]:
        batches = await consumer.getmany(timeout_ms=POLL_MS)
        answers = [json.loads(record.value) for records in batches.values() for record in records]
        played = any(answer.get("kind") != "profile_set" for answer in answers)
    if played:
        raise StackError(
            f"There are answers in {settings.home} already: the demo needs an empty ledger. "
            "Leave --home out, or name a new folder."
        )


async def _day(
    producer: AIOKafkaProducer,
    settings: Settings,
    playing: Playing,
    more: Callable[[Tally], dict[str, Any]] | None,
) -> None:
    """The day itself, its clock stopped when it is complete; then what comes after it."""
    await _publish(producer, settings, playing)
    await _until(playing, lambda: complete(playing.tally, playing.expected))
    playing.seconds = playing.answered_at - playing.begun_at
    if more is not None and not playing.gave_up:
        playing.expected = await asyncio.to_thread(more, playing.tally)
    playing.over = True


async def _publish(producer: AIOKafkaProducer, settings: Settings, playing: Playing) -> None:
    headers = _headers(settings, playing.day)
    acknowledged = []
    playing.begun_at = playing.heard_at = time.perf_counter()
    for entry in playing.day:
        # A wrong key may lead to another partition, where the order of this till is not kept.
        stray = entry.command_id is not None and not entry.has_right_key
        if stray:
            await _until(playing, lambda: not playing.tally.owed.total())
        playing.tally.publish(entry)
        acknowledged.append(
            await producer.send(
                settings.topics.commands,
                entry.value,
                key=entry.key,
                headers=headers[entry.signed_by, entry.manager],
            )
        )
        playing.published += 1
        await asyncio.sleep(playing.pause_s)
        if stray:
            await _until(playing, lambda: not playing.tally.owed.total())
        if playing.gave_up:
            break
    await producer.flush()
    for future in acknowledged:
        await future


async def _until(playing: Playing, reached: Callable[[], bool]) -> None:
    """Wait until enough has come back, or the follower has given up."""
    while not reached() and not playing.gave_up:
        playing.changed.clear()
        await playing.changed.wait()


def _headers(settings: Settings, day: list[Entry]) -> dict[tuple[str | None, str | None], Headers]:
    """The authorization header of every register's and manager's store; none for whoever has no token."""
    headers: dict[tuple[str | None, str | None], Headers] = {(None, None): []}
    for store, manager in {(entry.signed_by, entry.manager) for entry in day if entry.signed_by}:
        role: Role = "manager" if manager else "register"
        sub = manager or f"register-{store}"
        token = tokens.mint(
            settings,
            sub=sub,
            role=role,
            stores=[str(store)],
            ttl_s=TOKEN_TTL_S,
            audiences=[tokens.COMMANDS_AUDIENCE],
        )
        headers[store, manager] = [("authorization", f"Bearer {token}".encode())]
    return headers


async def _follow(consumer: AIOKafkaConsumer, settings: Settings, playing: Playing) -> None:
    """Take in what comes until the day is complete, or nothing has come for SILENCE_LIMIT_S."""
    while not _finished(playing):
        batches = await consumer.getmany(timeout_ms=POLL_MS)
        for partition, records in batches.items():
            for record in records:
                playing.show(_take(playing.tally, settings, partition.topic, record))
            playing.heard_at = time.perf_counter()
            if partition.topic == settings.topics.events:
                playing.answered_at = playing.heard_at
        playing.progress()
        playing.changed.set()
        if time.perf_counter() - playing.heard_at > SILENCE_LIMIT_S:
            playing.gave_up = True
    playing.changed.set()


def _finished(playing: Playing) -> bool:
    return playing.gave_up or (playing.over and complete(playing.tally, playing.expected))


def _take(tally: Tally, settings: Settings, topic: str, record: Any) -> News | None:
    headers = dict(record.headers)
    if topic == settings.topics.events:
        return tally.answer(headers["ce_id"].decode(), record.value)
    if topic == settings.topics.closings:
        return tally.closing(headers["ce_id"].decode(), record.value)
    position = b"/".join(headers[f"till-{part}"] for part in ("topic", "partition", "offset"))
    return tally.park(position.decode(), record.value, headers["till-error"].decode())
