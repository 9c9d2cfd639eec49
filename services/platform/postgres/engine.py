"""How every process reaches PostgreSQL: under a name that the server shows, and with limits to every wait."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

CONNECT_TIMEOUT_S: Final = 5
COMMAND_TIMEOUT_S: Final = 10
"""The driver gives up on a statement after so long, whatever the server does; the server's own limits are shorter."""
TOOL_CONNECTIONS: Final = 4
TOOL_LOCK_TIMEOUT: Final = "60s"
"""A tool waits so long for a lock that somebody holds."""

CHECK_TIMEOUT: Final = "2s"
"""A database that needs longer than this for the smallest question is not ready."""

LOOKUPS: Final = {
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "jit": "off",
    "plan_cache_mode": "force_generic_plan",
}
"""Lookups go by index, from the first call on and for ever, whatever the planner believes of a table that was empty
when the statement was prepared. Statements whose filters may be left out are composed of those that are there."""


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
        connect_args={
            "server_settings": {"application_name": name, **limits},
            "timeout": connect_timeout_s,
            "command_timeout": command_timeout_s,
        },
        **options,
    )


def open_check_engine(database_url: str, name: str) -> AsyncEngine:
    """One connection of its own for the question whether the database answers: slow requests can't take it away."""
    return open_engine(
        database_url,
        f"{name}-check",
        connections=1,
        limits={"statement_timeout": CHECK_TIMEOUT, "default_transaction_read_only": "on"},
        pool_pre_ping=True,
    )


def open_tool_engine(database_url: str, name: str, *, connect_timeout_s: float = CONNECT_TIMEOUT_S) -> AsyncEngine:
    """For a piece of work that may take as long as a whole ledger takes; dispose of it at the end."""
    return open_engine(
        database_url,
        name,
        connections=TOOL_CONNECTIONS,
        limits={"lock_timeout": TOOL_LOCK_TIMEOUT},
        connect_timeout_s=connect_timeout_s,
        command_timeout_s=None,
    )
