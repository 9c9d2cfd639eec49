"""COPY that ends with its connection."""

import asyncio
from collections.abc import Iterable, Sequence
from typing import Any, Final

import asyncpg

COPY_S_MAX: Final = 30.0
"""Longer than the server lets a statement of a service take: it is for a server that says nothing any more."""


async def copy_rows(
    connection: Any, table: str, columns: Sequence[str], rows: Iterable[Sequence[Any]], schema: str | None = None
) -> None:
    """Store rows by COPY, on a connection of asyncpg.

    Raises the driver's errors, one of them where the connection is lost, and TimeoutError after COPY_S_MAX. While the
    driver waits for room in the socket, it hears neither of its connection's end nor of its own limit of time
    (asyncpg 0.31 and 0.32): who awaits it alone waits for good.
    """
    lost = asyncio.Event()

    def notice(_: Any) -> None:
        lost.set()

    connection.add_termination_listener(notice)
    copying = asyncio.ensure_future(
        connection.copy_records_to_table(table, schema_name=schema, columns=columns, records=rows)
    )
    losing = asyncio.ensure_future(lost.wait())
    try:
        await asyncio.wait((copying, losing), timeout=COPY_S_MAX, return_when=asyncio.FIRST_COMPLETED)
        if copying.done():
            await copying
            return
        # Else the roll-back would wait for a server that is gone.
        connection.terminate()
        if losing.done():
            raise asyncpg.ConnectionDoesNotExistError(f"The connection was lost while rows were copied into {table}.")
        raise TimeoutError(f"PostgreSQL took no more rows for {table}.")
    finally:
        connection.remove_termination_listener(notice)
        for task in (copying, losing):
            task.cancel()
        await asyncio.wait((copying, losing))
        if not copying.cancelled():
            # What it raised is said already, or nobody waits for it any more.
            copying.exception()
