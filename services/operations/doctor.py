"""Looks at everything once and says how it stands, for whoever is called at night. Changes nothing of the ledger."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any, Final, Literal

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncEngine

from services.operations.clocks import broker_clock, database_clock
from services.platform.access_log import UNREADABLE_NAMED_MAX, read_now
from services.platform.auth.tokens import open_verifier
from services.platform.kafka.connection import connection
from services.platform.kafka.partitioners import is_elsewhere, likely_clients
from services.platform.kafka.read_topic import TopicUnread
from services.platform.kafka.topics import DIFFER, TopicsWrong, check_topics, oddities
from services.platform.postgres.engine import open_tool_engine
from services.platform.postgres.migrate import is_behind
from services.platform.settings import Settings
from services.sessions.ledger import queries
from services.sessions.ledger.frontier import LedgerRestored, expired_commands, restored_partitions, sessions_held

LOOK_S: Final = 20.0
"""What does not answer within this time is away."""
SKEW_S: Final = 1.0
NEWEST_MAX: Final = 50
"""Of each partition so many of the newest records are looked at: enough to tell clients apart."""
NEWEST_WAIT_MS: Final = 1_000
"""Nothing more comes after so long where the newest places hold no records."""
OUTAGES: Final = (KafkaError, RedisError, SQLAlchemyError, OSError, TimeoutError, TopicsWrong, TopicUnread)
"""What a look may end with; it says so and the others go on."""

SAFE = ("fsync", "synchronous_commit")

Verdict = Literal["well", "look", "bad", "away"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence. `look`: nothing is broken, and somebody should know. `away`: it could not be looked at."""

    verdict: Verdict
    sentence: str


@dataclass(frozen=True, slots=True)
class _Servers:
    """What is looked at, and what it is looked at with."""

    settings: Settings
    engine: AsyncEngine
    kafka: AIOKafkaConsumer


Look = Callable[[_Servers], Awaitable[Sequence[Finding]]]


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """All findings in their order. What would need a server that is away is left out. To be read to the end."""
    async with AsyncExitStack() as stack:
        engine = open_tool_engine(settings.database_url, "till-doctor", connect_timeout_s=LOOK_S)
        stack.push_async_callback(engine.dispose)
        kafka = AIOKafkaConsumer(**connection(settings), group_id=None, enable_auto_commit=False)
        stack.push_async_callback(kafka.stop)
        servers = _Servers(settings, engine, kafka)
        there = set[str]()
        for name, needs, look in LOOKS:
            if needs <= there:
                findings = await _findings(name, look, servers)
                if not any(finding.verdict == "away" for finding in findings):
                    there.add(name)
                for finding in findings:
                    yield finding


async def _findings(name: str, look: Look, servers: _Servers) -> Sequence[Finding]:
    try:
        async with asyncio.timeout(LOOK_S):
            return await look(servers)
    except OUTAGES as error:
        why = getattr(error, "__cause__", None) or error
        return [Finding("away", f"{name} could not be looked at: {why!s:.300}".rstrip() + _full_stop(str(why)))]


def _full_stop(sentence: str) -> str:
    return "" if sentence.rstrip().endswith(".") else "."


async def _kafka(servers: _Servers) -> Sequence[Finding]:
    await servers.kafka.start()
    return [Finding("well", f"Kafka answers at {servers.settings.kafka}.")]


async def _postgresql(servers: _Servers) -> Sequence[Finding]:
    async with servers.engine.connect() as tx:
        version = (await tx.execute(text("SHOW server_version"))).scalar_one()
        off = [name for name in SAFE if (await tx.execute(text(f"SHOW {name}"))).scalar_one() == "off"]
    well = Finding("well", f"PostgreSQL {version} answers.")
    return [well, *(Finding("bad", f"PostgreSQL runs with {name}=off and would lose commits.") for name in off)]


async def _redis(servers: _Servers) -> Sequence[Finding]:
    redis = Redis.from_url(servers.settings.redis_url, socket_timeout=5, socket_connect_timeout=5)
    try:
        await redis.ping()
    except (RedisError, OSError) as error:
        why = f"Redis does not answer ({error}): batches go on under row locks alone"
        if servers.settings.lock == "required":
            return [Finding("away", f"Redis does not answer ({error}), and TILL_LOCK=required: workers wait for it.")]
        return [Finding("look", f"{why}.")]
    finally:
        await redis.aclose()
    return [Finding("well", "Redis answers.")]


async def _tokens(servers: _Servers) -> Sequence[Finding]:
    if servers.settings.auth == "off":
        return [Finding("look", "TILL_AUTH is off: whoever reaches Kafka speaks as admin of every store.")]
    try:
        open_verifier(servers.settings)
    except ValueError as error:
        return [Finding("bad", f"Tokens can't be verified: {error}")]
    return [Finding("well", "Tokens can be verified.")]


async def _topics(servers: _Servers) -> Sequence[Finding]:
    try:
        facts = await check_topics(servers.settings)
    except TopicsWrong as wrong:
        return [Finding("bad", str(wrong))]
    if odd := oddities(servers.settings, facts):
        return [Finding("look", f"{difference}: {DIFFER}.") for difference in odd]
    return [Finding("well", "The five topics are as promised, LogAppendTime among their settings.")]


async def _tables(servers: _Servers) -> Sequence[Finding]:
    settings = servers.settings
    addresses = {"sessions": settings.database_url, "gateway": settings.database_url}
    addresses["reporting"] = settings.reader_database_url
    behind = [name for name, url in addresses.items() if await is_behind(url, f"services.{name}.migrations")]
    if behind:
        return [Finding("bad", f"The tables of {', '.join(behind)} are not up to date: run `till migrate`.")]
    return [Finding("well", "The tables of all services are up to date.")]


async def _ledger(servers: _Servers) -> Sequence[Finding]:
    async with servers.engine.connect() as tx:
        held = await sessions_held(tx)
        expired = await expired_commands(tx)
    findings = [Finding("well", f"Open sessions: {held['open']}, suspended: {held['suspended']}.")]
    if expired:
        loss = "commands were deleted by the broker before they were read. Let the registers send again what they hold."
        findings.append(Finding("bad", f"{expired} {loss}"))
    return findings


async def _frontier(servers: _Servers) -> Sequence[Finding]:
    settings, kafka = servers.settings, servers.kafka
    topic = settings.topics.commands
    topic_id = (await check_topics(settings))[topic].topic_id
    partitions = [TopicPartition(topic, number) for number in range(settings.topic_partitions)]
    begins, ends = await kafka.beginning_offsets(partitions), await kafka.end_offsets(partitions)
    async with servers.engine.connect() as tx:
        rows = await tx.execute(queries.FRONTIER, {"topic_id": topic_id})
        frontiers = {TopicPartition(topic, row.partition): row.next_offset for row in rows}
        restored = await restored_partitions(tx, topic_id)
    findings = [Finding("bad", str(LedgerRestored()))] if restored else []
    for partition in partitions:
        frontier, where = frontiers.get(partition, begins[partition]), f"partition {partition.partition} of {topic}"
        if frontier < begins[partition]:
            gone = begins[partition] - frontier
            findings.append(Finding("bad", f"{gone} commands of {where} are deleted and were never read."))
        if frontier > ends[partition]:
            sentence = f"The ledger applied {where} up to {frontier}, but it ends at {ends[partition]}"
            findings.append(Finding("bad", f"{sentence}: the topic has lost records. Workers refuse to go on."))
    waiting = sum(max(0, ends[partition] - frontiers.get(partition, begins[partition])) for partition in partitions)
    if waiting:
        return [*findings, Finding("look", f"Commands that wait to be applied: {waiting}.")]
    return findings or [Finding("well", "Every command on the topic is applied.")]


async def _clients(servers: _Servers) -> Sequence[Finding]:
    kafka, topic, count = servers.kafka, servers.settings.topics.commands, servers.settings.topic_partitions
    partitions = [TopicPartition(topic, number) for number in range(count)]
    begins, ends = await kafka.beginning_offsets(partitions), await kafka.end_offsets(partitions)
    newest: list[tuple[bytes | None, int]] = []
    for partition in partitions:
        kafka.assign([partition])
        at = max(begins[partition], ends[partition] - NEWEST_MAX)
        kafka.seek(partition, at)
        while at < ends[partition]:
            batch = await kafka.getmany(partition, timeout_ms=NEWEST_WAIT_MS, max_records=NEWEST_MAX)
            if not (records := batch.get(partition)):
                break
            newest += [(record.key, record.partition) for record in records if record.offset < ends[partition]]
            at = records[-1].offset + 1
    elsewhere = [(key, number) for key, number in newest if key is not None and is_elsewhere(key, number, count)]
    if not elsewhere:
        return [Finding("well", "The newest commands lie where murmur2 puts their keys.")]
    named = likely_clients(elsewhere, count) or ["a client that chooses partitions in a way that is not known here"]
    sentence = f"Of the newest {len(newest)} commands {len(elsewhere)} lie on another partition than murmur2 gives"
    return [Finding("look", f"{sentence}: likely {client}.") for client in named]


async def _letters(servers: _Servers) -> Sequence[Finding]:
    topic = servers.settings.topics.dead_letters
    partitions = [TopicPartition(topic, number) for number in range(servers.settings.topic_partitions)]
    begins, ends = await servers.kafka.beginning_offsets(partitions), await servers.kafka.end_offsets(partitions)
    count = sum(ends[partition] - begins[partition] for partition in partitions)
    if count:
        return [Finding("look", f"Dead letters kept: {count}; `till dead-letters list` shows them.")]
    return [Finding("well", "There are no dead letters.")]


async def _access(servers: _Servers) -> Sequence[Finding]:
    revocations, unreadable = await read_now(servers.settings)
    if unreadable:
        offsets = ", ".join(str(offset) for offset, _ in unreadable[:UNREADABLE_NAMED_MAX])
        which = f"{servers.settings.topics.access} holds {len(unreadable)} records that can't be read, at {offsets}"
        return [Finding("bad", f"{which}: {unreadable[0][1]} No service is ready while they are there.")]
    return [Finding("well", f"Who is revoked can be read: {len(revocations.in_force())} at present.")]


async def _clocks(servers: _Servers) -> Sequence[Finding]:
    broker = await broker_clock(servers.settings)
    apart = broker.ahead_of(await database_clock(servers.engine))
    skew = f"The broker's clock is {abs(apart.ahead_s):.2f} s {'ahead of' if apart.ahead_s > 0 else 'behind'}"
    sentence = f"{skew} the database's, give or take {apart.give_or_take_s:.2f} s"
    if abs(apart.ahead_s) - apart.give_or_take_s > SKEW_S:
        return [Finding("bad", f"{sentence}: idle closing counts from the wrong moment.")]
    return [Finding("well", f"{sentence}.")]


LOOKS: Final[tuple[tuple[str, frozenset[Any], Look], ...]] = (
    ("Kafka", frozenset(), _kafka),
    ("PostgreSQL", frozenset(), _postgresql),
    ("Redis", frozenset(), _redis),
    ("The keys of tokens", frozenset(), _tokens),
    ("The topics", frozenset({"Kafka"}), _topics),
    ("The tables", frozenset({"PostgreSQL"}), _tables),
    ("The ledger", frozenset({"PostgreSQL", "The tables"}), _ledger),
    ("The frontier", frozenset({"Kafka", "The topics", "The ledger"}), _frontier),
    ("The partitions of commands", frozenset({"Kafka", "The topics"}), _clients),
    ("The dead letters", frozenset({"Kafka", "The topics"}), _letters),
    ("The access topic", frozenset({"Kafka", "The topics"}), _access),
    ("The clocks", frozenset({"Kafka", "PostgreSQL"}), _clocks),
)
"""In their order, each with the looks that must have succeeded before."""
