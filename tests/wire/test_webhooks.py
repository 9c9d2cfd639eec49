"""What receivers build against: a schema of what is pushed, a message of each type, and one with its signature."""

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts.export import HERE, WEBHOOK
from contracts.jsontext import compact
from contracts.webhooks import TRIAL, TRIAL_TEXT, Trial

SCHEMA = Draft202012Validator(
    json.loads((HERE / WEBHOOK).read_bytes()), format_checker=Draft202012Validator.FORMAT_CHECKER
)
GOLDEN = HERE / "golden" / "webhooks"
TYPES = ("closing", "closing_correction", TRIAL)


def golden(name: str) -> dict[str, Any]:
    message: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_bytes())
    return message


def test_there_is_a_golden_message_of_each_type() -> None:
    assert {file.stem for file in GOLDEN.glob("*.json")} == {*TYPES, "signature"}
    assert set(SCHEMA.schema["$defs"]) == set(TYPES)


@pytest.mark.parametrize("name", TYPES)
def test_a_golden_message_is_valid_by_the_schema_and_nothing_bent_is(name: str) -> None:
    Draft202012Validator.check_schema(SCHEMA.schema)
    message = golden(name)
    SCHEMA.validate(message)
    SCHEMA.validate(message | {"new": 1, "data": message["data"] | {"new": 1}})

    assert message["type"] == name == message["data"]["kind"]
    bent = [{key: part for key, part in message.items() if key != left_out} for left_out in message]
    bent += [message | {"type": other} for other in TYPES if other != name]
    bent += [message | {"timestamp": "2026-03-02"}, message | {"data": {"kind": name}}]
    for one in bent:
        assert not SCHEMA.is_valid(one), one


def test_the_data_of_golden_messages_are_those_of_the_topic() -> None:
    records = [json.loads(file.read_bytes()) for file in (HERE / "golden").glob("closing*.json")]
    for name in TYPES[:2]:
        assert golden(name)["data"] in records
    trial = golden(TRIAL)["data"]
    assert Trial(webhook_id=trial["webhook_id"], text=TRIAL_TEXT).model_dump() == trial


def test_the_signature_is_that_of_the_specification() -> None:
    vector = golden("signature")
    headers, body = vector["headers"], vector["body"]
    assert body.encode() == compact(golden(TRIAL))
    key = base64.b64decode(vector["secret"].removeprefix("whsec_"))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.{body}".encode()
    mac = hmac.new(key, signed, hashlib.sha256).digest()
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(mac).decode()}"
