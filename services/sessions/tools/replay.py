"""The closings topic from the ledger: every closing and correction as it was published, byte for byte."""

from collections.abc import AsyncGenerator
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.events import closing_id_of, correction_id_of
from contracts.times import wire_time
from contracts.topics import cloud_event_headers, key_of
from services.platform.kafka.read_topic import Progress
from services.sessions.ledger import queries
from services.sessions.worker.publications import Publication

PAGE_ROWS: Final = 500


async def published_again(
    engine: AsyncEngine, topic: str, store: str | None, profile: str | None, progress: Progress
) -> AsyncGenerator[list[Publication], None]:
    """All closings in the order of their chains, each followed by its corrections, a page at a time.

    Keys, values and `ce_*` headers are the bytes of the first delivery; read in one snapshot.
    """
    part = {"store": store, "profile": profile}
    async with engine.connect() as tx:
        await tx.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        total, done = (await tx.execute(queries.COUNT_CLOSINGS, part)).scalar_one(), 0
        after: dict[str, Any] = {"after_store": "", "after_profile": "", "after_z": 0}
        while True:
            page = list(await tx.execute(queries.PAGE_OF_CLOSINGS, part | after | {"rows": PAGE_ROWS}))
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
    for row in await tx.execute(queries.CORRECTIONS_OF_CLOSINGS, keys):
        corrections[row.store_id, row.session_id].append(row)
    publications = []
    for closing in page:
        key = key_of(closing.store_id, closing.profile_id)
        closing_id = closing_id_of(closing.store_id, str(closing.session_id))
        publications.append(_publication(topic, key, closing_id, "closing", closing))
        for row in corrections[closing.store_id, closing.session_id]:
            correction_id = correction_id_of(row.store_id, str(row.command_id))
            publications.append(_publication(topic, key, correction_id, "closing_correction", row))
    return publications


def _publication(topic: str, key: bytes, ce_id: str, kind: str, row: Any) -> Publication:
    return Publication(topic, key, row.body, cloud_event_headers(ce_id, kind, wire_time(row.received_at)))
