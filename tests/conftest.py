"""What all tests that need real servers share: one stack, and a corner of it for each test."""

import os
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import pytest

from deploy.embedded import stack as embedded
from deploy.embedded.stack import Stack, up, wipe
from services.platform.settings import Settings
from tests.support.corner import new_corner
from tests.support.thorough import is_thorough

if TYPE_CHECKING:
    # They know all services: tests that need none of it should not wait for that.
    from tests.support.market import Market
    from tests.support.sessions_service import SessionsService

FIGURES = ("faults", "walls", "fuzz")
"""What tests count is shown at the end of the run under these headings; `record_property` takes it there."""
HERE = Path(__file__).parent
WITHOUT_SERVERS = "--without-servers"
LONGEST_FIRST = ("faults", "gateway", "flow", "reporting", "demo", "observability", "bench", "stack", "operations")


def pytest_configure() -> None:
    """Let what the tests start be interrupted, also where nobody can interrupt the run itself.

    `nohup` in some shells and `&` in scripts hand an ignored SIGINT down, and every process of the run would inherit
    it. A handler that does nothing keeps this process as deaf as it was, and ends where another program begins.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


def pytest_report_header() -> str:
    """Say which code the run is of."""
    compiled = "till_compiled" in sys.modules and os.environ.get("TILL_COMPILED") != "no"
    return f"rules: {'compiled' if compiled else 'not compiled'}"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-at-length", action="store_true", help="Run the fault tests with all their rounds.")
    parser.addoption(WITHOUT_SERVERS, action="store_true", help="Run only the tests that start no server; none can be.")
    parser.addoption("--fuzz-at-length", action="store_true", help="Search long for odd and dear inputs.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Put what takes long first where several processes share the files: the short ones fill the end."""
    if is_thorough():
        # What limits laws and machines then is the number of examples, not the time.
        for item in items:
            item.add_marker(pytest.mark.timeout(0), append=False)
    if config.getoption(WITHOUT_SERVERS):
        config.hook.pytest_deselected(items=[item for item in items if _starts_servers(item)])
        items[:] = [item for item in items if not _starts_servers(item)]
    if config.getoption("--dist", "no") != "no":
        ranks = {folder: rank for rank, folder in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: ranks.get(item.path.relative_to(HERE).parts[0], len(ranks)))


def _starts_servers(item: pytest.Item) -> bool:
    fixtures = item.fixturenames if isinstance(item, pytest.Function) else ()
    return item.get_closest_marker("servers") is not None or not {"stack", "stopped"}.isdisjoint(fixtures)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as properties under these headings, in whichever process they ran."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    done = [report for report in reports if isinstance(report, pytest.TestReport) and report.when == "teardown"]
    for heading in FIGURES:
        lines = [str(line) for report in done for name, line in report.user_properties if name == heading]
        if lines:
            terminalreporter.section(heading)
            terminalreporter.line("\n".join(lines))


@pytest.fixture(scope="session", autouse=True)
def no_servers(request: pytest.FixtureRequest) -> Iterator[None]:
    """With `--without-servers`, whoever starts a stack in this process fails: all of them come by the one function."""

    def refuse(home: Path, *_: object) -> NoReturn:
        raise AssertionError(f"A test that is said to need no servers starts them in {home}.")

    with pytest.MonkeyPatch.context() as patch:
        if request.config.getoption(WITHOUT_SERVERS):
            patch.setattr(embedded, "_supervise", refuse)
        yield


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, PostgreSQL and Redis, for the whole run; in containers where TILL_TEST_STACK is docker."""
    home = tmp_path_factory.mktemp("stack")
    if os.environ.get("TILL_TEST_STACK") == "docker":
        from tests.support.containers import contained

        with contained(home) as servers:
            yield servers
        return
    yield up(home, services=())
    wipe(home)


@pytest.fixture
async def corner(stack: Stack, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings with an empty database and topic names of their own, so that tests don't meet."""
    async with new_corner(stack, tmp_path) as settings:
        yield settings


@pytest.fixture
async def service(corner: Settings, stack: Stack) -> "AsyncIterator[SessionsService]":
    """The sessions service with tables and topics, and no worker yet."""
    from tests.support.sessions_service import opened_service

    async with opened_service(corner, stack) as service:
        yield service


@pytest.fixture(scope="module")
async def market(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> "AsyncIterator[Market]":
    """For each file of tests a market with its tills set up, its worker reading and its gateway ready."""
    from tests.support.market import opened_market

    async with opened_market(stack, tmp_path_factory.mktemp("market")) as market:
        yield market
