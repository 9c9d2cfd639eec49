"""The embedded servers are real, keep their data, and obey."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import pytest
import redis
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from aiokafka.admin import AIOKafkaAdminClient, NewTopic

from deploy.embedded.stack import Stack, StackError, down, running, start_server, stop_server, up
from deploy.embedded.supervisor import STOP_LIMIT_S
from tests.stack.processes import processes_of


async def sql(stack: Stack, statement: str) -> object:
    connection = await asyncpg.connect(stack.database_url.replace("+asyncpg", ""))
    try:
        return await connection.fetchval(statement)
    finally:
        await connection.close()


def remember(stack: Stack) -> redis.Redis:
    return redis.Redis.from_url(stack.redis_url, socket_timeout=5)


async def publish(stack: Stack, topic: str, value: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=stack.kafka, acks="all")
    await producer.start()
    try:
        await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def first_record(stack: Stack, topic: str) -> bytes | None:
    consumer = AIOKafkaConsumer(topic, bootstrap_servers=stack.kafka, group_id="reader", auto_offset_reset="earliest")
    await consumer.start()
    try:
        return (await consumer.getone()).value
    finally:
        await consumer.stop()


async def make_topic(stack: Stack, topic: str) -> None:
    admin = AIOKafkaAdminClient(bootstrap_servers=stack.kafka)
    await admin.start()
    try:
        await admin.create_topics([NewTopic(topic, num_partitions=1, replication_factor=1)])
    finally:
        await admin.close()


async def test_all_three_servers_answer_and_their_data_survive_a_restart(stack: Stack) -> None:
    await make_topic(stack, "drawer")
    await publish(stack, "drawer", b"opened")
    await sql(stack, "CREATE TABLE noted AS SELECT 42 AS answer")
    with remember(stack) as memory:
        memory.set("lock", "held")
        assert memory.get("lock") == b"held"

    assert str(await sql(stack, "SELECT version()")).startswith("PostgreSQL 18")
    assert await sql(stack, "SHOW fsync") == "on"
    assert await sql(stack, "SHOW synchronous_commit") == "on"
    assert await first_record(stack, "drawer") == b"opened"

    down(stack.home)
    assert running(stack.home) is None
    assert processes_of(stack.home) == []
    again = up(stack.home, services=())

    assert again.env() == stack.env(), "addresses exported into a shell must go on working"
    assert await sql(again, "SELECT answer FROM noted") == 42
    await publish(again, "drawer", b"closed")
    assert await first_record(again, "drawer") == b"closed", "the group's place was kept"


async def test_a_wrong_password_is_refused(stack: Stack) -> None:
    url = stack.database_url.replace("+asyncpg", "")
    password = url.split(":")[2].partition("@")[0]

    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url.replace(password, "guessed"))


def test_a_second_up_finds_the_running_stack(stack: Stack) -> None:
    heard: list[str] = []

    second = up(stack.home, services=(), progress=lambda sentence, _: heard.append(sentence))

    assert second == running(stack.home)
    assert second.pids == stack.pids
    assert heard == [f"The stack in {stack.home} runs already."]


def test_two_ups_at_once_start_one_stack(stopped: Path) -> None:
    script = (
        "import sys, pathlib; from deploy.embedded.stack import up;"
        "print(up(pathlib.Path(sys.argv[1]), services=()).pids)"
    )
    command = [sys.executable, "-c", script, str(stopped)]

    racers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [racer.communicate()[0] for racer in racers]

    assert outputs[0] == outputs[1] != ""
    assert [racer.returncode for racer in racers] == [0, 0]


def test_a_stopped_server_comes_back_on_its_port_and_others_stay(stack: Stack) -> None:
    without = stop_server(stack, "redis")
    assert without.pids.keys() == stack.pids.keys() - {"redis"}
    with pytest.raises(redis.ConnectionError), remember(stack) as memory:
        memory.ping()

    back = start_server(without, "redis")

    assert back.env() == stack.env()
    with remember(back) as memory:
        assert memory.ping()
    assert {n: p for n, p in back.pids.items() if n != "redis"} == without.pids


def test_a_port_that_somebody_took_meanwhile_is_named(stack: Stack) -> None:
    port = urlsplit(stack.redis_url).port
    stop_server(stack, "redis")
    with socket.create_server(("127.0.0.1", port)), pytest.raises(StackError, match=f"port {port}"):
        start_server(stack, "redis")

    assert start_server(stack, "redis").env() == stack.env()


async def test_a_killed_database_comes_back_with_what_it_confirmed(stack: Stack) -> None:
    await sql(stack, "CREATE TABLE confirmed AS SELECT 7 AS answer")

    os.kill(stack.pids["postgres"], signal.SIGKILL)
    back = start_server(stack, "postgres")

    assert await sql(back, "SELECT answer FROM confirmed") == 7


def test_only_servers_can_be_stopped_and_only_in_a_running_stack(stack: Stack) -> None:
    with pytest.raises(StackError, match="'supervisor' is no server"):
        stop_server(stack, "supervisor")
    down(stack.home)
    with pytest.raises(StackError, match="till up"):
        stop_server(stack, "redis")


def test_down_does_not_wait_for_a_frozen_server(stack: Stack) -> None:
    os.kill(stack.pids["redis"], signal.SIGSTOP)
    begun = time.monotonic()

    down(stack.home)

    assert time.monotonic() - begun < STOP_LIMIT_S
    assert processes_of(stack.home) == []
