"""Ways in by HTTP, to the apps themselves in this process: all that runs for a request before a server is asked.

The databases and the broker are away, which every request is told that comes so far; the tills that an adapter looks
up are there, so that it goes on to its fields.
"""

import asyncio
import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Final, NoReturn
from urllib.parse import quote_from_bytes

from fastapi import FastAPI

from contracts.jsontext import BODY_BYTES_MAX, compact
from services.gateway import secret_body
from services.gateway.access.callers import Caller, key_caller
from services.gateway.commands.client import CommandClient, NotPublished
from services.gateway.ledger_queries import ProfileRow
from services.gateway.main import gateway_app
from services.gateway.own_api import views
from services.gateway.resources import Resources
from services.platform.auth.claims import VIA_KEY, Claims
from services.platform.auth.revocations import Revocations
from services.platform.auth.tokens import mint, open_verifier
from services.platform.http.connection import HEADERS_BYTES_MAX, HEADERS_MAX, PARAMETERS_MAX, URL_BYTES_MAX
from services.platform.http.event_stream import write_id
from services.platform.settings import Settings
from services.reporting.access import Callers
from services.reporting.api import reporting_app
from services.sessions.worker.read_record import read
from tests.costs.cost_fuzzer import Target, Work
from tests.costs.targets import GOOD, JSON_TOKENS, SMALL, anybody, record
from tests.support.dear_bodies import dear_bodies

STORE: Final = "parrot-cafe"
IN_A_QUERY: Final = "".join(map(chr, range(0x21, 0x7F))).replace("#", "")
NO_NAME: Final = re.compile(rb"[^-!$%&'*+.^_`|~0-9A-Za-z]")
NO_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
FINAL: Final = {
    "stationId": "caja-1",
    "sessionNumber": "S-2025-001",
    "openedBy": "John Doe",
    "openTime": "2025-01-29T09:00:00.000Z",
    "openingAmount": "200.00",
    "notes": ["Opened on time"],
    "closingAmounts": {"cash": "500.00"},
    "openingNote": "Starting new shift",
}
JETHINGS: Final = {"profileId": "caja-1", "openningCash": 15_000, "password": "secret"}
SHIFT: Final = {"amount": 50_000, "type": "cash_in", "category": "Cash Drop", "description": "Midday"}
TENDER: Final = {"id": "cash", "name": "Efectivo", "type": "cash", "currency": "MXN", "exchange_rate": "1"}
SETTINGS: Final = {"name": "Caja 1", "currency": "MXN", "tenders": [TENDER], "over_short_limit_minor": 5_000}
USER: Final = {"user": "ana", "role": "cashier", "profile_id": "caja-1", "password": "what only Ana knows"}
SIGN_IN: Final = {"store_id": STORE, "user": "ana", "password": "what only Ana knows"}
QUERY_TOKENS: Final = (
    *(
        b"&",
        b"=",
        b"[]",
        b"[0]",
        b",",
        b"%",
        b"%5B%5D",
        b"%00",
        b"%ff",
        b"+",
        b"+00:00",
        b"store=",
        b"store[]=",
        b"store[a]=",
    ),
    *(
        b"cursor=",
        b"limit=",
        b"profile=",
        b"state=open",
        b"business_date=2025-01-31",
        b"closed_from=",
        b"a",
        b"1",
        b"W10",
    ),
    *(
        b"storeUUID=",
        b"storeUUID[]=",
        b"page=",
        b"pageSize=",
        b"startTimestamp=",
        b'["a"]',
        b"[" * 30,
        b"9" * 400,
        b";",
        b"W1td",
    ),
)
CURSOR: Final = views.write_cursor(["a", "b", 1]).encode()
PLACE: Final = write_id({("till.closings.v1", 0): 17})
TICKET: Final = b"WyJyaXRhIiwicmVhZGVyIixbInMxIl1d." + b"0" * 64
SPAN: Final = b"startTimestamp=2026-03-01T00:00:00-06:00&endTimestamp=2026-03-02T00:00:00-06:00"
HEADER_TOKENS: Final = (
    *(
        b"authorization: Bearer ",
        b"last-event-id: ",
        b"idempotency-key: ",
        b"x-store-id: ",
        b"traceparent: ",
        b"cookie: ",
    ),
    *(
        b"content-length: ",
        b"x-forwarded-for: ",
        b"content-type: ",
        b"accept: ",
        b"e30",
        b"W1td",
        b".",
        b",",
        b"9",
        b"\n",
        b"=",
    ),
)


@dataclass(frozen=True, slots=True)
class Body:
    """Where a body is sent, a good one, the most bytes of one that are read, and by which method."""

    path: str
    good: bytes
    bytes_max: int = BODY_BYTES_MAX
    method: str = "POST"


BODIES: Final = {
    "own API, command": Body("/api/commands", GOOD),
    "Final, session": Body("/v1/api/session", compact(FINAL)),
    "Jethings, session": Body("/pos-session/create-session", compact(JETHINGS)),
    "Shifts, cash": Body("/api/v1/shifts/cash-transaction", compact(SHIFT)),
    "own API, settings": Body(f"/api/stores/{STORE}/profiles/caja-1", compact(SETTINGS), method="PUT"),
    "own API, user": Body(f"/api/stores/{STORE}/users", compact(USER), secret_body.BODY_BYTES_MAX),
    "own API, rotation": Body(
        f"/api/stores/{STORE}/keys/4f1c2ab90d3e/rotate", compact({"previous_until": None}), secret_body.BODY_BYTES_MAX
    ),
    "signing in": Body("/auth/token", compact(SIGN_IN), secret_body.BODY_BYTES_MAX),
}


def _of_a_url(data: bytes) -> bytes:
    """What the server takes for a query."""
    return b"&".join(quote_from_bytes(data, safe=IN_A_QUERY).encode().split(b"&")[:PARAMETERS_MAX])


def _of_headers(data: bytes) -> bytes:
    """What it takes for headers, a line each."""
    lines = [line.partition(b":") for line in data.split(b"\n")]
    read = [b"%b: %b" % (NO_NAME.sub(b"", name).lower(), NO_VALUE.sub(b"", value).strip()) for name, _, value in lines]
    return b"\n".join(read[:HEADERS_MAX])


class Away:
    """A database that can't be reached."""

    def connect(self) -> NoReturn:
        raise OSError("away")

    begin = connect


class Unpublished(CommandClient):
    """Does all for a command but to reach the broker."""

    async def _publish(self, *_: object) -> NoReturn:
        raise NotPublished


def gateway(home: Path, tills: Callable[[str, object], None]) -> tuple[FastAPI, Mapping[str, str]]:
    """The gateway, and the headers of one who may do all. `tills` patches the name of a function of the ledger's."""
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
        return ProfileRow(
            *(store_id, profile_id, "Caja", "MXN", [], None, False, None, 60, True, "00:00", "STORE", True, "Parrot"),
            *(None, None, "closed", None, None, None, 0),
        )

    tills("services.gateway.ledger_queries.profile_of", till)
    token = mint(settings, sub="ana", role="admin", stores=("*",), ttl_s=86_400)
    return app, {"authorization": f"Bearer {token}", "x-store-id": STORE}


def reporting() -> FastAPI:
    """The reporting reader, to everybody."""
    engine: Any = Away()
    return reporting_app(Settings(), engine, Callers(None, None), [], asyncio.Event())


def request(
    app: FastAPI, method: str, path: str, headers: Mapping[str, str], *, body: bytes = b"", query: bytes = b""
) -> Work:
    """One request, as the server hands it to the app; what comes back is the status. Raises what would be a 500."""
    pairs = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    return lambda: _serve(app, method, path, pairs, body, query)


def _serve(app: FastAPI, method: str, path: str, headers: list[tuple[bytes, bytes]], body: bytes, query: bytes) -> int:
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


def http_targets(app: FastAPI, headers: Mapping[str, str], reader: FastAPI) -> list[Target]:
    """Bodies of every API, queries of both services, and headers."""
    dear = list(dear_bodies(SMALL).values())
    good_byte = (partial(read, record(GOOD), anybody), len(GOOD))

    def body_of(to: Body) -> Callable[[bytes], Work]:
        return lambda data: request(app, to.method, to.path, headers, body=data)

    def packed(data: bytes) -> Work:
        # Judged by its bytes unpacked: what gzip saves on the line is saved by good ones too.
        in_gzip = {**headers, "content-encoding": "gzip"}
        return request(app, "POST", "/api/commands", in_gzip, body=gzip.compress(data, compresslevel=1, mtime=0))

    def query_of(asked: FastAPI, path: str) -> Callable[[bytes], Work]:
        return lambda data: request(asked, "GET", path, headers, query=data)

    def headers_of(asked: FastAPI, method: str, path: str) -> Callable[[bytes], Work]:
        def prepare(data: bytes) -> Work:
            pairs = [tuple(line.split(b": ", 1)) for line in _of_headers(data).split(b"\n")]
            return lambda: _serve(asked, method, path, pairs, GOOD, b"")

        return prepare

    good_headers = b"\n".join(f"{name}: {value}".encode() for name, value in headers.items())
    event_id = b"\nlast-event-id: eyJ0Ijp7IjAiOjF9fQ=="
    queries = [
        ("own API, sessions asked", app, "/api/sessions", b"store=parrot-cafe&limit=10&cursor=" + CURSOR),
        ("own API, stream asked", app, "/api/sessions/stream", b"store=parrot-cafe"),
        ("reporting, closings asked", reader, "/api/closings", b"store=parrot-cafe&limit=10&profile=caja-1"),
        ("reporting, sessions asked", reader, "/v1/cashier-sessions/", SPAN),
        ("reporting, stream asked", reader, "/api/closings/stream", b"store=parrot-cafe"),
        ("reporting, stream by ticket", reader, "/api/closings/stream", b"ticket=" + TICKET),
        ("reporting, changes asked", reader, "/api/changes", b"store=parrot-cafe&limit=10&after=" + PLACE),
    ]
    # A query's parameters take 2 µs each, whatever is in them: 500 of one character are a millisecond, and what a good
    # query takes as a whole is a sixth of that.
    times_a_byte, times_a_parameter = 12, 20
    return [
        *(
            Target(name, to.good, body_of(to), to.bytes_max, times_a_byte, 100, JSON_TOKENS, dear, good_byte)
            for name, to in BODIES.items()
        ),
        Target(
            "own API, packed command", GOOD, packed, BODY_BYTES_MAX, times_a_byte, 100, JSON_TOKENS, dear, good_byte
        ),
        *(
            Target(
                n, good, query_of(a, p), URL_BYTES_MAX, times_a_parameter, 400, QUERY_TOKENS, (), good_byte, _of_a_url
            )
            for n, a, p, good in queries
        ),
        Target(
            "gateway, headers",
            good_headers,
            headers_of(app, "POST", "/api/commands"),
            HEADERS_BYTES_MAX,
            12,
            400,
            HEADER_TOKENS,
            (),
            good_byte,
            _of_headers,
        ),
        Target(
            "gateway, headers of a stream",
            good_headers + event_id,
            headers_of(app, "GET", "/api/sessions/stream"),
            HEADERS_BYTES_MAX,
            12,
            400,
            HEADER_TOKENS,
            (),
            good_byte,
            _of_headers,
        ),
        Target(
            "reporting, headers",
            good_headers + event_id,
            headers_of(reader, "GET", "/api/closings/stream"),
            HEADERS_BYTES_MAX,
            12,
            400,
            HEADER_TOKENS,
            (),
            good_byte,
            _of_headers,
        ),
    ]
