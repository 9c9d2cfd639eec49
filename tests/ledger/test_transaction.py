"""A batch's transaction is on the driver itself: what the pool would have noticed must be noticed all the same."""

import asyncpg
import pytest

from services.sessions.ledger.transaction import transaction
from services.sessions.worker.outages import is_outage
from tests.ledger.ledger import Ledger

BACKEND = "SELECT pg_backend_pid()"


async def test_a_connection_that_the_server_ended_is_an_outage_and_is_replaced(ledger: Ledger) -> None:
    async def lose_it() -> None:
        async with transaction(ledger.engine) as tx:
            await ledger.sql(f"SELECT pg_terminate_backend({await tx.fetchval(BACKEND)})")
            await tx.fetchval(BACKEND)

    for _ in range(4):
        with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError)) as gone:
            await lose_it()
        assert is_outage(gone.value)
    async with transaction(ledger.engine) as tx:
        assert await tx.fetchval("SELECT 1") == 1


async def test_a_value_that_the_database_cannot_hold_is_no_outage(ledger: Ledger) -> None:
    for statement, value in (("SELECT $1::bigint", 2**63), ("SELECT $1::text", "\0")):
        with pytest.raises(asyncpg.DataError) as wrong:
            async with transaction(ledger.engine) as tx:
                await tx.fetchval(statement, value)
        assert not is_outage(wrong.value)


async def test_what_an_error_interrupts_leaves_no_trace(ledger: Ledger) -> None:
    async def fail() -> None:
        async with transaction(ledger.engine) as tx:
            await tx.execute("UPDATE tills SET fence = 5")
            raise LookupError

    with pytest.raises(LookupError):
        await fail()
    assert [row.fence for row in await ledger.sql("SELECT fence FROM tills")] == [0]
