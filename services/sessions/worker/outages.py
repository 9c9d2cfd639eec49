"""Whose fault an error is: the outside world's, or that of what is being applied."""

from typing import Final

import asyncpg
from aiokafka.errors import KafkaError
from redis.exceptions import RedisError
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as NoConnection

from services.sessions.worker.apply import FenceRefused
from services.sessions.worker.lock import LockUnavailable
from services.sessions.worker.publisher import BrokerAway

# SQLSTATE classes of what no command is to blame for: connection and log-in, a database or tables that are not there
# (yet), rights, resources, the operator, the system, locks and time-outs.
OUTAGE_CLASSES: Final = frozenset({"08", "25", "28", "3D", "3F", "40", "42", "53", "55", "57", "58"})


def is_outage(error: BaseException) -> bool:
    """Whether the outside world is at fault: a database, Redis or broker that is away, or a time-out."""
    if isinstance(
        error, BrokerAway | LockUnavailable | RedisError | OSError | TimeoutError | NoConnection | FenceRefused
    ):
        return True
    if isinstance(error, DBAPIError):
        sqlstate = getattr(error.orig, "sqlstate", None)
        if sqlstate is None:
            return error.connection_invalidated or isinstance(error, InterfaceError | OperationalError)
        return sqlstate[:2] in OUTAGE_CLASSES
    if isinstance(error, KafkaError):
        return bool(error.retriable)
    if isinstance(error, asyncpg.PostgresError):
        return error.sqlstate is not None and error.sqlstate[:2] in OUTAGE_CLASSES
    # The driver's own word for a connection that has gone.
    return isinstance(error, asyncpg.InterfaceError)
