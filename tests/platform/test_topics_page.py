"""The page of the topics: what AsyncAPI's document and the schemas say, nothing less, without a server."""

import json
from dataclasses import replace
from pathlib import Path

import httpx
from fastapi import FastAPI
from jsonschema import Draft202012Validator

import contracts
from contracts.topics import DEFAULT_PREFIX, Topics
from contracts.topics import topics as topics_of
from services.platform.documents.pages import add_documents
from services.platform.documents.topics import asyncapi, messages_of
from services.platform.http.links import Prefixed
from services.platform.settings import Settings

DEFAULT = topics_of(DEFAULT_PREFIX)
HERE = Path(contracts.__file__).parent


async def read(path: str, root_path: str = "", topics: Topics = DEFAULT, partitions: int = 12) -> httpx.Response:
    app = FastAPI(openapi_url=None, docs_url=None, redoc_url=None)
    add_documents(app, topics, partitions)
    app.add_middleware(Prefixed, root_path=root_path, trusted=())
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://docs") as client:
        return await client.get(path)


def test_every_kind_and_every_member_of_a_message_is_shown_with_its_examples() -> None:
    shown = {message.kind: message for channel in asyncapi()["channels"].values() for message in messages_of(channel)}

    assert shown.keys() == asyncapi()["components"]["messages"].keys()
    for path in (HERE / "schemas").glob("*.json"):
        schema, message = json.loads(path.read_bytes()), shown[path.stem]
        for name, part in {"": schema, **schema.get("$defs", {})}.items():
            assert [member.name for member in message.types[name]] == list(part.get("properties", {}))
        assert all(
            member.of is None or member.of in message.types for part in message.types.values() for member in part
        )
        names = {name for name, _ in message.examples}
        assert names == {
            golden.stem for golden in (HERE / "golden").glob("*.json") if golden.stem.partition(".")[0] == path.stem
        }


def test_a_member_is_described_by_its_type_and_its_limits() -> None:
    closing = next(one for one in messages_of(asyncapi()["channels"]["closings"]) if one.kind == "closing")
    members = {member.name: member for member in closing.types[""]}

    assert (members["z_number"].type, members["z_number"].is_required) == ("integer", True)
    assert (members["tenders"].type, members["tenders"].of) == ("list of objects", "TenderFigures")
    assert (members["approved_by"].type, members["approved_by"].of) == ("object or null", "Actor")
    assert members["kind"].type == '"closing"'
    assert not members["taxes"].is_required
    assert "at most 201 items." in members["taxes"].says
    assert "One of register, idle, manager." in members["origin"].says


async def test_the_document_is_whole_by_itself_and_its_schemas_work_where_they_stand() -> None:
    document = (await read("/asyncapi.json")).json()

    assert "schemas/" not in json.dumps(document)
    for kind, message in document["components"]["messages"].items():
        for example in message.get("examples", ()):
            Draft202012Validator(message["payload"]).validate(example["payload"])
            assert example["payload"]["kind"] == kind


async def test_links_go_through_a_proxys_path_and_nothing_is_of_others() -> None:
    for path in ("/docs", "/docs/topics"):
        page = await read(path, "/till")
        assert page.headers["content-security-policy"].startswith(
            "default-src 'none'; script-src 'self'; style-src 'self'"
        )
        assert 'href="/till/asyncapi.json"' in page.text
        assert 'href="/docs' not in page.text
        assert "<script>" not in page.text
        assert "<style" not in page.text
        assert 'src="http' not in page.text
        assert 'href="http' not in page.text


async def test_topics_have_the_names_and_partitions_of_the_deployment_in_the_page_and_in_the_document() -> None:
    names = topics_of("shop7.")
    here = {"shop7.commands.v1", "shop7.events.v1", "shop7.closings.v1", "shop7.dead-letters.v1", "shop7.access.v1"}

    document = (await read("/asyncapi.json", topics=names, partitions=3)).json()
    page = (await read("/docs/topics", topics=names, partitions=3)).text

    partitions = {one["address"]: one["bindings"]["kafka"]["partitions"] for one in document["channels"].values()}
    assert partitions == dict.fromkeys(here, 3) | {"shop7.access.v1": 1}
    assert all(f'<h2 id="{name}">{name}</h2>' in page for name in here)
    for name in ("commands", "events", "closings", "dead-letters", "access"):
        assert f"till.{name}" not in page + json.dumps(document)
    assert "TILL_TOPIC_PREFIX" not in page + json.dumps(document)


def test_a_reader_of_a_mirror_has_the_names_that_it_follows() -> None:
    mirrored = Settings(topic_prefix="a.", closings_topic="m.closings", access_topic="m.access")

    assert mirrored.followed == replace(topics_of("a."), closings="m.closings", access="m.access")
    assert Settings(topic_prefix="a.").followed == topics_of("a.")


async def test_where_no_topic_says_who_was_revoked_there_is_none_in_the_document() -> None:
    names = Settings(access_topic="").followed

    document = (await read("/asyncapi.json", topics=names)).json()
    page = (await read("/docs/topics", topics=names)).text

    assert document["channels"].keys() == {"commands", "events", "closings", "deadLetters"}
    assert "#/channels/access" not in json.dumps(document)
    assert "revoked" not in document["components"]["messages"]
    assert 'id="revoked"' not in page
