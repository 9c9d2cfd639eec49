"""Idle closing: sessions that nobody uses any more are closed by a command, as everything else is.

Every worker sweeps. What it publishes follows from the ledger alone, so copies publish the same command, which is
applied once. A session that moves on meanwhile is kept by `unless_after`.
"""

import asyncio
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

import structlog
from aiokafka import AIOKafkaConsumer, TopicPartition
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.jsontext import compact
from contracts.times import wire_time
from contracts.topics import key_of
from services.platform.auth.tokens import COMMANDS_AUDIENCE, Audience, mint
from services.platform.beside import beside
from services.platform.errors import TillError
from services.platform.kafka.connection import connection
from services.platform.settings import Settings
from services.sessions.ledger import queries
from services.sessions.rules.close_session import ABANDONED, SWEEPER
from services.sessions.worker.metrics import RESTING, SWEPT
from services.sessions.worker.publications import Publication
from services.sessions.worker.publisher import Publisher

log = structlog.get_logger()

SESSIONS_MAX: Final = 500
"""Sessions of one sweep; what is left over is closed by the next."""
LOOK_S: Final = 5.0
"""Looking whether anything but markers stands between the frontier and the topic's end takes no longer than this."""
LOOK_WAIT_MS: Final = 200
TOKEN_TTL_S: Final = 60
"""A sweep's tokens need not outlive its publishing: they are compared with the append time."""


@dataclass(frozen=True, slots=True)
class Noted:
    """Where the commands topic ended at a moment of the database's clock."""

    at: datetime
    ends: dict[int, int]


def sweeping(settings: Settings, engine: AsyncEngine, topic_id: str) -> AbstractAsyncContextManager[object]:
    """Sweep every TILL_SWEEP_EVERY_S seconds for as long as the block lasts; 0 means never."""
    return beside(_sweep_on(settings, engine, topic_id)) if settings.sweep_every_s else nullcontext()


async def _sweep_on(settings: Settings, engine: AsyncEngine, topic_id: str) -> None:
    publisher = Publisher(settings)
    noted: Noted | None = None
    can_sign = True
    try:
        while True:
            try:
                noted = await sweep(settings, engine, publisher, topic_id, noted)
                can_sign = True
            except CannotSign as error:
                # Where keys are kept elsewhere, this stays so: once is enough to say it.
                if can_sign:
                    log.warning("sweeper_cannot_sign", error=str(error), meaning="idle sessions stay open")
                can_sign = False
            except Exception as error:  # noqa: BLE001 - sweeping must never stop the worker; the next one tries again
                log.warning("sweep_failed", error=repr(error))
            await asyncio.sleep(settings.sweep_every_s)
    finally:
        await publisher.stop()


class CannotSign(TillError):
    """The sweeper's commands need a token, and there is no key to make one with."""


async def sweep(
    settings: Settings, engine: AsyncEngine, publisher: Publisher, topic_id: str, before: Noted | None
) -> Noted:
    """Ask to close what was idle when `before` was noted, and note anew; the first sweep only notes.

    A session is idle for sure only when every command that was on the topic by then has been applied. Until the
    frontier has come so far the sweeper rests: to a worker that lags, every busy till looks idle. Raises CannotSign,
    BrokerAway and what the database raises.
    """
    async with engine.connect() as tx:
        at = (await tx.execute(queries.NOW)).scalar_one()
    noted = Noted(at, await _ends(settings))
    if before is None:
        return noted
    async with engine.connect() as tx:
        frontier = {
            row.partition: row.next_offset for row in await tx.execute(queries.FRONTIER, {"topic_id": topic_id})
        }
    behind = {number: begin for number, end in before.ends.items() if (begin := frontier.get(number, 0)) < end}
    lags = bool(behind) and await _holds_commands(settings, behind, before.ends)
    async with engine.connect() as tx:
        idle = [] if lags else list(await tx.execute(queries.IDLE_SESSIONS, {"until": before.at, "rows": SESSIONS_MAX}))
    RESTING.set(lags)
    headers = {store_id: _headers(settings, store_id) for store_id in {row.store_id for row in idle}}
    commands = settings.topics.commands
    await publisher.publish(
        [
            Publication(
                commands, key_of(row.store_id, row.profile_id), compact(_force_close(row)), headers[row.store_id]
            )
            for row in idle
        ]
    )
    SWEPT.inc(len(idle))
    for row in idle:
        log.info("idle_session", store_id=row.store_id, profile_id=row.profile_id, session_id=str(row.session_id))
    return noted


def _force_close(row: Any) -> dict[str, Any]:
    """The command; the same from every copy, because nothing in it is the sweeper's own clock or chance."""
    name = f"till-sweep:{row.store_id}/{row.session_id}/{row.sequence}"
    return {
        "kind": "force_close",
        "command_id": str(uuid5(NAMESPACE_URL, name)),
        "store_id": row.store_id,
        "profile_id": row.profile_id,
        "session_id": str(row.session_id),
        "occurred_at": wire_time(row.idle_at),
        "actor": {"id": SWEEPER},
        "reason": ABANDONED,
        "unless_after": row.sequence,
    }


def _headers(settings: Settings, store_id: str) -> list[tuple[str, bytes | None]]:
    if settings.auth == "off":
        return []
    try:
        audiences: list[Audience] = [COMMANDS_AUDIENCE]
        token = mint(settings, sub=SWEEPER, role="admin", stores=[store_id], ttl_s=TOKEN_TTL_S, audiences=audiences)
    except ValueError as error:
        raise CannotSign(str(error)) from error
    return [("authorization", b"Bearer " + token.encode())]


async def _ends(settings: Settings) -> dict[int, int]:
    """Where each partition of the commands topic ends now."""
    topic = settings.topics.commands
    reader = AIOKafkaConsumer(**connection(settings), group_id=None, enable_auto_commit=False)
    await reader.start()
    try:
        partitions = [TopicPartition(topic, number) for number in range(settings.topic_partitions)]
        ends = await reader.end_offsets(partitions)
    finally:
        await reader.stop()
    return {partition.partition: end for partition, end in ends.items()}


async def _holds_commands(settings: Settings, begins: dict[int, int], ends: dict[int, int]) -> bool:
    """Whether a command lies from one of these offsets on, below its partition's end.

    Markers of transactions take offsets that no frontier passes until a command comes behind them: one at a partition's
    end would keep the sweeper resting for as long. Who can't tell in time says yes.
    """
    reader = AIOKafkaConsumer(
        **connection(settings), group_id=None, enable_auto_commit=False, isolation_level="read_committed"
    )
    left = {TopicPartition(settings.topics.commands, number): begin for number, begin in begins.items()}
    await reader.start()
    try:
        async with asyncio.timeout(LOOK_S):
            reader.assign(list(left))
            log_starts = await reader.beginning_offsets(list(left))
            for partition, begin in left.items():
                reader.seek(partition, max(begin, log_starts[partition]))
            while left:
                for partition, records in (await reader.getmany(*left, timeout_ms=LOOK_WAIT_MS, max_records=1)).items():
                    if records[0].offset < ends[partition.partition]:
                        return True
                left = {p: begin for p, begin in left.items() if await reader.position(p) < ends[p.partition]}
            return False
    except TimeoutError:
        return True
    finally:
        await reader.stop()
