"""A corner of the stack for one run: a database, topics and tills of its own, and worker processes that use them."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import psutil
from kafka.admin import KafkaAdminClient
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.embedded.stack import Stack
from services.platform.auth.signing_keys import ensure_key
from services.platform.auth.tokens import mint
from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.engine import ledger_engine
from services.sessions.ledger.profiles import read_profiles
from tests.bench.workload import profiles_csv
from tests.support.profiles import import_profiles

PARTITIONS: Final = 8
STOP_LIMIT_S: Final = 30
TOKEN_TTL_S: Final = 7_200

OURS: Final = (sys.executable, "-m", "services.cli", "run", "sessions")
STAGES: Final = (sys.executable, "-m", "tests.bench.stages")


class BenchFailed(Exception):
    """The run can't be counted; the message says why."""


async def new_corner(stack: Stack, name: str, **changes: Any) -> Settings:
    """Settings with a new database and a topic prefix of this name."""
    await in_postgres(stack.database_url, f"CREATE DATABASE bench_{name}")
    address = make_url(stack.database_url).set(database=f"bench_{name}")
    return Settings(
        kafka=stack.kafka,
        database_url=address.render_as_string(hide_password=False),
        redis_url=stack.redis_url,
        home=stack.home,
        topic_prefix=f"bench.{name}.",
        topic_partitions=PARTITIONS,
        sessions_group=f"bench-{name}",
        **{"auth": "off"} | changes,
    )


@asynccontextmanager
async def corner(stack: Stack, name: str, **changes: Any) -> AsyncIterator[Settings]:
    """A corner that is cleared away at the end, so that it costs the parts after it neither room nor vacuuming."""
    settings = await new_corner(stack, name, **changes)
    try:
        yield settings
    finally:
        await in_postgres(stack.database_url, f"DROP DATABASE bench_{name} WITH (FORCE)")
        await asyncio.to_thread(_delete_topics, settings)


async def in_postgres(database_url: str, statement: str) -> None:
    """Run a statement that no transaction may hold."""
    engine = create_async_engine(database_url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    finally:
        await engine.dispose()


def _delete_topics(settings: Settings) -> None:
    """The corner's topics, and those that peers made under its prefix or group."""
    marks = (settings.topic_prefix, f"{settings.sessions_group}-")
    admin = KafkaAdminClient(bootstrap_servers=settings.kafka)
    try:
        admin.delete_topics([topic for topic in admin.list_topics() if any(mark in topic for mark in marks)])
    finally:
        admin.close()


async def prepare(settings: Settings, tills: list[tuple[str, str]], folder: Path) -> None:
    """Make the tables, the topics and the tills."""
    await upgrade(settings.database_url, "services.sessions.migrations")
    await create_topics(settings)
    file = folder / f"{settings.topic_prefix}profiles.csv"
    file.write_text(profiles_csv(tills))
    engine = ledger_engine(settings.database_url)
    try:
        await import_profiles(engine, read_profiles(file))
    finally:
        await engine.dispose()


def tokens(settings: Settings, tills: list[tuple[str, str]]) -> dict[tuple[str, str], list[tuple[str, bytes]]]:
    """The header that each till's register sends: a token of its own."""
    ensure_key(settings)
    return {
        (store, profile): [("authorization", f"Bearer {_token(settings, store, profile)}".encode())]
        for store, profile in tills
    }


def _token(settings: Settings, store: str, profile: str) -> str:
    return mint(settings, sub=f"register-{profile}", role="register", stores=[store], ttl_s=TOKEN_TTL_S)


def environment_of(settings: Settings) -> dict[str, str]:
    """That of a process which has these settings."""
    values = settings.model_dump(mode="json", exclude_none=True)
    return os.environ | {f"TILL_{name.upper()}": str(value) for name, value in values.items()}


@asynccontextmanager
async def worker(way: tuple[str, ...], settings: Settings, log: Path, **extra: str) -> AsyncIterator[psutil.Popen]:
    """A worker process, stopped at the end in good order. Its output goes to the file `log`."""
    with log.open("wb") as output:
        process = psutil.Popen(
            way,
            env=environment_of(settings) | extra,
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            yield process
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
            try:
                await asyncio.to_thread(process.wait, STOP_LIMIT_S)
            except psutil.TimeoutExpired:
                process.kill()
                process.wait()
