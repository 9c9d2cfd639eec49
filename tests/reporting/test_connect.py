"""Kafka Connect's own sinks over the closings topic, set up by the very files of `deploy/connect`."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import httpx
import pytest
from aiokafka import AIOKafkaConsumer, ConsumerRecord
from kafka.admin import ACL, ACLOperation, ACLPermissionType, ResourcePattern, ResourceType
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

import contracts
from services.operations.kafka_principals import set_up
from services.platform.kafka.topics import admin_client, create_topics
from services.platform.settings import Settings
from tests.reporting.closing_messages import Row, closing, value
from tests.reporting.connect import CONNECT, connect_worker
from tests.reporting.many_closings import CLOSINGS, CORRECTIONS, shop
from tests.reporting.reader import publish
from tests.support.secured_kafka import secured_kafka
from tests.support.waiting import eventually

PAGE: Final = Path(__file__).parents[2] / "docs" / "connect.md"
QUERIES: Final = [part.split("```")[0].strip(" ;\n") for part in PAGE.read_text().split("```sql\n")[1:]]
CONNECTORS: Final = ("closings.properties", "closing-documents.properties", "closings-file.properties")
ASIDE: Final = PAGE.read_text().split("```properties\n")[1].split("```")[0]
"""What the page has the connector into columns do with what can't be read."""
UNREADABLE: Final = b'{"kind":'
ITS_ID: Final = [("ce_id", b"5bd2a9a0-51f4-4b3e-9d6c-5b1c1a1f3b11")]
PATIENCE_S: Final = 300.0
"""How long anything may take that a worker does, beside much else: two Java processes start, and groups form."""
SCHEMA: Final = (Path(contracts.__file__).parent / "connect.json").read_text()
NEW: Final = {"z_number": "z_number", "sales": "sales_total_minor"}
"""Members that an earlier version had not, with a column of each."""
REPORT: Final = {"folio": 1042, "é": [1, {"a": None}], "later": {"rate": "0.50"}}
LATER: Final = closing(6, sales_report=REPORT, a_member_of_a_later_version={"b": [1]})
"""With all that no column takes: a report of the register's own, and what this schema doesn't know."""


async def _publish(settings: Settings, messages: Sequence[Row]) -> None:
    for number, message in enumerate(messages):
        await publish(settings, [value(message)], number % 3, [("ce_id", _ce_id(message).encode())])


def _ce_id(message: Row) -> str:
    return str(message.get("correction_id", message["closing_id"]))


def _surroundings(settings: Settings) -> dict[str, str]:
    """What a worker finds in its environment where brokers ask nobody, and closings are as they are today."""
    url = make_url(settings.reader_database_url)
    return {
        "KAFKA": settings.kafka,
        "KAFKA_SECURITY": "PLAINTEXT",
        "KAFKA_USER": settings.reporting_group,
        "CLOSINGS_TOPIC": settings.topics.closings,
        "SINK_URL": f"jdbc:postgresql://{url.host}:{url.port}/{url.database}?stringtype=unspecified",
        "SINK_USER": url.username or "",
        "SINK_PASSWORD": url.password or "",
        "CLOSINGS_SCHEMA": SCHEMA,
        "CLOSINGS_FILE": "closings.jsonl",
    }


def _connectors(folder: Path, aside: str) -> list[Path]:
    """The files of all connectors; where `aside` is one, the first is by the page's lines to go on and to begin anew.

    `aside` is the topic of what can't be read.
    """
    if not aside:
        return [CONNECT / name for name in CONNECTORS]
    first, *others = [CONNECT / name for name in CONNECTORS]
    careful = folder / first.name
    text_of = first.read_text().replace("${env:KAFKA_USER}.closings\n", "${env:KAFKA_USER}.closings-2\n")
    careful.write_text(text_of + ASIDE.replace("till-closings.unreadable", aside))
    return [careful, *others]


async def _asked(worker: str, method: str, path: str, body: Any = None) -> Any:
    """What the worker answers, once it takes it: it is still starting, or a group still has its dead reader."""
    async with httpx.AsyncClient(base_url=worker) as http:

        async def reply() -> httpx.Response | None:
            try:
                response = await http.request(method, f"/connectors/{path}", json=body)
            except httpx.TransportError:
                return None
            return response if response.is_success else None

        response = await eventually(reply, within_s=PATIENCE_S)
        assert response is not None
        return response.json() if response.content else None


async def _failure(worker: str, connector: str) -> str:
    """Why the task of a connector has ended, as soon as it has."""

    async def trace() -> str | None:
        status = await _asked(worker, "GET", f"{connector}/status")
        return next((task["trace"] for task in status["tasks"] if task["state"] == "FAILED"), None)

    return await eventually(trace, within_s=PATIENCE_S) or ""


async def _lead_past(worker: str, connector: str, record: ConsumerRecord[Any, Any]) -> None:
    """As the page has it, by the headers with which a record was put aside."""
    at = {key.removeprefix("__connect.errors."): value.decode() for key, value in record.headers if value is not None}
    await _asked(worker, "PUT", f"{connector}/stop")
    partition = {"kafka_topic": at["topic"], "kafka_partition": int(at["partition"])}
    offset = {"kafka_offset": int(at["offset"]) + 1}
    await _asked(worker, "PATCH", f"{connector}/offsets", {"offsets": [{"partition": partition, "offset": offset}]})
    await _asked(worker, "PUT", f"{connector}/resume")


async def _put_aside(settings: Settings, topic: str) -> ConsumerRecord[Any, Any]:
    """The first record that was put aside on a topic."""

    async def is_there() -> bool:
        with admin_client(settings) as admin:
            return topic in admin.list_topics()

    await eventually(is_there, within_s=PATIENCE_S)
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=settings.kafka, auto_offset_reset="earliest")
    await consumer.start()
    try:
        return await asyncio.wait_for(consumer.getone(), PATIENCE_S)
    finally:
        await consumer.stop()


async def _until_filed(folder: Path, records: Iterable[bytes]) -> None:
    """Wait until the file has each of these on a line, and no others, however often."""

    async def are_filed() -> bool:
        file = folder / "closings.jsonl"
        return file.exists() and file.read_bytes().endswith(b"\n") and {*file.read_bytes().splitlines()} == {*records}

    await eventually(are_filed, within_s=PATIENCE_S)


async def _columns_of(engine: AsyncEngine) -> set[str]:
    async with engine.connect() as tx:
        rows = await tx.execute(
            text("SELECT column_name FROM information_schema.columns WHERE table_name = 'closings_topic'")
        )
        return {*rows.scalars()}


async def _run(engine: AsyncEngine, script: str) -> None:
    async with engine.begin() as tx:
        for statement in filter(str.strip, script.split(";\n")):
            await tx.execute(text(statement))


async def _until_stored(engine: AsyncEngine, messages: Sequence[Row]) -> None:
    async def are_stored() -> bool:
        async with engine.connect() as tx:
            for table in ("closings_topic", "closing_documents"):
                rows = await tx.execute(text(f"SELECT ce_id FROM {table}"))  # noqa: S608 - two constants
                if {str(ce_id) for ce_id in rows.scalars()} != {_ce_id(one) for one in messages}:
                    return False
        return True

    await eventually(are_stored, within_s=PATIENCE_S)


def _columns(message: Row, before: str = "") -> Iterator[tuple[str, Any]]:
    """What is to stand in a row for a message, where it isn't null: lists and the report are in none."""
    for name, one in message.items():
        if name in ("sales_report", "a_member_of_a_later_version") or isinstance(one, list):
            continue
        if isinstance(one, dict):
            yield from _columns(one, f"{before}{name}_")
        elif one is not None:
            yield before + name, one


def _written(cell: Any) -> Any:
    if isinstance(cell, datetime):
        return cell.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return str(cell) if isinstance(cell, date | UUID) else cell


@pytest.mark.timeout(1800)
async def test_connect_logs_in_with_the_rights_of_who_reads_closings(
    reporting: Settings, engine: AsyncEngine, tmp_path: Path
) -> None:
    await _run(engine, (CONNECT / "postgresql.sql").read_text())
    (tmp_path / "broker").mkdir()
    (tmp_path / "principals").mkdir()
    (tmp_path / "principals" / "closings-warehouse").write_text("words, and more: of the warehouse")
    async with secured_kafka(tmp_path / "broker") as kafka:
        office = reporting.model_copy(update={"kafka": kafka.plaintext})
        await create_topics(office)
        assert await set_up(office, tmp_path / "principals") == ["till-closings-warehouse"]
        await asyncio.to_thread(_let_write, office, "till-closings-warehouse", "unreadable")
        await _publish(office, CLOSINGS)
        log_in = {
            "KAFKA": kafka.plain,
            "KAFKA_SECURITY": "SASL_PLAINTEXT",
            "KAFKA_USER": "till-closings-warehouse",
            "KAFKA_PASSWORD": "words, and more: of the warehouse",
        }
        connectors = _connectors(tmp_path, "unreadable")
        async with connect_worker(connectors, _surroundings(office) | log_in, tmp_path) as worker:
            await _until_stored(engine, CLOSINGS)
            await _until_filed(tmp_path, map(value, CLOSINGS))
            await publish(office, [UNREADABLE], 0, ITS_ID)
            record = await _put_aside(office, "unreadable")
            assert record.value == UNREADABLE
            await _failure(worker, "till-closing-documents")
            await _lead_past(worker, "till-closing-documents", record)
            await _publish(office, [LATER])
            await _until_stored(engine, [*CLOSINGS, LATER])


def _let_write(settings: Settings, user: str, topic: str) -> None:
    """Make the topic, and give the right to write it that a principal of closings doesn't have."""
    pattern = ResourcePattern(ResourceType.TOPIC, topic)
    with admin_client(settings) as admin:
        admin.create_topics({topic: {"num_partitions": 1, "replication_factor": 1}})
        admin.create_acls([ACL(f"User:{user}", "*", ACLOperation.WRITE, ACLPermissionType.ALLOW, pattern)])


@pytest.mark.timeout(1800)
async def test_sinks_take_each_record_once_or_stop_at_it_and_add_what_a_later_version_brings(
    reporting: Settings, engine: AsyncEngine, tmp_path: Path
) -> None:
    await _run(engine, (CONNECT / "postgresql.sql").read_text())
    surroundings = _surroundings(reporting)
    earlier = json.loads(SCHEMA)
    earlier["fields"] = [field for field in earlier["fields"] if field["field"] not in NEW]
    first = [*CLOSINGS, *CORRECTIONS]
    more = [LATER, shop(7, "MXN", 4, 1, store_id="s3")]
    await _publish(reporting, [*first, *CLOSINGS])
    older = surroundings | {"CLOSINGS_SCHEMA": json.dumps(earlier)}
    async with connect_worker(_connectors(tmp_path, ""), older, tmp_path) as worker:
        await _until_stored(engine, first)
        assert not {*NEW.values()} & await _columns_of(engine)
        await publish(reporting, [UNREADABLE], 0, ITS_ID)
        await publish(reporting, [value(LATER)], 0, [("ce_id", _ce_id(LATER).encode())])
        assert "JsonEOFException" in await _failure(worker, "till-closings")
        assert "invalid input syntax for type json" in await _failure(worker, "till-closing-documents")
        # What lies behind it was not passed over, and not taken either.
        await _until_stored(engine, first)
        await _until_filed(tmp_path, [UNREADABLE, *map(value, [*first, LATER])])

    # It was killed before it told Kafka how far it was, or after: some of them it reads again, and the columns all.
    await _publish(reporting, [*first[:3], *more])
    aside = f"{reporting.topic_prefix}unreadable"
    async with connect_worker(_connectors(tmp_path, aside), surroundings, tmp_path) as worker:
        record = await _put_aside(reporting, aside)
        assert record.value == UNREADABLE
        assert "invalid input syntax for type json" in await _failure(worker, "till-closing-documents")
        await _lead_past(worker, "till-closing-documents", record)
        await _until_stored(engine, [*first, *more])
        await _until_filed(tmp_path, [UNREADABLE, *map(value, [*first, *more])])
    assert {*NEW.values()} <= await _columns_of(engine)

    async with engine.connect() as tx:
        rows = {str(row["ce_id"]): row for row in (await tx.execute(text("SELECT * FROM closings_topic"))).mappings()}
        documents = {
            str(row.ce_id): json.loads(row.document)
            for row in await tx.execute(text("SELECT ce_id, CAST(document AS text) FROM closing_documents"))
        }
        now, taxes = [(await tx.execute(text(query))).all() for query in QUERIES]
    for message in (*first, *more):
        row = rows[_ce_id(message)]
        expected = dict(_columns(message))
        assert {name: _written(row[name]) for name in expected} == expected
        assert all(cell is None for name, cell in row.items() if name not in expected and name != "ce_id")
        assert documents[_ce_id(message)] == message
    closings = [one for one in (*first, *more) if one["kind"] == "closing"]
    for row in now:
        parts = [one.get("deltas", one) for one in (*first, *more) if one["closing_id"] == str(row.closing_id)]
        differences = [part["cash_movements"]["difference_minor"] for part in parts]
        counted = [one for one in differences if one is not None]
        assert row.sales_minor == sum(part["sales"]["total_minor"] for part in parts)
        assert row.over_short_minor == (sum(counted) if counted else None)
    assert len(now) == len(closings)
    in_all = [tax["tax_minor"] for one in (*first, *more) for tax in one.get("deltas", one).get("taxes", ())]
    assert sum(row.tax_minor for row in taxes) == sum(in_all)
