"""A ledger in which golden cases have happened."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.settings import Settings
from tests.support.played_cases import Play, empty_ledger, player


@pytest.fixture
async def ledger(corner: Settings) -> AsyncIterator[AsyncEngine]:
    """Empty tables and topics."""
    async with empty_ledger(corner) as engine:
        yield engine


@pytest.fixture
async def play(corner: Settings, ledger: AsyncEngine, tmp_path: Path) -> AsyncIterator[Play]:
    """Lets golden cases happen."""
    async with player(corner, ledger, tmp_path) as play:
        yield play
