"""What the adapters of other APIs share: commands made from their requests."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from fastapi import Request

from contracts.commands import Malformed, read_command
from contracts.events import CLAIMLESS
from contracts.jsontext import BODY_BYTES_MAX, Unreadable, read_object
from contracts.times import moment, wire_time
from services.gateway.access.callers import Caller, access_of
from services.gateway.access.passwords import Passwords
from services.gateway.adapters.errors import Pending, Refused
from services.gateway.commands.envelope import new_id, written
from services.gateway.idempotency import header, stored
from services.gateway.idempotency.request import fingerprint, keyed
from services.gateway.resources import resources
from services.platform.http.arrival import arrived_at
from services.platform.http.body import read_small_body
from services.sessions.rules.answers import MESSAGES, refused_sender
from services.sessions.rules.command_rights import RightRefusal, refused_right

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class AdapterRequest:
    """One request and the till that it is about.

    `words` are what tells the request from another one under the same key; no password is among them. `refusal` makes
    of a refused command's answer what this API says.
    """

    request: Request
    who: Caller
    store_id: str
    profile_id: str
    words: Any
    refusal: Callable[[Answer], Refused]

    def id_of_opened(self) -> str:
        """The id of the session that the request opens: under a key all its repeats name one, while it waits too."""
        key = header.key_of(self.request)
        return new_id() if key is None else header.command_id_of(self.store_id, key, "session")

    def command(
        self,
        kind: str,
        session_id: str,
        actor: dict[str, Any],
        *,
        part: str = "",
        occurred_at: str | None = None,
        **members: Any,
    ) -> dict[str, Any]:
        """A command of this request; `part` tells several apart. Raises Refused for a bad one.

        Bad is what would be malformed, or is not the caller's to give: so a request of two commands is not half done
        because of the second.
        """
        key = header.key_of(self.request)
        command = {
            "kind": kind,
            "command_id": new_id() if key is None else header.command_id_of(self.store_id, key, part),
            "store_id": self.store_id,
            "profile_id": self.profile_id,
            "session_id": session_id,
            "occurred_at": occurred_at or wire_time(datetime.now(UTC)),
            "actor": actor,
            **members,
        }
        try:
            read_command(command)
        except Malformed as malformed:
            errors = [error.model_dump() for error in malformed.errors]
            answer = {"reason": "malformed", "command_kind": kind, "message": str(malformed), "errors": errors}
            raise self.refusal(answer) from None
        right = self._refused_right(command)
        if right is not None:
            refusal = refused_sender(right)
            message = refusal.message or MESSAGES[refusal.reason]
            answer = {"reason": refusal.reason, "command_kind": kind, "message": message}
            raise self.refusal(answer)
        return command

    def _refused_right(self, command: dict[str, Any]) -> RightRefusal | None:
        """Why the caller may not give this command; None where nobody is asked for a token."""
        if not self.who.authenticated:
            return None
        return refused_right(self.who.claims, self.store_id, command)

    async def send(self, command: dict[str, Any], *, location: str | None = None) -> Answer:
        """The event that the command led to. Raises Refused or Pending; `location` is where a pending one is asked for.

        Under a key the command is the one that was made for this request first.
        """
        value = written(command)
        under_key = keyed(self.request, self.who, self.store_id, self.words)
        if under_key is not None:
            await under_key.claim()
            own = resources(self.request).own
            value = await stored.remember(own, self.store_id, command["command_id"], under_key.fingerprint, value)
        return await self._carry(value, location)

    async def ask(self, kind: str, session_id: str, actor: dict[str, Any], **members: Any) -> Answer:
        """Make a command and send it, for requests of one command."""
        return await self.send(self.command(kind, session_id, actor, **members))

    async def again(self, part: str = "") -> Answer | None:
        """The event of this very request, when it was sent before under its key; else None. Raises as `send`."""
        key = header.key_of(self.request)
        if key is None:
            return None
        command_id = header.command_id_of(self.store_id, key, part)
        own = resources(self.request).own
        command = await stored.find(own, self.store_id, command_id, fingerprint(self.request, self.who, self.words))
        return None if command is None else await self._carry(command, None)

    async def _release(self, command_id: str) -> None:
        """What claims nothing holds no key: sent again, the request makes its command anew and it is decided afresh.

        Of a request of two commands the first stays as it was made, and keeps its answer.
        """
        under_key = keyed(self.request, self.who, self.store_id, self.words)
        if under_key is not None:
            await stored.release(under_key.own, self.store_id, command_id)
            await under_key.release()

    async def _carry(self, command: bytes, location: str | None) -> Answer:
        trace = self.request.headers.get("traceparent")
        reply = await resources(self.request).commands.send(
            command,
            access_of(self.request).topic_token(self.who, self.store_id),
            traceparent=trace.encode("latin-1") if trace else None,
            arrived=arrived_at(self.request.scope),
        )
        if reply.answer is None:
            raise Pending(reply.command_id, location)
        if reply.answer["kind"] == "command_parked":
            raise Refused(HTTPStatus.INTERNAL_SERVER_ERROR, reply.answer["message"])
        if reply.answer["kind"] == "command_rejected":
            if reply.answer["reason"] in CLAIMLESS:
                await self._release(reply.command_id)
            raise self.refusal(reply.answer)
        return reply.answer


async def read_json(request: Request) -> dict[str, Any]:
    """The request's JSON object, its numbers as the digits that came. Raises Refused (400)."""
    try:
        return read_object(await read_small_body(request, BODY_BYTES_MAX))
    except Unreadable as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"The body can't be read. {error}") from None


def named_store(request: Request) -> str | None:
    """The header x-store-id; None without one. Two that differ are no store's id: none of them is picked."""
    named = request.headers.getlist("x-store-id")
    return ", ".join(dict.fromkeys(named)) if named else None


def passwords_of(request: Request) -> tuple[Passwords, str]:
    """Where passwords are asked for, and from where this request brings one."""
    access = access_of(request)
    return access.passwords, access.address_of(request)


def to_the_milli(when: str) -> str:
    """A time of the wire to the millisecond, without its zone: 2025-01-29T09:00:00.000."""
    return moment(when).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
