"""The command line from outside: what it prints, what it exits with, and that it can be run twice."""

import asyncio
import time
from contextlib import aclosing
from pathlib import Path
from uuid import uuid4

import pytest
import typer
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from contracts.topics import TOPIC_CONFIGS
from services.cli.common import run_to_end
from services.platform.auth.tokens import API_AUDIENCE, COMMANDS_AUDIENCE, Verifier, ensure_key
from services.platform.kafka.read_topic import TopicUnread, records
from services.platform.kafka.topics import TopicsWrong, check_topics, create_topics
from services.platform.settings import Settings
from tests.support.command_line import command_line
from tests.support.commands import closing, movement, opening
from tests.support.corner import BY_FORCE
from tests.support.processes import till
from tests.support.sessions_service import SessionsService, header
from tests.support.waiting import eventually

HEADER = "store_id,profile_id,name,currency"


def test_a_topic_that_can_not_be_read_is_a_sentence_whatever_was_asked_for(capsys: pytest.CaptureFixture[str]) -> None:
    async def unread() -> None:
        raise TopicUnread("The topic can't be read.")

    with pytest.raises(typer.Exit) as ended:
        run_to_end(unread())
    assert ended.value.exit_code == 2
    assert capsys.readouterr().err == "The topic can't be read.\n"


async def test_tables_and_topics_are_made_once_and_can_be_asked_for_twice(corner: Settings) -> None:
    for _ in range(2):
        migrated = await till(corner, "migrate")
        assert (migrated.returncode, migrated.stderr) == (0, "")
    created = await till(corner, "topics")
    assert created.returncode == 0
    assert all(corner.topic_prefix + suffix in created.stdout for suffix in TOPIC_CONFIGS)
    again = await till(corner, "topics")
    assert (again.returncode, again.stdout) == (0, "All topics exist and are as promised.\n")


async def test_what_kafka_refuses_is_a_sentence_and_topics_may_be_made_twice_at_once(corner: Settings) -> None:
    refused = await till(corner.model_copy(update={"topic_replicas": 3}), "topics")
    assert refused.returncode == 2
    assert "refuses it" in refused.stderr
    assert "Traceback" not in refused.stderr
    await asyncio.gather(*(create_topics(corner) for _ in range(3)))
    assert len(await check_topics(corner)) == len(TOPIC_CONFIGS)


async def test_a_worker_refuses_topics_that_are_not_as_promised(corner: Settings) -> None:
    await till(corner, "migrate")
    refused = await till(corner, "run", "sessions")
    assert refused.returncode == 2
    assert "Missing topics" in refused.stderr
    assert "till topics" in refused.stderr

    await create_topics(corner)
    admin = KafkaAdminClient(bootstrap_servers=corner.kafka)
    try:
        name = corner.topics.commands
        wrong = {"message.timestamp.type": "CreateTime"}
        admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, name, wrong)])
    finally:
        admin.close()
    refused = await till(corner, "run", "sessions")
    assert refused.returncode == 2
    assert "message.timestamp.type=CreateTime, not LogAppendTime" in refused.stderr
    with pytest.raises(TopicsWrong, match="partitions"):
        await check_topics(corner.model_copy(update={"topic_partitions": 5}))


async def test_profiles_are_imported_whole_or_not_at_all(service: SessionsService, tmp_path: Path) -> None:
    file = tmp_path / "tills.csv"
    file.write_text(f"{HEADER}\ns1,p1,Caja 1,MXN\ns1,p2,Caja 2,MXN\n")
    await service.ready_worker()
    for _ in range(2):
        imported = await till(service.settings, "profiles", "import", str(file))
        assert (imported.returncode, imported.stdout, imported.stderr) == (0, "2\n", "")
    assert {row.version for row in await service.query("SELECT version FROM profile_versions")} == {1}
    exported = await till(service.settings, "profiles", "export")
    assert exported.stdout.splitlines()[1].startswith("s1,p1,Caja 1,MXN,,,false,,604800,true,00:00,STORE,true,s1,")
    file.write_text(f"{HEADER}\ns1,p3,Caja 3,MXN\ns1,p4,Caja 4,XXXX\n")
    refused = await till(service.settings, "profiles", "import", str(file))
    assert refused.returncode == 2
    assert "line 3" in refused.stderr
    assert len(await service.query("SELECT profile_id FROM profiles")) == 2


async def test_an_import_is_signed_for_five_minutes_and_what_is_refused_is_named(
    service: SessionsService, tmp_path: Path
) -> None:
    service.settings = settings = service.settings.model_copy(update={"auth": "required"})
    elsewhere = settings.model_copy(update={"home": tmp_path / "elsewhere"})
    for one in (settings, elsewhere):
        ensure_key(one)
    file = tmp_path / "tills.csv"
    file.write_text(f"{HEADER}\ns1,p1,Caja 1,MXN\ns1,p2,Caja 2,MXN\n")
    stranger = await service.ready_worker(TILL_JWKS_FILE=str(elsewhere.jwks))
    refused = await till(settings, "profiles", "import", str(file))
    assert (refused.returncode, refused.stdout) == (1, "2\n"), refused.stderr
    named = sorted(refused.stderr.splitlines())
    assert [line.partition(". ")[0] for line in named] == ["p1 of s1: unauthenticated", "p2 of s1: unauthenticated"]
    assert await service.query("SELECT profile_id FROM profiles") == []

    await stranger.stopped()
    await service.ready_worker()
    again = await till(settings, "profiles", "import", str(file))
    assert (again.returncode, again.stdout, again.stderr) == (0, "2\n", "")
    assert {tuple(row) for row in await service.query("SELECT actor_id, version FROM profile_versions")} == {
        ("till-cli", 1)
    }
    verifier, now = Verifier(settings.jwks, settings.token_issuer), time.time()
    async with aclosing(records(settings, settings.topics.commands, {}, lambda _done, _total: None)) as stream:
        tokens = {header(record, "authorization").removeprefix(b"Bearer ") async for record in stream}
    assert len(tokens) == 2, "one of each import for all tills of the store"
    for token in tokens:
        claims = verifier.claims(token, now, COMMANDS_AUDIENCE)
        assert claims is not None
        assert (claims.sub, claims.role, claims.stores) == ("till-cli", "admin", {"s1"})
        assert claims.iat is not None
        assert 299 < claims.exp - claims.iat <= 300
        assert verifier.claims(token, now, API_AUDIENCE) is None


async def test_an_import_that_no_worker_answers_says_so_and_is_set_once_one_does(
    service: SessionsService, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.sessions.tools.set_profiles.ANSWERED_WITHIN_S", 1.0)
    file = tmp_path / "tills.csv"
    file.write_text(f"{HEADER}\ns1,p1,Caja 1,MXN\n")

    unanswered = await command_line(service.settings, monkeypatch)("profiles", "import", str(file))

    assert (unanswered.exit_code, unanswered.stdout) == (1, "1\n"), unanswered.output
    assert unanswered.stderr.startswith("p1 of s1: no answer within 1 s. Is a sessions worker running?")
    await service.ready_worker()

    async def is_set() -> bool:
        return len(await service.query("SELECT profile_id FROM profiles")) == 1

    await eventually(is_set)


async def test_a_token_counts_for_the_commands_topic(corner: Settings) -> None:
    minted = await till(corner, "token", "--sub", "caja-1", "--role", "register", "--store", "s1", "--store", "s2")
    assert minted.returncode == 0
    claims = Verifier(corner.jwks, corner.token_issuer).claims(minted.stdout.strip(), time.time(), COMMANDS_AUDIENCE)
    assert claims is not None
    assert (claims.sub, claims.role) == ("caja-1", "register")
    assert claims.stores == {"s1", "s2"}
    refused = await till(corner, "token", "--sub", "a", "--role", "register", "--store", "s1", "--ttl", "86401")
    assert refused.returncode == 2
    assert "24 hours" in refused.stderr


@pytest.mark.parametrize(
    ("named", "audiences"),
    [
        ([], ["till.commands", "till.api"]),
        (["commands"], ["till.commands"]),
        (["api"], ["till.api"]),
        (["api", "commands"], ["till.commands", "till.api"]),
    ],
    ids=str,
)
async def test_a_token_is_good_for_what_it_was_asked_for(
    corner: Settings, named: list[str], audiences: list[str]
) -> None:
    words = ["token", "--sub", "a", "--role", "reader", "--store", "s1"]
    printed = await till(corner, *words, *(word for each in named for word in ("--audience", each)))
    verifier = Verifier(corner.jwks, corner.token_issuer)
    tried = ("till.commands", "till.api")
    assert [each for each in tried if verifier.claims(printed.stdout.strip(), time.time(), each)] == audiences


async def test_verify_says_what_is_wrong_first(service: SessionsService) -> None:
    await service.profiles(["p0"])
    session_id = str(uuid4())
    await service.ready_worker()
    await service.send([opening("p0", session_id), movement("p0", session_id, 7), closing("p0", session_id)])
    await service.all_answered()
    right = await till(service.settings, "verify", "--store", "s1")
    assert right.returncode == 0
    assert "3 commands" in right.stdout

    await service.change(BY_FORCE)
    await service.change(
        "UPDATE journal SET command = convert_to(replace(convert_from(command, 'UTF8'), '7', '8'), 'UTF8')"
    )
    wrong = await till(service.settings, "verify")
    assert wrong.returncode == 1
    assert wrong.stdout.startswith("first bad: ")
    nowhere = service.settings.database_url.rpartition("/")[0] + "/nowhere"
    blind = await till(service.settings, "verify", TILL_DATABASE_URL=nowhere)
    assert blind.returncode == 2
    assert blind.stdout == ""
