"""Log lines have one shape in all services, and neither they nor the metrics hold a secret or a body."""

import json
from uuid import uuid4

import httpx
import pytest
from aiokafka import AIOKafkaProducer

from services.gateway.access import api_keys, users
from services.gateway.access.passwords import hash_password
from services.gateway.access.users import User
from services.platform.logs import without_values
from tests.observability.all_services import AllServices
from tests.support.commands import Body, closing, movement, opening, written
from tests.support.waiting import eventually

PASSWORD = "correct-horse-battery"
WRONG = "wrong-horse-battery"
NOTE = "a-note-that-only-the-cashier-knows"
LINES_MAX = 5


async def test_no_secret_and_no_body_is_in_logs_or_metrics(services: AllServices) -> None:
    market = services.market
    async with market.engine.begin() as tx:
        await users.add(tx, User("s1", "ana", "cashier", "p1"), hash_password(PASSWORD))
        _, key = await api_keys.add(tx, "cafes", "s1", "manager")
    good, bad = market.token(role="manager", sub="mona"), market.token() + "x"
    async with services.gateway() as http:
        traded = await _sign_in(http)
        for token in (good, bad, traded):
            headers = {"authorization": f"Bearer {token}", "x-api-key": key}
            for path in (f"/api/sessions?token={token}", f"/{key}", f"/v1/api/session/{token}"):
                await http.get(path, headers=headers)
            await http.post("/api/commands", json=opening("p1", str(uuid4()), note=NOTE), headers=headers)
    async with httpx.AsyncClient(base_url=services.addresses["reporting"], timeout=60) as http:
        for token in (good, bad, traded):
            await http.get(f"/api/closings?store={token}", headers={"authorization": f"Bearer {token}"})
    noted = [movement("p1", str(uuid4()), 1, reason=NOTE), closing("p1", str(uuid4())) | {"note": NOTE}]
    await _send(services, noted, [good, bad, traded])

    async def parked() -> bool:
        return any(line["event"] == "record_parked" for line in services.lines("sessions"))

    await eventually(parked)
    written_down = b"".join(process.log.read_bytes() for process in market.processes)
    for address in services.addresses.values():
        async with httpx.AsyncClient(base_url=address, timeout=60) as http:
            written_down += (await http.get("/metrics")).content
    secrets = [PASSWORD, WRONG, NOTE, key, *(token.split(".")[-1] for token in (good, bad, traded))]
    assert [secret for secret in secrets if secret.encode() in written_down] == []
    assert b"right_refused" in written_down
    assert b"request" in written_down


async def test_every_line_has_the_same_shape(services: AllServices) -> None:
    async with services.gateway() as http:
        await http.get("/nowhere")
    seen = set()
    for process in services.market.processes:
        for text in process.log.read_text().splitlines():
            line = json.loads(text)
            assert {"at", "level", "service", "event"} <= line.keys(), line
            assert line["at"].endswith("Z")
            seen.add(line["service"])
    assert seen == {"sessions", "gateway", "reporting", "webhooks", "console"}


async def test_of_many_that_are_refused_a_few_are_named(services: AllServices) -> None:
    bodies = [movement("p1", str(uuid4()), 1) for _ in range(200)]
    before = len([line for line in services.lines("sessions") if line["event"] == "right_refused"])

    async def unsigned() -> float:
        names = {"kind": "move_cash", "answer": "command_rejected", "reason": "unauthenticated"}
        return (await services.scrape("sessions")).value("till_commands_total", **names)

    earlier = await unsigned()
    await _send(services, bodies, [None])

    async def counted() -> bool:
        return await unsigned() == earlier + len(bodies)

    await eventually(counted)
    lines = [line for line in services.lines("sessions") if line["event"] == "right_refused"][before:]
    named = [line for line in lines if "command_id" in line]
    assert len(named) + sum(line.get("not_shown", 0) for line in lines) == len(bodies)
    batches = sum("not_shown" in line for line in lines)
    assert len(named) <= (batches + 1) * LINES_MAX + LINES_MAX


@pytest.mark.parametrize(
    ("sentence", "left"),
    [
        (
            "IntegrityError: broken\nDETAIL:  a row (s1, secret\nsecret).\n[SQL: INSERT]\n[parameters: ('secret',)]",
            "IntegrityError: broken\n(values left out)\n[SQL: INSERT]\n(values left out)",
        ),
        ("invalid input for query argument $2: 'secret' (expected str)", None),
        ("nothing of that kind", "nothing of that kind"),
    ],
)
def test_values_are_cut_out_of_database_errors(sentence: str, left: str | None) -> None:
    line = without_values(None, "warning", {"event": "x", "error": sentence})
    assert "secret" not in line["error"]
    assert left is None or line["error"] == left


async def _sign_in(http: httpx.AsyncClient) -> str:
    who = {"store_id": "s1", "user": "ana"}
    traded = await http.post("/auth/token", json=who | {"password": PASSWORD})
    assert traded.status_code == 200
    for body in (who | {"password": WRONG}, who | {"password": [PASSWORD]}, who | {"passwort": PASSWORD}):
        assert (await http.post("/auth/token", json=body)).status_code in {401, 422}
    return str(traded.json()["access_token"])


async def _send(services: AllServices, bodies: list[Body], tokens: list[str | None]) -> None:
    """Commands past the gateway, with keys of nobody, and a record that is none."""
    producer = AIOKafkaProducer(bootstrap_servers=services.market.settings.kafka)
    await producer.start()
    try:
        topic = services.market.settings.topics.commands
        for token in tokens:
            headers = [("authorization", b"Bearer " + token.encode())] if token else []
            for value in (b"unreadable " + NOTE.encode(), *map(written, bodies)):
                await producer.send(topic, value, headers=headers)
        await producer.flush()
    finally:
        await producer.stop()
