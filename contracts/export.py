"""The wire for other languages: JSON Schemas, AsyncAPI, those for Kafka Connect and webhooks, of the models."""

import json
from collections.abc import Iterator
from inspect import getdoc
from pathlib import Path
from typing import Any, Final

from contracts import topics
from contracts.access import ACCESS
from contracts.closings import SINCE_THE_FIRST_VERSION, Closing, ClosingCorrection
from contracts.commands import COMMANDS
from contracts.connect_schema import connect_schema
from contracts.events import ANSWERS
from contracts.times import TIME_PATTERN
from contracts.values import UUID_PATTERN, Wire
from contracts.webhooks import TRIAL, Trial

HERE: Final = Path(__file__).parent
SCHEMAS: Final = "schemas"
ASYNCAPI: Final = "asyncapi.json"
CONNECT: Final = "connect.json"
WEBHOOK: Final = "webhook.json"
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"

_WHAT_NO_SCHEMA_SAYS: Final = (
    "JSON Schema takes 1.0 and 1e3 for integers; this wire does not: an integer is written "
    "without fraction or exponent. Lengths of texts are limits in bytes of UTF-8. "
)
_OF_COMMANDS: Final = "null in an optional member equals its absence; unknown members are refused."
_OF_THE_REST: Final = "Readers skip members that they do not know: a later minor version may add some."
_WRITTEN_UUID: Final = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
_WRITTEN_TIME: Final = {
    "type": "string",
    "format": "date-time",
    "pattern": r"^(19[7-9]\d|20\d\d)-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$",
    "description": "RFC 3339 in UTC with six fraction digits.",
}
_ONLY_SOMETIMES: Final = frozenset(
    {"closing_id", "correction_id", "errors", "open_session_id", "recounted", "profile_version", "tenders_added"}
)
"""Members with a default that are left out where they say nothing."""

_ANSWERS: Final[dict[str, type[Wire]]] = {str(model.model_fields["kind"].default): model for model in ANSWERS}
_CLOSINGS: Final[dict[str, type[Wire]]] = {
    "closing": Closing,
    "closing_correction": ClosingCorrection,
}


def export(folder: Path) -> None:
    """Writes `schemas/*.json` and the documents beside them under `folder`, and removes other schemas."""
    contents = _contents()
    (folder / SCHEMAS).mkdir(parents=True, exist_ok=True)
    for name in _strangers(folder, contents):
        (folder / name).unlink()
    for name, text in contents.items():
        (folder / name).write_text(text, encoding="utf-8")


def stale(folder: Path) -> list[str]:
    """Names of the files under `folder` that `export` would change, add or remove; sorted."""
    contents = _contents()
    wrong = [name for name, text in contents.items() if _text_of(folder / name) != text]
    return sorted(wrong + _strangers(folder, contents))


def _contents() -> dict[str, str]:
    files: dict[str, Any] = {}
    for kind, model in COMMANDS.items():
        files[f"{SCHEMAS}/{kind}.json"] = _schema(kind, model)
    for kind, written in (_ANSWERS | _CLOSINGS | ACCESS).items():
        files[f"{SCHEMAS}/{kind}.json"] = _written_schema(kind, written)
    files[ASYNCAPI] = _asyncapi()
    files[CONNECT] = connect_schema()
    files[WEBHOOK] = _webhook()
    return {
        name: json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
        for name, content in files.items()
    }


def _strangers(folder: Path, contents: dict[str, str]) -> list[str]:
    files = (f"{SCHEMAS}/{path.name}" for path in (folder / SCHEMAS).glob("*.json"))
    return [name for name in files if name not in contents]


def _text_of(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.is_file() else None


def _head(kind: str, model: type[Wire], rules: str) -> dict[str, str]:
    return {
        "$schema": DIALECT,
        "$id": f"urn:tillstream:till.{kind}.v1",
        "title": kind,
        "description": f"{getdoc(model)}\n\n{_WHAT_NO_SCHEMA_SAYS}{rules}",
    }


def _schema(kind: str, model: type[Wire]) -> dict[str, Any]:
    """The schema of what registers send."""
    schema: dict[str, Any] = _without_titles(model.model_json_schema(mode="validation"))
    return schema | _head(kind, model, _OF_COMMANDS)


def _written_schema(kind: str, model: type[Wire]) -> dict[str, Any]:
    """The schema of what the service writes: all members, ids in lower case, times in UTC."""
    schema: dict[str, Any] = _as_written(_without_titles(model.model_json_schema(mode="serialization")))
    since = SINCE_THE_FIRST_VERSION if model in (Closing, ClosingCorrection) else frozenset()
    for part in schema.get("$defs", {}).values():
        part["required"] = sorted(part["properties"].keys() - since)
    schema["required"] = sorted(schema["properties"].keys() - _optional(model) - since)
    return schema | _head(kind, model, _OF_THE_REST)


def _webhook() -> dict[str, Any]:
    """The schema of the bodies that are pushed, with those of all that they may hold inside."""
    times = {"closing": "closed_at", "closing_correction": "received_at", TRIAL: "when it was tried"}
    held: dict[str, type[Wire]] = {**_CLOSINGS, TRIAL: Trial}
    return {
        "$schema": DIALECT,
        "$id": "urn:tillstream:till.webhook.v1",
        "title": "webhook",
        "description": "The body of a webhook: `data` is the record of the closings topic byte for byte. Answer 2xx "
        f"to a `type` that you don't know: a later minor version may add some. {_OF_THE_REST}",
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "timestamp": dict(_WRITTEN_TIME) | {"description": f"By type: {', '.join(map(' '.join, times.items()))}."},
            "data": {"type": "object"},
        },
        "required": ["data", "timestamp", "type"],
        "oneOf": [
            {"properties": {"type": {"const": kind}, "data": {"$ref": f"urn:tillstream:till.{kind}.v1"}}}
            for kind in held
        ],
        "$defs": {kind: _written_schema(kind, model) for kind, model in held.items()},
    }


def _optional(model: type[Wire]) -> set[str]:
    return {name for name, field in model.model_fields.items() if name in _ONLY_SOMETIMES and not field.is_required()}


def _without_titles(node: Any) -> Any:
    """Pydantic titles every member with its own name; that says nothing."""
    if isinstance(node, dict):
        return {
            name: _without_titles(part) for name, part in node.items() if name != "title" or not isinstance(part, str)
        }
    return [_without_titles(part) for part in node] if isinstance(node, list) else node


def _as_written(node: Any) -> Any:
    if isinstance(node, list):
        return [_as_written(part) for part in node]
    if not isinstance(node, dict):
        return node
    if node.get("pattern") == TIME_PATTERN:
        return dict(_WRITTEN_TIME)
    if node.get("pattern") == UUID_PATTERN:
        return node | {"pattern": _WRITTEN_UUID}
    return {
        name: _as_written(part)
        for name, part in node.items()
        if name != "default" and (name, part) != ("additionalProperties", False)
    }


def _asyncapi() -> dict[str, Any]:
    addresses = topics.topics()
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Tillstream",
            "version": "1.0.0",
            "description": "Cash sessions as a stream, as the service sees it. WIRE.md is normative.",
            "license": {"name": "Apache-2.0"},
        },
        "defaultContentType": "application/json",
        "channels": {
            "commands": _channel(addresses.commands, topics.COMMANDS, COMMANDS),
            "events": _channel(addresses.events, topics.EVENTS, _ANSWERS),
            "closings": _channel(addresses.closings, topics.CLOSINGS, _CLOSINGS),
            "deadLetters": _channel(addresses.dead_letters, topics.DEAD_LETTERS, ["dead_letter"]),
            "access": _channel(addresses.access, topics.ACCESS, ACCESS)
            | {"description": "Keyed store_id/subject, one partition."},
        },
        "operations": {
            "receiveCommands": _operation("receive", "commands", "Every command gets one answer."),
            "sendAnswers": _operation("send", "events", "Repeats have the same key, value and ce_* headers."),
            "sendClosings": _operation("send", "closings", "One closing per closed session, and its corrections."),
            "receiveAccess": _operation("receive", "access", "Who is revoked or restored; followed by every service."),
            "sendAccess": _operation("send", "access", "From the command line and the gateway alone."),
            "sendDeadLetters": _operation("send", "deadLetters", "What cannot be read or applied, byte for byte."),
        },
        "components": {
            "messages": {kind: _command_message(kind) for kind in COMMANDS}
            | {kind: _written_message(kind, _answer_headers(kind)) for kind in _ANSWERS}
            | {kind: _written_message(kind, _event_headers(kind)) for kind in _CLOSINGS}
            | {kind: _access_message(kind) for kind in ACCESS}
            | {"dead_letter": _dead_letter()}
        },
    }


def _channel(address: str, topic: str, kinds: Any) -> dict[str, Any]:
    config = topics.TOPIC_CONFIGS[topic]
    return {
        "address": address,
        "summary": "By its default name: TILL_TOPIC_PREFIX replaces till.",
        "description": "Keyed store_id/profile_id (murmur2).",
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in kinds},
        "bindings": {
            "kafka": {
                "bindingVersion": "0.5.0",
                "partitions": topics.partitions_of(topic, topics.DEFAULT_PARTITIONS),
                "topicConfiguration": {
                    name: [value] if name == "cleanup.policy" else _number_or_text(value)
                    for name, value in config.items()
                },
            }
        },
    }


def _number_or_text(value: str) -> int | str:
    return int(value) if value.lstrip("-").isdigit() else value


def _operation(action: str, channel: str, summary: str) -> dict[str, Any]:
    return {"action": action, "channel": {"$ref": f"#/channels/{channel}"}, "summary": summary}


def _message(name: str, headers: dict[str, Any], payload: dict[str, Any]) -> dict[str, Any]:
    key = {"type": "string", "description": "store_id/profile_id", "pattern": "^[^/]+/[^/]+$"}
    return {
        "name": name,
        "title": name,
        "contentType": "application/json",
        "headers": headers,
        "payload": payload,
        "bindings": {"kafka": {"bindingVersion": "0.5.0", "key": key}},
    }


def _examples(kind: str) -> list[dict[str, Any]]:
    """The golden messages of a kind, which are named `<kind>.json` or `<kind>.<case>.json`."""
    paths = [HERE / "golden" / f"{kind}.json", *(HERE / "golden").glob(f"{kind}.*.json")]
    return [
        {"name": path.stem, "payload": json.loads(path.read_text(encoding="utf-8"))}
        for path in sorted(path for path in set(paths) if path.is_file())
    ]


def _command_message(kind: str) -> dict[str, Any]:
    optional = {
        "authorization": _text("Bearer and a JWT, where TILL_AUTH is required; never copied."),
        "traceparent": _text("W3C trace context; the answer carries it."),
    }
    payload = {"$ref": f"{SCHEMAS}/{kind}.json"}
    message = _message(f"till.{kind}.v1", {"type": "object", "properties": optional}, payload)
    return message | {"examples": _examples(kind)}


def _written_message(kind: str, headers: dict[str, Any]) -> dict[str, Any]:
    message = _message(f"till.{kind}.v1", headers, {"$ref": f"{SCHEMAS}/{kind}.json"})
    return message | {"examples": _examples(kind)}


def _event_headers(kind: str) -> dict[str, Any]:
    """CloudEvents 1.0, binary mode: the very headers that `topics.cloud_event_headers` writes."""
    constant = dict(_constant_headers(kind))
    required = {
        **constant,
        "ce_id": _text("event_id, closing_id or correction_id: readers go by it."),
        "ce_time": dict(_WRITTEN_TIME),
    }
    trace = {"traceparent": _text("That of the record answered, where it had one.")}
    return {"type": "object", "required": sorted(required), "properties": required | trace}


def _constant_headers(kind: str) -> Iterator[tuple[str, Any]]:
    for name, value in topics.cloud_event_headers("", kind, ""):
        if value:
            yield name, {"type": "string", "const": value.decode()}


def _answer_headers(kind: str) -> dict[str, Any]:
    headers = _event_headers(kind)
    headers["properties"]["till-command-id"] = _text("The command's id, in lower case.")
    headers["required"] = sorted([*headers["required"], "till-command-id"])
    return headers


def _access_message(kind: str) -> dict[str, Any]:
    message = _message(f"till.{kind}.v1", {"type": "object"}, {"$ref": f"{SCHEMAS}/{kind}.json"})
    key = {"type": "string", "description": "store_id/subject; nobody reads it"}
    return message | {"bindings": {"kafka": {"bindingVersion": "0.5.0", "key": key}}, "examples": _examples(kind)}


def _dead_letter() -> dict[str, Any]:
    number = {"type": "string", "pattern": "^[0-9]+$", "description": "An ASCII decimal."}
    required = {
        "till-topic": _text("The topic that the record came from."),
        "till-partition": number,
        "till-offset": number,
        "till-error": _text("What is wrong with it, without any secret.")
        | {"maxLength": topics.DEAD_LETTER_ERROR_CHARACTERS_MAX},
    }
    headers = {
        "type": "object",
        "description": "Then the original headers but authorization. Topic, partition and offset name the record: "
        "a crash may park it twice.",
        "required": sorted(required),
        "properties": required,
    }
    payload = {"description": "The value as it came, byte for byte: anything, also nothing."}
    message = _message("dead_letter", headers, payload) | {"contentType": "application/octet-stream"}
    return message | {"bindings": {"kafka": {"bindingVersion": "0.5.0", "key": {"description": "As it came."}}}}


def _text(description: str) -> dict[str, Any]:
    return {"type": "string", "description": description}
