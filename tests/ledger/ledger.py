"""A ledger of one's own, and records put into it batch by batch."""

import json
from collections.abc import Iterable
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import topics
from services.sessions.ledger.frontier import know_partition
from services.sessions.worker.apply import Applied, Batch, apply
from services.sessions.worker.read_record import Verify, read
from tests.support.chance import MINUTE_MS, TENDERS
from tests.support.profiles import import_profiles
from tests.support.till import MORNING_MS, TOPIC, Body, Raw

MIGRATIONS = "services.sessions.migrations"
TOPIC_ID = "a topic"


def profile(store_id: str = "s", profile_id: str = "p", **rules: Any) -> Body:
    """A profile as `import_profiles` takes it, with the rules that the tests of the rules use."""
    usual = {
        "name": "Caja 1",
        "currency": "MXN",
        "tenders": json.dumps(TENDERS),
        "over_short_limit_minor": None,
        "blind": False,
        "idle_close_after_s": None,
        "late_window_s": 7 * 86_400,
        "allow_negative_drawer": True,
        "business_day_starts_at": "00:00",
        "own_provider": "PARROT",
        "enabled": True,
        "store_name": "Parrot Cafe",
        "company_id": None,
        "time_zone": None,
    }
    return {"store_id": store_id, "profile_id": profile_id} | usual | rules


class Ledger:
    """One ledger and the topic that it follows. Record `n` of partition 0 is appended `n` minutes after the first."""

    def __init__(self, engine: AsyncEngine) -> None:
        self.engine = engine
        self.next_offset = 0

    async def import_profiles(self, *profiles: Body) -> None:
        await import_profiles(self.engine, list(profiles))

    async def know(self, partition: int = 0) -> None:
        async with self.engine.begin() as tx:
            await know_partition(tx, TOPIC_ID, partition, 0)

    def batch(self, values: Iterable[bytes], first: int, partition: int = 0, **named: Any) -> Batch:
        """The records with these values, the first of them at this offset."""
        verify: Verify | None = named.pop("verify", None)
        reads = [
            (
                partition,
                offset,
                read(Raw(TOPIC, partition, offset, MORNING_MS + MINUTE_MS * offset, b"k", value), verify),
            )
            for offset, value in enumerate(values, start=first)
        ]
        return Batch(topic_id=TOPIC_ID, reads=reads, answered={}, **named)

    async def run(self, batch: Batch) -> Applied:
        async def no_fault_point(_: str) -> None:
            """Nothing is killed here."""

        return await apply(self.engine, topics(), batch, no_fault_point)

    async def apply(self, *values: bytes | Body, **named: Any) -> Applied:
        """Apply the next records in one batch."""
        written = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
        applied = await self.run(self.batch(written, self.next_offset, **named))
        self.next_offset += len(values)
        return applied

    async def sql(self, statement: str) -> list[Any]:
        """What a statement returns; it is committed."""
        async with self.engine.begin() as tx:
            result = await tx.exec_driver_sql(statement)
            return list(result) if result.returns_rows else []


def publications_by_topic(applied: Applied) -> list[tuple[str, bytes | None]]:
    """What goes out, by topic."""
    return [(publication.topic, publication.value) for publication in applied.publications]


def silent(done: int, total: int) -> None:
    assert 0 < done <= total
