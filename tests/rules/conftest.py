"""The rules touch no network: a test here that opens a socket fails.

The laws are tried with few examples each time. `pytest tests/rules --hypothesis-profile=thorough` tries 10,000 of each.
"""

import socket
from typing import Any, NoReturn

import pytest


@pytest.fixture(autouse=True)
def no_sockets(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **named: Any) -> NoReturn:
        raise AssertionError("The rules opened a socket.")

    monkeypatch.setattr(socket, "socket", refuse)
