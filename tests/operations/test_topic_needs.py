"""What a topic must have is told apart: what a promise rests on stops a service, the rest is told."""

from dataclasses import replace

import pytest
from kafka.admin import ACLOperation, ResourceType

from contracts.topics import NEEDED, TOPIC_CONFIGS
from services.operations.kafka_principals import PrincipalsWrong, Right, rights
from services.platform.kafka.topics import (
    TopicsWrong,
    admin_client,
    check_closings,
    check_topics,
    create_topics,
    oddities,
)
from services.platform.settings import Settings
from tests.support.altered_topics import altered


def test_what_is_needed_is_promised() -> None:
    assert NEEDED.keys() == TOPIC_CONFIGS.keys()
    assert all(NEEDED[topic] <= TOPIC_CONFIGS[topic].keys() for topic in NEEDED)


async def test_settings_that_no_promise_rests_on_stop_nobody(corner: Settings) -> None:
    await create_topics(corner)
    await altered(corner, corner.topics.commands, compression_type="producer", segment_ms="7200000")
    await altered(corner, corner.topics.events, message_timestamp_type="CreateTime")
    facts = await check_topics(corner)
    assert sorted(sentence.split(" has ")[1] for sentence in oddities(corner, facts)) == [
        "compression.type=producer, not uncompressed",
        "message.timestamp.type=CreateTime, not LogAppendTime",
        "segment.ms=7200000, not 3600000",
    ]
    name = corner.topics.closings
    facts[name] = replace(facts[name], configs=facts[name].configs | {"retention.ms": "1"})
    assert len(oddities(corner, facts)) == 3, "what stops a service is no oddity"


@pytest.mark.parametrize(
    ("topic", "configs"),
    [
        ("commands", {"message_timestamp_type": "CreateTime"}),
        ("commands", {"max_message_bytes": "2000000"}),
        ("closings", {"retention_ms": "604800000"}),
    ],
)
async def test_settings_that_a_promise_rests_on_stop_a_service(
    corner: Settings, topic: str, configs: dict[str, str]
) -> None:
    await create_topics(corner)
    await altered(corner, getattr(corner.topics, topic), **configs)
    with pytest.raises(TopicsWrong, match=r"\.v1 has "):
        await check_topics(corner)


async def test_the_reader_needs_a_topic_of_closings_under_any_name_and_nothing_else(corner: Settings) -> None:
    mirrored = corner.model_copy(update={"closings_topic": f"source.{corner.topics.closings}"})
    with pytest.raises(TopicsWrong, match="TILL_CLOSINGS_TOPIC"):
        await check_closings(mirrored)
    with admin_client(corner) as admin:
        admin.create_topics({mirrored.closings: {"num_partitions": 2, "replication_factor": 1}})
    await check_closings(mirrored)
    await altered(corner, mirrored.closings, cleanup_policy="compact")
    with pytest.raises(TopicsWrong, match="lose closings"):
        await check_closings(mirrored)


def test_the_readers_principal_may_read_what_it_follows_whatever_that_is_called_and_sees_no_other_topic() -> None:
    settings = Settings()
    for changed, closings, access in (
        ({}, settings.topics.closings, [settings.topics.access]),
        ({"closings_topic": "source.closings", "access_topic": "source.access"}, "source.closings", ["source.access"]),
        ({"access_topic": ""}, settings.topics.closings, []),
    ):
        assert rights(settings.model_copy(update=changed), "reporting") == {
            *(Right(ResourceType.TOPIC, name, ACLOperation.READ) for name in (closings, *access)),
            Right(ResourceType.TOPIC, closings, ACLOperation.DESCRIBE_CONFIGS),
            Right(ResourceType.GROUP, settings.reporting_group, ACLOperation.READ),
        }


def test_groups_of_one_reader_of_closings_are_never_anothers() -> None:
    names = ("closings", "closings-a", "closings-a-b", "closings-ab")
    groups = [right.name for name in names for right in rights(Settings(), name) if right.kind is ResourceType.GROUP]
    assert len(groups) == len(names)
    assert [(one, other) for one in groups for other in groups if one != other and other.startswith(one)] == []
    with pytest.raises(PrincipalsWrong, match=r"closings-a\.b is no principal"):
        rights(Settings(), "closings-a.b")
