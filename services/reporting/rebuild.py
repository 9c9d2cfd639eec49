"""The reader's tables made anew from the topic, compared with the live ones, and put in their place.

What is read is exactly what the live tables have read, to the very offset: so no cursor of `/api/changes`, no id of the
stream and no other place on the topic that somebody goes on from has another meaning afterwards. Rows whose records the
topic no longer holds, and those of other topics, are carried over from the live tables.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final, NamedTuple
from uuid import UUID

from aiokafka import TopicPartition
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.topics import RECORD_BYTES_MAX
from services.platform.kafka.connection import connection
from services.platform.kafka.fair_consumer import FairConsumer
from services.platform.kafka.read_topic import started
from services.platform.postgres.engine import open_tool_engine
from services.platform.postgres.migrate import alone_in
from services.platform.settings import Settings
from services.reporting import figures, fresh_tables, store
from services.reporting import table_differences as differences
from services.reporting.batches import read_batch
from services.reporting.fresh_tables import NotSwapped
from services.reporting.schemas import FRESH, LIVE
from services.reporting.table_differences import Difference

RECORDS_AT_ONCE: Final = 5_000
"""Records of one transaction: nobody waits for it."""
SPAN_OFFSETS: Final = 10_000
"""Offsets of a partition that are compared at a time."""
LAG_RECORDS_MAX: Final = 500
"""How far the fresh tables may be behind when writers are held: these are read while they wait."""
ROUNDS_MAX: Final = 20
"""How often what has come meanwhile is read before writers are held, however much it is."""
WRITERS_HELD_S: Final = 4.5
"""Seconds of holding writers after which the swap is tried no more: well below `STATEMENT_TIME_LIMIT_MS`, at which the
reader would give up, and no longer be ready."""
WRITERS_FREE_S: Final = 2.0
"""Seconds in which writers go on before they are held again, and in which whoever reads long may end."""
HOLDS_MAX: Final = 60
"""How often they are held: some minutes, in which the longest page of an export ends."""
_ONE_AT_A_TIME: Final = 7_100_002
"""Of advisory locks; any number will do, as long as it is always the same."""

Progress = Callable[[str, int, int], None]
"""Hears what is done, how much of it, and how much it is in all; of each kind of work before it begins, too."""
FILLING: Final = "Filling in figures"
CARRYING: Final = "Carrying tables over"
READING: Final = "Reading records"
INDEXING: Final = "Building indexes"
VACUUMING: Final = "Vacuuming tables"
COMPARING: Final = "Comparing rows"
WAITING: Final = "Waiting for who reads long"
LAST_LOOK: Final = "Comparing for the last time"
COUNTING: Final = "Counting"

_VERSION: Final = text("SELECT version_num FROM public.alembic_version_reporting")
_REACHED: Final = text(f'SELECT "partition", next_offset FROM {LIVE}.consumed WHERE topic = :topic')  # noqa: S608
_CARRIED: Final = ("closings", "corrections", "unreadable")
_COUNTS: Final = """
    SELECT (SELECT count(*) FROM {schema}.closings AS t WHERE {to_there}),
           (SELECT count(*) FROM {schema}.corrections AS t WHERE {to_there})
"""
_TO_THERE: Final = """
    NOT EXISTS (SELECT FROM unnest(CAST(:partitions AS int[]), CAST(:reached AS bigint[])) AS k(p, reached)
                 WHERE t.topic = :topic AND t."partition" = k.p AND t."offset" >= k.reached)
"""
# What is not read again: of other topics, and before where the topic begins now.
_CARRY: Final = """
    INSERT INTO {fresh} ({columns}) SELECT {columns} FROM {live} AS l
     WHERE l.topic <> :topic OR l."offset" < coalesce(
               (SELECT b.begins FROM unnest(CAST(:partitions AS int[]), CAST(:begins AS bigint[])) AS b(p, begins)
                 WHERE b.p = l."partition"), 0)
"""
# Where other topics' readers stood before that, and what they have brought since.
_STOOD: Final = text(f"""
    CREATE TABLE {FRESH}.stood AS SELECT topic, "partition", next_offset FROM {LIVE}.consumed WHERE topic <> :topic
""")  # noqa: S608 - constants
_SINCE: Final = f"""
    {LIVE}.consumed AS k LEFT JOIN {FRESH}.stood AS s USING (topic, "partition")
      JOIN {{table}} AS l ON l.topic = k.topic AND l."partition" = k."partition"
                         AND l."offset" >= coalesce(s.next_offset, 0)
     WHERE k.topic <> :topic
"""
_CARRY_SINCE: Final = f"INSERT INTO {{fresh}} ({{columns}}) SELECT {{of_live}} FROM {_SINCE} ON CONFLICT DO NOTHING"  # noqa: S608
_ELSEWHERE: Final = text(f"SELECT l.store_id, l.closing_id FROM {_SINCE.format(table=f'{FRESH}.corrections')}")  # noqa: S608
_OTHER_OFFSETS: Final = text(f"""
    INSERT INTO {FRESH}.consumed AS c (topic, "partition", next_offset)
    SELECT topic, "partition", next_offset FROM {LIVE}.consumed WHERE topic <> :topic
    ON CONFLICT ON CONSTRAINT consumed_pkey DO UPDATE SET next_offset = excluded.next_offset
""")  # noqa: S608 - constants


class Rebuilt(NamedTuple):
    """What came of it: rows of the fresh tables, how many of them were carried over, and what differs."""

    closings: int
    corrections: int
    carried: int
    differences: list[Difference]
    swapped: bool


async def rebuild(settings: Settings, progress: Progress, *, swap: bool, despite: bool = False) -> Rebuilt:
    """Make the tables anew and put them in the place of the live ones; not without `swap`, nor where they differ.

    `despite` puts them there even so, and keeps those of before in the schema BEFORE. The owner of the tables runs it.
    Raises NotSwapped, TopicUnread, SQLAlchemyError or OSError with nothing changed, and no fresh tables left.
    """
    engine = open_tool_engine(settings.reader_database_url, "till-rebuild")
    try:
        async with _alone(engine) as alone, _consumer(settings) as consumer:
            rebuilding = _Rebuilding(settings, engine, consumer, progress)
            try:
                await rebuilding.begin()
                await rebuilding.fill()
                await _still(alone)
                return await rebuilding.finish(swap=swap, despite=despite)
            finally:
                await _drop(engine, alone)
    finally:
        await engine.dispose()


class _Rebuilding:
    """One run: how far the fresh tables have come, and what was seen to differ."""

    def __init__(self, settings: Settings, engine: AsyncEngine, consumer: FairConsumer, progress: Progress) -> None:
        self._settings, self._engine, self._consumer, self._progress = settings, engine, consumer, progress
        self._topic = settings.closings
        self._begins: dict[int, int] = {}
        self._reached: dict[int, int] = {}
        self._compared: dict[int, int] = {}
        self._suspects: list[Difference] = []
        self._carried = self._begun = 0
        self._version = ""

    async def begin(self) -> None:
        """Empty fresh tables, and in them what is not on the topic."""
        # What a reader of the version before has stored without its figures would differ in them.
        await self._fill_figures()
        async with self._engine.begin() as tx:
            self._version = (await tx.execute(_VERSION)).scalar_one()
            goal = await self._goal(tx)
            partitions = [TopicPartition(self._topic, partition) for partition in goal]
            self._consumer.assign(partitions)
            begins = await self._consumer.beginning_offsets(partitions)
            self._begins = {one.partition: begins[one] for one in partitions}
            await fresh_tables.make(tx)
            await tx.execute(_STOOD, {"topic": self._topic})
            self._carried = await self._carry(tx, _CARRY)
            held = await store.offsets(tx, self._topic, sorted(goal), FRESH)
            self._reached = {one: min(self._begins[one], goal[one]) for one in goal}
            self._begun = sum(self._reached.values())
            await store.advance(tx, self._topic, held, self._reached, FRESH)
        for partition in partitions:
            self._consumer.seek(partition, self._begins[partition.partition])

    async def _fill_figures(self) -> None:
        total, done = await figures.unfilled_rows(self._engine), 0
        if total:
            self._progress(FILLING, done, total)
        while filled := await figures.fill_rows(self._engine):
            done += filled
            # A reader of the version before may store more of them.
            self._progress(FILLING, done, max(done, total))

    async def fill(self) -> None:
        """Read what the live tables have read, build the indexes, compare, and read what has come meanwhile."""
        async with self._engine.connect() as tx:
            goal = await self._goal(tx)
        await self._read_to(goal)
        async with self._engine.begin() as tx:
            await fresh_tables.index(tx, partial(self._progress, INDEXING))
        await fresh_tables.vacuum(self._engine, partial(self._progress, VACUUMING))
        await self._compare(goal)
        await self._catch_up()

    async def _catch_up(self) -> None:
        for _ in range(ROUNDS_MAX):
            async with self._engine.connect() as tx:
                goal = await self._goal(tx)
            behind = sum(goal.values()) - sum(self._reached.values())
            await self._read_to(goal)
            if behind <= LAG_RECORDS_MAX:
                return

    async def finish(self, *, swap: bool, despite: bool) -> Rebuilt:
        """The last records and the last comparison, while no writer moves; then the swap.

        Writers are held for some seconds at a time, and go on while whoever reads long ends. Raises NotSwapped.
        """
        for tries in range(1, HOLDS_MAX + 1):
            self._progress(LAST_LOOK, 0, 1)
            try:
                different, swapped = await self._hold(swap=swap, despite=despite)
            except fresh_tables.Busy:
                self._progress(WAITING, tries, HOLDS_MAX)
                await asyncio.sleep(WRITERS_FREE_S)
                await self._catch_up()
            else:
                self._progress(LAST_LOOK, 1, 1)
                self._progress(COUNTING, 0, 1)
                closings, corrections = await self._counts(LIVE if swapped else FRESH)
                self._progress(COUNTING, 1, 1)
                return Rebuilt(closings, corrections, self._carried, different, swapped)
        raise NotSwapped("The tables are being read all the time by somebody who takes long: try again later.")

    async def _hold(self, *, swap: bool, despite: bool) -> tuple[list[Difference], bool]:
        """What differs while no writer moves, and whether the fresh tables are in place. Raises Busy."""
        async with alone_in(self._settings.reader_database_url) as tx:
            until = asyncio.get_running_loop().time() + WRITERS_HELD_S
            await fresh_tables.hold_writers(tx)
            if (await tx.execute(_VERSION)).scalar_one() != self._version:
                raise NotSwapped("The tables were migrated meanwhile, and the fresh ones are of before: begin again.")
            await self._read_to(await self._goal(tx))
            different = await self._different_still(tx)
            async with self._engine.begin() as own:
                self._carried += await self._carry(own, _CARRY_SINCE)
                await figures.add_up(own, await self._corrected_elsewhere(own), FRESH)
                await own.execute(_OTHER_OFFSETS, {"topic": self._topic})
            swapped = swap and (despite or not different)
            if swapped:
                await fresh_tables.swap(tx, keep=bool(different), until=until)
        return different, swapped

    async def _counts(self, schema: str) -> tuple[int, int]:
        """Closings and corrections to where was read: after the swap others come."""
        values = {
            "topic": self._topic,
            "partitions": sorted(self._reached),
            "reached": [self._reached[one] for one in sorted(self._reached)],
        }
        async with self._engine.connect() as tx:
            row = (await tx.execute(text(_COUNTS.format(schema=schema, to_there=_TO_THERE)), values)).one()
        return row[0], row[1]

    async def _goal(self, tx: AsyncConnection) -> dict[int, int]:
        """How far the live tables have come. Raises NotSwapped where the topic ends before that."""
        goal = {row.partition: row.next_offset for row in await tx.execute(_REACHED, {"topic": self._topic})}
        if not goal:
            raise NotSwapped(f"The tables have read nothing of {self._topic}: start the reporting reader instead.")
        if self._begins and goal.keys() != self._begins.keys():
            raise NotSwapped(f"Partitions were added to {self._topic} meanwhile: begin again.")
        ends = await self._consumer.end_offsets([TopicPartition(self._topic, partition) for partition in goal])
        for partition, reached in sorted(goal.items()):
            end = ends[TopicPartition(self._topic, partition)]
            if end < reached:
                raise NotSwapped(
                    f"{self._topic}/{partition} ends at {end}, and the tables have read to {reached}: it is another "
                    "topic than they came from. They know more than it does, so they stay."
                )
        return goal

    async def _read_to(self, goal: Mapping[int, int]) -> None:
        """Read on to `goal`, and no further."""
        total = sum(goal.values()) - self._begun
        self._progress(READING, sum(self._reached.values()) - self._begun, total)
        reading = {TopicPartition(self._topic, one) for one, stop in goal.items() if self._reached[one] < stop}
        self._consumer.pause(*(self._consumer.assignment() - reading))
        self._consumer.resume(*reading)
        while reading:
            fetched = await self._consumer.getmany(max_records=RECORDS_AT_ONCE)
            cut = {one: [record for record in of if record.offset < goal[one.partition]] for one, of in fetched.items()}
            batch = await read_batch({one: of for one, of in cut.items() if of})
            reached = dict(batch.reached)
            for one in list(reading):
                # The position, too: the last places may be those of a transaction's marker.
                if await self._consumer.position(one) >= goal[one.partition]:
                    reached[one.partition] = goal[one.partition]
                    reading.remove(one)
                    self._consumer.pause(one)
                    self._consumer.seek(one, goal[one.partition])
            if reached:
                async with self._engine.begin() as tx:
                    await store.advance(tx, self._topic, self._reached, reached, FRESH)
                    await batch.save(tx, self._topic, FRESH)
                self._reached |= reached
                self._progress(READING, sum(self._reached.values()) - self._begun, total)

    async def _compare(self, goal: Mapping[int, int]) -> None:
        """Note where rows differ that both have read; corrections that come meanwhile are looked at again."""
        offsets = sum(max(0, stop - self._begins[one]) for one, stop in goal.items())
        total, done = len(differences.COMPARED) * offsets, 0
        self._progress(COMPARING, done, total)
        for table in differences.COMPARED:
            for partition, stop in goal.items():
                for begin in range(self._begins[partition], stop, SPAN_OFFSETS):
                    span = partition, begin, min(begin + SPAN_OFFSETS, stop)
                    async with self._engine.connect() as tx:
                        self._suspects += await differences.in_span(tx, table, self._topic, *span)
                    done += span[2] - begin
                    self._progress(COMPARING, done, total)
        self._compared = dict(goal)

    async def _different_still(self, tx: AsyncConnection) -> list[Difference]:
        """What differs now that nobody writes: of what did, of what came since, and of what that has corrected."""
        looked_at: dict[tuple[str, int], set[int]] = {}
        for one in self._suspects:
            looked_at.setdefault((one.table, one.partition), set()).add(one.offset)
        differing = list[Difference]()
        for partition, stop in self._reached.items():
            since = self._compared.get(partition, self._begins[partition]), stop
            for of, offset in await differences.corrected_in(tx, self._topic, partition, *since):
                if offset >= self._begins[of]:
                    looked_at.setdefault(("closings", of), set()).add(offset)
            for table in differences.COMPARED:
                differing += await differences.in_span(tx, table, self._topic, partition, *since)
        for (table, partition), offsets in sorted(looked_at.items()):
            differing += await differences.at_offsets(tx, table, self._topic, partition, sorted(offsets))
        return sorted(set(differing))

    async def _corrected_elsewhere(self, tx: AsyncConnection) -> set[tuple[str, UUID]]:
        """The closings that other topics' corrections are added to: some may have come since they were carried over."""
        return {(row.store_id, row.closing_id) for row in await tx.execute(_ELSEWHERE, {"topic": self._topic})}

    async def _carry(self, tx: AsyncConnection, statement: str) -> int:
        """Take over from the live tables what is not read; how many closings, corrections and oddities that are."""
        values: dict[str, object] = {"topic": self._topic}
        if statement is _CARRY:
            values |= {
                "partitions": sorted(self._begins),
                "begins": [self._begins[one] for one in sorted(self._begins)],
            }
        carried = 0
        for done, table in enumerate(_CARRIED):
            if statement is _CARRY:
                self._progress(CARRYING, done, len(_CARRIED))
            columns = [f'"{name}"' for name in await fresh_tables.columns_of(tx, table)]
            names = {
                "fresh": f"{FRESH}.{table}",
                "live": f"{LIVE}.{table}",
                "table": f"{LIVE}.{table}",
                "columns": ", ".join(columns),
                "of_live": ", ".join(f"l.{name}" for name in columns),
            }
            carried += (await tx.execute(text(statement.format(**names)), values)).rowcount
        if statement is _CARRY:
            self._progress(CARRYING, len(_CARRIED), len(_CARRIED))
        return carried


@asynccontextmanager
async def _alone(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """No other rebuilding runs beside this while the connection lives that is given. Raises NotSwapped."""
    async with engine.connect() as connection:
        taken = await connection.execute(text("SELECT pg_try_advisory_lock(:key)"), {"key": _ONE_AT_A_TIME})
        if not taken.scalar_one():
            raise NotSwapped("The tables are being rebuilt already; wait until that has ended.")
        await connection.commit()
        try:
            yield connection
        finally:
            # It ends with the connection anyway: a failure here may not hide what came of the work.
            with suppress(SQLAlchemyError, OSError):
                await connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": _ONE_AT_A_TIME})


async def _still(alone: AsyncConnection) -> None:
    """Raise NotSwapped where the connection that keeps others away was lost: another may have begun."""
    try:
        await alone.execute(text("SELECT 1"))
        await alone.commit()
    except (SQLAlchemyError, OSError) as error:
        raise NotSwapped("The connection that keeps another rebuilding away was lost: begin again.") from error


async def _drop(engine: AsyncEngine, alone: AsyncConnection) -> None:
    # Where the database is away, or another has begun, whoever comes next drops them; what went wrong counts more.
    with suppress(NotSwapped, SQLAlchemyError, OSError):
        await _still(alone)
        async with engine.begin() as tx:
            await fresh_tables.drop(tx)


@asynccontextmanager
async def _consumer(settings: Settings) -> AsyncIterator[FairConsumer]:
    """A consumer of no group. What Kafka raises while it is used becomes TopicUnread."""
    consumer = FairConsumer(
        **connection(settings),
        client_id="till-rebuild",
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        isolation_level="read_committed",
        max_partition_fetch_bytes=2 * RECORD_BYTES_MAX,
    )
    async with started(consumer, settings.closings):
        yield consumer
