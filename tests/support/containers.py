"""The same three servers as containers, for runs with TILL_TEST_STACK=docker."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from testcontainers.community.postgres import PostgresContainer
from testcontainers.community.redis import RedisContainer
from testcontainers.core.container import DockerContainer

from deploy.embedded.stack import Stack
from deploy.embedded.trouble import free_port
from services.platform.kafka.topics import TopicsWrong, admin_client
from services.platform.settings import Settings

KAFKA, POSTGRES, REDIS = "apache/kafka:4.3.1", "postgres:18", "redis:8"
KAFKA_LIMIT_S = 120.0


@contextmanager
def contained(home: Path) -> Iterator[Stack]:
    """Kafka, PostgreSQL and Redis for as long as the block lasts; they can't be stopped one by one."""
    port = free_port(set())
    postgres = PostgresContainer(POSTGRES, username="till", password="till", dbname="till", driver="asyncpg")
    with _kafka(port), postgres, RedisContainer(REDIS) as redis:
        kafka = f"127.0.0.1:{port}"
        _until_ready(kafka)
        redis_url = f"redis://{redis.get_container_host_ip()}:{redis.get_exposed_port(redis.port)}/0"
        yield Stack(home, kafka, postgres.get_connection_url(), redis_url, None, None, pids={})


def _kafka(port: int) -> DockerContainer:
    """The library knows Kafka only as others pack it; what it advertises must be known before it starts."""
    settings = {
        "NODE_ID": "1",
        "PROCESS_ROLES": "broker,controller",
        "LISTENERS": "PLAINTEXT://:9092,CONTROLLER://:9093",
        "ADVERTISED_LISTENERS": f"PLAINTEXT://127.0.0.1:{port}",
        "LISTENER_SECURITY_PROTOCOL_MAP": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
        "CONTROLLER_LISTENER_NAMES": "CONTROLLER",
        "CONTROLLER_QUORUM_VOTERS": "1@localhost:9093",
        "AUTO_CREATE_TOPICS_ENABLE": "false",
        "GROUP_INITIAL_REBALANCE_DELAY_MS": "0",
        "OFFSETS_TOPIC_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_REPLICATION_FACTOR": "1",
        "TRANSACTION_STATE_LOG_MIN_ISR": "1",
    }
    named = {f"KAFKA_{name}": value for name, value in settings.items()}
    return DockerContainer(KAFKA).with_envs(**named).with_bind_ports(9092, port)


def _until_ready(kafka: str) -> None:
    until = time.monotonic() + KAFKA_LIMIT_S
    while True:
        try:
            with admin_client(Settings(kafka=kafka)):
                return
        except TopicsWrong:
            assert time.monotonic() < until, "Kafka does not answer."
            time.sleep(0.5)
