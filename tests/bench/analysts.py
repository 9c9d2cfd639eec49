"""What analysts ask of very many closings, as their page and the dashboard ask it: from the call to the last row."""

from datetime import UTC, datetime, timedelta
from typing import Final

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from contracts.jsontext import compact
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.bench import closings_list
from tests.bench.ingest import CLOSING
from tests.bench.listing import Listed, timed
from tests.bench.traffic import Progress
from tests.support import analyst_queries

STORES: Final = 1_000
STORED_FOR: Final = timedelta(days=364)
ASKED_FOR: Final = timedelta(days=91)
"""As the page and the dashboard have it."""
CHOSEN: Final = ["store-1", "store-2", "store-3"]


async def measure(settings: Settings, stored: int, calls: int, progress: Progress) -> list[Listed]:
    """Fill a reader with so many closings of a year, and ask for a quarter of it so often."""
    await upgrade(settings.reader_database_url, "services.reporting.migrations")
    engine = create_async_engine(settings.reader_database_url)
    model = orjson.loads(CLOSING.read_bytes())
    today = datetime.now(UTC)
    await closings_list.fill(
        engine, [compact(model)], stored, progress, stores=STORES, begin=today - STORED_FOR, span=STORED_FOR
    )
    begin, end = (today - ASKED_FOR).date(), (today + timedelta(days=1)).date()
    asked = {"the page's query, all stores": analyst_queries.on_page(begin)}
    asked |= analyst_queries.of_dashboard(begin, end, CHOSEN, model["currency"])
    lists = []
    try:
        async with engine.connect() as tx:
            for name, query in asked.items():
                statement = text(query)

                async def rows() -> int:
                    return len((await tx.execute(statement)).all())  # noqa: B023 - called before the next one

                count, median_ms, p99_ms = await timed(rows, calls)
                lists.append(Listed(name, f"91 days of {stored:,}", count, median_ms, p99_ms))
    finally:
        await engine.dispose()
    return lists
