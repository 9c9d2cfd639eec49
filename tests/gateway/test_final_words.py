"""The words of a closing in the Final API: what is only kept for it is held to its rules when it comes."""

import json
from typing import Any

import pytest

from tests.gateway.adapter_setup import accepted_kinds
from tests.gateway.final_client import EXAMPLE, OPEN, PATH, FinalClient, refusal, set_up
from tests.support.market import Market

CLOSE = {"closeTime": "2025-01-29T17:00:00Z", "closingAmounts": {"cash": "1.00"}}
LONE = "a\ud800"
UNSAID: list[tuple[str, str]] = [
    ("closingNote", "a\0"),
    ("closingNote", LONE),
    ("closingNote", "x" * 2_001),
    ("closingReportData", "a\0"),
    ("closingReportData", LONE),
    ("closingReportData", "x" * 32_768),
    ("closingAmount", f"1.{'0' * 32_768}"),
]
UNSAID_IDS = [f"{name} of {len(word)}, {word[:2]!a}" for name, word in UNSAID]


@pytest.fixture(scope="module")
async def final(market: Market) -> FinalClient:
    return await set_up(market)


async def ask(final: FinalClient, method: str, path: str, body: dict[str, Any]) -> tuple[int, str]:
    """What is said of a body that is written in ASCII, as a lone surrogate has to be."""
    reply = await final.market.client.request(
        method, f"{PATH}{path}", content=json.dumps(body).encode(), headers=final.key
    )
    return refusal(reply)


@pytest.mark.parametrize(("name", "word"), UNSAID, ids=UNSAID_IDS)
async def test_words_that_no_closing_can_say_are_refused_before_anything_is_done(
    final: FinalClient, name: str, word: str
) -> None:
    record = await final.open("a1")
    bodies: list[dict[str, Any]] = [{name: word}, {name: word} | CLOSE, {name: word} | CLOSE | {"closingAmounts": {}}]

    replies = [await ask(final, "PUT", f"/{record['id']}", body) for body in bodies]
    opened = await ask(final, "POST", "", OPEN | {"stationId": "a2", name: word})

    refused = "closingNote" if name == "closingNote" else "closingReportData"
    for status, sentence in (*replies, opened):
        assert (status, sentence.startswith(f"Validation failed: Field `{refused}`: ")) == (400, True), sentence
    assert await final.market.rows("SELECT 1 FROM sessions WHERE profile_id = 'a2'") == []
    closed = await final.put(record, **CLOSE)
    assert (closed["closingNote"], closed["closingReportData"]) == (None, None)
    assert await accepted_kinds(final.market, record["id"]) == ["open_session", "close_session"]


async def test_words_that_are_kept_one_by_one_fit_into_one_closing(final: FinalClient) -> None:
    record = await final.open("a3", closingAmount=f"1.{'0' * 20_000}")

    status, sentence = await ask(final, "PUT", f"/{record['id']}", {"closingReportData": "x" * 20_000})
    amended = await final.put(record, closingNote="x" * 2_000, closingReportData="x" * 12_000)
    closed = await final.put(record, **CLOSE)

    assert (status, sentence[:45]) == (400, "Validation failed: Field `closingReportData`:")
    assert amended["closeTime"] is None
    assert (len(closed["closingNote"]), len(closed["closingReportData"])) == (2_000, 12_000)


async def test_a_refusal_that_quotes_what_no_reply_can_hold_is_one_all_the_same(final: FinalClient) -> None:
    record = await final.open("a4")
    path = f"/{record['id']}"

    assert await ask(final, "POST", "", EXAMPLE | {"stationId": LONE}) == (404, "Station with Id a? not found")
    assert await ask(final, "PUT", path, {"stationId": LONE}) == (404, "Station with Id a? not found")
    for method, body in (("POST", EXAMPLE | {"stationId": "a5"}), ("PUT", CLOSE)):
        status, sentence = await ask(
            final, method, path if method == "PUT" else "", body | {"closingAmounts": {LONE: "1.00"}}
        )
        assert (status, "`closingAmounts.a?`" in sentence) == (400, True)
