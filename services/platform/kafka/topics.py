"""Creating the five topics, and refusing to run where they are not what the wire promises."""

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import structlog
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient
from kafka.errors import (
    ClusterAuthorizationFailedError,
    KafkaError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from contracts.topics import NEEDED, TOPIC_CONFIGS, partitions_of
from services.platform.errors import TillError
from services.platform.kafka.connection import admin_connection
from services.platform.settings import Settings

ADMIN_TIMEOUT_MS = 10_000
DIFFER: Final = "no promise rests on these settings; sizes are checked on reading"

log = structlog.get_logger(__name__)


class TopicsWrong(TillError):
    """The topics are missing or not as the wire promises, or Kafka refuses to say or to change it: a sentence."""


@dataclass(frozen=True, slots=True)
class TopicFacts:
    """What the broker says of one topic. `topic_id` differs when a topic was deleted and made again."""

    topic_id: str
    partitions: int
    configs: dict[str, str]


async def create_topics(settings: Settings) -> list[str]:
    """Create the topics that are missing; those that exist are compared. Returns the names created."""
    return await asyncio.to_thread(_create, settings)


async def check_topics(settings: Settings) -> dict[str, TopicFacts]:
    """The facts of all five topics by name. Raises TopicsWrong where they differ from what the wire promises."""
    return await asyncio.to_thread(_check, settings)


@contextmanager
def admin_client(settings: Settings) -> Iterator[KafkaAdminClient]:
    """A client that looks at the brokers and changes them, until the end of the block.

    Raises TopicsWrong where none answers, and for what a broker refuses in the block.
    """
    try:
        admin = KafkaAdminClient(
            **admin_connection(settings),
            client_id="till-admin",
            request_timeout_ms=ADMIN_TIMEOUT_MS,
        )
    except (KafkaError, OSError) as error:
        raise TopicsWrong(f"No Kafka broker answers at {settings.kafka} ({error!r}); set TILL_KAFKA.") from error
    try:
        yield admin
    except KafkaError as error:
        raise TopicsWrong(f"Kafka at {settings.kafka} refuses it, or went away: {error or error!r}.") from error
    finally:
        admin.close()


def _create(settings: Settings) -> list[str]:
    with admin_client(settings) as admin:
        existing = set(admin.list_topics())
        missing = {
            settings.topic_prefix + suffix: {
                "num_partitions": partitions_of(suffix, settings.topic_partitions),
                "replication_factor": settings.topic_replicas,
                "configs": configs | _durability(settings.topic_replicas),
            }
            for suffix, configs in TOPIC_CONFIGS.items()
            if settings.topic_prefix + suffix not in existing
        }
        if missing:
            try:
                admin.create_topics(missing, wait_for_metadata=True)
            except TopicAlreadyExistsError:
                # Somebody else makes them at this moment.
                admin.wait_for_topics(missing)
        _compare(settings, _facts(admin, settings))
        return sorted(missing)


def _durability(replicas: int) -> dict[str, str]:
    """With three brokers, what is acknowledged survives the loss of one."""
    return {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"} if replicas >= 3 else {}


def _check(settings: Settings) -> dict[str, TopicFacts]:
    with admin_client(settings) as admin:
        facts = _facts(admin, settings)
    _compare(settings, facts)
    return facts


def _facts(admin: KafkaAdminClient, settings: Settings) -> dict[str, TopicFacts]:
    names = [settings.topic_prefix + suffix for suffix in TOPIC_CONFIGS]
    missing = sorted(set(names) - set(admin.list_topics()))
    if missing:
        raise TopicsWrong(f"Missing topics: {', '.join(missing)}. Run `till topics`.")
    described = {topic["name"]: topic for topic in admin.describe_topics(names)}
    configs = _configs(admin, names)
    return {
        name: TopicFacts(str(described[name]["topic_id"]), len(described[name]["partitions"]), configs[name])
        for name in names
    }


def _configs(admin: KafkaAdminClient, names: list[str]) -> dict[str, dict[str, str]]:
    reply: dict[str, Any] = admin.describe_configs(
        [ConfigResource(ConfigResourceType.TOPIC, name) for name in names], config_filter="all"
    )
    return {name: {key: str(entry["value"]) for key, entry in reply["topic"][name].items()} for name in names}


def _compare(settings: Settings, facts: dict[str, TopicFacts]) -> None:
    """Raise TopicsWrong where a promise would not hold; what else differs is logged."""
    wrong = []
    for suffix in TOPIC_CONFIGS:
        name = settings.topic_prefix + suffix
        partitions = partitions_of(suffix, settings.topic_partitions)
        if facts[name].partitions != partitions:
            wrong.append(f"{name} has {facts[name].partitions} partitions, not {partitions}")
        wrong += _differences(suffix, name, facts[name], NEEDED[suffix])
    if wrong:
        raise TopicsWrong(
            "The topics are not as promised: " + "; ".join(wrong) + ". Set them right (kafka-configs.sh --alter), or "
            "TILL_TOPIC_PARTITIONS where only the count differs; partitions are never added to a live topic."
        )
    if odd := oddities(settings, facts):
        log.warning("topics_differ", differences=odd, meaning=DIFFER)


def oddities(settings: Settings, facts: dict[str, TopicFacts]) -> list[str]:
    """What differs of the topics and stops nobody."""
    return [
        difference
        for suffix, promised in TOPIC_CONFIGS.items()
        if (name := settings.topic_prefix + suffix) in facts
        for difference in _differences(suffix, name, facts[name], promised.keys() - NEEDED[suffix])
    ]


def _differences(suffix: str, name: str, topic: TopicFacts, keys: Collection[str]) -> list[str]:
    return [
        f"{name} has {key}={topic.configs.get(key)}, not {value}"
        for key, value in TOPIC_CONFIGS[suffix].items()
        if key in keys and topic.configs.get(key) != value
    ]


async def check_closings(settings: Settings) -> None:
    """Raise TopicsWrong where the topic that the reporting reader follows is not there, or loses closings."""
    await asyncio.to_thread(_check_closings, settings)


def _check_closings(settings: Settings) -> None:
    name = settings.closings
    with admin_client(settings) as admin:
        try:
            if name not in admin.list_topics():
                absent = f"There is no topic {name}: run `till topics`, mirror it, or set TILL_CLOSINGS_TOPIC."
                raise TopicsWrong(absent)
            configs = _configs(admin, [name])[name]
        except (ClusterAuthorizationFailedError, TopicAuthorizationFailedError):
            configs = {}
    if configs.get("cleanup.policy", "delete") != "delete":
        raise TopicsWrong(f"{name} has cleanup.policy={configs['cleanup.policy']}: it would lose closings.")
    if configs.get("retention.ms") != "-1":
        retention_ms = configs.get("retention.ms", "unknown")
        log.warning(
            "closings_not_kept", topic=name, retention_ms=retention_ms, meaning="older closings can't be read anew"
        )
