"""AsyncAPI's document of the topics with the schemas that it names, as one document and as what its page shows."""

import json
from collections.abc import Iterator
from dataclasses import astuple, dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import contracts
from contracts import topics as defaults
from contracts.topics import Topics

_HERE: Final = Path(contracts.__file__).parent
_LIMITS: Final = {
    "pattern": "pattern {}",
    "minimum": "from {}",
    "maximum": "up to {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "format": "{}",
}
"""What JSON Schema says of a value, in words."""


@dataclass(frozen=True, slots=True)
class Member:
    """One member of an object: its type is a text, or the name of one of the message's own types, or a list of such."""

    name: str
    type: str
    of: str | None
    is_required: bool
    says: str


@dataclass(frozen=True, slots=True)
class Message:
    """One kind of message: tables of members by the name of their type, the message's own first, under no name."""

    kind: str
    description: str
    headers: list[Member]
    types: dict[str, list[Member]]
    examples: list[tuple[str, str]]


@cache
def asyncapi() -> dict[str, Any]:
    """The document with every schema in its place, so that nothing else is asked for."""
    document: dict[str, Any] = json.loads((_HERE / "asyncapi.json").read_bytes())
    for message in document["components"]["messages"].values():
        named = message["payload"].get("$ref")
        if named is not None:
            message["payload"] = json.loads((_HERE / named).read_bytes())
    return document


def asyncapi_of(topics: Topics, partitions: int) -> dict[str, Any]:
    """The document with the topics' own names, and as many partitions as `till topics` gives them.

    A topic whose name is empty is left out, with what is on it.
    """
    document = asyncapi()
    own = dict(zip(astuple(defaults.topics()), astuple(topics), strict=True))
    channels = {
        key: _named(channel, own[channel["address"]], partitions)
        for key, channel in document["channels"].items()
        if own[channel["address"]]
    }
    links = {f"#/channels/{key}" for key in channels}
    operations = {key: one for key, one in document["operations"].items() if one["channel"]["$ref"] in links}
    kinds = {kind for channel in channels.values() for kind in channel["messages"]}
    messages = {kind: one for kind, one in document["components"]["messages"].items() if kind in kinds}
    return document | {"channels": channels, "operations": operations, "components": {"messages": messages}}


def _named(channel: dict[str, Any], name: str, partitions: int) -> dict[str, Any]:
    topic = channel["address"].removeprefix(defaults.DEFAULT_PREFIX)
    kafka = channel["bindings"]["kafka"] | {"partitions": defaults.partitions_of(topic, partitions)}
    # What says that it is a default is not true of a name of one's own.
    rest = {key: value for key, value in channel.items() if key != "summary"}
    return rest | {"address": name, "bindings": {"kafka": kafka}}


def messages_of(channel: dict[str, Any]) -> Iterator[Message]:
    """The messages of one of the document's channels."""
    for kind in channel["messages"]:
        message = asyncapi()["components"]["messages"][kind]
        payload = message["payload"]
        types = {"": _members(payload)} | {name: _members(part) for name, part in payload.get("$defs", {}).items()}
        examples = [
            (example["name"], json.dumps(example["payload"], indent=2, ensure_ascii=False))
            for example in message.get("examples", ())
        ]
        description = payload.get("description", message.get("summary", ""))
        yield Message(kind, description, _members(message["headers"]), types, examples)


def _members(schema: dict[str, Any]) -> list[Member]:
    required = schema.get("required", ())
    return [_member(name, one, is_required=name in required) for name, one in schema.get("properties", {}).items()]


def _member(name: str, schema: dict[str, Any], *, is_required: bool) -> Member:
    choices = schema.get("anyOf", [schema])
    kinds, of, says = [], None, [schema.get("description", "")] if "anyOf" in schema else []
    for choice in choices:
        kind, named, more = _kind(choice)
        kinds.append(kind)
        of = of or named
        says.append(more)
    return Member(name, " or ".join(kinds), of, is_required, " ".join(filter(None, says)))


def _kind(schema: dict[str, Any]) -> tuple[str, str | None, str]:
    """What a value is, which of the message's own types it names, and what else is said of it."""
    says = [schema.get("description", "")]
    says += [words.format(schema[name]) + "." for name, words in _LIMITS.items() if name in schema]
    if "enum" in schema:
        says.append("One of " + ", ".join(map(str, schema["enum"])) + ".")
    if "$ref" in schema:
        return "object", schema["$ref"].rpartition("/")[2], " ".join(filter(None, says))
    if "const" in schema:
        return json.dumps(schema["const"]), None, ""
    kind, named = schema.get("type", "any"), None
    if kind == "array" and "items" in schema:
        inner, named, more = _kind(schema["items"])
        kind = f"list of {inner}s"
        says.append(more)
    return str(kind), named, " ".join(filter(None, says))
