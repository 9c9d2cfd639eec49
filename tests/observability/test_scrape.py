"""What the services say of themselves after real commands, and that alerts and dashboard ask for nothing else."""

import asyncio
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import yaml
from aiokafka import AIOKafkaProducer

from contracts.events import CLAIMLESS
from services.platform.kafka.partitioners import murmur2_of
from services.sessions.worker.metrics import STAGES
from tests.observability.all_services import AllServices, Scrape
from tests.support.commands import closing, movement, opening, written
from tests.support.processes import till
from tests.support.waiting import eventually

DEPLOY = Path(__file__).parents[2] / "deploy"
OBSERVABILITY = DEPLOY / "observability"
NAME = re.compile(r"\btill_[a-z_]+")
SELECTOR = re.compile(r"\b(till_[a-z_]+)\{([^}]*)\}")
MATCHER = re.compile(r'(\w+)(=~|=|!=)"([^"]*)"')
BY = re.compile(r"\bby \(([\w, ]+)\) \((?:\w+\()?(till_[a-z_]+)")
RECORDS = 9
"""Those of the day: seven by HTTP and two past it."""
GONE = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


@pytest.fixture(scope="module")
async def traded(services: AllServices) -> AllServices:
    """A session opened and closed on p1, another left open on p2, refusals, a repeat, a wrong key, and garbage.

    Two refusals claim nothing: of a session that is not there, and of a record without a token.
    """
    market, first, second = services.market, str(uuid4()), str(uuid4())
    paid = movement("p1", first, 500)
    bodies = [opening("p1", first), paid, paid, closing("p1", first, 1_500), movement("p1", first, 5) | {"amount": 1}]
    async with services.gateway() as http:
        for body in [*bodies, movement("p1", str(uuid4()), 5), opening("p2", second)]:
            await http.post("/api/commands", json=body, headers=market.bearer("s1"))
        await http.get(f"/api/sessions/{second}", headers=market.bearer("s1"))
        await http.get("/nowhere/else")
    producer = AIOKafkaProducer(bootstrap_servers=market.settings.kafka)
    await producer.start()
    try:
        topic = market.settings.topics.commands
        elsewhere = (murmur2_of(b"not this one") + 1) % market.settings.topic_partitions
        await producer.send_and_wait(topic, b"garbage")
        await producer.send_and_wait(
            topic, written(movement("p2", second, 7)), key=b"not this one", partition=elsewhere
        )
    finally:
        await producer.stop()

    async def all_told() -> bool:
        seen = await services.scrape("sessions")
        read = await services.scrape("reporting")
        parked = seen.value("till_dead_letters_total", why="unreadable")
        looked = seen.value("till_looked_timestamp_seconds")
        open_ones = seen.value("till_sessions", state="open")
        records = seen.value("till_batch_records_sum")
        batches = {seen.value("till_batch_records_count")}
        batches |= {seen.value("till_batch_seconds_count", stage=stage) for stage in STAGES}
        answered = records == RECORDS and len(batches) == 1
        return bool(answered and parked and looked and open_ones and read.value("till_reporting_records_total"))

    await eventually(all_told, within_s=90)
    return services


async def test_commands_are_counted_by_kind_answer_and_reason(traded: AllServices) -> None:
    seen = await traded.scrape("sessions")

    def answered(kind: str, answer: str, reason: str = "") -> float:
        return seen.value("till_commands_total", kind=kind, answer=answer, reason=reason)

    assert answered("open_session", "session_opened") == 2
    assert answered("move_cash", "cash_moved") == 1
    assert answered("move_cash", "cash_moved", "repeated") == 1
    assert answered("close_session", "session_closed") == 1
    assert answered("move_cash", "command_rejected", "malformed") == 1
    assert answered("move_cash", "command_rejected", "unauthenticated") == 1
    assert answered("move_cash", "command_rejected", "session_unknown") == 1
    claim_nothing = {reason: seen.value("till_unclaimed_refusals_total", reason=reason) for reason in sorted(CLAIMLESS)}
    there = dict.fromkeys(["session_unknown", "unauthenticated"], 1)
    assert claim_nothing == dict.fromkeys(sorted(CLAIMLESS), 0) | there
    assert seen.value("till_wrong_key_total") == 1
    assert seen.value("till_wrong_partition_total") == 1
    assert seen.value("till_dead_letters_total", why="unreadable") == 1
    assert seen.value("till_dead_letters_total", why="failing") == 0


async def test_batches_are_timed_by_stage(traded: AllServices) -> None:
    seen = await traded.scrape("sessions")
    batches = seen.value("till_batch_records_count")
    assert 1 <= batches <= RECORDS
    assert seen.value("till_batch_records_sum") == RECORDS
    assert {stage: seen.value("till_batch_seconds_count", stage=stage) for stage in STAGES} == dict.fromkeys(
        STAGES, batches
    )


async def test_an_idle_worker_lags_by_nothing(traded: AllServices) -> None:
    async def looked() -> Scrape | None:
        # It looks every few seconds: the last look may have been before the last command.
        seen = await traded.scrape("sessions")
        as_it_is = seen.value("till_lag_commands") == 0 and seen.value("till_sessions", state="open") == 1
        return seen if as_it_is else None

    seen = await eventually(looked, within_s=60)
    assert seen is not None
    assert seen.value("till_lag_seconds") == 0
    assert seen.value("till_partitions") == seen.value("till_topic_partitions") == 3
    assert seen.value("till_expired_commands") == 0


async def test_requests_are_counted_by_route_and_never_by_path(traded: AllServices) -> None:
    seen = await traded.scrape("gateway")

    def replied(api: str, method: str, route: str, status: int) -> float:
        labels = {"api": api, "method": method, "route": route, "status": str(status)}
        return seen.value("till_http_requests_total", **labels)

    assert replied("own", "POST", "/api/commands", 200) == 5
    assert replied("own", "POST", "/api/commands", 422) == 1
    assert replied("own", "POST", "/api/commands", 404) == 1
    assert replied("own", "GET", "/api/sessions/{session_id}", 200) == 1
    assert replied("other", "GET", "none", 404) == 1
    assert seen.value("till_gateway_waiting") == 0
    assert seen.value("till_gateway_answer_seconds_count") == 7
    assert not [labels for _, labels in seen.samples if any("nowhere" in value for _, value in labels)]


async def test_the_reader_counts_what_it_read(traded: AllServices) -> None:
    seen = await traded.scrape("reporting")
    assert seen.value("till_reporting_records_total") == 1
    assert seen.value("till_reporting_streams") == 0


async def test_rules_and_dashboard_ask_only_for_what_is_there(traded: AllServices) -> None:
    """Also the other way round: the README's table has every metric, and no other."""
    by_job = {service: await traded.scrape(service) for service in traded.addresses}
    scrapes = list(by_job.values())
    there = set[str]().union(*(seen.names() for seen in scrapes))
    for where, expression in [*_of_rules(), *_of_dashboard()]:
        asked = set(NAME.findall(expression))
        assert asked or "up{" in expression, (where, expression)
        assert asked <= there, (where, asked - there)

    labelled = [(name, dict(labels)) for seen in scrapes for name, labels in seen.samples]
    readme = (OBSERVABILITY / "README.md").read_text()
    # What nothing was counted of yet has no label.
    counted = {name for name, _ in labelled}
    labelled += [
        (name, dict.fromkeys(re.findall(r"`(\w+)`", labels), ""))
        for name, labels in re.findall(r"^\| `(till_[a-z_]+)` \|([^|]*)\|", readme, re.MULTILINE)
        if name not in counted
    ]
    for where, expression in [*_of_rules(), *_of_dashboard()]:
        for name, label, value in _labels(expression):
            if label == "job":
                # Which Prometheus adds; the service has the metric, also before it has counted anything.
                assert value is None or name in by_job[value].names(), (where, name, value)
            else:
                assert _is_seen(labelled, name, label, value), (where, name, label, value)

    families = {family for seen in scrapes for family in seen.families if family.startswith("till_")}
    documented = set(re.findall(r"^\| `(till_[a-z_]+)", readme, re.MULTILINE))
    assert {name.removesuffix("_total") for name in documented} == families


async def test_a_webhook_whose_receiver_is_gone_is_counted_as_paused(traded: AllServices) -> None:
    async def gone(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(GONE)
        await writer.drain()
        writer.close()

    async def paused() -> bool:
        return (await traded.scrape("webhooks")).value("till_webhooks_endpoints", state="paused") == 1

    receiver = await asyncio.start_server(gone, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{receiver.sockets[0].getsockname()[1]}/"
    words = ("webhooks", "add", "--store", "*", "--url", url, "--from", "beginning")
    added = await till(traded.market.settings, *words, TILL_WEBHOOKS_PRIVATE_NETWORKS="127.0.0.0/8")
    assert added.returncode == 0, added.stderr
    try:
        await eventually(paused, within_s=60)
    finally:
        receiver.close()
        await till(traded.market.settings, "webhooks", "remove", added.stdout.split()[0])
    (rule,) = (rule for rule in _rules() if rule["alert"] == "TillWebhookPaused")
    assert list(_labels(rule["expr"])) == [("till_webhooks_endpoints", "state", "paused")]


def test_labels_of_an_expression_are_looked_for_one_by_one() -> None:
    expression = 'sum by (le, why) (rate(till_a_bucket{job="x"}[5m])) / max(till_b{why=~"one|two", state!=""}) > 0'
    assert list(_labels(expression)) == [
        ("till_a_bucket", "job", "x"),
        ("till_b", "why", "one"),
        ("till_b", "why", "two"),
        ("till_b", "state", None),
        ("till_a_bucket", "le", None),
        ("till_a_bucket", "why", None),
    ]


def test_the_runbook_has_every_alert() -> None:
    runbook = (DEPLOY / "RUNBOOK.md").read_text()
    alerts = {rule["alert"] for rule in _rules()}
    assert alerts == set(re.findall(r"^## (Till\w+)", runbook, re.MULTILINE))
    assert all(rule["labels"]["severity"] in {"critical", "warning"} for rule in _rules())


def test_prometheus_asks_the_services_that_compose_has() -> None:
    compose = yaml.safe_load((DEPLOY.parent / "docker-compose.yml").read_text())
    jobs = yaml.safe_load((OBSERVABILITY / "prometheus.yml").read_text())["scrape_configs"]
    assert {name for job in jobs for name in job["dns_sd_configs"][0]["names"]} <= set(compose["services"])
    source = yaml.safe_load((OBSERVABILITY / "grafana/provisioning/datasources/prometheus.yml").read_text())
    assert {panel["datasource"]["uid"] for panel in _panels()} == {source["datasources"][0]["uid"]}


def _rules() -> list[dict[str, Any]]:
    rules = yaml.safe_load((OBSERVABILITY / "rules.yml").read_text())
    return [rule for group in rules["groups"] for rule in group["rules"]]


def _panels() -> list[dict[str, Any]]:
    dashboard = json.loads((OBSERVABILITY / "grafana/dashboards/tillstream.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def _labels(expression: str) -> Iterator[tuple[str, str, str | None]]:
    """What an expression asks for: a metric, one of its labels, and the value that this has; None for any."""
    for name, matchers in SELECTOR.findall(expression):
        for label, how, words in MATCHER.findall(matchers):
            for value in words.split("|") if how == "=~" else [words]:
                yield name, label, None if how == "!=" else value
    for labels, name in BY.findall(expression):
        for label in labels.split(", "):
            yield name, label, None


def _is_seen(samples: Sequence[tuple[str, dict[str, str]]], name: str, label: str, value: str | None) -> bool:
    return any(name == one and label in labels and (value is None or labels[label] == value) for one, labels in samples)


def _of_rules() -> list[tuple[str, str]]:
    return [(rule["alert"], rule["expr"]) for rule in _rules()]


def _of_dashboard() -> list[tuple[str, str]]:
    return [(panel["title"], target["expr"]) for panel in _panels() for target in panel["targets"]]
