"""What the plays through the whole stack need beside the service and the market."""

import socket

import pytest


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
