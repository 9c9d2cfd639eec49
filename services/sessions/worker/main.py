"""The sessions worker: connects everything, hands clocks and connections inwards, and runs until it is told to stop."""

import gc
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import partial
from types import BuiltinFunctionType
from typing import Any, Final

import structlog
from faststream import AckPolicy, FastStream
from faststream.kafka import KafkaBroker, KafkaMessage
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform import access_log
from services.platform.access_log import AccessLog
from services.platform.auth.tokens import open_verifier
from services.platform.errors import TillError
from services.platform.http.connection import TimeLimits
from services.platform.http.server import health_app, serve
from services.platform.kafka.connection import connection
from services.platform.kafka.fair_consumer import FairConsumer
from services.platform.kafka.topics import check_topics
from services.platform.postgres.engine import open_check_engine
from services.platform.settings import Settings
from services.sessions.ledger.engine import ledger_engine
from services.sessions.ledger.frontier import LedgerRestored, expired_commands, restored_partitions
from services.sessions.rules import decide
from services.sessions.worker.apply import FaultPoint
from services.sessions.worker.batch_retry import BatchRunner
from services.sessions.worker.consumer import Consumer, no_fault_point
from services.sessions.worker.frontier_positions import DRAIN_S, FrontierPositions, Rebalance
from services.sessions.worker.idle_sweeper import sweeping
from services.sessions.worker.lag import Lag, watching
from services.sessions.worker.lock import Locks
from services.sessions.worker.metrics import TOPIC_PARTITIONS
from services.sessions.worker.place_answers import forgetting, kept_s
from services.sessions.worker.publisher import Publisher
from services.sessions.worker.read_record import Verify, verify_with

log = structlog.get_logger()

SESSION_TIMEOUT_MS: Final = 12_000
"""The group waits so long for a silent worker; every time-out of the database below is shorter."""
HEARTBEAT_MS: Final = 3_000
REBALANCE_TIMEOUT_MS: Final = int(DRAIN_S * 1_000) + 10_000
POLL_INTERVAL_MS: Final = 120_000
BATCH_WAIT_MS: Final = 1
"""FastStream sleeps so long after each empty poll; a command that falls into it waits as long."""
GRACEFUL_STOP_S: Final = 25.0

GC_NEW_OBJECTS: Final = 1_000_000
"""Python looks for garbage cycles after so many new objects. A batch's objects live until it ends: while it does,
looking finds nothing and costs up to half of a command's time. Two of the largest batches have about 500,000."""


class DatabaseWrong(TillError, ValueError):
    """The database would lose what it has acknowledged; the message says why."""


async def run(settings: Settings, fault_point: FaultPoint = no_fault_point) -> None:
    """Run one worker until SIGTERM or SIGINT; the batch in hand is finished.

    `fault_point` is called between the steps of a batch; the fault tests put their kills there.
    """
    gc.freeze()
    gc.set_threshold(GC_NEW_OBJECTS, 20, 20)
    facts = await check_topics(settings)
    topics = settings.topics
    failure: list[BaseException] = []
    async with AsyncExitStack() as stack:
        engine = ledger_engine(settings.database_url)
        stack.push_async_callback(engine.dispose)
        await _check_database(engine)
        locks = Locks(settings.redis_url, settings.lock, settings.topic_prefix)
        stack.push_async_callback(locks.close)
        publisher = Publisher(settings)
        await publisher.start()
        stack.push_async_callback(publisher.stop)

        def stop(why: BaseException) -> None:
            failure.append(why)
            app.exit()

        access = await _access(settings, stack, stop)
        lag = Lag()
        topic_id = facts[topics.commands].topic_id
        runner = BatchRunner(
            engine=engine,
            locks=locks,
            publisher=publisher,
            topics=topics,
            topic_id=topic_id,
            partitions=settings.topic_partitions,
            lag=lag,
            fault_point=fault_point,
        )
        consumer = Consumer(
            runner=runner,
            positions=FrontierPositions(engine, topic_id),
            lag=lag,
            topics=topics,
            verify=None if access is None else _verify(settings, access),
            access=access,
            stop=stop,
            fault_point=fault_point,
        )
        broker = _broker(settings, consumer)

        async def read_fairly() -> None:
            await _read_through(broker, consumer)

        app = FastStream(broker, logger=None, on_startup=[read_fairly], on_shutdown=[consumer.finish])
        if settings.sessions_http:
            checked = open_check_engine(settings.database_url, "till-sessions")
            stack.push_async_callback(checked.dispose)
            checks = {
                "database": _database_answers(checked),
                "assigned": _assigned(consumer),
                "log": _none_expired(checked),
                "commands": _answers_in_time(lag),
                "restored": _not_restored(checked, topic_id),
            }
            if access is not None:
                checks["access"] = access.check
            limits = TimeLimits(keep_alive_s=settings.http_keep_alive_s)
            await stack.enter_async_context(serve(settings.sessions_http, health_app(checks), limits=limits))
        TOPIC_PARTITIONS.set(settings.topic_partitions)
        await stack.enter_async_context(watching(lambda: consumer.kafka, lag, engine, topic_id))
        await stack.enter_async_context(forgetting(engine, kept_s(facts[topics.commands].configs)))
        await stack.enter_async_context(sweeping(settings, engine, topic_id))
        log.info(
            "worker_starts",
            topic=topics.commands,
            group=settings.sessions_group,
            auth=settings.auth,
            compiled=isinstance(decide.answer, BuiltinFunctionType),
        )
        await app.run(log_level=logging.WARNING)
    if failure:
        raise failure[0]


def _broker(settings: Settings, consumer: Consumer) -> KafkaBroker:
    """FastStream's part: group membership and batches. Every option that matters is written out."""
    broker = KafkaBroker(
        settings.kafka,
        acks="all",
        enable_idempotence=True,
        allow_auto_create_topics=False,
        graceful_timeout=GRACEFUL_STOP_S,
        logger=None,
    )
    # Its own words for how to log in know neither tokens nor what else a deployment may set.
    broker._connection_kwargs |= connection(settings)  # noqa: SLF001
    subscriber = broker.subscriber(
        settings.topics.commands,
        batch=True,
        group_id=settings.sessions_group,
        group_instance_id=settings.sessions_instance_id,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_records=settings.batch_records_max,
        batch_timeout_ms=BATCH_WAIT_MS,
        session_timeout_ms=SESSION_TIMEOUT_MS,
        heartbeat_interval_ms=HEARTBEAT_MS,
        rebalance_timeout_ms=REBALANCE_TIMEOUT_MS,
        max_poll_interval_ms=POLL_INTERVAL_MS,
        listener=Rebalance(consumer, lambda: consumer.kafka),
        parser=parse_batch,
        decoder=decode_nothing,
        ack_policy=AckPolicy.MANUAL,
        no_reply=True,
    )

    async def on_batch(message: KafkaMessage) -> None:
        await consumer.on_batch(message)

    subscriber(on_batch)
    return broker


async def _read_through(broker: KafkaBroker, consumer: Consumer) -> None:
    """Let the broker read through a client that no flood can hold. It makes its clients when it has connected."""
    await broker.connect()
    config = broker.config.broker_config
    plain = config.builder
    if not isinstance(plain, partial):
        raise TypeError(f"FastStream no longer makes its consumer by a partial, but by {plain!r}.")

    def fair(**options: Any) -> FairConsumer:
        consumer.kafka = FairConsumer(**(plain.keywords | options))
        return consumer.kafka

    config.builder = fair


async def parse_batch(records: Any, original: Callable[[Any], Awaitable[Any]]) -> Any:
    """Total: FastStream would decode every header before the handler, and lose the batch to one that is not UTF-8."""
    # It keeps nothing of what stands between the first record and the last.
    message = await original(tuple(replace(record, headers=()) for record in (records[0], records[-1])))
    message.raw_message = records
    return message


async def decode_nothing(_message: Any) -> Any:
    """Total: bodies are read one by one in the handler."""
    return ()


async def _access(settings: Settings, stack: AsyncExitStack, stop: Callable[[BaseException], None]) -> AccessLog | None:
    """Who was revoked; None where nobody is asked for a token."""
    if settings.auth == "off":
        log.warning("auth_off", meaning="every record speaks as admin of its store")
        return None
    return await stack.enter_async_context(access_log.following(settings, settings.topics.access, stop))


def _verify(settings: Settings, access: AccessLog) -> Verify:
    return verify_with(open_verifier(settings), lambda: access.revocations)


async def _check_database(engine: AsyncEngine) -> None:
    """Refuse a database that forgets: an acknowledged answer would stand on nothing."""
    async with engine.connect() as tx:
        for setting in ("fsync", "synchronous_commit"):
            value = (await tx.execute(text(f"SHOW {setting}"))).scalar_one()
            if value == "off":
                raise DatabaseWrong(f"PostgreSQL runs with {setting}=off and would lose commits: switch it on.")


def _database_answers(engine: AsyncEngine) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        async with engine.connect() as tx:
            await tx.execute(text("SELECT 1"))

    return check


def _assigned(consumer: Consumer) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        if not consumer.has_partitions() or consumer.stopped:
            raise RuntimeError("the worker has no partitions")

    return check


def _none_expired(engine: AsyncEngine) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        async with engine.connect() as tx:
            expired = await expired_commands(tx)
        if expired:
            raise RuntimeError(f"{expired} commands were deleted by the broker before they were read")

    return check


def _answers_in_time(lag: Lag) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        lag.check()

    return check


def _not_restored(engine: AsyncEngine, topic_id: str) -> Callable[[], Awaitable[None]]:
    async def check() -> None:
        async with engine.connect() as tx:
            if await restored_partitions(tx, topic_id):
                raise LedgerRestored

    return check
