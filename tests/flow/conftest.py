"""A shop with real topics, tables and workers, as the fault tests have it."""

import socket
from collections.abc import AsyncIterator

import pytest

from deploy.embedded.stack import Stack
from services.platform.settings import Settings
from tests.faults.shop import Shop, opened


@pytest.fixture
async def shop(corner: Settings, stack: Stack) -> AsyncIterator[Shop]:
    """Tables and topics, and no worker yet."""
    async with opened(corner, stack) as shop:
        yield shop


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
