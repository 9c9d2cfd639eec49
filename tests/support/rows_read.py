"""How many rows PostgreSQL has read of each table: what a statement costs, whatever else the machine does."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from tests.support.waiting import eventually

ROWS_READ = "SELECT relname, coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) AS n FROM pg_stat_user_tables"
OTHERS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"


async def rows_read(used: AsyncEngine) -> dict[str, int]:
    """Rows read so far by table. Connections tell what they did when they end: those of `used` are closed."""
    await used.dispose()
    own = create_async_engine(used.url, poolclass=NullPool)

    async def alone() -> bool:
        async with own.connect() as tx:
            return (await tx.execute(text(OTHERS))).scalar_one() == 0

    try:
        await eventually(alone)
        async with own.connect() as tx:
            return {row.relname: row.n for row in await tx.execute(text(ROWS_READ))}
    finally:
        await own.dispose()
