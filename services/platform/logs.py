"""Logs: one JSON object a line on standard output, no secret in any, and no flood from a client library.

Every line has `at` (UTC), `level`, `service` and `event`; what concerns a command has `command_id`, `store_id`,
`profile_id` and, where there is one, `trace_id`. What the database says of values is cut out of errors: a row that it
refuses may hold a body, or the hash of a password.
"""

import logging
import re
import sys
import time
from collections.abc import MutableMapping
from typing import Any, Final

import structlog

FLOOD_LINES_MAX: Final = 20
FLOOD_WINDOW_S: Final = 10.0
"""A library that can't reach its broker writes thousands of lines a second: so many a window are kept."""


class NoFlood(logging.Filter):
    """Lets a bounded number of lines through in each window of time."""

    def __init__(self) -> None:
        super().__init__()
        self._window = 0.0
        self._lines = 0

    def filter(self, record: logging.LogRecord) -> bool:  # noqa: ARG002 - every line counts the same
        """Whether this line may be written."""
        now = time.monotonic()
        if now - self._window > FLOOD_WINDOW_S:
            self._window, self._lines = now, 0
        self._lines += 1
        return self._lines <= FLOOD_LINES_MAX


_VALUES: Final = re.compile(
    r"""
    DETAIL:[ ].*?(?=\n\[SQL:[ ]|\n\nThe[ ]above[ ]|\n\nDuring[ ]|\Z)  # PostgreSQL quotes the row that it refuses
    | \[parameters:[^\n]*                                            # SQLAlchemy what a statement was given
    | (?<=\bquery[ ]argument[ ]\$)\d+:.*?(?=[ ]\(|\n|\Z)             # asyncpg what it can't convert
    """,
    re.DOTALL | re.VERBOSE,
)


def without_values(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """The line, with values of the database cut out of its errors."""
    for name in ("error", "exception", "event"):
        text = line.get(name)
        if isinstance(text, str):
            line[name] = _VALUES.sub("(values left out)", text)
    return line


def set_up_logs(level: str, service: str) -> None:
    """Set up structlog and the standard library's loggers for a process of this service."""

    def named(_logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line["service"] = service
        return line

    shared: list[structlog.types.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
        named,
    ]
    structlog.configure(
        processors=[
            *shared,
            structlog.processors.format_exc_info,
            without_values,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level.upper()]),
        logger_factory=structlog.PrintLoggerFactory(sys.stdout),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                without_values,
                structlog.processors.JSONRenderer(),
            ],
        )
    )
    handler.addFilter(NoFlood())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
