"""Putting the revocations of the version before, which were rows of a table, on the access topic: once."""

from sqlalchemy import text

from contracts.access import AccessRecord, Restored, Revoked
from services.platform.access_log import publish
from services.platform.postgres.migrate import alone_in
from services.platform.settings import Settings

NOT_ON_TOPIC = text("""
    SELECT coalesce(obj_description(to_regclass('public.revocations'), 'pg_class') IS NULL, false)
       AND to_regclass('public.revocations') IS NOT NULL
""")
ROWS = text("SELECT store_id, sub, restored_at FROM public.revocations ORDER BY revoked_at, store_id, sub")


async def put_on_topic(settings: Settings) -> int:
    """Publish what the table has and the topic was never told; to be called before the migration that notes it.

    Whoever was restored is revoked and restored once more: their tokens end, because nobody can tell any more which of
    them were issued since. Returns the number of rows. Raises AccessUnwritten and what the database raises.
    """
    async with alone_in(settings.database_url) as tx:
        if not (await tx.execute(NOT_ON_TOPIC)).scalar_one():
            return 0
        rows = (await tx.execute(ROWS)).all()
        news: list[AccessRecord] = []
        for row in rows:
            news.append(Revoked(store_id=row.store_id, subject=row.sub))
            if row.restored_at is not None:
                news.append(Restored(store_id=row.store_id, subject=row.sub))
        if news:
            await publish(settings, news)
        return len(rows)
