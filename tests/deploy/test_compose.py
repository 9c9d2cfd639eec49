"""The whole service in containers: a day with deaths, and walls that hold."""

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.errors import (
    ClusterAuthorizationFailedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)

from contracts.topics import topics
from tests.deploy.compose import ROOT, SERVICES, UP_LIMIT_S, Compose

pytestmark = [
    pytest.mark.skipif("TILL_TEST_DEPLOY" not in os.environ, reason="Needs Docker: make test-deploy"),
    pytest.mark.timeout(1_800),
]

DAY_S = 240
READ_LIMIT_MS = 8_000
VICTIMS = {
    "sessions": "10001",
    "redis": "redis",
    "gateway": "10001",
    "reporting": "10001",
    "postgres": "postgres",
    "kafka": "appuser",
}
"""Who dies in the middle of the day, in this order, with the user of its processes."""

T = topics("till.")
ALL = frozenset({T.commands, T.events, T.closings, T.dead_letters, T.access})
MAY_READ: dict[str, frozenset[str]] = {
    "register": frozenset(),
    "sessions": frozenset({T.commands, T.access}),
    "gateway": frozenset({T.events, T.access}),
    "reporting": frozenset({T.closings, T.access}),
    "closings": frozenset({T.closings}),
    "admin": ALL,
}
MAY_WRITE: dict[str, frozenset[str]] = {
    "register": frozenset({T.commands}),
    "sessions": ALL - {T.access},
    "gateway": frozenset({T.commands, T.access}),
    "reporting": frozenset(),
    "closings": frozenset(),
    "admin": ALL,
}
REFUSED = {
    "ledger": ("UPDATE journal SET kind = 'x'", "DELETE FROM journal", "TRUNCATE closings", "DELETE FROM closings"),
    "gateway": ("DELETE FROM journal", "INSERT INTO journal SELECT * FROM journal", "UPDATE sessions SET ordinal = 1"),
    "reporting": (
        "SELECT 1 FROM public.journal",
        "INSERT INTO public.closings DEFAULT VALUES",
        "DELETE FROM public.sessions",
    ),
}


@pytest.fixture(scope="module")
def compose() -> Iterator[Compose]:
    deployment = Compose.named_anew()
    try:
        deployment.run("up", "--wait", "--build", limit_s=UP_LIMIT_S)
        yield deployment
    finally:
        deployment.run("--profile", "tools", "down", "--volumes", "--remove-orphans", limit_s=300)


def test_the_day_comes_out_the_same_whatever_dies_in_it(compose: Compose) -> None:
    day = compose.start("demo", "--running", "--over", str(DAY_S))
    try:
        while compose.psql("owner", "SELECT count(*) > 20 FROM journal").strip() != "t":
            assert day.poll() is None, day.communicate()[0]
            time.sleep(1)
        for service, user in VICTIMS.items():
            compose.kill(service, user)
            compose.until_healthy(service, restarts=1)
            assert day.poll() is None, f"The day was over before {service} died."
        output, _ = day.communicate(timeout=600)
    finally:
        if day.poll() is None:
            day.kill()
    # It compares every closing with deploy/demo/expected.json, counts answers and parked records, and verifies.
    assert day.returncode == 0, output
    assert "every chain holds" in output
    for service in SERVICES:
        compose.until_healthy(service, restarts=1)


def _login(compose: Compose, principal: str, password: str) -> dict[str, Any]:
    return {
        "bootstrap_servers": f"127.0.0.1:{compose.port('KAFKA')}",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "SCRAM-SHA-512",
        "sasl_plain_username": f"till-{principal}",
        "sasl_plain_password": password,
    }


async def _can_read(login: dict[str, Any], topic: str) -> bool:
    consumer = AIOKafkaConsumer(group_id=None, enable_auto_commit=False, auto_offset_reset="earliest", **login)
    try:
        await consumer.start()
        # Where it may not even look, the client would try on in silence.
        if topic not in await consumer.topics():
            return False
        consumer.assign([TopicPartition(topic, partition) for partition in range(1 if topic == T.access else 12)])
        await consumer.getmany(timeout_ms=READ_LIMIT_MS)
    except TopicAuthorizationFailedError:
        return False
    finally:
        await consumer.stop()
    return True


async def _can_write(login: dict[str, Any], topic: str) -> bool:
    producer = AIOKafkaProducer(enable_idempotence=True, **login)
    try:
        await producer.start()
        await producer.send_and_wait(topic, b"not a command", partition=0)
    except (TopicAuthorizationFailedError, ClusterAuthorizationFailedError):
        return False
    finally:
        await producer.stop()
    return True


@pytest.mark.parametrize("principal", MAY_READ)
async def test_on_kafka_everybody_may_do_their_work_and_nothing_else(compose: Compose, principal: str) -> None:
    login = _login(compose, principal, compose.secret(f"kafka/{principal}"))
    # Only where it must be refused: what is written to the other topics would be there for good.
    refused = ALL - MAY_WRITE[principal]
    assert {topic for topic in refused if await _can_write(login, topic)} == set()
    assert {topic for topic in ALL if await _can_read(login, topic)} == MAY_READ[principal]


async def test_a_register_may_put_commands_and_join_no_group(compose: Compose) -> None:
    login = _login(compose, "register", compose.secret("kafka/register"))
    assert await _can_write(login, T.commands)
    consumer = AIOKafkaConsumer(T.commands, group_id="till-sessions", **login)
    with pytest.raises(GroupAuthorizationFailedError):
        await consumer.start()
    await consumer.stop()


@pytest.mark.parametrize("principal", ["register", "admin", "nobody"])
async def test_who_has_no_password_is_nobody_on_kafka(compose: Compose, principal: str) -> None:
    consumer = AIOKafkaConsumer(**_login(compose, principal, "guessed"))
    with pytest.raises(KafkaError):
        await consumer.start()
    with suppress(KafkaError):
        await consumer.stop()


@pytest.mark.parametrize("role", REFUSED)
def test_in_the_database_a_role_may_not_touch_what_is_another_s(compose: Compose, role: str) -> None:
    for statement in REFUSED[role]:
        assert "permission denied" in compose.psql(role, statement), statement


def test_not_even_the_owner_changes_the_books(compose: Compose) -> None:
    for statement in ("DELETE FROM journal", "DELETE FROM closings", "DELETE FROM corrections"):
        assert "only ever added" in compose.psql("owner", statement)


def test_redis_asks_for_a_password(compose: Compose) -> None:
    assert "NOAUTH" in compose.run("exec", "-T", "redis", "redis-cli", "ping", must=False)


def test_our_containers_have_no_rights_that_they_do_not_need(compose: Compose) -> None:
    for service in ("sessions", "gateway", "reporting", "webhooks"):
        for container in compose.containers(service):
            host = container["HostConfig"]
            assert container["Config"]["User"] == "10001:10001"
            assert host["ReadonlyRootfs"]
            assert host["CapDrop"] == ["ALL"]
            assert not host["CapAdd"]
            assert "no-new-privileges:true" in host["SecurityOpt"]
            assert host["Memory"] > 0
            assert host["PidsLimit"] > 0


def test_each_service_sees_its_own_secrets_alone(compose: Compose) -> None:
    seen = {
        service: set(compose.run("exec", "-T", service, "ls", "/run/secrets").split())
        for service in ("sessions", "gateway", "reporting", "webhooks")
    }
    assert seen == {
        "sessions": {"database", "kafka", "redis"},
        "gateway": {"database", "kafka"},
        "reporting": {"database", "kafka"},
        "webhooks": {"database"},
    }
    assert "No such file" in compose.run("exec", "-T", "reporting", "ls", "/run/token-key", must=False)


def test_the_lines_of_the_readme_run_as_they_stand(compose: Compose) -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## The whole service in containers")[2].partition("\n## ")[0]
    lines = [line.removeprefix("    ") for line in section.splitlines() if line.startswith("    ")]
    assert lines[0].startswith("docker compose up --wait")
    script = "\n".join(lines)
    for name, usual in (("GATEWAY", "8080"), ("REPORTING", "8081")):
        script = script.replace(f"{usual}/", f"{compose.port(name)}/")
    ran = subprocess.run(
        ["/bin/bash", "-eu", "-o", "pipefail", "-c", script],
        cwd=ROOT,
        env=compose.environment,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for kind in ("session_opened", "cash_moved", "session_closed"):
        assert f'"kind":"{kind}"' in ran.stdout, ran.stdout
    assert '"over_short_minor":-500' in ran.stdout
