"""The closings topic from the ledger: every closing and correction as it was published, byte for byte."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.events import closing_id_of, correction_id_of
from contracts.times import wire_time
from contracts.topics import cloud_event_headers, key_of
from services.platform.kafka.read_topic import Progress
from services.sessions.worker.publications import Publication

PAGE_ROWS: Final = 500

COUNT = text("""
    SELECT count(*) FROM closings
     WHERE (CAST(:store AS text) IS NULL OR store_id = :store)
       AND (CAST(:profile AS text) IS NULL OR profile_id = :profile)
""")
CLOSINGS = text("""
    SELECT store_id, profile_id, z_number, session_id, received_at, body FROM closings
     WHERE (CAST(:store AS text) IS NULL OR store_id = :store)
       AND (CAST(:profile AS text) IS NULL OR profile_id = :profile)
       AND (store_id, profile_id, z_number) > (:after_store, :after_profile, :after_z)
     ORDER BY store_id, profile_id, z_number LIMIT :rows
""")
CORRECTIONS = text("""
    SELECT c.store_id, c.session_id, c.command_id, c.received_at, c.body
      FROM unnest(CAST(:stores AS text[]), CAST(:sessions AS uuid[])) AS k(store_id, session_id)
      JOIN corrections c USING (store_id, session_id) ORDER BY c.correction_number
""")


async def published_again(
    engine: AsyncEngine, topic: str, store: str | None, profile: str | None, progress: Progress
) -> AsyncGenerator[list[Publication], None]:
    """All closings in the order of their chains, each followed by its corrections, a page at a time.

    Keys, values and `ce_*` headers are the bytes of the first delivery; read in one snapshot.
    """
    part = {"store": store, "profile": profile}
    async with engine.connect() as tx:
        await tx.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        total, done = (await tx.execute(COUNT, part)).scalar_one(), 0
        after: dict[str, Any] = {"after_store": "", "after_profile": "", "after_z": 0}
        while True:
            page = list(await tx.execute(CLOSINGS, part | after | {"rows": PAGE_ROWS}))
            if page:
                yield await _publications(tx, topic, page)
                done += len(page)
                progress(done, total)
                last = page[-1]
                after = {"after_store": last.store_id, "after_profile": last.profile_id, "after_z": last.z_number}
            if len(page) < PAGE_ROWS:
                return


async def _publications(tx: AsyncConnection, topic: str, page: list[Any]) -> list[Publication]:
    keys = {"stores": [row.store_id for row in page], "sessions": [row.session_id for row in page]}
    corrections: dict[Any, list[Any]] = {(row.store_id, row.session_id): [] for row in page}
    for row in await tx.execute(CORRECTIONS, keys):
        corrections[row.store_id, row.session_id].append(row)
    made = []
    for closing in page:
        key = key_of(closing.store_id, closing.profile_id)
        closing_id = closing_id_of(closing.store_id, str(closing.session_id))
        made.append(_publication(topic, key, closing_id, "closing", closing))
        for row in corrections[closing.store_id, closing.session_id]:
            correction_id = correction_id_of(row.store_id, str(row.command_id))
            made.append(_publication(topic, key, correction_id, "closing_correction", row))
    return made


def _publication(topic: str, key: bytes, ce_id: str, kind: str, row: Any) -> Publication:
    return Publication(topic, key, row.body, cloud_event_headers(ce_id, kind, wire_time(row.received_at)))
