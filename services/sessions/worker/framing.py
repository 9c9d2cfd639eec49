"""What somebody's client put around a command that can't be read, and what to set in the client. Pure and total.

Only for records that go to the dead letters: what it costs is no more than reading them once more.
"""

from collections.abc import Mapping
from typing import Any, Final

import orjson

from contracts.jsontext import BODY_BYTES_MAX

_JSON_SPACE: Final = b" \t\r\n"
REGISTRY_BYTES: Final = 5
"""A zero, and the schema's number in four bytes, which a schema registry's serializers put before each value."""

REGISTRY: Final = (
    "It begins with a schema registry's five bytes (schema {}). Send the JSON alone: Java's StringSerializer or "
    "ByteArraySerializer in place of KafkaJsonSchemaSerializer, KafkaAvroSerializer or KafkaProtobufSerializer; in "
    "Kafka Connect value.converter=org.apache.kafka.connect.storage.StringConverter."
)
JSON_STRING: Final = (
    "It is a JSON string: the command was serialized twice. Send the text as it is: in Spring and Java "
    "value.serializer=StringSerializer in place of JsonSerializer, elsewhere no JSON encoding of what is JSON already."
)
SCHEMA_PAYLOAD: Final = (
    "It is Kafka Connect's envelope of schema and payload. Set value.converter.schemas.enable=false beside "
    "value.converter=org.apache.kafka.connect.json.JsonConverter."
)
CLOUD_EVENT: Final = (
    "It is a CloudEvent in structured mode. Send it in binary mode, the command as the value and its attributes as "
    "headers: encoding BINARY in the CloudEvents SDK (cloudevents.serializer.encoding=BINARY), to_binary in Python."
)
SEVERAL: Final = (
    "It holds several JSON objects. Send one command a record: no list and no lines of JSON as a value, no batching "
    "but that of the Kafka client itself (linger.ms, batch.size)."
)


def recognised(value: bytes | None, members: Mapping[str, Any]) -> str | None:
    """Which framing this is, and what to set; None for none that is known. `members` are those that could be read."""
    if members:
        return _envelope(members)
    value = value or b""
    if value[:1] == b"\0" and len(value) > REGISTRY_BYTES:
        return REGISTRY.format(int.from_bytes(value[1:REGISTRY_BYTES], "big"))
    text = value.strip(_JSON_SPACE)
    match text[:1], text[-1:]:
        case b'"', b'"' if len(text) > 1:
            return JSON_STRING
        case b"[", b"]" if text[1:].lstrip(_JSON_SPACE)[:1] == b"{":
            return SEVERAL
    return SEVERAL if _goes_on(text) else None


def _envelope(members: Mapping[str, Any]) -> str | None:
    if "payload" in members and "schema" in members:
        return SCHEMA_PAYLOAD
    return CLOUD_EVENT if "specversion" in members and "type" in members else None


def _goes_on(text: bytes) -> bool:
    """Whether another object follows the first one."""
    if text[:1] != b"{" or len(text) > BODY_BYTES_MAX:
        return False
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError as error:
        # Where something follows a value, the reader stops at its first character.
        before, behind = error.doc[: error.pos].rstrip(), error.doc[error.pos :]
        return before.endswith("}") and behind.startswith("{")
    return False
