"""Giving back what the ledger holds: the same bytes, and a reader that starts from nothing comes to the same tables."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import duckdb
import pytest
from aiokafka import ConsumerRecord
from kafka.admin import KafkaAdminClient
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

import contracts
from services.platform.kafka.read_topic import records
from services.platform.kafka.topics import create_topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.reporting.follow import Progress, follow
from services.reporting.store import reporting_engine
from services.sessions.tools import replay
from services.sessions.worker.publications import Publication
from tests.support.command_line import Cli
from tests.support.played_cases import Play
from tests.support.waiting import eventually

PAGE = Path(contracts.__file__).parent / "README.md"
CASES = ("late-news", "recount", "walls", "voided-session", "approval")


async def on_topic(settings: Settings) -> list[ConsumerRecord]:
    return [record async for record in records(settings, settings.topics.closings, {}, lambda _done, _total: None)]


def bytes_of(record: ConsumerRecord) -> tuple[bytes, bytes, tuple[tuple[str, bytes], ...]]:
    return record.key, record.value, tuple(record.headers)


@pytest.fixture
async def played(play: Play) -> None:
    for name in CASES:
        await play(name)


async def test_a_replay_publishes_the_same_bytes(
    corner: Settings, ledger: AsyncEngine, played: None, till: Cli
) -> None:
    first = await on_topic(corner)

    result = await till("replay")

    assert result.exit_code == 0, result.output
    again = await on_topic(corner)
    assert len(again) == 2 * len(first)
    assert {bytes_of(record) for record in again} == {bytes_of(record) for record in first}
    assert (await till("verify", "--against-topic")).exit_code == 0


async def test_a_file_holds_one_record_a_line_in_the_order_of_the_chains(
    corner: Settings, ledger: AsyncEngine, played: None, till: Cli, tmp_path: Path
) -> None:
    path = tmp_path / "closings.jsonl"

    result = await till("replay", "--to", str(path), "--store", "late-news")

    assert result.exit_code == 0, result.output
    lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    first = {bytes_of(record) for record in await on_topic(corner) if b"late-news" in record.key}
    records_in_file = [
        (x["key"].encode(), x["value"].encode(), tuple((n, v.encode()) for n, v in x["headers"].items())) for x in lines
    ]
    assert set(records_in_file) == first
    assert [json.loads(x["value"]).get("correction_number") for x in lines] == [None, 1, 2, 3, 4, 5]


async def test_duckdb_reads_such_a_file_by_the_query_of_the_page(
    corner: Settings, ledger: AsyncEngine, played: None, till: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (query,) = re.findall(r"^```sql\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    monkeypatch.chdir(tmp_path)
    result = await till("replay", "--to", "closings.jsonl", "--store", "late-news")
    assert result.exit_code == 0, result.output

    rows = duckdb.sql(query).fetchall()

    messages = [json.loads(json.loads(line)["value"]) for line in Path("closings.jsonl").read_text().splitlines()]
    cash = [message.get("deltas", message)["cash_movements"]["difference_minor"] for message in messages]
    assert rows == [(m["kind"], m["closing_id"], off) for m, off in zip(messages, cash, strict=True)]
    assert {kind for kind, *_ in rows} == {"closing", "closing_correction"}
    assert any(cash[1:]), "No correction differs: the page's query could as well leave them out."


async def test_a_replay_that_breaks_off_leaves_the_file_of_before(
    corner: Settings, till: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def breaks_off(*_: object) -> AsyncIterator[list[Publication]]:
        yield [Publication("closings", b"key", b"{}", [])]
        raise OSError("gone")

    monkeypatch.setattr(replay, "published_again", breaks_off)
    path = tmp_path / "closings.jsonl"
    path.write_text("before")

    result = await till("replay", "--to", str(path))

    assert result.exit_code == 2
    assert (path.read_text(), list(tmp_path.iterdir())) == ("before", [path])


@pytest.fixture
async def reader(corner: Settings) -> AsyncIterator[AsyncEngine]:
    await upgrade(corner.reader_database_url, "services.reporting.migrations")
    engine = reporting_engine(corner.reader_database_url)
    yield engine
    await engine.dispose()


async def read_all(settings: Settings, engine: AsyncEngine, expected: int) -> dict[str, list[tuple[object, ...]]]:
    """What the reader has stored once it has so many records, without the places at which it read them."""
    stop = asyncio.Event()

    async def enough() -> bool:
        async with engine.connect() as tx:
            counted = await tx.execute(
                text("SELECT (SELECT count(*) FROM reporting.closings) + (SELECT count(*) FROM reporting.corrections)")
            )
            return bool(counted.scalar_one() >= expected)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(follow(settings, engine, Progress(), stop))
        await eventually(enough)
        stop.set()
    async with engine.connect() as tx:
        return {
            table: [tuple(row) for row in await tx.execute(text(f"SELECT value FROM reporting.{table} ORDER BY 1"))]  # noqa: S608
            for table in ("closings", "corrections")
        }


async def test_a_new_reader_of_a_replayed_topic_comes_to_the_same_tables(
    corner: Settings, ledger: AsyncEngine, reader: AsyncEngine, played: None, till: Cli
) -> None:
    records_in_all = len(await on_topic(corner))
    before = await read_all(corner, reader, records_in_all)

    def lose_the_topic() -> None:
        admin = KafkaAdminClient(bootstrap_servers=corner.kafka)
        admin.delete_topics([corner.topics.closings])
        admin.close()

    await asyncio.to_thread(lose_the_topic)
    await create_topics(corner)
    async with reader.begin() as tx:
        for table in ("closings", "corrections", "consumed"):
            await tx.execute(text(f"TRUNCATE reporting.{table} CASCADE"))
    replayed = await till("replay")
    fresh = corner.model_copy(update={"reporting_group": f"{corner.reporting_group}-again"})

    assert replayed.exit_code == 0, replayed.output
    assert await read_all(fresh, reader, records_in_all) == before
