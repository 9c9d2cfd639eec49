"""Homes for stacks: one that is prepared once, because formatting takes most of a first start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded.stack import Stack, down, up, wipe


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A home with formatted storage; whatever runs in it at the end is stopped and deleted."""
    folder = tmp_path_factory.mktemp("home")
    yield folder
    wipe(folder)


@pytest.fixture
def stack(home: Path) -> Iterator[Stack]:
    """The three servers, running; a running stack of the same home is used again."""
    return up(home, services=())


@pytest.fixture
def stopped(home: Path) -> Path:
    """A home that has data and in which nothing runs."""
    if not (home / "kafka" / "data").exists():
        up(home, services=())
    down(home)
    return home
