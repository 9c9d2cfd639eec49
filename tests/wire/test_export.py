"""The exported documents: they are fresh, complete, and refuse what the reader refuses."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from contracts import topics
from contracts.commands import COMMANDS, Malformed, read_command
from contracts.export import ASYNCAPI, HERE, export, stale
from tests.support.full_commands import body

DOCUMENT = json.loads((HERE / ASYNCAPI).read_bytes())


def schema_of(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((HERE / "schemas" / f"{kind}.json").read_bytes())
    return schema


def test_the_exported_documents_are_those_of_the_models() -> None:
    assert stale(HERE) == [], "run till schema"


def test_export_writes_all_and_stale_names_what_differs(tmp_path: Path) -> None:
    assert ASYNCAPI in stale(tmp_path)
    export(tmp_path)
    assert stale(tmp_path) == []
    first = {path: path.read_bytes() for path in tmp_path.rglob("*.json")}

    (tmp_path / "schemas" / "move_cash.json").write_text("{}")
    (tmp_path / "schemas" / "open_session.json").unlink()
    (tmp_path / "schemas" / "gone.json").write_text("{}")
    expected = ["schemas/gone.json", "schemas/move_cash.json", "schemas/open_session.json"]
    assert stale(tmp_path) == expected

    export(tmp_path)
    assert {path: path.read_bytes() for path in tmp_path.rglob("*.json")} == first
    assert all(text.endswith(b"}\n") for text in first.values())


def bent(kind: str) -> list[dict[str, Any]]:
    """Commands with one member missing, null, of another type, unknown, or out of range."""
    whole = body(kind)
    spoiled = [{**whole, "unknown": 1}, {**whole, "kind": "x"}]
    for name, value in whole.items():
        spoiled.append({key: value for key, value in whole.items() if key != name})
        wrongs: list[Any] = [None, True, 7, -1, 2**60, "", "x" * 3_000, [], [7], {}, {"id": 7}]
        if isinstance(value, list):
            wrongs += [value * 101, [*value, 7], [{}]]
        if isinstance(value, dict):
            wrongs += [{**value, "unknown": 1}, {**value, "id": ""}]
        spoiled += [{**whole, name: wrong} for wrong in wrongs]
    return spoiled


@pytest.mark.parametrize("kind", COMMANDS)
def test_a_schema_refuses_what_the_reader_refuses(kind: str) -> None:
    schema = Draft202012Validator(schema_of(kind))
    assert schema.is_valid(body(kind))

    for members in bent(kind):
        try:
            read_command(copy.deepcopy(members))
            accepted = True
        except Malformed:
            accepted = False
        assert schema.is_valid(members) == accepted, members


def references(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [node["$ref"]] if isinstance(node.get("$ref"), str) else []
        parts = [part for name, part in node.items() if name != "examples"]
        return own + references(parts)
    return [ref for part in node for ref in references(part)] if isinstance(node, list) else []


def test_every_reference_of_the_document_leads_somewhere() -> None:
    all_references = references(DOCUMENT)

    assert len(all_references) > 60
    for reference in all_references:
        if not reference.startswith("#/"):
            assert (HERE / reference).is_file(), reference
            continue
        node = DOCUMENT
        for member in reference.removeprefix("#/").split("/"):
            node = node[member]


def test_the_document_has_every_kind_on_its_channel_with_an_example() -> None:
    channels = DOCUMENT["channels"]
    messages = DOCUMENT["components"]["messages"]
    addresses = topics.topics()

    assert {name: channel["address"] for name, channel in channels.items()} == {
        "commands": addresses.commands,
        "events": addresses.events,
        "closings": addresses.closings,
        "deadLetters": addresses.dead_letters,
        "access": addresses.access,
    }
    assert set(channels["commands"]["messages"]) == set(COMMANDS)
    assert set(channels["closings"]["messages"]) == {"closing", "closing_correction"}
    assert len(channels["events"]["messages"]) == 17
    assert set(messages) == {name for c in channels.values() for name in c["messages"]}
    assert all(messages[kind]["examples"] for kind in messages if kind != "dead_letter")
    assert {operation["action"] for operation in DOCUMENT["operations"].values()} == {
        "send",
        "receive",
    }


def test_a_schema_of_what_is_written_lets_later_versions_add_members() -> None:
    for kind in DOCUMENT["channels"]["events"]["messages"]:
        assert "additionalProperties" not in json.dumps(schema_of(kind))
    for kind in COMMANDS:
        assert schema_of(kind)["additionalProperties"] is False


def test_the_document_says_which_headers_are_written() -> None:
    message = DOCUMENT["components"]["messages"]["session_closed"]
    written = dict(topics.cloud_event_headers("id", "session_closed", "2025-01-01T00:00:00.000000Z"))
    headers = message["headers"]

    assert set(headers["required"]) == {*written, "till-command-id"}
    for name, value in written.items():
        constant = headers["properties"][name].get("const", value.decode())
        assert constant == value.decode()
