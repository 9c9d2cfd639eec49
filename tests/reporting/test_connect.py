"""Kafka Connect's own sinks over the closings topic, set up by the very files of `deploy/connect`."""

import json
from collections.abc import Iterator, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncEngine

from services.operations.kafka_principals import set_up
from services.platform.kafka.topics import create_topics
from services.platform.settings import Settings
from tests.reporting.closing_messages import Row, closing, value
from tests.reporting.connect import CONNECT, connect_worker
from tests.reporting.many_closings import CLOSINGS, CORRECTIONS, shop
from tests.reporting.reader import publish
from tests.support.secured_kafka import secured_kafka
from tests.support.waiting import eventually

PAGE: Final = Path(__file__).parents[2] / "docs" / "connect.md"
QUERIES: Final = [part.split("```")[0].strip(" ;\n") for part in PAGE.read_text().split("```sql\n")[1:]]
CONNECTORS: Final = ("closings.properties", "closing-documents.properties")
REPORT: Final = {"folio": 1042, "é": [1, {"a": None}], "later": {"rate": "0.50"}}
LATER: Final = closing(6, sales_report=REPORT, a_member_of_a_later_version={"b": [1]})
"""With all that no column takes: a report of the register's own, and what this schema doesn't know."""


async def _publish(settings: Settings, messages: Sequence[Row]) -> None:
    for number, message in enumerate(messages):
        await publish(settings, [value(message)], number % 3, [("ce_id", _ce_id(message).encode())])


def _ce_id(message: Row) -> str:
    return str(message.get("correction_id", message["closing_id"]))


def _surroundings(settings: Settings) -> dict[str, str]:
    """What a worker finds in its environment where brokers ask nobody."""
    url = make_url(settings.reader_database_url)
    return {
        "KAFKA": settings.kafka,
        "KAFKA_SECURITY": "PLAINTEXT",
        "KAFKA_USER": settings.reporting_group,
        "CLOSINGS_TOPIC": settings.topics.closings,
        "SINK_URL": f"jdbc:postgresql://{url.host}:{url.port}/{url.database}?stringtype=unspecified",
        "SINK_USER": url.username or "",
        "SINK_PASSWORD": url.password or "",
    }


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

    await eventually(are_stored, within_s=120)


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


@pytest.mark.timeout(600)
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
        await _publish(office, CLOSINGS)
        log_in = {
            "KAFKA": kafka.plain,
            "KAFKA_SECURITY": "SASL_PLAINTEXT",
            "KAFKA_USER": "till-closings-warehouse",
            "KAFKA_PASSWORD": "words, and more: of the warehouse",
        }
        async with connect_worker("jdbc-sink-jars.txt", CONNECTORS, _surroundings(office) | log_in, tmp_path):
            await _until_stored(engine, CLOSINGS)


@pytest.mark.timeout(600)
async def test_the_jdbc_sink_fills_typed_columns_and_documents_and_takes_each_record_once(
    reporting: Settings, engine: AsyncEngine, tmp_path: Path
) -> None:
    await _run(engine, (CONNECT / "postgresql.sql").read_text())
    surroundings = _surroundings(reporting)
    first = [*CLOSINGS, *CORRECTIONS]
    more = [LATER, shop(7, "MXN", 4, 1, store_id="s3")]
    await _publish(reporting, [*first, *CLOSINGS])
    async with connect_worker("jdbc-sink-jars.txt", CONNECTORS, surroundings, tmp_path):
        await _until_stored(engine, first)
    # It was killed before it told Kafka how far it was: it reads all of them again, and what came meanwhile.
    await _publish(reporting, [*first, *more])
    async with connect_worker("jdbc-sink-jars.txt", CONNECTORS, surroundings, tmp_path):
        await _until_stored(engine, [*first, *more])

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
