"""`till doctor` on real servers: what it says when all is well, and what when something is not."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from uuid import uuid4

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from contracts.access import Revoked
from deploy.embedded.stack import Stack
from services.operations.clocks import Reading, broker_clock
from services.operations.doctor import Finding, examine
from services.platform.access_log import publish
from services.platform.auth.tokens import ensure_key
from services.platform.kafka.partitioners import by_crc32, by_fnv1a, murmur2_of
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from tests.support.altered_topics import altered
from tests.support.commands import movement, opening
from tests.support.processes import till
from tests.support.sessions_service import SessionsService, opened_service


@pytest.fixture
async def service(corner: Settings, stack: Stack) -> AsyncIterator[SessionsService]:
    """All tables and topics, and no worker."""
    async with opened_service(corner, stack) as service:
        for name in ("gateway", "reporting"):
            await upgrade(corner.database_url, f"services.{name}.migrations")
        ensure_key(service.settings)
        yield service


async def sentences_of(settings: Settings) -> dict[str, list[str]]:
    """The sentences by verdict."""
    sentences: dict[str, list[str]] = {"well": [], "look": [], "bad": [], "away": []}
    async for finding in examine(settings):
        sentences[finding.verdict].append(finding.sentence)
    return sentences


async def test_all_is_well(service: SessionsService) -> None:
    await service.profiles(["p0"])
    worker = await service.ready_worker()
    await service.send([opening("p0", str(uuid4()))])
    await service.all_answered()
    await worker.stopped()
    required = service.settings.model_copy(update={"auth": "required"})
    examined = await till(required, "doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    lines = examined.stdout.splitlines()
    assert {line[:4] for line in lines} == {"well"}
    assert "well  Open sessions: 1, suspended: 0." in lines
    assert "well  Every command on the topic is applied." in lines
    assert "well  There are no dead letters." in lines
    with closing(KafkaAdminClient(bootstrap_servers=service.settings.kafka)) as admin:
        left = await asyncio.to_thread(admin.list_topics)
    assert not [name for name in left if name.startswith(f"{service.settings.topic_prefix}clock-")]


async def test_what_waits_and_what_was_put_aside_is_said(service: SessionsService) -> None:
    await service.profiles(["p0"])
    worker = await service.ready_worker()
    await service.producer.send_and_wait(service.settings.topics.commands, b"garbage", partition=0)
    await service.until(lambda: len(service.seen.letters) == 1)
    await worker.stopped()
    await service.send([movement("p0", str(uuid4()), 1) for _ in range(3)])
    findings = await sentences_of(service.settings)
    assert findings["bad"] == findings["away"] == []
    assert "Commands that wait to be applied: 3." in findings["look"]
    assert "Dead letters kept: 1; `till dead-letters list` shows them." in findings["look"]
    assert any("TILL_AUTH is off" in sentence for sentence in findings["look"])


async def test_clients_that_choose_other_partitions_are_named(service: SessionsService) -> None:
    count = service.settings.topic_partitions
    keys = [b"s1/p%d" % number for number in range(60)]
    for way, client in ((by_crc32, "murmur2_random"), (by_fnv1a, "Sarama or kafka-go")):
        assert "lie where murmur2" in " ".join((await sentences_of(service.settings))["well"]) or way is by_fnv1a
        for key in keys * 3:
            await service.producer.send(service.settings.topics.commands, b"x", key=key, partition=way(key, count))
        await service.producer.flush()
        look = (await sentences_of(service.settings))["look"]
        assert [client in sentence for sentence in look if "than murmur2 gives" in sentence] == [True], look


async def test_an_empty_key_has_its_partition_as_any(service: SessionsService) -> None:
    commands = service.settings.topics.commands
    await service.producer.send_and_wait(commands, b"x", key=b"", partition=(murmur2_of(b"") + 1) % 3)
    await service.producer.send_and_wait(commands, b"x", partition=2)
    look = (await sentences_of(service.settings))["look"]
    assert any(sentence.startswith("Of the newest 2 commands 1 lie on another partition") for sentence in look), look


async def test_commands_that_expire_unread_are_bad_before_and_after_the_worker_sees_it(
    service: SessionsService,
) -> None:
    await service.profiles(["p0"])
    worker = await service.ready_worker()
    await service.send([movement("p0", str(uuid4()), 1)], partitions=[1])
    await service.all_answered()
    await worker.stopped()
    await service.send([movement("p0", str(uuid4()), 1) for _ in range(4)], partitions=[1])
    with closing(KafkaAdminClient(bootstrap_servers=service.settings.kafka)) as admin:
        await asyncio.to_thread(admin.delete_records, {TopicPartition(service.settings.topics.commands, 1): 4})
    before = await sentences_of(service.settings)
    assert any(sentence.startswith("3 commands of partition 1") for sentence in before["bad"]), before
    worker = await service.ready_worker()
    await worker.stopped()
    after = await sentences_of(service.settings)
    assert any(sentence.startswith("3 commands were deleted") for sentence in after["bad"]), after


async def test_a_record_of_the_access_topic_that_can_not_be_read_is_named(service: SessionsService) -> None:
    topic = service.settings.topics.access
    await publish(service.settings, [Revoked(store_id="*", subject="caja-7")])
    assert "Who is revoked can be read: 1 at present." in (await sentences_of(service.settings))["well"]
    await service.producer.send_and_wait(topic, b"{}", partition=0)
    (sentence,) = (await sentences_of(service.settings))["bad"]
    assert sentence.startswith(f"{topic} holds 1 records that can't be read, at 1: The record is neither")
    listed = await till(service.settings, "users", "revoked")
    assert (listed.stdout, listed.returncode) == ("*\tcaja-7\n", 0)
    assert "Record 1" in listed.stderr


async def test_a_ledger_that_is_ahead_of_its_topic_is_bad(service: SessionsService) -> None:
    await service.profiles(["p0"])
    worker = await service.ready_worker()
    await worker.stopped()
    await service.change("UPDATE consumed SET next_offset = 7, answered_offset = 0 WHERE partition = 2")
    findings = await sentences_of(service.settings)
    assert any("up to 7, but it ends at 0" in sentence for sentence in findings["bad"]), findings
    examined = await till(service.settings, "doctor")
    assert examined.returncode == 1


async def test_topics_and_tables_that_are_not_as_they_must_be(service: SessionsService, tmp_path: Path) -> None:
    await altered(service.settings, service.settings.topics.commands, message_timestamp_type="CreateTime")
    await service.change("UPDATE alembic_version_gateway SET version_num = '0001'")
    no_keys = service.settings.model_copy(update={"auth": "required", "jwks_file": tmp_path / "none.json"})
    findings = await sentences_of(no_keys)
    assert any("CreateTime, not LogAppendTime" in sentence for sentence in findings["bad"]), findings
    assert "The tables of gateway are not up to date: run `till migrate`." in findings["bad"]
    assert any("Tokens can't be verified" in sentence for sentence in findings["bad"])


async def test_a_topic_that_differs_where_no_promise_rests_is_to_be_looked_at_and_no_failure(
    service: SessionsService,
) -> None:
    await altered(service.settings, service.settings.topics.commands, compression_type="producer")
    examined = await till(service.settings.model_copy(update={"auth": "required"}), "doctor")
    assert examined.returncode == 0, examined.stdout + examined.stderr
    difference = f"{service.settings.topics.commands} has compression.type=producer, not uncompressed"
    assert f"LOOK  {difference}" in examined.stdout


async def test_servers_that_are_away_leave_the_others_looked_at(corner: Settings) -> None:
    nowhere = "127.0.0.1:1"
    database_url = f"postgresql+asyncpg://till:secret@{nowhere}/till"
    examined = await till(
        corner,
        "doctor",
        TILL_KAFKA=nowhere,
        TILL_DATABASE_URL=database_url,
        TILL_REDIS_URL=f"redis://:secret@{nowhere}/0",
        TILL_AUTH="off",
    )
    assert examined.returncode == 2
    assert [line[:4] for line in examined.stdout.splitlines()] == ["AWAY", "AWAY", "LOOK", "LOOK"], examined.stdout
    assert "secret" not in examined.stdout + examined.stderr


async def test_clocks_that_are_apart_are_bad(service: SessionsService, monkeypatch: pytest.MonkeyPatch) -> None:
    true = await broker_clock(service.settings)
    assert abs(true.ahead_s) <= true.give_or_take_s + 0.1

    async def an_hour_ahead(settings: Settings) -> Reading:
        return Reading(true.ahead_s + 3_600, true.give_or_take_s)

    monkeypatch.setattr("services.operations.doctor.broker_clock", an_hour_ahead)
    bad = [finding async for finding in examine(service.settings) if finding.verdict == "bad"]
    assert len(bad) == 1
    assert isinstance(bad[0], Finding)
    assert "3600.0" in bad[0].sentence
    assert "ahead of the database's" in bad[0].sentence
