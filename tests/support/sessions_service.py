"""The sessions service with real workers as processes: what is sent to it and what comes back from its topics."""

import asyncio
import os
import signal
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Sequence
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass, field
from typing import Any

import orjson
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, ConsumerRecord, TopicPartition
from kafka import TopicPartition as Place
from kafka.admin import KafkaAdminClient, OffsetSpec
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from contracts.topics import DEAD_LETTER_BYTES_MAX, RECORD_BYTES_MAX, key_of
from deploy.embedded.stack import Stack, running
from services.platform.auth.tokens import COMMANDS_AUDIENCE, mint
from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.profiles import read_profiles
from tests.support import failing_worker
from tests.support.commands import STORE, Body, written
from tests.support.processes import ServiceProcess
from tests.support.profiles import import_profiles
from tests.support.waiting import eventually

FAST_SESSION_TIMEOUT_MS = 6_000
"""The shortest that brokers allow: the group learns of a dead worker in half the time."""


@dataclass
class Seen:
    """All records of the topics that the service writes, in the order of each partition."""

    events: list[ConsumerRecord] = field(default_factory=list)
    closings: list[ConsumerRecord] = field(default_factory=list)
    letters: list[ConsumerRecord] = field(default_factory=list)
    answered: set[str] = field(default_factory=set)

    def answers(self) -> dict[str, list[ConsumerRecord]]:
        """The deliveries of answers by the command that they answer."""
        deliveries: dict[str, list[ConsumerRecord]] = defaultdict(list)
        for record in self.events:
            deliveries[header(record, "till-command-id").decode()].append(record)
        return deliveries

    def first_answers(self) -> dict[str, Body]:
        """Each command's answer, read."""
        return {command_id: orjson.loads(records[0].value) for command_id, records in self.answers().items()}


class SessionsService:
    """One ledger: its settings, its workers, what was sent and what was seen."""

    def __init__(self, settings: Settings, stack: Stack, engine: AsyncEngine, producer: AIOKafkaProducer) -> None:
        self.settings = settings
        self.stack = stack
        self.engine = engine
        self.producer = producer
        self.seen = Seen()
        self.sent: list[Body] = []
        self.workers: list[ServiceProcess] = []

    def worker(self, *arguments: str, **changed: str) -> ServiceProcess:
        """Start a worker; `changed` are settings of its own, by their names in the environment."""
        log = self.settings.home / f"worker-{len(self.workers)}.log"
        self.workers.append(ServiceProcess(failing_worker.start, arguments, log, self.settings, changed))
        return self.workers[-1]

    async def ready_worker(self, *arguments: str, **changed: str) -> ServiceProcess:
        """Start a worker and wait until it has its partitions."""
        worker = self.worker(*arguments, **changed)
        await worker.until_logged("worker_reads")
        return worker

    async def profiles(self, names: Iterable[str], store: str = STORE) -> None:
        """Set up tills."""
        file = self.settings.home / "profiles.csv"
        rows = "".join(f"{store},{name},Till {name},MXN\n" for name in names)
        file.write_text(f"store_id,profile_id,name,currency\n{rows}")
        await import_profiles(self.engine, read_profiles(file))

    async def send(self, bodies: Sequence[Body], partitions: Sequence[int] | None = None) -> None:
        """Publish commands in their order, acknowledged; by their right key, or to the partitions named."""
        waiting = []
        for position, body in enumerate(bodies):
            key = key_of(body["store_id"], body["profile_id"])
            partition = None
            if partitions is not None:
                key, partition = b"wrong-%d" % position, partitions[position % len(partitions)]
            waiting.append(
                await self.producer.send(
                    self.settings.topics.commands,
                    written(body),
                    key=key,
                    partition=partition,
                    headers=self._rights(body),
                )
            )
        for acknowledged in waiting:
            await acknowledged
        self.sent += bodies

    def _rights(self, body: Body) -> list[tuple[str, bytes]]:
        """Where tokens are asked for, one of whoever may send this: a register, or the manager who is its actor."""
        if self.settings.auth == "off":
            return []
        sets = body["kind"] == "set_profile"
        token = mint(
            self.settings,
            sub=body["actor"]["id"] if sets else "r1",
            role="manager" if sets else "register",
            stores=[body["store_id"]],
            ttl_s=600,
            audiences=[COMMANDS_AUDIENCE],
        )
        return [("authorization", f"Bearer {token}".encode())]

    async def all_answered(self, bodies: Iterable[Body] | None = None, within_s: float = 60.0) -> None:
        """Wait until every command that was sent has an answer."""
        ids = {body["command_id"] for body in (self.sent if bodies is None else bodies)}

        async def answered() -> bool:
            return ids <= self.seen.answered

        try:
            await eventually(answered, within_s=within_s)
        except TimeoutError:
            missing = len(ids - self.seen.answered)
            raise AssertionError(f"{missing} of {len(ids)} commands have no answer after {within_s} s") from None

    async def until(self, holds: Callable[[], bool], within_s: float = 60.0) -> None:
        """Wait until something holds of what was seen."""

        async def held() -> bool:
            return holds()

        await eventually(held, within_s=within_s)

    async def query(self, statement: str) -> list[Any]:
        """Ask the ledger."""
        async with self.engine.connect() as tx:
            return list(await tx.execute(text(statement)))

    async def change(self, statement: str) -> None:
        """Change the ledger behind the service's back."""
        async with self.engine.begin() as tx:
            await tx.execute(text(statement))

    async def digest(self) -> list[Any]:
        """What the ledger holds, as one fingerprint a table."""
        tables = ("journal", "sessions", "tills", "closings", "place_answers", "reused_answers")
        return [
            await self.query(f"SELECT md5(string_agg(t::text, '' ORDER BY t::text)) FROM {table} t")  # noqa: S608
            for table in tables
        ]

    async def reset_offsets(self, to: OffsetSpec = OffsetSpec.EARLIEST) -> None:
        """Commit other offsets for the group, which must have no worker."""

        def reset() -> None:
            numbers = range(self.settings.topic_partitions)
            with closing(KafkaAdminClient(bootstrap_servers=self.settings.kafka)) as admin:
                positions = {Place(self.settings.topics.commands, number): to for number in numbers}
                admin.reset_group_offsets(self.settings.sessions_group, positions)

        await asyncio.to_thread(reset)

    async def in_server(self, statement: str) -> None:
        """Let the server do what is done outside of any database and transaction."""
        engine = create_async_engine(self.stack.database_url, isolation_level="AUTOCOMMIT")
        try:
            async with engine.connect() as connection:
                await connection.execute(text(statement))
        finally:
            await engine.dispose()

    async def back_up(self) -> str:
        """Copy the ledger's database as it is now; nobody may be connected to it. The copy's name."""
        name = database_of(self.settings)
        await self.in_server(f"CREATE DATABASE {name}_copy TEMPLATE {name}")
        return f"{name}_copy"

    async def restore(self, copy: str) -> None:
        """Put an older copy in the place of the ledger's database, whoever is connected to it."""
        name = database_of(self.settings)
        await self.in_server(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        await self.in_server(f"DROP DATABASE {name} WITH (FORCE)")
        await self.in_server(f"ALTER DATABASE {copy} RENAME TO {name}")

    def redis(self) -> Redis:
        """A client of the stack's Redis, to be closed after use."""
        return Redis.from_url(self.settings.redis_url)

    def signal_server(self, name: str, which: signal.Signals) -> None:
        """Send a signal to a server of the stack."""
        stack = running(self.stack.home)
        assert stack is not None
        os.kill(stack.pids[name], which)


@asynccontextmanager
async def opened_service(settings: Settings, stack: Stack) -> AsyncIterator[SessionsService]:
    """The service with tables and topics, and no worker yet; at the end nothing of it runs any more."""
    settings = settings.model_copy(update={"auth": "off"})
    await upgrade(settings.database_url, "services.sessions.migrations")
    await create_topics(settings)
    engine = create_async_engine(settings.database_url, poolclass=NullPool)
    producer = AIOKafkaProducer(
        bootstrap_servers=settings.kafka, acks="all", enable_idempotence=True, max_request_size=RECORD_BYTES_MAX
    )
    await producer.start()
    service = SessionsService(settings, stack, engine, producer)
    following = asyncio.create_task(_follow(settings, service.seen))
    try:
        yield service
    finally:
        for worker in service.workers:
            worker.kill()
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
        await producer.stop()
        await engine.dispose()


async def _follow(settings: Settings, seen: Seen) -> None:
    """Read everything that the service writes, from the beginning."""
    topics = settings.topics
    consumer = AIOKafkaConsumer(bootstrap_servers=settings.kafka, max_partition_fetch_bytes=DEAD_LETTER_BYTES_MAX)
    try:
        await consumer.start()
        by_topic = {topics.events: seen.events, topics.closings: seen.closings, topics.dead_letters: seen.letters}
        positions = [TopicPartition(name, number) for name in by_topic for number in range(settings.topic_partitions)]
        consumer.assign(positions)
        await consumer.seek_to_beginning(*positions)
        while True:
            for position, records in (await consumer.getmany(timeout_ms=100)).items():
                by_topic[position.topic] += records
                if position.topic == topics.events:
                    seen.answered.update(header(record, "till-command-id").decode() for record in records)
    finally:
        await consumer.stop()


def header(record: ConsumerRecord, name: str) -> bytes:
    """The value of a record's one header of this name."""
    values = [value for key, value in record.headers if key == name]
    assert len(values) == 1, f"{name}: {values}"
    return bytes(values[0])


def identity(record: ConsumerRecord) -> tuple[Any, ...]:
    """What must be the same on every delivery: key, value and the CloudEvents headers."""
    marks = tuple(pair for pair in record.headers if pair[0].startswith("ce_"))
    return record.key, record.value, marks


def database_of(settings: Settings) -> str:
    """The name of the ledger's database."""
    name = make_url(settings.database_url).database
    assert name is not None
    return name


def distinct(records: Collection[ConsumerRecord]) -> int:
    """How many different records there are among deliveries."""
    return len({identity(record) for record in records})
