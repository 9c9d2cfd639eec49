"""The public HTTP APIs of gateway and reporting reader, as the console asks them: with the person's own token."""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import httpx

from services.console.person import Person
from services.platform.errors import TillError
from services.platform.http.client_address import FORWARDED_FOR

CONNECT_S: Final = 2.0
REPLY_S: Final = 15.0
"""Longer than the gateway waits for an answer, and then for its database."""
CONNECTIONS_MAX: Final = 100
"""To each service, of all requests together; more of them wait."""
READINGS_AT_ONCE: Final = 16
"""Of each service; more wait for their turn. For each request the pool looks through its connections and all that wait
for one: two hundred pages that asked at once cost five times as much."""
LIVE_PAGES_MAX: Final = 1_000
"""As many as one gateway feeds."""
SILENCE_S: Final = 40.0
"""The gateway says something every 15 s; one that does not is gone."""
PIECE_S: Final = 60.0
"""Between two pieces of a file: the reader makes others' files meanwhile."""
PAGE_ITEMS: Final = 500
"""What one request may bring; the APIs' own limit."""
PAGES_MAX: Final = 10
"""So many pages of a list make one page of the console: beyond 5,000 rows nobody reads on."""
_DATA: Final = "data:"
_TOO_MANY: Final = "too_many_streams"


class Refused(TillError):
    """An API refuses. `detail` is its sentence, in English; `reason` its word, where it has one."""

    def __init__(
        self,
        status: int,
        detail: str,
        reason: str = "",
        retry_after_s: int | None = None,
        errors: Sequence[tuple[str, str]] = (),
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.reason = reason
        self.retry_after_s = retry_after_s
        self.errors = errors
        """Of a body: in which fields, and what is wrong there."""


class Away(TillError):
    """An API does not answer, or says something that is none of its replies."""


class Crowded(Away):
    """There is no line for one more who listens; whatever else is asked for is answered."""


@dataclass(frozen=True, slots=True)
class Apis:
    """Connections to both services, shared by all requests of a process. What is asked for is asked as a person."""

    gateway: httpx.AsyncClient
    reporting: httpx.AsyncClient
    changes: httpx.AsyncClient
    """The gateway too, for what stays open: live pages take no connection from requests."""
    turns: Mapping[httpx.AsyncClient, asyncio.Semaphore]
    """To read from each service."""

    async def check(self) -> None:
        """Return when the gateway answers, whatever it says. Raises httpx.HTTPError."""
        await self.gateway.get("/api/sessions")

    async def sign_in(self, store_id: str, user: str, password: str, address: str) -> str:
        """A token for this person, who comes from this address. Raises Refused or Away."""
        body = {"store_id": store_id, "user": user, "password": password}
        headers = {FORWARDED_FOR: address} if address else {}
        reply = await _send(self.gateway, "POST", "/auth/token", json=body, headers=headers)
        token = reply.get("access_token")
        if not isinstance(token, str):
            raise Away("The gateway gives no token.")
        return token

    async def tills(self, person: Person, store_id: str) -> list[dict[str, Any]]:
        """How the tills of a store stand, with figures as far as the person may see them. Raises Refused or Away."""
        return await self._all(person, "/api/tills", store=store_id)

    async def journal(self, person: Person, session_id: str, since: int) -> list[dict[str, Any]]:
        """The first PAGE_ITEMS accepted commands behind this sequence, with their answers. Raises Refused or Away."""
        path, asked = f"/api/sessions/{_segment(session_id)}/journal", {"since": str(since), "limit": str(PAGE_ITEMS)}
        items: list[dict[str, Any]] = (await self._get(self.gateway, person, path, **asked))["items"]
        return items

    async def closings(
        self, person: Person, store_id: str, filters: Mapping[str, str], limit: int = PAGE_ITEMS
    ) -> dict[str, Any]:
        """`{items, next_cursor, as_it_stands}`, a page of a store's closings, latest first. Raises Refused or Away."""
        asked = {**filters, "store": store_id, "order": "desc", "as_it_stands": "true", "limit": str(limit)}
        return await self._get(self.reporting, person, "/api/closings", **asked)

    async def closing(self, person: Person, closing_id: str) -> dict[str, Any]:
        """`{closing, corrections}`; with `next_cursor` where there are more than PAGES_MAX pages of these.

        Raises Refused or Away.
        """
        path = f"/api/closings/{_segment(closing_id)}"
        reply = await self._get(self.reporting, person, path)
        for _ in range(1, PAGES_MAX):
            if "next_cursor" not in reply:
                break
            more = await self._get(self.reporting, person, path, cursor=reply["next_cursor"])
            reply = more | {"corrections": reply["corrections"] + more["corrections"]}
        return reply

    @asynccontextmanager
    async def export(
        self, person: Person, kind: str, filters: Mapping[str, str]
    ) -> AsyncIterator[AsyncIterator[bytes]]:
        """A file of the reader's, piece by piece as it is made; Away on the way is a file that is not whole.

        Raises Refused or Away.
        """
        path, timeout = f"/api/exports/{_segment(kind)}", httpx.Timeout(PIECE_S, connect=CONNECT_S)
        try:
            async with self.reporting.stream(
                "GET", path, params=dict(filters), headers=_bearer(person), timeout=timeout
            ) as reply:
                if reply.is_error:
                    await reply.aread()
                    _body(reply)
                yield reply.aiter_bytes()
        except httpx.HTTPError as error:
            raise Away(f"GET {path}: {type(error).__name__}") from error

    async def over_short(self, person: Person, store_id: str, asked: Mapping[str, str]) -> dict[str, Any]:
        """`{by, items, more}`: what was over and short in a store. Raises Refused or Away."""
        return await self._get(self.reporting, person, "/api/over-short", **{**asked, "store": store_id})

    async def send(self, person: Person, command: Mapping[str, Any]) -> dict[str, Any]:
        """The answer to a command; `status: pending` where there is none yet. Raises Refused or Away."""
        headers = _bearer(person)
        return await _send(self.gateway, "POST", "/api/commands", json=dict(command), headers=headers)

    async def answer(self, person: Person, store_id: str, command_id: str) -> dict[str, Any]:
        """The answer to a command that was sent before; `status: pending` where it waits. Raises Refused or Away."""
        return await self._get(self.gateway, person, f"/api/commands/{_segment(command_id)}", store=store_id)

    @asynccontextmanager
    async def changes_of(
        self, person: Person, store_id: str, session_id: str | None
    ) -> AsyncIterator[AsyncIterator[None]]:
        """Something whenever something changed in a store, of sessions this one alone where one is named.

        It goes on from now to the end of the token, or of the line. Raises Refused or Away; Crowded where all lines
        are taken, of the gateway or of this console.
        """
        params, timeout = {"store": store_id}, httpx.Timeout(SILENCE_S, connect=CONNECT_S, pool=CONNECT_S)
        path, headers = "/api/sessions/stream", _bearer(person)
        try:
            async with self.changes.stream("GET", path, params=params, headers=headers, timeout=timeout) as reply:
                if reply.is_error:
                    await reply.aread()
                    _body(reply)
                yield _changes(reply, session_id)
        except httpx.PoolTimeout as error:
            raise Crowded("All lines of this console are taken.") from error
        except httpx.HTTPError as error:
            raise Away(f"GET {path}: {type(error).__name__}") from error

    async def tills_as_set_up(self, person: Person, store_id: str) -> list[dict[str, Any]]:
        """The tills of a store. Raises Refused or Away."""
        tills = await self._all(person, f"/api/stores/{_segment(store_id)}/profiles")
        # A gateway of the version before tells no zones.
        return [{"time_zone": None} | till for till in tills]

    async def settings(self, person: Person, store_id: str, profile_id: str) -> dict[str, Any]:
        """What a till goes by, who set it and when. Raises Refused or Away."""
        return await self._get(self.gateway, person, _profile(store_id, profile_id))

    async def settings_before(
        self, person: Person, store_id: str, profile_id: str, limit: int, cursor: str = ""
    ) -> dict[str, Any]:
        """A page of the versions of a till's settings, the newest first. Raises Refused or Away."""
        asked = {"limit": str(limit)} | ({"cursor": cursor} if cursor else {})
        return await self._get(self.gateway, person, f"{_profile(store_id, profile_id)}/history", **asked)

    async def set_till(
        self, person: Person, store_id: str, profile_id: str, settings: Mapping[str, Any], key: str
    ) -> dict[str, Any]:
        """Set a till; the answer, or `status: pending`. Of one key it is done once. Raises Refused or Away."""
        headers = _bearer(person) | {"idempotency-key": key}
        return await _send(self.gateway, "PUT", _profile(store_id, profile_id), json=dict(settings), headers=headers)

    async def users(self, person: Person, store_id: str) -> list[dict[str, Any]]:
        """The users of a store, revoked ones too. Raises Refused or Away."""
        return await self._all(person, f"/api/stores/{_segment(store_id)}/users")

    async def set_user(self, person: Person, store_id: str, user: Mapping[str, Any]) -> None:
        """Add a user, or replace one. Raises Refused or Away."""
        path = f"/api/stores/{_segment(store_id)}/users"
        await _send(self.gateway, "POST", path, json=dict(user), headers=_bearer(person))

    async def revoke_user(self, person: Person, store_id: str, user_id: str) -> None:
        """End somebody's password and tokens in a store. Raises Refused or Away."""
        path = f"/api/stores/{_segment(store_id)}/users/{_segment(user_id)}"
        await _send(self.gateway, "DELETE", path, headers=_bearer(person))

    async def keys(self, person: Person, store_id: str) -> list[dict[str, Any]]:
        """The API keys of a store, without what they are. Raises Refused or Away."""
        keys: list[dict[str, Any]] = (await self._get(self.gateway, person, _keys(store_id)))["items"]
        return keys

    async def make_key(self, person: Person, store_id: str, key: Mapping[str, Any], once: str) -> dict[str, Any]:
        """A new API key with its secret, which is None where `once` has made it before. Raises Refused or Away."""
        headers = _bearer(person) | {"idempotency-key": once}
        return await _send(self.gateway, "POST", _keys(store_id), json=dict(key), headers=headers)

    async def rotate_key(
        self, person: Person, store_id: str, key_id: str, rotation: Mapping[str, Any]
    ) -> dict[str, Any]:
        """An API key with its new secret. Raises Refused or Away."""
        path = f"{_keys(store_id)}/{_segment(key_id)}/rotate"
        return await _send(self.gateway, "POST", path, json=dict(rotation), headers=_bearer(person))

    async def revoke_key(self, person: Person, store_id: str, key_id: str) -> None:
        """End an API key. Raises Refused or Away."""
        await _send(self.gateway, "DELETE", f"{_keys(store_id)}/{_segment(key_id)}", headers=_bearer(person))

    async def session(self, person: Person, session_id: str) -> dict[str, Any]:
        """A session. Raises Refused or Away."""
        return await self._get(self.gateway, person, f"/api/sessions/{_segment(session_id)}")

    async def x_report(self, person: Person, session_id: str) -> dict[str, Any]:
        """The figures of a session as they are now. Raises Refused or Away."""
        return await self._get(self.gateway, person, f"/api/sessions/{_segment(session_id)}/x-report")

    async def _all(self, person: Person, path: str, /, **params: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        asked = params | {"limit": str(PAGE_ITEMS)}
        for _ in range(PAGES_MAX):
            page = await self._get(self.gateway, person, path, **asked)
            items += page["items"]
            if page["next_cursor"] is None:
                break
            asked["cursor"] = page["next_cursor"]
        return items

    async def _get(self, client: httpx.AsyncClient, person: Person, path: str, /, **params: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(REPLY_S):
                await self.turns[client].acquire()
        except TimeoutError as error:
            raise Away(f"GET {path}: too many are being read") from error
        try:
            return await _send(client, "GET", path, params=params, headers=_bearer(person))
        finally:
            self.turns[client].release()


@asynccontextmanager
async def open_apis(gateway_url: str, reporting_url: str) -> AsyncIterator[Apis]:
    """Connections to these services for as long as the block lasts. No proxy of the environment stands between."""
    timeout = httpx.Timeout(REPLY_S, connect=CONNECT_S)
    limits = httpx.Limits(max_connections=CONNECTIONS_MAX)
    live = httpx.Limits(max_connections=LIVE_PAGES_MAX)
    async with (
        httpx.AsyncClient(base_url=gateway_url, timeout=timeout, limits=limits, trust_env=False) as gateway,
        httpx.AsyncClient(base_url=reporting_url, timeout=timeout, limits=limits, trust_env=False) as reporting,
        httpx.AsyncClient(base_url=gateway_url, timeout=timeout, limits=live, trust_env=False) as changes,
    ):
        turns = {client: asyncio.Semaphore(READINGS_AT_ONCE) for client in (gateway, reporting)}
        yield Apis(gateway, reporting, changes, turns)


async def _send(client: httpx.AsyncClient, method: str, path: str, **more: Any) -> dict[str, Any]:
    try:
        return _body(await client.request(method, path, **more))
    except httpx.HTTPError as error:
        raise Away(f"{method} {client.base_url}: {type(error).__name__}") from error


def _body(reply: httpx.Response) -> dict[str, Any]:
    """What a reply says. Raises Refused or Away."""
    try:
        body = reply.json()
    except ValueError as error:
        raise Away(f"{reply.request.url.path}: no JSON") from error
    if not isinstance(body, dict):
        raise Away(f"{reply.request.url.path}: no object")
    if reply.is_error:
        raise _refusal(reply.status_code, body, reply.headers)
    return body


async def _changes(reply: httpx.Response, session_id: str | None) -> AsyncIterator[None]:
    """Every line of the stream that tells of a change, or asks to look anew; what changed is asked for then."""
    async for line in reply.aiter_lines():
        if line.startswith(_DATA) and (session_id is None or is_about(line.removeprefix(_DATA), session_id)):
            yield


def is_about(change: str, session_id: str) -> bool:
    """Whether a change may show on this session's page: what names no other session may, as settings of tills do."""
    try:
        read = json.loads(change)
    except ValueError:
        return True
    named = read.get("session_id") if isinstance(read, dict) else None
    return named is None or named == session_id


def _refusal(status: int, body: Mapping[str, Any], headers: Mapping[str, str]) -> TillError:
    detail, reason, later = body.get("detail", body.get("message")), body.get("reason"), headers.get("retry-after", "")
    if status == HTTPStatus.SERVICE_UNAVAILABLE and reason == _TOO_MANY:
        return Crowded(str(detail))
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR and status != HTTPStatus.NOT_IMPLEMENTED:
        return Away(str(detail))
    named = [error for error in body.get("errors") or () if isinstance(error, dict)]
    errors = [(str(error.get("field", "")), str(error.get("problem", ""))) for error in named]
    return Refused(status, str(detail), str(reason or ""), int(later) if later.isdecimal() else None, errors)


def _bearer(person: Person) -> dict[str, str]:
    return {"authorization": f"Bearer {person.token}"}


def _profile(store_id: str, profile_id: str) -> str:
    return f"/api/stores/{_segment(store_id)}/profiles/{_segment(profile_id)}"


def _keys(store_id: str) -> str:
    return f"/api/stores/{_segment(store_id)}/keys"


def _segment(text: str) -> str:
    """A part of a path: whatever a browser sends stays within it. Dots alone would lead out of it."""
    return quote(text, safe="") if text.strip(".") else "%2E" * len(text)
