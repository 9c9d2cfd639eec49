"""A shop of one's own for each fault test, and the figures of all of them at the end of the run."""

from collections.abc import AsyncIterator, Iterator

import pytest

from deploy.embedded.stack import Stack
from services.platform.settings import Settings
from tests.faults.shop import Shop, opened
from tests.faults.tally import Tally

TALLIES = pytest.StashKey[list[Tally]]()


@pytest.fixture
def at_length(request: pytest.FixtureRequest) -> bool:
    """Whether the suite runs at length (`make faults`)."""
    return bool(request.config.getoption("--faults-at-length"))


@pytest.fixture
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """The test's figures; they are printed at the end of the run, also when it fails."""
    made = Tally(request.node.name)
    yield made
    if made.checks:
        request.config.stash.setdefault(TALLIES, []).append(made)


@pytest.fixture
async def shop(corner: Settings, stack: Stack) -> AsyncIterator[Shop]:
    """Tables and topics, and no worker yet."""
    async with opened(corner, stack) as shop:
        yield shop


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    tallies = config.stash.get(TALLIES, [])
    if not tallies:
        return
    terminalreporter.section("faults")
    for tally in tallies:
        terminalreporter.line(tally.line())
