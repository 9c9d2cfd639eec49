"""The table of whose fault an error is, row by row: by real errors of the servers wherever one can be had."""

import asyncio
import errno
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import asyncpg
import pytest
from aiokafka import errors as kafka
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoConnection
from sqlalchemy.ext.asyncio import create_async_engine

from services.platform.settings import Settings
from services.sessions.ledger.frontier import LedgerRestored
from services.sessions.worker import lock
from services.sessions.worker.apply import FenceRefused
from services.sessions.worker.lock import Locks, LockUnavailable
from services.sessions.worker.outages import SQLSTATES, culprit, is_outage
from services.sessions.worker.publisher import BrokerAway
from tests.support.waiting import eventually

Connection = asyncpg.Connection
Provoke = Callable[[Connection, Connection], Awaitable[Any]]
"""Makes the first connection fail, with the help of the second."""
SLEEPS = "SELECT count(*) FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'"
IS_GONE = "SELECT NOT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)"


def dsn(settings: Settings, **changed: Any) -> str:
    url = make_url(settings.database_url).set(drivername="postgresql", **changed)
    return url.render_as_string(hide_password=False)


@pytest.fixture
async def pair(corner: Settings) -> AsyncIterator[tuple[Connection, Connection]]:
    """Two connections to an empty database with one table."""
    one, two = [await asyncpg.connect(dsn(corner)) for _ in range(2)]
    await one.execute("CREATE TABLE rows (id integer PRIMARY KEY, n bigint CHECK (n < 9))")
    await one.execute("INSERT INTO rows VALUES (1, 1), (2, 2)")
    yield one, two
    for connection in (one, two):
        connection.terminate()


async def said_by_the_server(one: Connection, sqlstate: str) -> None:
    await one.execute(f"DO $$ BEGIN RAISE EXCEPTION 'so it is' USING ERRCODE = '{sqlstate}'; END $$")


async def ended_by_the_operator(one: Connection, two: Connection) -> None:
    waiting = asyncio.create_task(one.fetchval("SELECT pg_sleep(60)"))
    await eventually(partial(two.fetchval, SLEEPS, one.get_server_pid()))
    await two.fetchval("SELECT pg_terminate_backend($1)", one.get_server_pid())
    await waiting


async def read_only(one: Connection, _two: Connection) -> None:
    await one.execute("SET default_transaction_read_only = on")
    await one.execute("INSERT INTO rows VALUES (3, 3)")


async def waits_for_a_lock(one: Connection, two: Connection) -> None:
    async with two.transaction():
        await two.execute("SELECT FROM rows FOR UPDATE")
        await one.execute("SET lock_timeout = '10ms'")
        await one.execute("SELECT FROM rows FOR UPDATE")


async def takes_too_long(one: Connection, _two: Connection) -> None:
    await one.execute("SET statement_timeout = '10ms'")
    await one.execute("SELECT pg_sleep(5)")


async def idles_in_its_transaction(one: Connection, two: Connection) -> None:
    await one.execute("SET idle_in_transaction_session_timeout = '10ms'; BEGIN")
    await eventually(partial(two.fetchval, IS_GONE, one.get_server_pid()))
    await one.fetchval("SELECT 1")


async def serialization(one: Connection, two: Connection) -> None:
    async with one.transaction(isolation="repeatable_read"):
        await one.fetchval("SELECT n FROM rows WHERE id = 1")
        await two.execute("UPDATE rows SET n = 5 WHERE id = 1")
        await one.execute("UPDATE rows SET n = 6 WHERE id = 1")


async def deadlock(one: Connection, two: Connection) -> None:
    update = "UPDATE rows SET n = 5 WHERE id = $1"
    await one.execute("SET deadlock_timeout = '10ms'; BEGIN")
    await two.execute("SET deadlock_timeout = '60s'; BEGIN")
    await one.execute(update, 1)
    await two.execute(update, 2)
    other = asyncio.create_task(two.execute(update, 1))
    try:
        await one.execute(update, 2)
    finally:
        other.cancel()
        with suppress(asyncio.CancelledError, asyncpg.PostgresError):
            await other


async def no_such_table(one: Connection, _two: Connection) -> None:
    await one.execute("SELECT FROM not_there")


async def closed_by_the_driver(one: Connection, _two: Connection) -> None:
    await one.close()
    await one.fetchval("SELECT 1")


async def used_twice_at_once(one: Connection, _two: Connection) -> None:
    await asyncio.gather(one.fetchval("SELECT pg_sleep(0.1)"), one.fetchval("SELECT 1"))


async def out_of_range_in_the_driver(one: Connection, _two: Connection) -> None:
    await one.fetchval("SELECT $1::bigint", 2**63)


async def out_of_range_in_the_server(one: Connection, _two: Connection) -> None:
    await one.fetchval("SELECT $1::text::bigint", str(2**63))


async def breaks_a_constraint(one: Connection, _two: Connection) -> None:
    await one.execute("INSERT INTO rows VALUES (3, 10)")


async def taken_already(one: Connection, _two: Connection) -> None:
    await one.execute("INSERT INTO rows VALUES (1, 1)")


async def a_text_with_nothing_in_it(one: Connection, _two: Connection) -> None:
    await one.fetchval("SELECT $1::text", "\0")


@pytest.mark.parametrize(
    ("provoke", "sqlstate", "whose"),
    [
        # 57P01 or 08003, by what the driver notices first.
        (ended_by_the_operator, None, "database"),
        (read_only, "25006", "database"),
        (waits_for_a_lock, "55P03", "database"),
        (takes_too_long, "57014", "database"),
        # The server says 25P03 to nobody that listens: the driver finds its connection closed, or itself in between.
        (idles_in_its_transaction, None, "client library"),
        (serialization, "40001", "database"),
        (deadlock, "40P01", "database"),
        (no_such_table, "42P01", "database"),
        (closed_by_the_driver, None, "client library"),
        (used_twice_at_once, None, "client library"),
        (out_of_range_in_the_driver, "22000", "command"),
        (out_of_range_in_the_server, "22003", "command"),
        (breaks_a_constraint, "23514", "command"),
        (taken_already, "23505", "command"),
        (a_text_with_nothing_in_it, "22021", "command"),
    ],
)
async def test_errors_of_the_database_that_were_provoked(
    pair: tuple[Connection, Connection], provoke: Provoke, sqlstate: str | None, whose: str
) -> None:
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)) as error:
        await provoke(*pair)
    assert sqlstate in {None, getattr(error.value, "sqlstate", None)}
    assert culprit(error.value) == whose


async def test_a_database_that_lets_nobody_in(corner: Settings) -> None:
    with pytest.raises(asyncpg.PostgresError) as error:
        await asyncpg.connect(dsn(corner, database="not_there"))
    assert (error.value.sqlstate, culprit(error.value)) == ("3D000", "database")


# What can't be brought about here the server only says: the driver takes it as it takes the real one.
SAID = [
    "0A000",
    "53300",
    "57P01",
    "25P03",
    "08006",
    "0B000",
    "24000",
    "26000",
    "28P01",
    "2D000",
    "34000",
    "3B001",
    "3F000",
    "53000",
    "53100",
]
SAID += ["53200", "57P02", "57P03", "58030", "58P01", "F0000", "XX000", "XX001", "XX002", "40003", "42501"]


@pytest.mark.parametrize("sqlstate", SAID)
async def test_errors_of_the_database_that_it_only_says(pair: tuple[Connection, Connection], sqlstate: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as error:
        await said_by_the_server(pair[0], sqlstate)
    assert error.value.sqlstate == sqlstate
    assert is_outage(error.value)


@pytest.mark.parametrize("sqlstate", ["P0001", "21000", "22012", "23502", "54000", "54001", "39000", "0A001"])
async def test_what_depends_on_values_is_the_commands(pair: tuple[Connection, Connection], sqlstate: str) -> None:
    with pytest.raises(asyncpg.PostgresError) as error:
        await said_by_the_server(pair[0], sqlstate)
    assert culprit(error.value) == "command"


def test_no_row_of_the_table_is_left_out() -> None:
    tried = {*SAID, "25006", "55P03", "42P01", "3D000"}
    assert [row for row in SQLSTATES if not any(one.startswith(row) for one in tried)] == []


async def test_sqlalchemys_errors_are_those_of_the_driver(corner: Settings) -> None:
    engine = create_async_engine(corner.database_url, pool_size=1, max_overflow=0, pool_timeout=0.05)
    away = create_async_engine(corner.database_url.replace(f":{make_url(corner.database_url).port}/", ":1/"))
    cases = [("SELECT 1/0", "command"), ("SELECT FROM not_there", "database")]
    for statement, whose in cases:
        with pytest.raises(SQLAlchemyError) as error:
            async with engine.connect() as tx:
                await tx.execute(text(statement))
        assert culprit(error.value) == whose
    with pytest.raises(NoConnection) as full:
        async with engine.connect(), engine.connect():
            pass
    assert culprit(full.value) == "database"
    with pytest.raises((SQLAlchemyError, OSError)) as refused:
        async with away.connect():
            pass
    assert is_outage(refused.value)
    await engine.dispose()
    await away.dispose()


@pytest.mark.parametrize(
    "reply",
    [
        "ERR odd", "NOSCRIPT no matching script", "READONLY You can't write against a read only replica.",
        "OOM command not allowed when used memory > 'maxmemory'.", "MISCONF snapshots can't be written",
        "WRONGTYPE wrong kind of value", "BUSY Redis is busy running a script", "LOADING Redis is loading",
        "NOAUTH Authentication required.", "NOPERM no permissions", "CLUSTERDOWN the cluster is down",
        "TRYAGAIN multiple keys", "MASTERDOWN link is down", "EXECABORT discarded", "NOREPLICAS not enough",
    ],
)  # fmt: skip
async def test_whatever_redis_replies_is_redis_fault(corner: Settings, reply: str) -> None:
    async with Redis.from_url(corner.redis_url) as redis:
        with pytest.raises(Exception) as error:  # noqa: PT011 - which one is the client library's affair
            await redis.eval("return redis.error_reply(ARGV[1])", 0, reply)
    assert culprit(error.value) == "redis"


@pytest.mark.parametrize(
    ("error", "whose"),
    [
        (BrokerAway("no acknowledgement"), "broker"),
        (kafka.KafkaTimeoutError(), "broker"),
        (kafka.NotLeaderForPartitionError(), "broker"),
        (kafka.TopicAuthorizationFailedError("no right"), "broker"),
        (kafka.ProducerFenced("another one"), "broker"),
        (LedgerRestored(), "database"),
        (LockUnavailable("no lock"), "redis"),
        (FenceRefused(7), "redis"),
        (asyncpg.InternalClientError("got result for unknown protocol state"), "client library"),
        (asyncpg.exceptions.ClientConfigurationError("no address"), "client library"),
        (MemoryError(), "process"),
        (OSError(errno.ENOSPC, "no space left"), "network"),
        (ConnectionResetError(), "network"),
        (TimeoutError(), "network"),
        (KeyError("a bug of ours"), "command"),
        (TypeError("a bug of ours"), "command"),
        (RecursionError(), "command"),
        (AssertionError(), "command"),
    ],
    ids=lambda value: value if isinstance(value, str) else type(value).__name__,
)
def test_everything_else(error: Exception, whose: str) -> None:
    assert culprit(error) == whose


@pytest.mark.parametrize("replied", [b"OK", None, [], [b"1"], [b"x", b"y"], [1, 2], [b"9" * 400, b"0"], [b"5", b"-1"]])
async def test_an_odd_reply_of_redis_is_no_lock_and_no_error(replied: Any) -> None:
    locks = Locks("redis://127.0.0.1:1/0", "preferred", "till.")

    async def reply(**_: Any) -> Any:
        return replied

    locks._take = locks._count = locks._renew = locks._release = reply  # type: ignore[assignment]
    lease = await locks.take({("s1", "p1")}, ["batch"])
    await locks.count(lease)
    assert (lease.token, lease.attempts) == (0, 0)
    lease.token = 1
    await locks.renew(lease)
    await locks.release(lease, forget_attempts=True)
    await locks.close()


@pytest.mark.parametrize("stored", ["9223372036854775807", "1e300", "nan", "elephants", "-5", "1001"])
async def test_a_count_of_attempts_that_cannot_be_counts_nothing(
    corner: Settings, monkeypatch: pytest.MonkeyPatch, stored: str
) -> None:
    monkeypatch.setattr(lock, "REDIS_TIMEOUT_S", 60.0)
    locks = Locks(corner.redis_url, "preferred", corner.topic_prefix)
    async with Redis.from_url(corner.redis_url) as redis:
        key = f"{corner.topic_prefix}lock:attempts:batch"
        await redis.set(key, stored)
        lease = await locks.take({("s1", "p1")}, ["batch"])
        assert (lease.token > 0, lease.attempts) == (True, 0)
        await locks.count(lease)
        assert await redis.get(key) == b"1"
        await locks.release(lease, forget_attempts=False)
        again = await locks.take({("s1", "p1")}, ["batch"])
        assert again.attempts == 1
        await locks.release(again, forget_attempts=True)
    await locks.close()


async def test_a_client_library_that_fails_is_no_lock_and_no_error() -> None:
    locks = Locks("redis://127.0.0.1:1/0", "preferred", "till.")

    async def fail(**_: Any) -> Any:
        raise IndexError("a bug of the client library")

    locks._take = fail  # type: ignore[assignment]
    assert (await locks.take({("s1", "p1")}, ["batch"])).token == 0
    await locks.close()
