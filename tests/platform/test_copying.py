"""Rows that are copied while their connection goes away: an error, at once, and nothing waits for good."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from services.platform.postgres import copying
from services.platform.postgres.copying import copy_rows
from services.platform.settings import Settings
from tests.support.waiting import eventually

# More than the socket, the driver and the server hold together: the driver waits for room.
MANY = [(number, b"x" * 10_000) for number in range(5_000)]
SLOW = """
    CREATE FUNCTION pg_temp.slowly() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$
"""


@pytest.fixture
async def connection(corner: Settings) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(corner.database_url.replace("+asyncpg", ""))
    await connection.execute("CREATE TEMPORARY TABLE copied (number int PRIMARY KEY, value bytea)")
    yield connection
    connection.terminate()


async def slow_down(connection: Any) -> None:
    await connection.execute(SLOW)
    await connection.execute(
        "CREATE TRIGGER slowly BEFORE INSERT ON copied FOR EACH ROW EXECUTE FUNCTION pg_temp.slowly()"
    )


async def test_rows_are_copied_and_errors_are_the_drivers(connection: Any) -> None:
    await copy_rows(connection, "copied", ["number", "value"], MANY)
    assert await connection.fetchval("SELECT count(*) FROM copied") == len(MANY)

    with pytest.raises(asyncpg.UniqueViolationError):
        await copy_rows(connection, "copied", ["number", "value"], MANY[:1])
    await copy_rows(connection, "copied", ["number", "value"], [(-1, b"")])


async def test_a_connection_that_is_lost_while_the_driver_waits_for_room_is_an_error(
    connection: Any, corner: Settings
) -> None:
    await slow_down(connection)
    backend = connection.get_server_pid()
    other = await asyncpg.connect(corner.database_url.replace("+asyncpg", ""))
    try:
        task = asyncio.ensure_future(copy_rows(connection, "copied", ["number", "value"], MANY))

        async def sleeps() -> bool:
            waits = "SELECT wait_event = 'PgSleep' FROM pg_stat_activity WHERE pid = $1"
            return bool(await other.fetchval(waits, backend))

        await eventually(sleeps)
        begun = time.monotonic()
        await other.execute("SELECT pg_terminate_backend($1)", backend)
        with pytest.raises(asyncpg.PostgresConnectionError):
            await task
        assert time.monotonic() - begun < copying.COPY_S_MAX / 2
    finally:
        await other.close()


async def test_a_server_that_takes_no_more_rows_is_not_waited_for_for_good(
    connection: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "COPY_S_MAX", 0.5)
    await slow_down(connection)
    with pytest.raises(TimeoutError):
        await copy_rows(connection, "copied", ["number", "value"], MANY)
    assert connection.is_closed()


async def test_whoever_stops_waiting_leaves_nothing_behind(connection: Any) -> None:
    await slow_down(connection)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.5):
            await copy_rows(connection, "copied", ["number", "value"], MANY)
    await connection.execute("DROP TRIGGER slowly ON copied")
    assert await connection.fetchval("SELECT count(*) FROM copied") == 0
