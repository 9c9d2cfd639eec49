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
    made = ledger_engine(corner.database_url)
    yield made
    await made.dispose()


@pytest.fixture
async def ledger(engine: AsyncEngine) -> Ledger:
    """A ledger with the profile s/p and nothing else."""
    made = Ledger(engine)
    await made.import_profiles(profile())
    await made.know()
    return made
