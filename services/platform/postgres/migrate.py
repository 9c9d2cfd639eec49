"""Brings a service's tables up to date.

A service keeps its migrations in a package with a folder `versions/`: files `0001_<word>.py`, each
with `revision`, `down_revision` and `upgrade()`, plain SQL by `op.execute`, one statement a call
(asyncpg takes no more), every constraint named. There is no way back down: a database is restored,
never downgraded.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.platform.postgres import alembic_env
from services.platform.postgres.engine import open_tool_engine

LOCK_WAIT_S_MAX: Final = 60
"""How long a copy waits while another one migrates the same database."""

_LOCK_KEY: Final = 7_100_001
"""Any number will do, as long as it is always the same."""


async def upgrade(database_url: str, package: str, revision: str = "head") -> None:
    """Runs the migrations of `package` up to `revision` that the database has not seen, in one transaction.

    `database_url` is an asyncpg URL, `package` as `services.reporting.migrations`. May be run
    twice, and by several processes at once. Raises SQLAlchemyError or OSError, with nothing
    changed, when the database is away or refuses.
    """
    async with alone_in(database_url) as tx:
        await tx.run_sync(_upgrade, package, revision)


@asynccontextmanager
async def alone_in(database_url: str) -> AsyncIterator[AsyncConnection]:
    """A transaction that no other copy of this program, which changes tables or rights, runs beside."""
    engine = open_tool_engine(database_url, "till-migrate")
    try:
        async with engine.begin() as tx:
            await tx.execute(text(f"SET LOCAL lock_timeout = '{LOCK_WAIT_S_MAX}s'"))
            await tx.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            yield tx
    finally:
        await engine.dispose()


async def is_behind(database_url: str, package: str) -> bool:
    """Whether the database lacks migrations of `package`.

    A database with migrations that this version does not know is not behind: the version after this one has migrated
    it, and what still runs of this one must be able to start again. Raises SQLAlchemyError or OSError.
    """
    engine = open_tool_engine(database_url, "till-migrate")
    try:
        async with engine.connect() as tx:
            return await tx.run_sync(_is_behind, package)
    finally:
        await engine.dispose()


def _is_behind(connection: Connection, package: str) -> bool:
    context = MigrationContext.configure(connection, opts={"version_table": _version_table(package)})
    scripts = ScriptDirectory.from_config(_config(package))
    older = {script.revision for script in scripts.walk_revisions()} - set(scripts.get_heads())
    heads = context.get_current_heads()
    return not heads or not older.isdisjoint(heads)


def _upgrade(connection: Connection, package: str, revision: str) -> None:
    config = _config(package)
    config.attributes["connection"] = connection
    config.attributes["version_table"] = _version_table(package)
    command.upgrade(config, revision)


def _config(package: str) -> Config:
    config = Config()
    config.set_main_option("script_location", _escaped(_folder(alembic_env.__name__)))
    config.set_main_option("version_locations", _escaped(_folder(package) / "versions"))
    config.set_main_option("path_separator", "newline")
    return config


def _version_table(package: str) -> str:
    # A table per service: they may share one database, and each has its own history.
    return f"alembic_version_{package.split('.')[-2]}"


def _folder(package: str) -> Path:
    file = import_module(package).__file__
    if file is None:
        raise ValueError(f"{package} has no __init__.py, so its migrations can't be found.")
    return Path(file).parent


def _escaped(folder: Path) -> str:
    # Alembic's settings are a ConfigParser's, to which a percent sign is an instruction.
    return str(folder).replace("%", "%%")
