"""Ways in by HTTP, to the apps themselves: bodies of every API, queries of both services, and headers."""

import gzip
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final
from urllib.parse import quote_from_bytes

from fastapi import FastAPI

from contracts.jsontext import BODY_BYTES_MAX, compact
from services.gateway import secret_body
from services.gateway.own_api import views
from services.platform.http.connection import HEADERS_BYTES_MAX, HEADERS_MAX, PARAMETERS_MAX, URL_BYTES_MAX
from services.platform.http.event_stream import write_id
from services.sessions.worker.read_record import read
from tests.costs.cost_fuzzer import Target, Work
from tests.costs.http_apps import PROFILE, SESSION, STORE, request, status_of
from tests.costs.targets import GOOD, JSON_TOKENS, SMALL, anybody, record
from tests.costs.ways import Ways, way
from tests.support.dear_bodies import dear_bodies

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
FINAL_PUT: Final = {
    "closedBy": "Jane Smith",
    "closeTime": "2026-03-02T17:00:00.000Z",
    "closingAmount": "500.00",
    "closingReportData": "{}",
    "notes": ["Register balanced"],
    "closingAmounts": {"cash": "500.00"},
    "closingNote": "All transactions verified",
}
JETHINGS: Final = {"profileId": "caja-1", "openningCash": 15_000, "password": "secret"}
SHIFT: Final = {"amount": 50_000, "type": "cash_in", "category": "Cash Drop", "description": "Midday"}
TENDER: Final = {"id": "cash", "name": "Efectivo", "type": "cash", "currency": "MXN", "exchange_rate": "1"}
SETTINGS: Final = {"name": "Caja 1", "currency": "MXN", "tenders": [TENDER], "over_short_limit_minor": 5_000}
START: Final = {"start_cash": 100_000, "password": "secret"}
END: Final = {"actual_cash_end": 250_000, "password": "secret"}
USER: Final = {"user": "ana", "role": "cashier", "profile_id": "caja-1", "password": "what only Ana knows"}
SIGN_IN: Final = {"store_id": STORE, "user": "ana", "password": "what only Ana knows"}
QUERY_TOKENS: Final = (
    *(b"&", b"=", b"[]", b"[0]", b",", b"%", b"%5B%5D", b"%00", b"%ff", b"+", b"+00:00", b";", b"a", b"1", b"W10"),
    *(b"store=", b"store[]=", b"store[a]=", b"cursor=", b"limit=", b"profile=", b"state=open", b"closed_from="),
    *(b"business_date=2025-01-31", b"storeUUID=", b"storeUUID[]=", b"page=", b"pageSize=", b"startTimestamp="),
    *(b'["a"]', b"[" * 30, b"9" * 400, b"W1td", b"from=2025-01-31", b"to=", b"by=week", b"person=", b"since="),
    *(b"format=csv", b"decimal=", b"z_number=", b"over_short_above=", b"order=desc", b"ticket="),
)
CURSOR: Final = views.write_cursor(["a", "b", 1]).encode()
PLACE: Final = write_id({("till.closings.v1", 0): 17})
TICKET: Final = b"WyJyaXRhIiwicmVhZGVyIixbInMxIl1d." + b"0" * 64
SPAN: Final = b"startTimestamp=2026-03-01T00:00:00-06:00&endTimestamp=2026-03-02T00:00:00-06:00"
DAYS: Final = b"from=2026-03-01&to=2026-03-31"
PEAK_MAX: Final = 120
"""Bytes at once for a byte of a body: where an item is a digit and a comma, 40 kB of them take 4.3 MB."""
KEPT_MAX: Final = 0.5
"""Bytes that may stay for a byte of a request; nothing is meant to."""
HEADER_TOKENS: Final = (
    *(b"authorization: Bearer ", b"last-event-id: ", b"idempotency-key: ", b"x-store-id: ", b"traceparent: "),
    *(b"cookie: ", b"content-length: ", b"x-forwarded-for: ", b"content-type: ", b"accept: ", b"accept-language: "),
    *(b"e30", b"W1td", b".", b",", b"9", b"\n", b"=", b";q=0.1", b"es-MX", b"till=", b"x-api-key: "),
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
    "Final, update": Body(f"/v1/api/session/{SESSION.session_id}", compact(FINAL_PUT), method="PUT"),
    "Jethings, session": Body("/pos-session/create-session", compact(JETHINGS)),
    "Shifts, cash": Body("/api/v1/shifts/cash-transaction", compact(SHIFT)),
    "Shifts, start": Body("/api/v1/shifts/start", compact(START)),
    "Shifts, end": Body("/api/v1/shifts/end", compact(END)),
    "own API, settings": Body(f"/api/stores/{STORE}/profiles/{PROFILE}", compact(SETTINGS), method="PUT"),
    "own API, user": Body(f"/api/stores/{STORE}/users", compact(USER), secret_body.BODY_BYTES_MAX),
    "own API, key": Body(
        f"/api/stores/{STORE}/keys",
        compact({"company_id": "cafes", "role": "manager"}),
        secret_body.BODY_BYTES_MAX,
    ),
    "own API, rotation": Body(
        f"/api/stores/{STORE}/keys/4f1c2ab90d3e/rotate", compact({"previous_until": None}), secret_body.BODY_BYTES_MAX
    ),
    "signing in": Body("/auth/token", compact(SIGN_IN), secret_body.BODY_BYTES_MAX),
    "trading a key": Body("/auth/key-token", compact({"audience": "api"}), secret_body.BODY_BYTES_MAX),
}


@dataclass(frozen=True, slots=True)
class Query:
    """Which path is asked, and a good query."""

    path: str
    good: bytes


SESSION_PATH: Final = f"/api/sessions/{SESSION.session_id}"
GATEWAY_QUERIES: Final = {
    "own API, sessions asked": Query("/api/sessions", b"store=parrot-cafe&limit=10&cursor=" + CURSOR),
    "own API, stream asked": Query("/api/sessions/stream", b"store=parrot-cafe"),
    "own API, tills asked": Query("/api/tills", b"store=parrot-cafe&limit=10&profile=caja-1"),
    "own API, journal asked": Query(f"{SESSION_PATH}/journal", b"store=parrot-cafe&limit=10&since=3"),
}
READER_QUERIES: Final = {
    "reporting, closings asked": Query("/api/closings", b"store=parrot-cafe&limit=10&profile=caja-1&person=ana"),
    "reporting, sessions asked": Query("/v1/cashier-sessions/", SPAN),
    "reporting, stream asked": Query("/api/closings/stream", b"store=parrot-cafe"),
    "reporting, stream by ticket": Query("/api/closings/stream", b"ticket=" + TICKET),
    "reporting, changes asked": Query("/api/changes", b"store=parrot-cafe&limit=10&after=" + PLACE),
    "reporting, over and short": Query("/api/over-short", b"store=parrot-cafe&by=week&" + DAYS),
    "reporting, export asked": Query("/api/exports/closings", b"store=parrot-cafe&format=csv&" + DAYS),
}
HEADERS_OF: Final = {
    "gateway, headers": ("POST", "/api/commands"),
    "gateway, headers of a stream": ("GET", "/api/sessions/stream"),
    "reporting, headers": ("GET", "/api/closings/stream"),
}
LIKE: Final = {
    "GET /api/commands/{command_id} query": "GET /api/sessions query",
    "GET /api/sessions/{session_id} query": "GET /api/sessions query",
    "GET /api/sessions/{session_id}/x-report query": "GET /api/sessions query",
    "GET /api/stores/{store_id}/profiles query": "GET /api/sessions query",
    "GET /api/stores/{store_id}/profiles/{profile_id}/history query": "GET /api/sessions query",
    "GET /api/stores/{store_id}/users query": "GET /api/sessions query",
    "GET /api/closings/{closing_id} query": "GET /api/closings query",
}
"""Ways that are not searched because another one is: it has all their parameters, and reads them by the same functions.

None of these routes does anything else with what was sent before it asks its database.
"""


def of_a_url(data: bytes) -> bytes:
    """What the server takes for a query."""
    return b"&".join(quote_from_bytes(data, safe=IN_A_QUERY).encode().split(b"&")[:PARAMETERS_MAX])


def of_headers(data: bytes) -> bytes:
    """What it takes for headers, a line each."""
    lines = [line.partition(b":") for line in data.split(b"\n")]
    read = [b"%b: %b" % (NO_NAME.sub(b"", name).lower(), NO_VALUE.sub(b"", value).strip()) for name, _, value in lines]
    return b"\n".join(read[:HEADERS_MAX])


def good_byte() -> tuple[Work, int]:
    """What reads a good command, and that command's bytes."""
    return partial(read, record(GOOD), anybody), len(GOOD)


def query_target(name: str, asked: Any, query: Query, headers: Mapping[str, str], ways: Ways) -> Target:
    """A search in the queries of one path."""

    def prepare(data: bytes) -> Work:
        return request(asked, "GET", query.path, headers, query=data)

    # A query's parameters take 2 µs each, whatever is in them: 500 of one character are a millisecond, and what a good
    # query takes as a whole is a sixth of that.
    return Target(
        *(name, query.good, prepare, URL_BYTES_MAX, 20, 400, KEPT_MAX, QUERY_TOKENS, (), good_byte(), of_a_url),
        ways=[way(ways, "GET", query.path, "query")] if ways else [],
    )


def headers_target(name: str, asked: Any, method: str, path: str, good: bytes, body: bytes) -> Target:
    """A search in the headers of one path."""

    def prepare(data: bytes) -> Work:
        lines = [line.partition(b": ") for line in of_headers(data).split(b"\n")]
        pairs = [(name, value) for name, _, value in lines]
        return lambda: status_of(asked, method, path, pairs, body, b"")

    return Target(
        *(name, good, prepare, HEADERS_BYTES_MAX, 12, 400, KEPT_MAX, HEADER_TOKENS, (), good_byte(), of_headers)
    )


def http_targets(app: FastAPI, headers: Mapping[str, str], reader: FastAPI, ways: Ways) -> list[Target]:
    """Bodies of every API, queries of both services, and headers; `ways` are all that the two have."""
    dear = list(dear_bodies(SMALL).values())

    def body_target(name: str, to: Body, prepare: Callable[[bytes], Work]) -> Target:
        return Target(
            *(name, to.good, prepare, to.bytes_max, 12, PEAK_MAX, KEPT_MAX, JSON_TOKENS, dear, good_byte()),
            ways=[way(ways, to.method, to.path, "body")],
        )

    def body_of(to: Body) -> Callable[[bytes], Work]:
        return lambda data: request(app, to.method, to.path, headers, body=data)

    def packed(data: bytes) -> Work:
        # Judged by its bytes unpacked: what gzip saves on the line is saved by good ones too.
        in_gzip = {**headers, "content-encoding": "gzip"}
        return request(app, "POST", "/api/commands", in_gzip, body=gzip.compress(data, compresslevel=1, mtime=0))

    good_headers = b"\n".join(f"{name}: {value}".encode() for name, value in headers.items())
    event_id = b"\nlast-event-id: eyJ0Ijp7IjAiOjF9fQ=="
    return [
        *(body_target(name, to, body_of(to)) for name, to in BODIES.items()),
        body_target("own API, packed command", BODIES["own API, command"], packed),
        *(query_target(name, app, query, headers, ways) for name, query in GATEWAY_QUERIES.items()),
        *(query_target(name, reader, query, headers, ways) for name, query in READER_QUERIES.items()),
        *(
            headers_target(
                *(name, reader if name.startswith("reporting") else app, method, path),
                *(good_headers if method == "POST" else good_headers + event_id, GOOD if method == "POST" else b""),
            )
            for name, (method, path) in HEADERS_OF.items()
        ),
    ]
