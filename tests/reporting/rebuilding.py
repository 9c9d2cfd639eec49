"""A rebuilding of the reader's tables, of which each step is a test's."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.platform.postgres.engine import open_tool_engine
from services.platform.settings import Settings
from services.reporting import rebuild
from services.reporting.rebuild import Progress


@asynccontextmanager
async def beside(settings: Settings, progress: Progress = lambda *_: None) -> AsyncIterator[rebuild._Rebuilding]:
    """A rebuilding that has not begun."""
    tools = open_tool_engine(settings.reader_database_url, "till-rebuild")
    async with rebuild._consumer(settings) as consumer:
        yield rebuild._Rebuilding(settings, tools, consumer, progress)
    await tools.dispose()
