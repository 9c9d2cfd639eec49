"""The command line inside this process, pointed at a corner."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.cli.app import app
from services.platform.settings import Settings

Cli = Callable[..., Awaitable[Result]]


def command_line(corner: Settings, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Runs a command of `till` by its words."""
    for name in ("kafka", "database_url", "redis_url", "home", "topic_prefix", "topic_partitions"):
        monkeypatch.setenv(f"TILL_{name.upper()}", str(getattr(corner, name)))

    async def run(*arguments: str) -> Result:
        return await asyncio.to_thread(CliRunner().invoke, app, arguments)

    return run
