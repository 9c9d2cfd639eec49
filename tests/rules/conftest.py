"""The rules touch no network: a test here that opens a socket fails.

The laws are tried with few examples each time. `pytest tests/rules --hypothesis-profile=thorough` tries 10,000 of each.
"""

import socket
from typing import Any, NoReturn

import pytest
from hypothesis import settings

settings.register_profile("thorough", max_examples=10_000, deadline=None, print_blob=True)


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **named: Any) -> NoReturn:
        raise AssertionError("The rules opened a socket.")

    monkeypatch.setattr(socket, "socket", refuse)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """At length the laws take many minutes: what limits them then is the number of examples, not the time."""
    if config.getoption("--hypothesis-profile") == "thorough":
        for item in items:
            item.add_marker(pytest.mark.timeout(0))
