"""The apps themselves in this process, and one request to them: all that runs before a server is asked.

The databases and the broker are away, which every request is told that comes so far; the tills and the session that an
adapter looks up are there, so that it goes on to its fields.
"""

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NoReturn

from fastapi import FastAPI

from services.gateway.access.callers import Caller, key_caller
from services.gateway.adapters.final.words import WORDS, SessionWords
from services.gateway.commands.client import CommandClient, NotPublished
from services.gateway.ledger_queries import ProfileRow
from services.gateway.main import gateway_app
from services.gateway.resources import Resources
from services.platform.auth.claims import VIA_KEY, Claims
from services.platform.auth.revocations import Revocations
from services.platform.auth.tokens import mint, open_verifier
from services.platform.settings import Settings
from services.reporting.access import Callers
from services.reporting.api import reporting_app
from services.sessions.rules.model import Session
from tests.costs.cost_fuzzer import Work
from tests.support.till import Till

STORE: Final = "parrot-cafe"
PROFILE: Final = "caja-1"
Patch = Callable[[str, object], None]
"""Puts something else in the place of this name."""


class Away:
    """A database that can't be reached."""

    def connect(self) -> NoReturn:
        raise OSError("away")

    begin = connect


class Unpublished(CommandClient):
    """Does all for a command but to reach the broker."""

    async def _publish(self, *_: object) -> NoReturn:
        raise NotPublished


def open_session() -> Session:
    """A session that is open at the till."""
    till = Till(STORE, PROFILE)
    till.open({"cash": 20_000})
    return till.batch_state.sessions[STORE, till.session_id]


SESSION: Final = open_session()


def row_of_till(store_id: str, profile_id: str) -> ProfileRow:
    """A till as it is set up."""
    return ProfileRow(
        *(store_id, profile_id, "Caja", "MXN", [], None, False, None, 60, True, "00:00", "STORE", True, "Parrot"),
        *(None, None, "closed", None, None, None, 0),
    )


def gateway(home: Path, patch: Patch) -> tuple[FastAPI, Mapping[str, str]]:
    """The gateway, and the headers of one who may do all."""
    settings = Settings(home=home)
    away: Any = Away()
    log: Any = SimpleNamespace(revocations=Revocations(), read_to_end=away.connect)
    client = Unpublished(
        kafka=dict,
        topics=settings.topics,
        partitions=1,
        topic_id="",
        engine=away,
        note_pending=away,
        wait_s=1,
        waiting_max=1,
    )
    app = gateway_app(Resources(settings, client, away, away, open_verifier(settings), log), {})
    claims = Claims("key:c", "admin", frozenset({STORE}), "cafes", VIA_KEY, 0, 2**40)
    app.dependency_overrides[key_caller] = lambda: Caller(claims)

    async def till(_engine: object, store_id: str, profile_id: str) -> ProfileRow:
        return row_of_till(store_id, profile_id)

    async def session(*_: object) -> Session:
        return SESSION

    async def words(*_: object) -> SessionWords:
        at = SESSION.opening.opened_at
        return SessionWords(at, at, None, dict.fromkeys(WORDS))

    patch("services.gateway.ledger_queries.profile_of", till)
    patch("services.gateway.ledger_queries.session_of", session)
    patch("services.gateway.adapters.final.routes.session_words", words)
    token = mint(settings, sub="ana", role="admin", stores=("*",), ttl_s=86_400)
    return app, {"authorization": f"Bearer {token}", "x-store-id": STORE}


def reporting() -> FastAPI:
    """The reporting reader, to everybody."""
    engine: Any = Away()
    return reporting_app(Settings(), engine, Callers(None, None), [], asyncio.Event())


def request(
    app: Any, method: str, path: str, headers: Mapping[str, str], *, body: bytes = b"", query: bytes = b""
) -> Work:
    """One request, as the server hands it to the app; what comes back is the status. Raises what would be a 500."""
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return lambda: status_of(app, method, path, pairs, body, query)


def status_of(app: Any, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes, query: bytes) -> int:
    """The status of the reply to one request. Raises what would be a 500."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "scheme": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": query,
        "headers": headers,
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
    }
    statuses = list[int]()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    LOOP.run_until_complete(app(scope, receive, send))
    return statuses[0]


LOOP: Final = asyncio.new_event_loop()
