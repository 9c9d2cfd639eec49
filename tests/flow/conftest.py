"""What the plays through the whole stack need beside the service and the market."""

import pytest

from deploy.embedded import trouble


@pytest.fixture
def free_port() -> int:
    """A port that nobody listens on now."""
    return trouble.free_port(set())
