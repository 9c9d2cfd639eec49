"""The table of clients in the wire's README, by the clients themselves: which partition each gives the key there."""

import re
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Final

import pytest
from aiokafka.partitioner import DefaultPartitioner as OfAiokafka
from kafka.partitioner.default import DefaultPartitioner as OfKafkaPython

import contracts
from tests.support.example_programs import go, java, node, run_to_end

CLIENTS: Final = Path(__file__).parent / "clients"
README: Final = (Path(contracts.__file__).parent / "README.md").read_text(encoding="utf-8")
HEAD: Final = re.compile(r"^\| client \| what it needs \| `(.+)`, of (\d+) partitions \|$", re.MULTILINE)


def asked() -> tuple[str, int]:
    """The key of the table, and how many partitions there are."""
    head = HEAD.search(README)
    assert head is not None
    return head[1], int(head[2])


def partitions(tmp_path: Path, language: str) -> dict[str, int]:
    """What the clients of a language say, by client and way."""
    folder = tmp_path / language
    shutil.copytree(CLIENTS / language, folder, ignore=shutil.ignore_patterns("node_modules"))
    start = {"node": node, "go": go, "java": java}[language]
    printed = run_to_end(*start(folder), *map(str, asked()), folder=folder)
    return {name: int(partition) for name, partition in map(str.split, printed.splitlines())}


def row(client: str) -> str:
    """The last cell of a client's row."""
    (cell,) = re.findall(rf"^\| {client}.*\| ([^|]+) \|$", README, re.MULTILINE)
    return str(cell)


def test_clients_in_python() -> None:
    key, count = asked()
    numbers = list(range(count))
    cluster = SimpleNamespace(
        topics=lambda: {"t"}, partitions_for_topic=lambda _: numbers, available_partitions_for_topic=lambda _: numbers
    )

    by_aiokafka = OfAiokafka()(key.encode(), numbers, numbers)
    by_kafka_python = OfKafkaPython().partition("t", key, key.encode(), None, None, cluster)
    assert [str(by_aiokafka), str(by_kafka_python)] == [row("Java, Spring, aiokafka, kafka-python")] * 2


@pytest.mark.servers
def test_kafkas_own_client(tmp_path: Path) -> None:
    assert partitions(tmp_path, "java") == {"java": int(row("Java, Spring, aiokafka, kafka-python"))}


@pytest.mark.servers
def test_kafkajs(tmp_path: Path) -> None:
    """What it calls its default partitioner is the one that it takes where none is named."""
    placed = partitions(tmp_path, "node")

    assert row("KafkaJS 2") == f"{placed['kafkajs2.DefaultPartitioner']}; legacy {placed['kafkajs2.LegacyPartitioner']}"
    right, default = placed["kafkajs1.JavaCompatiblePartitioner"], placed["kafkajs1.DefaultPartitioner"]
    assert row("KafkaJS 1") == f"{right}; without it {default}"


@pytest.mark.servers
def test_clients_in_go(tmp_path: Path) -> None:
    placed = partitions(tmp_path, "go")

    assert row("franz-go") == str(placed["franz-go"])
    assert row("kafka-go") == f"{placed['kafka-go.Murmur2Balancer']}; with `Hash` {placed['kafka-go.Hash']}"
    assert row("Sarama") == f"{placed['franz-go']}; without it {placed['sarama']}"
