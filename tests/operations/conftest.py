"""The command line on a corner, and the service with the tables of all others."""

import pytest

from services.platform.settings import Settings
from tests.support.command_line import Cli, command_line


@pytest.fixture
def till(corner: Settings, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """The command line, pointed at this corner."""
    return command_line(corner, monkeypatch)
