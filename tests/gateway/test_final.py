"""The FinalClient POS API: its published example as it stands, and every way in which a record may change."""

import signal
from typing import Any
from uuid import uuid4

import pytest

from tests.gateway.adapter_setup import accepted_kinds, add_key, closing_of, commands_answered, import_tills
from tests.gateway.final_client import (
    CLOSING,
    EXAMPLE,
    MEMBERS,
    OPEN,
    PATH,
    PROFILES,
    TENDERS,
    FinalClient,
    refusal,
    set_up,
)
from tests.support.commands import opening
from tests.support.market import Market
from tests.support.waiting import eventually

LATER = "2025-01-29T17:00:00Z"


@pytest.fixture(scope="module")
async def final(market: Market) -> FinalClient:
    return await set_up(market)


async def test_the_published_example(final: FinalClient) -> None:
    created = await final.ask("POST", body=EXAMPLE)
    record = created.json()
    got = await final.ask("GET", f"/{record['id']}")
    put = await final.ask("PUT", f"/{record['id']}", EXAMPLE)
    deleted = await final.ask("DELETE", f"/{record['id']}")
    gone = [await final.ask(method, f"/{record['id']}", EXAMPLE) for method in ("GET", "PUT", "DELETE")]

    assert created.status_code == 201, created.text
    assert sorted(record) == sorted(MEMBERS)
    assert {name: record[name] for name in EXAMPLE} == EXAMPLE
    assert record["companyId"] == "acme"
    assert record["createdAt"].endswith("+00:00")
    assert (got.status_code, got.json()) == (200, record)
    assert (put.status_code, put.json()) == (200, record)
    assert deleted.status_code == 200
    assert deleted.json() == {
        "statusCode": 200,
        "message": f"Resource with Id {record['id']} deleted successfully",
    }
    assert [refusal(reply)[0] for reply in gone] == [404, 404, 404]
    assert await accepted_kinds(final.market, record["id"]) == [
        "open_session",
        "close_session",
        "void_session",
    ]
    books = await closing_of(final.market, record["id"])
    assert [(row["tender"], row["counted_minor"]) for row in books["tenders"]] == [
        ("card", 150_000),
        ("cash", 50_000),
        ("oliverPay", 20_000),
    ]
    assert books["cash_movements"]["starting_minor"] == 20_000
    assert (books["closed_by"], books["z_number"]) == ({"id": "Jane Smith", "name": "Jane Smith"}, 1)


async def test_an_open_record_is_amended_closed_recounted_and_reworded(final: FinalClient) -> None:
    record = await final.open("a1", openTime="2025-01-29T11:00:00+02:00")
    assert [record[name] for name in CLOSING] == [None] * 5
    assert (record["closingAmounts"], record["openTime"]) == ({}, "2025-01-29T11:00:00+02:00")

    amended = await final.put(record, notes=["new"], sessionNumber="S-2", openingNote="")
    assert (amended["notes"], amended["sessionNumber"], amended["openingNote"]) == (["new"], "S-2", "")
    same = await final.put(record, **{name: amended[name] for name in OPEN if name != "closingAmounts"})
    assert same == amended

    closed = await final.put(
        record,
        closeTime="2025-01-29T17:00:00Z",
        closingAmounts={"cash": "1.5"},
        closedBy="Jane",
        closingReportData='{"a": 1.50}',
    )
    assert (closed["closingAmounts"], closed["closedBy"]) == ({"cash": "1.50"}, "Jane")
    assert (closed["closingReportData"], closed["closingAmount"]) == ('{"a": 1.50}', None)

    recounted = await final.put(record, closingAmounts={"cash": "2.00", "card": "7.00"}, closedBy="Boss")
    assert recounted["closingAmounts"] == {"cash": "2.00", "card": "7.00"}
    assert (recounted["closedBy"], recounted["closeTime"]) == ("Jane", "2025-01-29T17:00:00Z")
    reworded = await final.put(record, closingNote="late", closingAmount="9.99", notes=[])
    assert (reworded["closingNote"], reworded["closingAmount"], reworded["notes"]) == ("late", "9.99", [])
    assert reworded["closingReportData"] == '{"a": 1.50}'

    assert await accepted_kinds(final.market, record["id"]) == [
        "open_session",
        "amend_session",
        "close_session",
        "recount",
        "amend_session",
    ]
    books = await closing_of(final.market, record["id"])
    assert [row["counted_minor"] for row in books["tenders"]] == [None, 150, None]


async def test_a_record_is_closed_with_a_payment_method_that_its_station_has_since(final: FinalClient) -> None:
    header, *_ = PROFILES.splitlines()
    await import_tills(final.market, f"{header}\nfinal,noon,Noon,USD,,,acme\n")
    record = await final.open("noon")
    await import_tills(final.market, f"{header}\nfinal,noon,Noon,USD,{TENDERS},,acme\n")

    counted = {"cash": "200.00", "card": "9.00"}
    unknown = await final.ask(
        "PUT", f"/{record['id']}", {"closeTime": LATER, "closingAmounts": counted | {"gold": "1"}}
    )
    closed = await final.put(record, closeTime=LATER, closingAmounts=counted)

    assert unknown.status_code == 400
    assert closed["closingAmounts"] == counted
    late = await final.ask("PUT", f"/{record['id']}", {"closingAmounts": {"oliverPay": "1.00"}})
    assert late.status_code == 400


async def test_times_need_no_seconds_and_no_colon_in_their_offset(final: FinalClient) -> None:
    times = {"openTime": "2025-01-29T10:00+0100", "closeTime": "2025-01-29T17:00Z"}

    reply = await final.ask("POST", body=EXAMPLE | times | {"stationId": "b8"})

    assert reply.status_code == 201, reply.text
    assert {name: reply.json()[name] for name in times} == times
    books = await closing_of(final.market, reply.json()["id"])
    assert (books["opened_at"], books["closed_at"]) == ("2025-01-29T09:00:00.000000Z", "2025-01-29T17:00:00.000000Z")


async def test_without_any_amount_a_record_is_closed_as_nobody_counted(final: FinalClient) -> None:
    reply = await final.ask("POST", body=EXAMPLE | {"stationId": "a2", "closingAmounts": {}})

    assert reply.status_code == 201, reply.text
    record = reply.json()
    assert (record["closingAmounts"], record["closingAmount"], record["closeTime"]) == (
        {},
        "2500.00",
        EXAMPLE["closeTime"],
    )
    assert (record["closingNote"], record["closedBy"]) == ("All transactions verified", "Jane Smith")
    assert (await closing_of(final.market, record["id"]))["uncounted"] is True


async def test_words_of_an_open_record_are_kept_for_its_closing(final: FinalClient) -> None:
    record = await final.open("a7", closingNote="draft", closingAmount="1.00")
    early = await final.put(record, closingNote="early")
    assert [one[name] for one in (record, early) for name in CLOSING] == [None] * 10

    closed = await final.put(record, closeTime="2025-01-29T17:00:00Z", closingAmounts={"cash": "3.00"})

    assert (closed["closingNote"], closed["closingAmount"]) == ("early", "1.00")
    assert closed["closedBy"].startswith("key:")
    books = await closing_of(final.market, record["id"])
    assert (books["closing_note"], books["sales_report"]) == ("early", {"closingAmount": "1.00"})


async def test_words_of_an_open_record_outlast_a_close_that_nobody_counted(final: FinalClient) -> None:
    record = await final.open("b1", closingNote="early")

    closed = await final.put(record, closeTime="2025-01-29T17:00:00Z", closingAmounts={}, closingReportData="{}")

    assert (closed["closingNote"], closed["closingReportData"], closed["closingAmount"]) == ("early", "{}", None)


async def test_amounts_of_an_open_record_need_a_close_time(final: FinalClient) -> None:
    record = await final.open("b2")

    reply = await final.ask("PUT", f"/{record['id']}", {"closingAmounts": {"cash": "1.00"}, "sessionNumber": "no"})

    assert refusal(reply) == (400, "Validation failed: Field `closeTime` is required with closingAmounts.")
    assert await accepted_kinds(final.market, record["id"]) == ["open_session"]


@pytest.mark.parametrize("name", [name for name in EXAMPLE if name not in CLOSING])
async def test_a_missing_field_is_named(final: FinalClient, name: str) -> None:
    for body in (
        {other: value for other, value in EXAMPLE.items() if other != name},
        EXAMPLE | {name: None},
    ):
        reply = await final.ask("POST", body=body)
        assert refusal(reply) == (400, f"Validation failed: Field `{name}` is required.")


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"openingAmount": "-1"}, "openingAmount"),
        ({"openingAmount": "1.005"}, "openingAmount"),
        ({"openingAmount": "1e3"}, "openingAmount"),
        ({"openingAmount": "+1"}, "openingAmount"),
        ({"openingAmount": ".5"}, "openingAmount"),
        ({"openingAmount": ""}, "openingAmount"),
        ({"openingAmount": "١"}, "openingAmount"),
        ({"openingAmount": "9999999999999999"}, "openingAmount"),
        ({"openingAmount": 200}, "openingAmount"),
        ({"closingAmount": "1.234"}, "closingAmount"),
        ({"closingAmounts": {"cash": "1.234"}}, "closingAmounts.cash"),
        ({"closingAmounts": {"cash": 5}}, "closingAmounts.cash"),
        ({"closingAmounts": {"gold": "5.00"}}, "closingAmounts.gold"),
        ({"closingAmounts": []}, "closingAmounts"),
        ({"notes": "one"}, "notes"),
        ({"notes": [1]}, "notes"),
        ({"openTime": "yesterday"}, "openTime"),
        ({"openTime": "2025-01-29T0900Z"}, "openTime"),
        ({"closeTime": "2025-01-29"}, "closeTime"),
        ({"stationId": "yen", "openingAmount": "200.01", "closingAmounts": {}}, "openingAmount"),
        ({"sessionNumber": ""}, "sessionNumber"),
        ({"openedBy": "x" * 129}, "openedBy"),
        ({"notes": ["x"] * 21}, "notes"),
        ({"openingNote": "\x01"}, "openingNote"),
        ({"closingNote": "\x01"}, "closingNote"),
        ({"closedBy": ""}, "closedBy"),
        ({"closedBy": "", "closingAmounts": {}}, "closedBy"),
        ({"closingReportData": "x" * 33_000}, "closingReportData"),
    ],
)
async def test_a_bad_field_is_named(final: FinalClient, changed: dict[str, Any], field: str) -> None:
    status, message = refusal(await final.ask("POST", body=EXAMPLE | {"stationId": "a3"} | changed))

    assert status == 400
    assert message.startswith(f"Validation failed: Field `{field}`")
    assert await final.market.rows("SELECT 1 FROM sessions WHERE store_id = 'final' AND profile_id = 'a3'") == []


async def test_unknown_fields_are_ignored_and_yen_have_no_decimals(final: FinalClient) -> None:
    changed = {"stationId": "yen", "openingAmount": "200", "closingAmount": "7", "closingAmounts": {"cash": "0"}}
    reply = await final.ask("POST", body=EXAMPLE | changed | {"colour": {"deep": [1.5]}})

    assert reply.status_code == 201, reply.text
    assert (reply.json()["openingAmount"], reply.json()["closingAmounts"]) == ("200", {"cash": "0"})
    assert "colour" not in reply.json()


async def test_decimals_that_are_zeros_say_nothing(final: FinalClient) -> None:
    changed = {
        "stationId": "yen",
        "openingAmount": "5000.00",
        "closingAmount": "7.0",
        "closingAmounts": {"cash": "5.00"},
    }
    reply = await final.ask("POST", body=EXAMPLE | changed)
    recounted = await final.ask("PUT", f"/{reply.json()['id']}", {"closingAmounts": {"cash": "5000.0000"}})
    refused = await final.ask("POST", body=EXAMPLE | changed | {"openingAmount": "5000.10"})

    assert reply.status_code == 201, reply.text
    assert (reply.json()["openingAmount"], reply.json()["closingAmounts"]) == ("5000", {"cash": "5"})
    assert reply.json()["closingAmount"] == "7.0"
    assert recounted.json()["closingAmounts"] == {"cash": "5000"}
    assert refusal(refused)[0] == 400


async def test_what_cannot_be(final: FinalClient) -> None:
    record = await final.open("a4")
    path = f"/{record['id']}"
    second = await final.ask("POST", body=OPEN | {"stationId": "a4"})
    unknown = await final.ask("POST", body=OPEN | {"stationId": "nowhere"})
    for name, other in (
        ("openedBy", "Other"),
        ("openTime", "2025-01-29T09:00:01Z"),
        ("openingAmount", "1.00"),
        ("stationId", "a5"),
    ):
        assert refusal(await final.ask("PUT", path, {name: other}))[0] == 409
    elsewhere = await final.ask("PUT", path, {"stationId": "nowhere"})
    uncounted = await final.ask("PUT", path, {"closeTime": "2025-01-29T17:00:00Z"})

    assert refusal(second)[0] == 409
    assert [refusal(reply)[0] for reply in (unknown, elsewhere)] == [404, 404]
    assert refusal(uncounted) == (400, "Validation failed: Field `closingAmounts` is required.")
    for other in (str(uuid4()), "x", "o1p2q3r4s5t6u7v8w9x0y1z2"):
        assert refusal(await final.ask("GET", f"/{other}"))[0] == 404
    for body in (b"", b"[]", b"{", b'{"stationId": NaN}', b"\xff"):
        reply = await final.market.client.post(PATH, content=body, headers=final.key)
        assert refusal(reply)[0] == 400
    assert await accepted_kinds(final.market, record["id"]) == ["open_session"]


async def test_keys_are_walls(final: FinalClient) -> None:
    market, record = final.market, await final.open("a5")
    before = await commands_answered(market)
    others = [
        await add_key(market, "other", "final"),
        await add_key(market, "acme", "s1"),
        await add_key(market, "other", "s1"),
    ]
    for other in others:
        stranger = FinalClient(market, other)
        for method in ("GET", "PUT", "DELETE"):
            assert refusal(await stranger.ask(method, f"/{record['id']}", EXAMPLE))[0] == 404
        assert refusal(await stranger.ask("POST", body=OPEN | {"stationId": "a6"}))[0] == 404
    for wrong in ({}, {"x-api-key": "till_wrong"}, market.bearer("final", role="admin")):
        for method in ("POST", "GET", "PUT", "DELETE"):
            reply = await FinalClient(market, wrong).ask(
                method, "" if method == "POST" else f"/{record['id']}", EXAMPLE
            )
            assert refusal(reply)[0] == 401
            assert reply.json()["error"] == "Unauthorized"
    assert await commands_answered(market) == before
    assert refusal(await final.ask("POST", body=OPEN | {"stationId": "theirs"}))[0] == 404
    assert (await FinalClient(market, others[0]).open("theirs"))["companyId"] == "other"
    assert (await final.open("nobodys"))["companyId"] == "acme"


async def test_a_registers_key_opens_and_closes_but_does_not_void(final: FinalClient) -> None:
    register = FinalClient(final.market, await add_key(final.market, "acme", "final", "register"))
    record = await register.open("a6")

    forbidden = await register.ask("DELETE", f"/{record['id']}")
    closed = await register.put(record, closeTime="2025-01-29T17:00:00Z", closingAmounts={"cash": "200.00"})

    assert refusal(forbidden)[0] == 403
    assert closed["closeTime"] == "2025-01-29T17:00:00Z"


async def test_a_closing_that_awaits_approval_is_shown_as_closed(final: FinalClient) -> None:
    changed = {"stationId": "limited", "closingAmounts": {"cash": "500.00"}}
    reply = await final.ask("POST", body=EXAMPLE | changed)

    assert reply.status_code == 201, reply.text
    assert {name: reply.json()[name] for name in EXAMPLE} == EXAMPLE | changed
    other = await final.ask("PUT", f"/{reply.json()['id']}", {"closingAmounts": {"cash": "200.00"}})
    assert refusal(other)[0] == 409
    assert (await final.open("limited"))["id"] != reply.json()["id"]


async def test_what_a_role_may_not_do_is_refused_before_anything_is_done(final: FinalClient) -> None:
    register = FinalClient(final.market, await add_key(final.market, "acme", "final", "register"))
    record = (await final.ask("POST", body=EXAMPLE | {"stationId": "b3"})).json()
    before = await commands_answered(final.market)

    recount = {"sessionNumber": "HALF", "closingAmounts": {"cash": "1.00"}}
    put = await register.ask("PUT", f"/{record['id']}", recount)
    post = await register.ask("POST", body=EXAMPLE | {"stationId": "b3", "closingAmounts": {}})

    assert [refusal(reply)[0] for reply in (put, post)] == [403, 403]
    assert await commands_answered(final.market) == before
    assert (await final.ask("GET", f"/{record['id']}")).json() == record


async def test_what_is_not_answered_in_time_is_applied_later(final: FinalClient) -> None:
    await import_tills(final.market, PROFILES.splitlines()[0] + f"\nfinal,slow,Slow,USD,{TENDERS},,acme\n")
    async with final.market.another_gateway(gateway_wait_s=0.5) as client:
        final.market.worker.send(signal.SIGSTOP)
        try:
            reply = await client.post(PATH, json=EXAMPLE | {"stationId": "slow"}, headers=final.key)
        finally:
            final.market.worker.send(signal.SIGCONT)
        assert reply.status_code == 202, reply.text
        assert list(reply.json()) == ["command_id", "status", "location"]
        assert reply.headers["location"] == reply.json()["location"]

        async def closed() -> Any:
            got = await client.get(reply.headers["location"], headers=final.key)
            return got.status_code == 200 and got.json()["closeTime"] and got.json()

        record = await eventually(closed)
    assert {name: record[name] for name in EXAMPLE} == EXAMPLE | {"stationId": "slow"}


async def test_a_session_of_a_register_is_shown_too(final: FinalClient) -> None:
    words = {"store_id": "final", "currency": "USD", "actor": {"id": "ana", "name": "Ana"}}
    body = opening("a3", str(uuid4())) | words
    assert (await final.market.post(body)).status_code == 200

    record = (await final.ask("GET", f"/{body['session_id'].upper()}")).json()

    assert (record["openedBy"], record["openTime"], record["openingAmount"]) == ("Ana", body["occurred_at"], "10.00")


async def test_every_adapter_is_documented_with_an_example(market: Market) -> None:
    paths = (await market.client.get("/openapi.json")).json()["paths"]

    posts = [PATH, "/pos-session/create-session", "/api/v1/shifts/start", "/api/v1/shifts/cash-transaction"]
    for path in posts:
        operation = paths[path]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        assert set(content["schema"]["required"]) <= content["example"].keys()
        assert {"202", "401", "422", "503"} <= operation["responses"].keys()
        assert "Idempotency-Key" in [parameter["name"] for parameter in operation["parameters"]]
    assert paths[PATH]["post"]["requestBody"]["content"]["application/json"]["example"].keys() == EXAMPLE.keys()


@pytest.mark.parametrize(
    ("method", "path", "members"),
    [
        ("GET", PATH, ["statusCode", "message", "error"]),
        ("GET", "/v1/api/nowhere", ["statusCode", "message", "error"]),
        ("GET", "/pos-session/create-session", ["message", "statusCode"]),
        ("GET", "/pos-session/nowhere", ["message", "statusCode"]),
        ("GET", "/api/v1/shifts/start", ["message"]),
        ("GET", "/api/v1/shifts/nowhere", ["message"]),
        ("GET", "/api/nowhere", ["type", "title", "status", "detail"]),
        ("GET", "/pos-sessions", ["type", "title", "status", "detail"]),
    ],
)
async def test_a_path_that_is_none_is_an_error_of_its_api(
    market: Market, method: str, path: str, members: list[str]
) -> None:
    reply = await market.client.request(method, path)

    assert reply.status_code in {404, 405}
    assert list(reply.json()) == members
    assert (reply.status_code == 405) == ("allow" in reply.headers)
