"""Profiles set by commands on a topic of their own, for tests that are about something else than that."""

from typing import Any
from uuid import uuid4

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import topics
from services.sessions.ledger.engine import ledger_engine
from services.sessions.ledger.frontier import know_partition
from services.sessions.worker.apply import Batch, apply
from services.sessions.worker.consumer import no_fault_point
from services.sessions.worker.read_record import read
from tests.support.settings_objects import settings_of
from tests.support.till import Raw

Row = dict[str, Any]

BEFORE_MS = 1_772_434_800_000
"""2026-03-02T07:00:00Z: before anything else happens in the tests."""


async def import_profiles(engine: AsyncEngine, profiles: list[Row]) -> None:
    """Set profiles, rows as `read_profiles` gives them."""
    topic_id = f"profiles {uuid4()}"
    async with engine.begin() as tx:
        await know_partition(tx, topic_id, 0, 0)
    reads = [
        (0, offset, read(Raw(topic_id, 0, offset, BEFORE_MS + offset, None, orjson.dumps(setting(row))), None))
        for offset, row in enumerate(profiles)
    ]
    if reads:
        # A batch works straight on the driver, which only an engine with a pool takes back in order.
        pooled = ledger_engine(engine.url.render_as_string(hide_password=False))
        try:
            applied = await apply(pooled, topics(), Batch(topic_id, reads, {}), no_fault_point)
        finally:
            await pooled.dispose()
        assert [outcome.kind for outcome in applied.outcomes] == ["profile_set"] * len(reads), applied.outcomes
    async with engine.begin() as tx:
        await tx.execute(text("DELETE FROM consumed WHERE topic_id = :topic_id"), {"topic_id": topic_id})


def setting(row: Row) -> Row:
    """The command that sets a row."""
    return {
        "kind": "set_profile",
        "command_id": str(uuid4()),
        "store_id": row["store_id"],
        "profile_id": row["profile_id"],
        "occurred_at": "2026-03-02T07:00:00Z",
        "actor": {"id": "office"},
        "profile": settings_of(row),
    }
