"""Tables of the reader beside the live ones: of the same shape, filled by whoever made them, and put in their place.

What a table has beside its columns is taken from the live one by what PostgreSQL says of it, so that no index, trigger,
right or view is forgotten that a later migration, or an operator, has added.
"""

# ruff: noqa: S608 - all SQL here is of constants, and of what PostgreSQL has quoted

import random
from asyncio import get_running_loop, sleep
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from services.platform.errors import TillError
from services.reporting.schemas import FRESH, LIVE

TABLES: Final = ("consumed", "corrections", "closings", "unreadable", "closed_counts")
"""All that comes from a topic, in the order in which whoever writes takes their locks: a batch begins with offsets."""
BEFORE: Final = "reporting_before"
"""Where tables go that others have taken the place of."""
WRITERS_WAIT: Final = "2s"
"""How long is waited for writers to end what they are at; they wait then, and readers don't."""
READERS_WAIT_MS: Final = 200
"""How long readers wait at most, each time that their tables are to be had for the swap: less than anybody notices."""
_BUSY: Final = ("55P03", "40P01", "57014")
"""A lock was not to be had in time, or two waited for each other, or all locks together took too long."""
_EARLY: Final = "corrections_by_closing"
"""The index that filling needs, beside the keys: all others are built when all rows are there, which is faster."""


class NotSwapped(TillError):
    """The tables are as they were; the message says why."""


class Busy(TillError):
    """The tables are as they were: somebody is at them for so long that it must be tried again from the writers on."""


async def make(tx: AsyncConnection) -> None:
    """Empty tables in the schema FRESH, with what filling them needs. What stood there is dropped."""
    await refuse_what_can_not_follow(tx)
    await _each(tx, [f"DROP SCHEMA IF EXISTS {FRESH} CASCADE", f"CREATE SCHEMA {FRESH}"])
    for table in TABLES:
        await _say(tx, f"CREATE TABLE {FRESH}.{table} (LIKE {LIVE}.{table} INCLUDING ALL EXCLUDING INDEXES)")
    await _each(tx, await _fresh(tx, _KEYS))
    await _each(tx, [one for one in await _fresh(tx, _INDEXES) if f" {_EARLY} " in one])
    await _each(tx, await _fresh(tx, _FUNCTIONS))
    await _each(tx, await _fresh(tx, _TRIGGERS))


async def index(tx: AsyncConnection, progress: Callable[[int, int], None]) -> None:
    """The indexes that `make` has left out, one after the other: `progress` hears how many are there, of how many."""
    statements = [one for one in await _fresh(tx, _INDEXES) if f" {_EARLY} " not in one]
    for done, statement in enumerate(statements):
        progress(done, len(statements))
        await _say(tx, statement)
    progress(len(statements), len(statements))


async def vacuum(engine: AsyncEngine, progress: Callable[[int, int], None]) -> None:
    """What autovacuum would do in its time, so that the first who read find nothing of it left to do."""
    async with engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        for done, table in enumerate(TABLES):
            progress(done, len(TABLES))
            await _say(connection, f"VACUUM (ANALYZE) {FRESH}.{table}")
    progress(len(TABLES), len(TABLES))


async def hold_writers(tx: AsyncConnection) -> None:
    """Nobody writes to the live tables until the transaction ends; they are read on. Raises Busy."""
    await _say(tx, f"SET LOCAL lock_timeout = '{WRITERS_WAIT}'")
    try:
        await _say(tx, f"LOCK TABLE {LIVE}.consumed IN EXCLUSIVE MODE")
        for table in TABLES[1:]:
            # This sends autovacuum away, too, which would make readers wait with us.
            await _say(tx, f"LOCK TABLE {LIVE}.{table} IN SHARE ROW EXCLUSIVE MODE")
    except DBAPIError as error:
        if _sqlstate(error) not in _BUSY:
            raise
        raise Busy from error


async def swap(tx: AsyncConnection, *, keep: bool, until: float) -> None:
    """Put the fresh tables in the place of the live ones, after `hold_writers`; `keep` these in BEFORE.

    Readers wait no longer than READERS_WAIT_MS each time that the tables are not to be had, and else for the swap.
    Raises NotSwapped, or Busy when they were not to be had by `until`, a time of the loop's; it is tried once at least.
    """
    await refuse_what_can_not_follow(tx)
    views, triggers, rights = [await _lines(tx, lines) for lines in (_VIEWS, _TRIGGERS, _RIGHTS)]
    await _readers_held(tx, until)
    await _each(tx, [f"CREATE SCHEMA {BEFORE}"])
    await _each(tx, await _lines(tx, _DROPS, FRESH))
    for table in TABLES:
        await _say(tx, f"ALTER TABLE {LIVE}.{table} SET SCHEMA {BEFORE}")
        await _say(tx, f"ALTER TABLE {FRESH}.{table} SET SCHEMA {LIVE}")
    # Views know their tables by number: written anew, with their rights and comments, they mean those of the name.
    await _each(tx, [*views, *triggers, *rights, f"DROP SCHEMA {FRESH} CASCADE"])
    if not keep:
        await _each(tx, [f"DROP TABLE {BEFORE}.{table}" for table in TABLES] + [f"DROP SCHEMA {BEFORE}"])


async def drop(tx: AsyncConnection) -> None:
    """Nothing stays of fresh tables that were not swapped in."""
    await _say(tx, f"DROP SCHEMA IF EXISTS {FRESH} CASCADE")


async def _readers_held(tx: AsyncConnection, until: float) -> None:
    # Views first, as whoever asks one does: else each would have what the other waits for. Not by LOCK, which would go
    # on to all tables of a view; the option is there again when they are written anew. One statement, as a limit to
    # locks would be one for each of them.
    tables = ", ".join(f"{LIVE}.{table}" for table in TABLES)
    statements = [*await _lines(tx, _HOLD_VIEWS), f"LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;"]
    hold = f"DO $swap$ BEGIN {' '.join(statements)} END $swap$"
    while True:
        try:
            async with tx.begin_nested():
                await _say(tx, f"SET LOCAL statement_timeout = '{READERS_WAIT_MS}ms'")
                await _say(tx, f"DROP SCHEMA IF EXISTS {BEFORE} CASCADE")
                await _say(tx, hold)
                await _say(tx, "SET LOCAL statement_timeout = 0")
        except DBAPIError as error:
            if _sqlstate(error) not in _BUSY:
                raise
            if get_running_loop().time() > until:
                raise Busy from error
            # Whoever waited behind us gets their turn.
            await sleep(random.uniform(0.1, 0.4))  # noqa: S311
        else:
            return


def _sqlstate(error: DBAPIError) -> object:
    return getattr(error.orig, "sqlstate", None)


async def refuse_what_can_not_follow(tx: AsyncConnection) -> None:
    """Raise NotSwapped where something hangs on the live tables that fresh ones would not have."""
    others = await _lines(tx, _OBSTACLES)
    if others:
        raise NotSwapped(f"{', '.join(others)} can't follow to fresh tables: drop it, and make it again.")


async def columns_of(tx: AsyncConnection, table: str) -> Sequence[str]:
    """The columns of a live table, in their order."""
    rows = await tx.execute(text(_COLUMNS), {"table": f"{LIVE}.{table}"})
    return [str(name) for name in rows.scalars()]


async def _fresh(tx: AsyncConnection, lines: str) -> Iterable[str]:
    return (line.replace(f"{LIVE}.", f"{FRESH}.") for line in await _lines(tx, lines))


async def _lines(tx: AsyncConnection, lines: str, schema: str = LIVE) -> list[str]:
    # With nothing else on the path every name is written with its schema.
    await _say(tx, "SET LOCAL search_path = pg_catalog")
    tables = [f"{schema}.{table}" for table in TABLES]
    return [str(line) for line in (await tx.execute(text(lines), {"tables": tables})).scalars()]


async def _each(tx: AsyncConnection, statements: Iterable[str]) -> None:
    for statement in statements:
        await _say(tx, statement)


async def _say(tx: AsyncConnection, statement: str) -> None:
    # As it is: what PostgreSQL writes of a function may hold colons and percent signs.
    await tx.exec_driver_sql(statement)


_OF_THESE: Final = "(SELECT CAST(unnest(CAST(:tables AS text[])) AS regclass) AS id) AS these"
_COLUMNS: Final = """
    SELECT attname FROM pg_attribute
     WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
"""
_KEYS: Final = f"""
    SELECT format('ALTER TABLE %s ADD CONSTRAINT %I %s', these.id, c.conname, pg_get_constraintdef(c.oid))
      FROM {_OF_THESE} JOIN pg_constraint AS c ON c.conrelid = these.id WHERE c.contype IN ('p', 'u', 'x')
"""
_INDEXES: Final = f"""
    SELECT pg_get_indexdef(i.indexrelid) FROM {_OF_THESE} JOIN pg_index AS i ON i.indrelid = these.id
     WHERE NOT EXISTS (SELECT FROM pg_constraint AS c WHERE c.conindid = i.indexrelid AND c.contype IN ('p', 'u', 'x'))
"""
_FUNCTIONS: Final = f"""
    SELECT DISTINCT pg_get_functiondef(f.oid) FROM {_OF_THESE} JOIN pg_trigger AS t ON t.tgrelid = these.id
      JOIN pg_proc AS f ON f.oid = t.tgfoid
     WHERE NOT t.tgisinternal AND f.pronamespace = CAST('{LIVE}' AS regnamespace)
"""
_TRIGGERS: Final = f"""
    SELECT pg_get_triggerdef(t.oid) FROM {_OF_THESE} JOIN pg_trigger AS t ON t.tgrelid = these.id
     WHERE NOT t.tgisinternal ORDER BY t.oid
"""
_DROPS: Final = f"""
    SELECT format('DROP TRIGGER %I ON %s', t.tgname, these.id) FROM {_OF_THESE}
      JOIN pg_trigger AS t ON t.tgrelid = these.id WHERE NOT t.tgisinternal
"""
_DEPENDENT: Final = f"""
    SELECT r.ev_class FROM {_OF_THESE}
      JOIN pg_depend AS d ON d.refobjid = these.id AND d.refclassid = CAST('pg_class' AS regclass)
      JOIN pg_rewrite AS r ON r.oid = d.objid AND d.classid = CAST('pg_rewrite' AS regclass)
"""
_VIEWS: Final = f"""
    SELECT format('CREATE OR REPLACE VIEW %s%s AS %s', CAST(v.oid AS regclass),
                  ' WITH (' || array_to_string(v.reloptions, ', ') || ')', pg_get_viewdef(v.oid))
      FROM pg_class AS v WHERE v.relkind = 'v' AND v.oid IN ({_DEPENDENT}) ORDER BY v.oid
"""
_HOLD_VIEWS: Final = f"""
    SELECT format('ALTER VIEW %s RESET (security_barrier);', CAST(v.oid AS regclass)) FROM pg_class AS v
     WHERE v.relkind = 'v' AND v.oid IN ({_DEPENDENT}) ORDER BY v.oid
"""
_OBSTACLES: Final = f"""
    SELECT format('The materialized view %s', CAST(v.oid AS regclass)) FROM pg_class AS v
     WHERE v.relkind = 'm' AND v.oid IN ({_DEPENDENT})
     UNION ALL
    SELECT format('The foreign key %I of %s', c.conname, CAST(c.conrelid AS regclass)) FROM {_OF_THESE}
      JOIN pg_constraint AS c ON c.confrelid = these.id AND c.contype = 'f'
     UNION ALL
    SELECT format('The publication %I', p.pubname) FROM {_OF_THESE}
      JOIN pg_publication_rel AS r ON r.prrelid = these.id JOIN pg_publication AS p ON p.oid = r.prpubid
     UNION ALL
    SELECT format('The view %s, of another owner,', CAST(v.oid AS regclass)) FROM pg_class AS v
     WHERE v.relkind = 'v' AND v.oid IN ({_DEPENDENT}) AND NOT pg_has_role(v.relowner, 'USAGE')
     UNION ALL
    SELECT format('The row security of %s', these.id) FROM {_OF_THESE} JOIN pg_class AS c ON c.oid = these.id
     WHERE c.relrowsecurity OR c.relforcerowsecurity
     UNION ALL
    SELECT format('The policy %I of %s', p.polname, these.id) FROM {_OF_THESE}
      JOIN pg_policy AS p ON p.polrelid = these.id
     UNION ALL
    SELECT format('The trigger %I of %s, which is disabled or fires always,', t.tgname, these.id) FROM {_OF_THESE}
      JOIN pg_trigger AS t ON t.tgrelid = these.id WHERE NOT t.tgisinternal AND t.tgenabled <> 'O'
"""
# What a table was altered to have, its owner, and who else may do what with it, or with a column of it.
_RIGHTS: Final = f"""
    SELECT format('ALTER TABLE %s SET (%s)', these.id, array_to_string(c.reloptions, ', '))
      FROM {_OF_THESE} JOIN pg_class AS c ON c.oid = these.id WHERE c.reloptions IS NOT NULL
     UNION ALL
    SELECT format('ALTER TABLE %s OWNER TO %I', these.id, pg_get_userbyid(c.relowner))
      FROM {_OF_THESE} JOIN pg_class AS c ON c.oid = these.id
     UNION ALL
    SELECT format('GRANT %s%s ON %s TO %s%s', a.privilege_type, a.part, these.id,
                  CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                  CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' END)
      FROM {_OF_THESE} JOIN pg_class AS c ON c.oid = these.id
     CROSS JOIN LATERAL (
        SELECT one.*, '' AS part FROM aclexplode(c.relacl) AS one
         UNION ALL
        SELECT one.*, format(' (%I)', n.attname) FROM pg_attribute AS n CROSS JOIN LATERAL aclexplode(n.attacl) AS one
         WHERE n.attrelid = c.oid) AS a
     WHERE a.grantee <> c.relowner
"""
