"""Tenders that a running session gets are stored with it, and proved by what its commands and answers say."""

import json
from typing import Any

import pytest

from services.sessions.tools.verify import LedgerMismatch, rebuild, verify
from tests.ledger.ledger import Ledger, profile, silent
from tests.support.corner import BY_FORCE
from tests.support.recount_float import stories
from tests.support.till import CARD, CASH, DOLLARS, RAPPI, YEN, Body, Till, amounts, order, row

SWAP = """
    CREATE FUNCTION swap(bytes bytea, old text, new text) RETURNS bytea LANGUAGE sql IMMUTABLE
    RETURN convert_to(replace(convert_from(bytes, 'UTF8'), old, new), 'UTF8')
"""


def answers_of(applied: Any) -> list[Body]:
    return [json.loads(p.value) for p in applied.publications if p.topic == "till.events.v1"]


async def a_grown_session(ledger: Ledger, *, at_once: bool) -> list[tuple[Body, Body]]:
    """A session that gets dollars from its till, Rappi by an amendment and yen by a count; its bodies with answers."""
    till = Till()
    till.session_id = till.new_id()
    opened = [till.body("open_session", currency="MXN", opening=amounts({"cash": 500}))]
    commands = [
        till.body("move_cash", movement="pay_in", amount_minor=700, tender="usd", category="change"),
        till.body("amend_session", add_tenders=[RAPPI]),
        till.body("record_order", **order("A", {"rappi": 90, "usd": 10})),
        till.body("close_session", counted=amounts({"cash": 500, "jpy": 3, "usd": 700})),
    ]
    await ledger.import_profiles(profile(tenders=json.dumps([CASH, CARD])))
    answers = answers_of(await ledger.apply(*opened))
    await ledger.import_profiles(profile(tenders=json.dumps([CASH, CARD, DOLLARS, YEN])))
    for batch in [commands] if at_once else [[body] for body in commands]:
        answers += answers_of(await ledger.apply(*batch))
    return list(zip([*opened, *commands], answers, strict=True))


@pytest.mark.parametrize("at_once", [True, False], ids=["all at once", "one by one"])
async def test_added_tenders_are_kept_from_batch_to_batch(ledger: Ledger, *, at_once: bool) -> None:
    log = await a_grown_session(ledger, at_once=at_once)
    assert [answer.get("tenders_added") for _, answer in log] == [None, [DOLLARS], [RAPPI], None, [YEN]]
    (closing,) = [json.loads(body) for (body,) in await ledger.sql("SELECT body FROM closings")]
    (story,) = stories(log).values()
    assert [one["tender"] for one in closing["tenders"]] == sorted(tender["id"] for tender in story.tenders)
    assert (row(closing, "usd")["expected_minor"], row(closing, "usd")["over_short_minor"]) == (710, -10)
    await verify(ledger.engine, progress=silent)
    await rebuild(ledger.engine, progress=silent)


async def test_what_came_in_the_batch_of_the_opening_is_kept_too(ledger: Ledger) -> None:
    till = Till()
    till.session_id = till.new_id()
    euros = {**CARD, "id": "eur", "currency": "EUR", "exchange_rate": "20"}
    await ledger.apply(
        till.body("open_session", currency="MXN", opening=[]),
        till.body("amend_session", add_tenders=[euros]),
    )
    (answer,) = answers_of(await ledger.apply(till.body("record_order", **order("A", {"eur": 9}))))
    assert answer["kind"] == "order_recorded"
    await verify(ledger.engine, progress=silent)


DAMAGE = {
    "a rate in the row": (
        """UPDATE sessions SET opening = swap(opening, '"17.105"', '"17.106"')""",
        "other added tenders than its answer",
    ),
    "a rate in the answer": (
        """UPDATE journal SET answer = swap(answer, '"17.105"', '"17.106"') WHERE kind = 'cash_moved'""",
        "other added tenders than its answer",
    ),
    "a rate in the row and in the answer": (
        """
        WITH answered AS (
            UPDATE journal SET answer = swap(answer, '"17.105"', '"17.106"') WHERE kind = 'cash_moved')
        UPDATE sessions SET opening = swap(opening, '"17.105"', '"17.106"')
        """,
        "its till did not have so then",
    ),
    "a tender that the row lost": (
        """UPDATE sessions SET opening = swap(opening, '"id":"usd"', '"id":"cad"')""",
        "lacks tenders that it brought in",
    ),
    "a tender that an amendment did not bring": (
        """UPDATE sessions SET opening = swap(opening, '"name":"Rappi"', '"name":"Rapida"')""",
        "lacks tenders that it brought in",
    ),
    "a tender more in the row": (
        """UPDATE sessions SET opening = swap(opening, ',{"id":"jpy"', ',{"id":"eur","name":"e","type":"cash",'
        '"currency":"EUR","exchange_rate":"20"},{"id":"jpy"')""",
        "lacks tenders that it brought in",
    ),
}


@pytest.mark.parametrize("damage", DAMAGE)
async def test_verify_finds_what_was_altered(ledger: Ledger, damage: str) -> None:
    await a_grown_session(ledger, at_once=True)
    statement, problem = DAMAGE[damage]
    await verify(ledger.engine, progress=silent)
    await ledger.sql(SWAP)
    for part in (BY_FORCE, statement):
        await ledger.sql(part)
    with pytest.raises(LedgerMismatch, match=problem):
        await verify(ledger.engine, progress=silent)


async def test_a_session_of_the_version_before_gets_none_from_its_till(ledger: Ledger) -> None:
    """Its row does not say where its tenders came from; an amendment still adds some."""
    till = Till()
    till.session_id = till.new_id()
    await ledger.import_profiles(profile(tenders=json.dumps([CASH, CARD])))
    await ledger.apply(till.body("open_session", currency="MXN", opening=[]))
    await ledger.sql(SWAP)
    await ledger.sql("UPDATE sessions SET opening = swap(opening, ',null,null,true,[]]', ',null,null]')")
    await ledger.import_profiles(profile(tenders=json.dumps([CASH, CARD, DOLLARS])))
    applied = await ledger.apply(
        till.body("count_drawer", counted=amounts({"usd": 5})),
        till.body("amend_session", add_tenders=[DOLLARS]),
        till.body("count_drawer", counted=amounts({"usd": 5})),
    )
    assert [answer.get("reason", answer["kind"]) for answer in answers_of(applied)] == [
        "tender_unknown",
        "session_amended",
        "drawer_counted",
    ]
    await verify(ledger.engine, progress=silent)
