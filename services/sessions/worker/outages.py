"""Whose fault an error is: one table. Of the outside world's faults nothing is parked; they are waited for.

What stands in no row is the command's: it is cornered, and parked when it fails alone.
"""

from typing import Final, Literal

import asyncpg
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from services.sessions.ledger.frontier import LedgerRestored
from services.sessions.worker.apply import FenceRefused
from services.sessions.worker.lock import LockUnavailable
from services.sessions.worker.publisher import BrokerAway

Culprit = Literal["database", "broker", "redis", "client library", "process", "network", "command"]

# By SQLSTATE, the longest beginning first. A class that is not here (22, 23, 54 and what triggers raise, for example)
# depends on the values of a command.
SQLSTATES: Final[dict[str, Culprit]] = {
    "08": "database",  # connections
    "0A000": "client library",  # a statement was prepared before a migration; nothing of ours asks for what isn't there
    "0B": "database",  # transactions that can't begin
    "24": "client library",  # a cursor that is not where the driver believes
    "25": "database",  # read-only, or idle in its transaction for too long
    "26": "client library",  # a prepared statement that a pooler in between has lost
    "28": "database",  # log-in
    "2D": "client library",
    "34": "client library",
    "3B": "client library",
    "3D": "database",  # a database, a schema or tables that are not there (yet), rights
    "3F": "database",
    "40": "database",  # deadlock, serialization
    "42": "database",
    "53": "database",  # disk, memory, connections
    "55": "database",  # locks
    "57": "database",  # the operator, time-outs, start and stop
    "58": "database",  # the system below it
    "F0": "database",  # its configuration
    "XX": "database",  # its own bugs, damaged tables and indexes
}

QUERY_CANCELED: Final = "57014"

# By class, the first that fits. OSError is the last: the others' errors may be one.
CLASSES: Final[tuple[tuple[type[BaseException], Culprit], ...]] = (
    (BrokerAway, "broker"),
    (KafkaError, "broker"),
    (LockUnavailable, "redis"),
    (FenceRefused, "redis"),
    (RedisError, "redis"),
    (LedgerRestored, "database"),
    (NoConnection, "database"),
    (asyncpg.InternalClientError, "client library"),
    (asyncpg.InterfaceError, "client library"),
    (MemoryError, "process"),
    (TimeoutError, "network"),
    (OSError, "network"),
)


def culprit(error: BaseException) -> Culprit:
    """Whose fault an error is."""
    if isinstance(error, DBAPIError):
        if getattr(error.orig, "sqlstate", None) is None:
            away = error.connection_invalidated or isinstance(error, InterfaceError | OperationalError)
            return "database" if away else "command"
        return _by_sqlstate(str(getattr(error.orig, "sqlstate", "")))
    if isinstance(error, asyncpg.PostgresError):
        return _by_sqlstate(error.sqlstate or "")
    return next((culprit for kind, culprit in CLASSES if isinstance(error, kind)), "command")


def is_outage(error: BaseException) -> bool:
    """Whether the outside world is at fault, not what is being applied."""
    return culprit(error) != "command"


def is_statement_timeout(error: BaseException) -> bool:
    """Whether the database gave up on a statement that took too long: its own fault, or that of what it was asked."""
    return getattr(error, "sqlstate", None) == QUERY_CANCELED


def _by_sqlstate(sqlstate: str) -> Culprit:
    return SQLSTATES.get(sqlstate, SQLSTATES.get(sqlstate[:2], "command"))
