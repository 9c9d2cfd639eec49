"""An empty database with the ledger's tables."""

from collections.abc import AsyncIterator

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.engine import ledger_engine
from tests.ledger.ledger import MIGRATIONS, Ledger, profile


@pytest.fixture
async def engine(corner: Settings) -> AsyncIterator[AsyncEngine]:
    await upgrade(corner.database_url, MIGRATIONS)
    opened = ledger_engine(corner.database_url)
    yield opened
    await opened.dispose()


@pytest.fixture
async def ledger(engine: AsyncEngine) -> Ledger:
    """A ledger with the profile s/p and nothing else."""
    own = Ledger(engine)
    await own.import_profiles(profile())
    await own.know()
    return own
