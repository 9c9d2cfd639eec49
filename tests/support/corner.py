"""A corner of the servers that all tests of a run share, so that tests don't meet."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.embedded.stack import Stack
from services.platform.settings import Settings

BY_FORCE = """DO $$ BEGIN
    ALTER TABLE journal DISABLE TRIGGER append_only;
    ALTER TABLE closings DISABLE TRIGGER append_only;
    ALTER TABLE corrections DISABLE TRIGGER append_only;
END $$"""
"""What the owner of the ledger must say before its books can be damaged."""


@asynccontextmanager
async def new_corner(stack: Stack, home: Path) -> AsyncIterator[Settings]:
    """Settings with an empty database that is dropped at the end, and with their own names for topics and groups."""
    name = f"test_{uuid4().hex[:12]}"
    await _in_postgres(stack, f"CREATE DATABASE {name}")
    try:
        yield Settings(
            kafka=stack.kafka,
            database_url=make_url(stack.database_url).set(database=name).render_as_string(hide_password=False),
            redis_url=stack.redis_url,
            home=home,
            topic_prefix=f"{name}.",
            topic_partitions=3,
            reporting_group=f"{name}-reporting",
            reporting_http="127.0.0.1:0",
            sessions_group=f"{name}-sessions",
            gateway_http="127.0.0.1:0",
        )
    finally:
        await _in_postgres(stack, f"DROP DATABASE {name} WITH (FORCE)")


async def _in_postgres(stack: Stack, statement: str) -> None:
    engine = create_async_engine(stack.database_url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    finally:
        await engine.dispose()
