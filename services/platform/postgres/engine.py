"""How every process reaches PostgreSQL: under a name that the server shows, and with limits to every wait."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

CONNECT_TIMEOUT_S: Final = 5
COMMAND_TIMEOUT_S: Final = 10
"""The driver gives up on a statement after so long, whatever the server does; the server's own limits are shorter."""
TOOL_LOCK_TIMEOUT: Final = "60s"
"""A tool waits so long for a lock that somebody holds."""


def open_engine(
    database_url: str,
    name: str,
    *,
    connections: int,
    limits: Mapping[str, str],
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    command_timeout_s: float | None = COMMAND_TIMEOUT_S,
    **options: Any,
) -> AsyncEngine:
    """At most so many connections, made when they are needed; `limits` are settings of the server's by their names."""
    return create_async_engine(
        database_url,
        pool_size=connections,
        max_overflow=0,
        connect_args=_connect_args(name, limits, connect_timeout_s, command_timeout_s),
        **options,
    )


def open_tool_engine(database_url: str, name: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> AsyncEngine:
    """A connection of its own for each piece of work, which may take as long as a whole ledger takes."""
    limits = {"lock_timeout": TOOL_LOCK_TIMEOUT}
    return create_async_engine(
        database_url, poolclass=NullPool, connect_args=_connect_args(name, limits, connect_timeout_s, None)
    )


def _connect_args(
    name: str, limits: Mapping[str, str], connect_timeout_s: float, command_timeout_s: float | None
) -> dict[str, Any]:
    return {
        "server_settings": {"application_name": name, **limits},
        "timeout": connect_timeout_s,
        "command_timeout": command_timeout_s,
    }
