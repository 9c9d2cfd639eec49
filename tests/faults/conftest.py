"""The figures of a fault test, which are shown at the end of the run, and how long it may take."""

from collections.abc import Callable, Iterator

import pytest

from tests.faults.tally import Tally

AT_LENGTH_LIMIT_S = 3_600
"""How long one test may take at length: what it waits for has limits of its own, and a busy machine keeps this one."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--faults-at-length"):
        for item in items:
            item.add_marker(pytest.mark.timeout(AT_LENGTH_LIMIT_S), append=False)


@pytest.fixture
def at_length(request: pytest.FixtureRequest) -> bool:
    """Whether the suite runs at length (`make faults`)."""
    return bool(request.config.getoption("--faults-at-length"))


@pytest.fixture
def tally(request: pytest.FixtureRequest, record_property: Callable[[str, object], None]) -> Iterator[Tally]:
    """The test's figures; they are printed at the end of the run, also when it fails."""
    figures = Tally(request.node.name)
    yield figures
    if figures.checks:
        record_property("faults", figures.line())
