"""From the bytes of one Kafka record to a command, or to the reason why nobody can be answered. Total."""

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol

from contracts.commands import FieldError, Malformed, read_command
from contracts.jsontext import Unreadable, canonical, proven, read_likely, read_watching
from contracts.record_classes import plain, record_of
from contracts.records import Command, decode_likely, proven_text
from contracts.times import from_millis
from contracts.topics import key_of
from contracts.values import ID_TEXT, UUID_TEXT
from services.platform.auth.claims import Claims, Flaw
from services.platform.auth.revocations import Revocations
from services.platform.auth.tokens import COMMANDS_AUDIENCE, Verifier, bearer_or_flaw
from services.platform.kafka.undecodable import Undecodable
from services.sessions.rules.command_rights import RightRefusal, refused_right
from services.sessions.rules.model import Received
from services.sessions.worker.framing import recognised

_TRACEPARENT: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}[ -~]{0,200}")

REPEATED: Final = ("kind", "session_id", "occurred_at", "actor")
"""What an answer repeats of a body that is no command, besides the ids that it can't do without."""

_NO_HASH: Final = b""
"""What nobody claims by an id is not compared with what was claimed."""
_NO_MEMBERS: Final[dict[str, Any]] = {}

Why = Literal["unreadable", "undecodable", "failing"]
"""There is no command in the record, or the client library can't decode it, or the service keeps failing on it. Only of
the last was the sender's right looked at."""
Headers = tuple[tuple[str, bytes | None], ...]
Verify = Callable[[Headers, int, str], Claims | Flaw]
"""From a record's headers, its append time (milliseconds) and its store to the claims of its sender, or to why its
token doesn't count."""
_Verdict = tuple[str, Claims | Flaw]
"""A store, and what its sender's token counts for there."""


def verify_with(verifier: Verifier, revocations: Callable[[], Revocations]) -> Verify:
    """A Verify that asks `verifier`, and what is known of revocations then."""

    def verify(headers: Headers, at_ms: int, store_id: str) -> Claims | Flaw:
        token = bearer_or_flaw(headers)
        if isinstance(token, str):
            return token
        claims = verifier.judge(token, at_ms / 1_000, COMMANDS_AUDIENCE)
        if isinstance(claims, str):
            return claims
        return "revoked" if revocations().refuses_command(claims, store_id, at_ms) else claims

    return verify


class Record(Protocol):
    """What is used of a raw Kafka record."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    key: bytes | None
    value: bytes | None
    headers: Headers


@dataclass(frozen=True, slots=True)
class Parked:
    """A record that can't be read, or that can't be applied: it goes to the dead letters as it came."""

    record: Record
    error: str
    why: Why


def read(record: Record, verify: Verify | None) -> Received | Parked:
    """The command in a record. `verify` is None where every record speaks as admin of its store.

    Who brings no good token is asked nothing else: of that body only what its answer repeats is looked at.
    """
    if isinstance(record, Undecodable):
        return Parked(record, record.error, "undecodable")
    certain, verdict = _read_certain(record, verify)
    if certain is not None:
        return certain
    sender: Claims | Flaw = "missing"
    command: Command | None = None
    members = _NO_MEMBERS
    text = b""
    errors: tuple[FieldError, ...] = ()
    try:
        members, exact = read_likely(record.value)
        if verify:
            named = members.get("store_id")
            if isinstance(named, str):
                # To find out that a signature is wrong is the dearest part of it: that is done once.
                known = verdict is not None and verdict[0] == named
                sender = verdict[1] if verdict and known else verify(record.headers, record.timestamp, named)
        if verify and isinstance(sender, str):
            members = members if exact else proven(members, record.value or b"")
        else:
            members, text, result = _read_value(members, record.value or b"", exact=exact)
            if isinstance(result, Malformed):
                errors = tuple(result.errors)
            else:
                command = result
        if command is None:
            command_id = _readable_id(members, "command_id", UUID_TEXT).lower()
            store_id = _readable_id(members, "store_id", ID_TEXT)
            profile_id = _readable_id(members, "profile_id", ID_TEXT)
        else:
            command_id, store_id, profile_id = command.command_id, command.store_id, command.profile_id
    except Unreadable as error:
        return Parked(record, _with_framing(str(error), recognised(record.value, members)), "unreadable")
    return _received(
        record,
        (command_id, store_id, profile_id),
        refused_right(sender, store_id, members) if verify else None,
        text,
        command,
        members=_repeated(members) if command is None else _NO_MEMBERS,
        errors=errors,
    )


def _read_certain(record: Record, verify: Verify | None) -> tuple[Received | None, _Verdict | None]:
    """What `read` gives, where the body is certainly a command and its sender's token counts; most are read by this.

    A sender without a token sends no headers as a rule; of one whose token doesn't count no field is checked here.
    What was found out of the sender comes along.
    """
    value = record.value
    command = None if value is None or (verify and not record.headers) else decode_likely(value)
    if value is None or command is None:
        return None, None
    sender: Claims | Flaw = verify(record.headers, record.timestamp, command.store_id) if verify else "missing"
    verdict = (command.store_id, sender)
    text = None if verify and isinstance(sender, str) else proven_text(command, value)
    if text is None:
        return None, verdict
    refused = refused_right(sender, command.store_id, plain(command)) if verify else None
    ids = (command.command_id, command.store_id, command.profile_id)
    return _received(record, ids, refused, text, command), verdict


def _received(
    record: Record,
    ids: tuple[str, str, str],
    refused: RightRefusal | None,
    text: bytes,
    command: Command | None,
    *,
    members: dict[str, Any] = _NO_MEMBERS,
    errors: tuple[FieldError, ...] = (),
) -> Received:
    """`ids` are those of the command, its store and its profile."""
    command_id, store_id, profile_id = ids
    return Received(
        raw=record,
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        received_at=from_millis(record.timestamp),
        traceparent=_traceparent(record.headers) if record.headers else None,
        refused_right=refused,
        command_id=command_id,
        store_id=store_id,
        profile_id=profile_id,
        key=key_of(store_id, profile_id),
        text=text,
        body_hash=hashlib.sha256(text).digest() if text else _NO_HASH,
        command=command,
        members=members,
        errors=errors,
    )


def _with_framing(error: str, framing: str | None) -> str:
    return error if framing is None else f"{error} {framing}"


def _repeated(members: dict[str, Any]) -> dict[str, Any]:
    """The members that a refusal repeats. The others, of which a body can have 80,000, are let go."""
    return {name: members[name] for name in REPEATED if name in members}


def _read_value(
    members: dict[str, Any], value: bytes, *, exact: bool
) -> tuple[dict[str, Any], bytes, Command | Malformed]:
    """The members of the object in a record, their canonical text, and the command or what is malformed in it.

    What was read likely is right if it is as long as it came and no number in it is a float or has more than 19 digits:
    whatever orjson reads in another way (a member twice, white space, needless escapes) it writes shorter. A command
    that takes no such numbers is proof enough, and spares the writing back.
    """
    text = canonical(members)
    if not exact and len(text) != len(value):
        members, exact = read_watching(value), True
        text = canonical(members)
    command = _command(members)
    if not exact and isinstance(command, Malformed):
        watched = proven(members, value)
        if watched is not members:
            return watched, canonical(watched), _command(watched)
    return members, text, command


def _command(members: dict[str, Any]) -> Command | Malformed:
    try:
        command: Command = record_of(read_command(members))
    except Malformed as malformed:
        # What it was raised from, and the frames on its way, would keep each other and the body alive until the garbage
        # collector comes, which it does rarely: a flood of such bodies held 10 kB for each.
        malformed.__context__ = None
        return malformed.with_traceback(None)
    return command


def _readable_id(body: dict[str, Any], name: str, pattern: re.Pattern[str]) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not pattern.fullmatch(value):
        raise Unreadable(f"The command has no valid {name}: nobody can be answered.")
    return value


def _traceparent(headers: Headers) -> bytes | None:
    """The W3C trace context of the record, where it has one that may be copied."""
    for name, value in headers:
        if name == "traceparent" and value is not None and _TRACEPARENT.fullmatch(value):
            return value
    return None
