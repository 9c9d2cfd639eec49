"""Idempotency-Keys in the Final API: a key is of one request alone, and that request counts once."""

import asyncio
import signal
from typing import Any
from uuid import uuid4

import pytest

from services.gateway.idempotency.header import command_id_of
from tests.gateway.adapter_setup import accepted_kinds, import_tills
from tests.gateway.final_client import EXAMPLE, OPEN, PATH, FinalClient, refusal, set_up
from tests.support.commands import opening
from tests.support.market import Market
from tests.support.waiting import eventually


@pytest.fixture(scope="module")
async def final(market: Market) -> FinalClient:
    return await set_up(market)


async def test_a_close_that_is_refused_says_that_the_session_is_open(final: FinalClient) -> None:
    # Somebody used the close's id before: that is known only when the session is open already.
    taken = opening("b4", str(uuid4())) | {"store_id": "final", "currency": "USD"}
    taken["command_id"] = command_id_of("final", "half", "close")
    assert (await final.market.post(taken)).status_code == 200

    reply = await final.ask("POST", body=EXAMPLE | {"stationId": "b5"}, idempotency_key="half")

    status, message = refusal(reply)
    assert (status, message.endswith("was opened and is open.")) == (422, True)
    (row,) = await final.market.rows("SELECT session_id, state FROM sessions WHERE profile_id = 'b5'")
    assert str(row.session_id) in message
    assert row.state == "open"


async def test_a_request_refused_for_what_was_not_there_yet_holds_no_key(final: FinalClient) -> None:
    tender = '"[{{""id"":""{}"",""name"":""x"",""type"":""{}"",""currency"":""USD"",""exchange_rate"":""1""}}]"'
    head = "store_id,profile_id,name,currency,tenders,company_id\n"
    await import_tills(final.market, head + f"final,new,New,USD,{tender.format('card', 'credit_card')},acme\n")
    body = OPEN | {"stationId": "new"}
    early = await final.ask("POST", body=body, idempotency_key="early")
    await import_tills(final.market, head + f"final,new,New,USD,{tender.format('coins', 'cash')},acme\n")

    # Another command is made of it, which names the tender that is there now; so may another request under the key.
    other = await final.ask("POST", body=body | {"openingAmount": "3.00"}, idempotency_key="early")
    again = await final.ask("POST", body=body | {"openingAmount": "3.00"}, idempotency_key="early")

    assert refusal(early)[0] == 400
    assert (other.status_code, other.json()["openingAmount"]) == (201, "3.00")
    assert (again.status_code, again.content) == (201, other.content)


async def test_a_request_with_a_key_counts_once(final: FinalClient) -> None:
    body = EXAMPLE | {"stationId": "a8"}
    first = await final.ask("POST", body=body, idempotency_key="k-1")
    again = await asyncio.gather(*(final.ask("POST", body=body, idempotency_key="k-1") for _ in range(3)))
    other = await final.ask("POST", body=body | {"openingAmount": "1.00"}, idempotency_key="k-1")
    path = f"/{first.json()['id']}"
    deleted = [await final.ask("DELETE", path, idempotency_key="k-2") for _ in range(2)]
    without = await final.ask("DELETE", path)

    assert first.status_code == 201, first.text
    assert [(reply.status_code, reply.json()) for reply in again] == [(201, first.json())] * 3
    assert refusal(other)[0] == 422
    assert [reply.status_code for reply in deleted] == [200, 200]
    assert refusal(without)[0] == 404
    assert await accepted_kinds(final.market, first.json()["id"]) == [
        "open_session",
        "close_session",
        "void_session",
    ]


OTHERS: list[dict[str, Any]] = [
    {"sessionNumber": "T-1"},
    {"closingNote": "zz"},
    {"closeTime": "2025-01-29T17:00:00Z", "closingAmounts": {"cash": "1.00"}},
    {"closeTime": "2025-01-29T17:00:00Z", "closingAmounts": {}},
    {},
]


async def test_a_key_is_of_one_request_alone(final: FinalClient) -> None:
    posted = await final.ask("POST", body=OPEN | {"stationId": "b6"}, idempotency_key="kk")
    path = f"/{posted.json()['id']}"
    changed = [await final.ask("PUT", path, body, idempotency_key="kk") for body in OTHERS]
    worded = await final.ask("PUT", path, {"closingNote": "one"}, idempotency_key="words")
    changed += [await final.ask("PUT", path, body, idempotency_key="words") for body in OTHERS]
    changed += [await final.ask("DELETE", path, idempotency_key=key) for key in ("kk", "words")]

    assert (posted.status_code, worded.status_code) == (201, 200)
    assert [refusal(reply)[0] for reply in changed] == [422] * 12
    assert (await final.ask("GET", path)).json() == posted.json() | {"updatedAt": worded.json()["updatedAt"]}
    assert await accepted_kinds(final.market, posted.json()["id"]) == ["open_session"]


async def test_a_request_sent_again_under_its_key_undoes_nothing(final: FinalClient) -> None:
    record = await final.open("b7", notes=["a"])
    path, body = f"/{record['id']}", {"notes": ["a"], "closingNote": "one"}
    first = await final.ask("PUT", path, body, idempotency_key="late")
    later = await final.put(record, notes=["b"], closingNote="two")
    again = await final.ask("PUT", path, body, idempotency_key="late")

    assert (again.status_code, again.content) == (200, first.content)
    assert (await final.ask("GET", path)).json() == later
    closed = await final.put(record, closeTime="2025-01-29T17:00:00Z", closingAmounts={"cash": "0"})
    assert closed["closingNote"] == "two"
    await final.ask("DELETE", path)
    gone = await final.ask("PUT", path, body, idempotency_key="late")
    assert (gone.status_code, gone.content) == (200, first.content)


async def test_a_request_that_was_pending_does_no_more_than_it_was_to_do(final: FinalClient) -> None:
    record = await final.open("b2")
    path, close = f"/{record['id']}", {"closeTime": "2025-01-29T17:00:00Z", "closingAmounts": {"cash": "1.00"}}
    async with final.market.another_gateway(gateway_wait_s=0.5) as client:
        final.market.worker.send(signal.SIGSTOP)
        try:
            headers = final.key | {"idempotency-key": "patient"}
            waiting = await client.put(PATH + path, json=close, headers=headers)
        finally:
            final.market.worker.send(signal.SIGCONT)
    recounted = await eventually(lambda: _recounted(final, path))

    again = await final.ask("PUT", path, close, idempotency_key="patient")

    assert (waiting.status_code, again.status_code) == (202, 200)
    assert recounted["closingAmounts"] == again.json()["closingAmounts"] == {"cash": "2.00"}
    assert await accepted_kinds(final.market, record["id"]) == [
        "open_session",
        "close_session",
        "recount",
    ]


async def test_a_request_to_open_that_waits_names_one_session_however_often_it_comes(final: FinalClient) -> None:
    body, headers = EXAMPLE | {"stationId": "b9"}, final.key | {"idempotency-key": "opens late"}
    async with final.market.another_gateway(gateway_wait_s=0.5) as client:
        final.market.worker.send(signal.SIGSTOP)
        try:
            waiting = [await client.post(PATH, json=body, headers=headers) for _ in range(2)]
        finally:
            final.market.worker.send(signal.SIGCONT)
    done = await final.ask("POST", body=body, idempotency_key="opens late")

    assert [reply.status_code for reply in (*waiting, done)] == [202, 202, 201]
    ends = {reply.headers["location"].rpartition("/")[2] for reply in waiting}
    assert ends == {done.json()["id"]}
    assert await accepted_kinds(final.market, done.json()["id"]) == ["open_session", "close_session"]


async def _recounted(final: FinalClient, path: str) -> Any:
    """The record with another count, once it is closed."""
    reply = await final.ask("PUT", path, {"closingAmounts": {"cash": "2.00"}})
    return reply.status_code == 200 and reply.json()
