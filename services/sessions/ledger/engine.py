"""A worker's connections to the ledger."""

from typing import Final

from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.postgres.engine import LOOKUPS, open_engine

CONNECTIONS: Final = 3

# A frozen worker must not hold its tills: PostgreSQL ends its transaction and frees the rows.
LIMITS: Final = {
    "statement_timeout": "8s",
    "lock_timeout": "6s",
    "idle_in_transaction_session_timeout": "5s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
} | LOOKUPS


def ledger_engine(database_url: str) -> AsyncEngine:
    """Connections to the ledger with the time-outs that a frozen worker must not outlive."""
    return open_engine(database_url, "till-sessions", connections=CONNECTIONS, limits=LIMITS)
