"""What all tests that need real servers share: one stack, and a corner of it for each test."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import create_async_engine

from deploy.embedded.stack import Stack, up, wipe
from services.platform.settings import Settings

T = TypeVar("T")

FIGURES = ("faults", "walls", "fuzz")
"""What tests count is shown at the end of the run under these headings; `record_property` takes it there."""
HERE = Path(__file__).parent
LONGEST_FIRST = ("faults", "api", "reporting", "stack", "demo", "observability", "flow", "bench")

BY_FORCE = """DO $$ BEGIN
    ALTER TABLE journal DISABLE TRIGGER append_only;
    ALTER TABLE closings DISABLE TRIGGER append_only;
    ALTER TABLE corrections DISABLE TRIGGER append_only;
END $$"""
"""What the owner of the ledger must say before its books can be damaged."""


def pytest_configure() -> None:
    """Let what the tests start be interrupted, also where nobody can interrupt the run itself.

    `nohup` in some shells and `&` in scripts hand an ignored SIGINT down, and every process of the run would inherit
    it. A handler that does nothing keeps this process as deaf as it was, and ends where another program begins.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, lambda *_: None)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--faults-at-length", action="store_true", help="Run the fault tests with all their rounds.")
    parser.addoption("--fuzz-at-length", action="store_true", help="Send the HTTP APIs many more odd requests.")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where several processes share the files, folders that take long come first, and short ones fill the end."""
    if config.getoption("--dist", "no") != "no":
        places = {folder: place for place, folder in enumerate(LONGEST_FIRST)}
        items.sort(key=lambda item: places.get(item.path.relative_to(HERE).parts[0], len(places)))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests recorded as properties under these headings, in whichever process they ran."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    done = [report for report in reports if isinstance(report, pytest.TestReport) and report.when == "teardown"]
    for heading in FIGURES:
        lines = [str(line) for report in done for name, line in report.user_properties if name == heading]
        if lines:
            terminalreporter.section(heading)
            terminalreporter.line("\n".join(lines))


@pytest.fixture(scope="session")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Kafka, PostgreSQL and Redis, for the whole run; in containers where TILL_TEST_STACK is docker."""
    home = tmp_path_factory.mktemp("stack")
    if os.environ.get("TILL_TEST_STACK") == "docker":
        from tests.containers import contained

        with contained(home) as found:
            yield found
        return
    yield up(home, services=())
    wipe(home)


@pytest.fixture
async def corner(stack: Stack, tmp_path: Path) -> AsyncIterator[Settings]:
    """Settings with an empty database and topic names of their own, so that tests don't meet."""
    name = f"test_{uuid4().hex[:12]}"
    await _in_postgres(stack, f"CREATE DATABASE {name}")
    address = make_url(stack.database_url).set(database=name)
    yield Settings(
        kafka=stack.kafka,
        database_url=address.render_as_string(hide_password=False),
        redis_url=stack.redis_url,
        home=tmp_path,
        topic_prefix=f"{name}.",
        topic_partitions=3,
        reporting_group=f"{name}-reporting",
        reporting_http="127.0.0.1:0",
        sessions_group=f"{name}-sessions",
    )
    await _in_postgres(stack, f"DROP DATABASE {name} WITH (FORCE)")


async def _in_postgres(stack: Stack, statement: str) -> None:
    engine = create_async_engine(stack.database_url, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(statement))
    finally:
        await engine.dispose()


async def eventually(holds: Callable[[], Awaitable[T]], *, within_s: float = 30.0) -> T:
    """What the coroutine function `holds` returns once that is true; fails after `within_s`."""
    async with asyncio.timeout(within_s):
        while not (found := await holds()):
            await asyncio.sleep(0.05)
    return found
