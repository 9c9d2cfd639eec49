"""Waits until tables and topics are as this version of a service needs them: whoever makes them may come later."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, Literal

from sqlalchemy.exc import SQLAlchemyError

from services.platform.errors import TillError
from services.platform.kafka.topics import TopicsWrong, check_closings, check_topics
from services.platform.postgres.migrate import is_behind
from services.platform.settings import Settings

Service = Literal["sessions", "gateway", "reporting", "webhooks"]

ASK_AGAIN_AFTER_S: Final = 1.0


class NotReady(TillError):
    """What was still missing when the time was over, in a sentence."""


async def wait(settings: Settings, service: Service, limit_s: float, show: Callable[[str], None]) -> None:
    """Return when `service` may start. `show` gets what is waited for whenever that changes. Raises NotReady."""
    until = time.monotonic() + limit_s
    last: str | None = None
    while (reason := await _missing(settings, service)) is not None:
        if time.monotonic() >= until:
            raise NotReady(reason)
        if reason != last:
            show(reason)
            last = reason
        await asyncio.sleep(ASK_AGAIN_AFTER_S)


async def _missing(settings: Settings, service: Service) -> str | None:
    try:
        for database_url, package in _tables(settings, service):
            if await is_behind(database_url, package):
                return f"The tables of {package.split('.')[1]} are not up to date: `till migrate` makes them so."
        if service != "webhooks":
            await (check_closings if service == "reporting" else check_topics)(settings)
    except TopicsWrong as wrong:
        return str(wrong)
    except (SQLAlchemyError, OSError) as error:
        return f"The database does not answer: {getattr(error, '__cause__', None) or error}."
    return None


def _tables(settings: Settings, service: Service) -> list[tuple[str, str]]:
    """The databases and packages of migrations that `service` lives on; the gateway looks into the ledger too."""
    if service in {"reporting", "webhooks"}:
        return [(settings.reader_database_url, "services.reporting.migrations")]
    ledger = (settings.database_url, "services.sessions.migrations")
    own = (settings.database_url, "services.gateway.migrations")
    return [ledger] if service == "sessions" else [ledger, own]
