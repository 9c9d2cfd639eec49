"""Answers that claim nothing are kept as long as their records are on the topic, and go in small steps after that.

Whoever may write to the topic may have as many of them as he sends records, so they must not stay for ever. Every
worker deletes: each passes over the rows that another one is deleting, and there is nothing to remember.
"""

import asyncio
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Final

import structlog
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.beside import beside
from services.sessions.ledger.published import forget_place_answers
from services.sessions.ledger.transaction import transaction
from services.sessions.worker.metrics import PLACE_ANSWERS_DELETED

log = structlog.get_logger()

MARGIN_S: Final = 86_400
"""Kept longer than the topic promises to keep records: brokers delete whole segments, late, and clocks differ."""
STEP_ROWS: Final = 1_000
"""Rows of one transaction: a few milliseconds, so that nobody waits for it."""
STEP_PAUSE_S: Final = 0.1
"""Between full steps: 10,000 rows a second at most, ten times what a principal's quota lets in."""
EVERY_S: Final = 60.0
"""Between looks when there is nothing left to delete."""


def kept_s(topic: Mapping[str, str]) -> int | None:
    """How long the records of a topic with these settings may be read again, in seconds; None for ever."""
    retention_ms = int(topic["retention.ms"])
    return None if retention_ms < 0 else (retention_ms + int(topic["segment.ms"])) // 1_000 + MARGIN_S


def forgetting(engine: AsyncEngine, older_than_s: int | None) -> AbstractAsyncContextManager[object]:
    """Delete old answers for as long as the block lasts; None keeps them all."""
    return nullcontext() if older_than_s is None else beside(_forget_on(engine, older_than_s))


async def _forget_on(engine: AsyncEngine, older_than_s: int) -> None:
    while True:
        deleted = 0
        try:
            async with transaction(engine) as tx:
                deleted = await forget_place_answers(tx, older_than_s, STEP_ROWS)
            PLACE_ANSWERS_DELETED.inc(deleted)
        except Exception as error:  # noqa: BLE001 - deleting must never stop the worker; the next step tries again
            log.warning("place_answers_not_deleted", error=repr(error)[:500])
        await asyncio.sleep(STEP_PAUSE_S if deleted == STEP_ROWS else EVERY_S)
