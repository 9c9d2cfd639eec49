"""`verify` finds the first row that is not as it must be, and nothing where all is right."""

import json
from typing import Any

import pytest

from services.sessions.tools.verify import LedgerMismatch, Verified, rebuild, verify
from tests.ledger.ledger import Ledger, profile, silent
from tests.ledger.week import a_week
from tests.support.corner import BY_FORCE
from tests.support.till import CASH, RAPPI, Body, Till, amounts


async def test_a_ledger_that_is_right_is_found_right(ledger: Ledger) -> None:
    await ledger.apply(*a_week())
    seen = await verify(ledger.engine, progress=silent)
    assert seen == Verified(tills=1, sessions=3, commands=12, closings=2, corrections=1)
    assert await verify(ledger.engine, store="s", profile="p", progress=silent) == seen
    assert await verify(ledger.engine, store="another", progress=silent) == Verified()


SWAP = """
    CREATE FUNCTION swap(bytes bytea, old text, new text) RETURNS bytea LANGUAGE sql IMMUTABLE
    RETURN convert_to(replace(convert_from(bytes, 'UTF8'), old, new), 'UTF8')
"""
WRONG_LINK = "does not have the hash that links it"

DAMAGE = {
    "an amount in the journal": (
        """UPDATE journal SET command = swap(command, '"amount_minor":50,', '"amount_minor":60,') WHERE sequence = 2""",
        WRONG_LINK,
    ),
    "a journal row that is gone": ("DELETE FROM journal WHERE revision = 0 AND order_id = 'A'", "is missing"),
    "the last journal row that is gone": (
        "DELETE FROM journal WHERE session_id = (SELECT open_session_id FROM tills) AND sequence = 2",
        "its row ends at command 2, its journal at 1",
    ),
    "two orders that changed places": (
        """
        UPDATE journal j SET command = other.command FROM journal other
         WHERE j.session_id = other.session_id AND (j.order_id, other.order_id) = ('A', 'A')
           AND j.revision <> other.revision
        """,
        WRONG_LINK,
    ),
    "commands that changed their sequence": (
        "UPDATE journal SET sequence = 1000 + sequence WHERE sequence = 2",
        "command 2 is missing",
    ),
    "a link": ("UPDATE journal SET link = body_hash WHERE sequence = 2", WRONG_LINK),
    "a closing that is gone": (
        "DELETE FROM closings WHERE z_number = 2",
        "z 2 was the last closing, the closings end at z 1",
    ),
    "an amount in a closing": (
        """UPDATE closings SET body = swap(body, '"counted_minor":1490', '"counted_minor":1491') WHERE z_number = 1""",
        "does not have the hash that it states",
    ),
    "a closing's number": ("UPDATE closings SET z_number = 3 WHERE z_number = 2", "closing z 2 is missing"),
    "running totals": (
        "UPDATE sessions SET totals = swap(totals, '510', '511') WHERE ordinal = 1",
        "its running totals are not what its journal adds up to",
    ),
    "a session's state": (
        "UPDATE sessions SET state = 'voided' WHERE ordinal = 2",
        "its row says voided, its journal leads to closed",
    ),
    "what counts since a closing": (
        """UPDATE sessions SET ending = swap(ending, '"cash":1490', '"cash":1491') WHERE ordinal = 1""",
        "of its end is not what its journal leads to",
    ),
    "a session's words": (
        "UPDATE sessions SET opening = swap(opening, 'Parrot Cafe', 'Carrot Cafe') WHERE ordinal = 1",
        "other words than its till's settings then",
    ),
    "what an open session took from its settings": (
        "UPDATE sessions SET opening = swap(opening, 'PARROT', 'CARROT') WHERE ordinal = 3",
        "other words than its till's settings then",
    ),
    "a rate of an open session": (
        "UPDATE sessions SET tenders = swap(tenders, '17.105', '17.106') WHERE ordinal = 3",
        "other tenders than its till had then",
    ),
    "who opened an open session": (
        """UPDATE sessions SET opening = swap(opening, '"lucia"', '"mona"') WHERE ordinal = 3""",
        "another currency or actor than its opening",
    ),
    "a till that holds another session": (
        "UPDATE tills SET open_session_id = (SELECT session_id FROM sessions WHERE ordinal = 1)",
        "held by",
    ),
    "a till that holds nothing": ("UPDATE tills SET open_session_id = NULL", "held by None"),
    "a till's number": ("UPDATE tills SET z_number = 7", "z 7 was the last closing"),
    "a till's chain": ("UPDATE tills SET last_hash = sha256(last_hash)", "was the last closing"),
    "a correction that is gone": ("DELETE FROM corrections", "its correction is missing"),
    "a correction that is no JSON": ("UPDATE corrections SET body = '{'", "is no JSON object"),
    "a correction that is no object": ("UPDATE corrections SET body = '[]'", "is no JSON object"),
    "a correction without a member": (
        """UPDATE corrections SET body = swap(body, '"needs_review"', '"needs_Review"')""",
        "its correction 1 has another",
    ),
    "running totals that are no JSON": ("UPDATE sessions SET totals = '{' WHERE ordinal = 1", "its row can't be read"),
    "an opening without its members": ("UPDATE sessions SET opening = '[]' WHERE ordinal = 1", "its row can't be read"),
    "tenders that are none": ("UPDATE sessions SET tenders = '{}' WHERE ordinal = 1", "its row can't be read"),
    "an amount in a correction": (
        """UPDATE corrections SET body = swap(body, '"total_minor":10', '"total_minor":11')""",
        "its correction 1 has another deltas",
    ),
}


async def test_a_count_that_waits_for_a_decision_is_the_one_of_its_command(ledger: Ledger) -> None:
    """Nobody counted what it says, and an approval would have sealed it."""
    await ledger.import_profiles(profile(over_short_limit_minor=0))
    till = Till()
    till.session_id = till.new_id()
    await ledger.apply(
        till.body("open_session", currency="MXN", opening=amounts({"cash": 500})),
        till.body("close_session", counted=amounts({"cash": 499})),
    )
    await verify(ledger.engine, progress=silent)
    await ledger.sql(SWAP)
    await ledger.sql("""UPDATE sessions SET ending = swap(ending, '"cash":499', '"cash":498')""")
    with pytest.raises(LedgerMismatch, match="of its end is not what its journal leads to"):
        await verify(ledger.engine, progress=silent)


@pytest.mark.parametrize("damage", DAMAGE)
async def test_damage_is_found(ledger: Ledger, damage: str) -> None:
    await ledger.apply(*a_week())
    before = await verify(ledger.engine, progress=silent)
    assert before.sessions == 3
    statement, sentence = DAMAGE[damage]
    await ledger.sql(SWAP)
    await ledger.sql(BY_FORCE)
    await ledger.sql(statement)
    with pytest.raises(LedgerMismatch) as bad:
        await verify(ledger.engine, progress=silent)
    assert sentence in str(bad.value)


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        ("UPDATE closings SET body = '{' WHERE z_number = 1", "is no JSON object"),
        ("UPDATE closings SET body = '1' WHERE z_number = 1", "is no JSON object"),
        ("""UPDATE closings SET body = swap(body, '"limit_in_force_minor"', '"limit"')""", "is not what its journal"),
        ("""UPDATE closings SET body = swap(body, '"register_seq_gaps":[]', '"gaps":[]')""", "is not what its journal"),
        ("""UPDATE closings SET body = swap(body, '"register_seq_gaps":[]', '"register_seq_gaps":1')""", "is not what"),
        ("""UPDATE closings SET body = swap(body, '"sales_report"', '"report"')""", "is not what its journal"),
    ],
)
async def test_rebuild_finds_closings_that_can_not_even_be_read(ledger: Ledger, statement: str, sentence: str) -> None:
    await ledger.apply(*a_week())
    await ledger.sql(SWAP)
    await ledger.sql(BY_FORCE)
    await ledger.sql(statement)
    with pytest.raises(LedgerMismatch) as bad:
        await rebuild(ledger.engine, progress=silent)
    assert sentence in str(bad.value)


@pytest.mark.parametrize(
    ("altered", "sentence"),
    [
        ("tenders = swap(tenders, '\"Rappi\"', '\"Rapida\"')", "other tenders than its opening"),
        ("opening = swap(opening, 'false,[]]', 'true,[]]')", "that its tenders were its till's, its opening not"),
    ],
    ids=["a name", "whose they were"],
)
async def test_the_tenders_that_an_open_session_brought_are_those_of_its_opening(
    ledger: Ledger, altered: str, sentence: str
) -> None:
    till = Till()
    till.session_id = till.new_id()
    await ledger.apply(till.body("open_session", currency="MXN", opening=[], tenders=[CASH, RAPPI]))
    await verify(ledger.engine, progress=silent)
    await ledger.sql(SWAP)
    await ledger.sql(f"UPDATE sessions SET {altered}")  # noqa: S608 - constants
    with pytest.raises(LedgerMismatch, match=sentence):
        await verify(ledger.engine, progress=silent)


@pytest.mark.parametrize(
    ("brought", "altered"),
    [
        (None, """swap(answer, '"exchange_rate":"1"', '"exchange_rate":"2"')"""),
        (None, """swap(answer, '"tenders":[', '"tenders":[5,')"""),
        ([RAPPI, CASH], """swap(answer, '"name":"Rappi"', '"name":"Rapida"')"""),
        ([RAPPI, CASH], """swap(answer, '"tenders"', '"Tenders"')"""),
    ],
    ids=["a rate of the till's", "what is none", "a name of one that was brought", "all of them"],
)
async def test_the_tenders_of_an_opening_are_those_of_its_answer(
    ledger: Ledger, brought: list[Body] | None, altered: str
) -> None:
    till = Till()
    till.session_id = till.new_id()
    await ledger.apply(till.body("open_session", currency="MXN", opening=[], tenders=brought))
    await verify(ledger.engine, progress=silent)
    await ledger.sql(SWAP)
    await ledger.sql(BY_FORCE)
    await ledger.sql(f"UPDATE journal SET answer = {altered}")  # noqa: S608 - constants
    with pytest.raises(LedgerMismatch, match="its tenders are not those of its opening's answer"):
        await verify(ledger.engine, progress=silent)


async def test_a_till_without_tenders_has_cash_alone(ledger: Ledger) -> None:
    await ledger.import_profiles(profile(tenders="[]"))
    till = Till()
    till.session_id = till.new_id()
    await ledger.apply(till.body("open_session", currency="MXN", opening=amounts({"cash": 5})))
    await verify(ledger.engine, progress=silent)
    await ledger.sql(SWAP)
    await ledger.sql("""UPDATE sessions SET tenders = swap(tenders, '"type":"cash"', '"type":"voucher"')""")
    with pytest.raises(LedgerMismatch, match="other tenders than its till had then"):
        await verify(ledger.engine, progress=silent)


async def test_only_the_part_that_is_asked_for_is_looked_at(ledger: Ledger) -> None:
    await ledger.import_profiles(profile("s2", "p2"))
    await ledger.apply(*a_week())
    await ledger.apply(*(body | {"store_id": "s2", "profile_id": "p2"} for body in a_week()))
    await ledger.sql("UPDATE tills SET z_number = 7 WHERE store_id = 's2'")
    assert (await verify(ledger.engine, store="s", progress=silent)).sessions == 3
    with pytest.raises(LedgerMismatch, match="till s2/p2"):
        await verify(ledger.engine, progress=silent)


async def test_register_numbers_of_refused_commands_are_seen_in_the_order_in_which_they_came(ledger: Ledger) -> None:
    """More gaps than are listed, that were filled before they were too many."""
    till = Till()
    till.session_id = till.new_id()
    records = [till.body("open_session", currency="MXN", opening=[], register_seq=1)]
    for number in range(2, 303):
        if number % 2 == 0 or number <= 201:
            refused = {"movement": "pay_in", "amount_minor": 0 if number % 2 == 0 else 1, "category": "x"}
            records.append(till.body("move_cash", register_seq=number, **refused))
    records.append(till.body("close_session", counted=amounts({"cash": 0})))
    applied = await ledger.apply(*records)
    closing = next(outcome.closing for outcome in applied.outcomes if outcome.closing is not None)
    assert len(closing["register_seq_gaps"]) == 50
    assert json.dumps(closing["register_seq_gaps"][0]) == "[203, 203]"
    await verify(ledger.engine, progress=silent)


def a_drawer_that_stays() -> list[Body]:
    """Four sessions: one counted with less left, one that is voided later, one counted again, and one that is open.

    The first is corrected after it was carried from, and carried from once more as it is then.
    """
    till = Till()
    first, voided, third, fourth = (till.new_id() for _ in range(4))
    records = []

    def say(session_id: str, kind: str, **members: Any) -> None:
        till.session_id = session_id
        records.append(till.body(kind, **members))

    say(first, "open_session", currency="MXN", opening=amounts({"cash": 1_000}))
    say(first, "close_session", counted=amounts({"cash": 1_000, "usd": 70}), left=amounts({"cash": 345, "usd": 7}))
    say(voided, "open_session", currency="MXN", opening=amounts({"cash": 345}))
    say(first, "recount", counted=amounts({"cash": 987}), left=amounts({"cash": 321}), reason="again")
    say(voided, "void_session", reason="training")
    say(third, "open_session", currency="MXN", opening=amounts({"cash": 321}))
    say(third, "force_close", reason="left")
    say(fourth, "open_session", currency="MXN", opening=[])
    say(third, "recount", counted=amounts({"cash": 5}), reason="counted")
    return records


async def test_what_was_carried_is_proved_as_it_was_then(ledger: Ledger) -> None:
    await ledger.apply(*a_drawer_that_stays())
    seen = await verify(ledger.engine, progress=silent)
    assert (seen.sessions, seen.closings, seen.corrections) == (4, 2, 2)
    opened = [row.opening for row in await ledger.sql("SELECT opening FROM sessions ORDER BY ordinal")]
    carried = [json.loads(opening)[14:16] for opening in opened]
    assert [(row and row[1], sequence) for row, sequence in carried] == [
        (None, None),
        ({"cash": 345, "usd": 7}, 2),
        ({"cash": 321, "usd": 7}, 3),
        ({"cash": 321, "usd": 0, "jpy": 0}, 2),
    ]


FORGED = {
    "an amount": ("""swap(opening, '{"cash":321', '{"cash":322')""", 4, "is not what"),
    "an amount that was right before": ("""swap(opening, '{"cash":345', '{"cash":321')""", 2, "is not what"),
    "a tender": ("""swap(opening, '"usd":7', '"jpy":7')""", 2, "is not what"),
    "a tender that is gone": ("""swap(opening, ',"usd":7', '')""", 2, "is not what"),
    "the command": (
        r"convert_to(regexp_replace(convert_from(opening, 'UTF8'), '2(,\w+,\[\]\])$', '1\1'), 'UTF8')",
        4,
        "is not what",
    ),
    "a command that is not there": (
        r"convert_to(regexp_replace(convert_from(opening, 'UTF8'), '2(,\w+,\[\]\])$', '9\1'), 'UTF8')",
        4,
        "which is not there",
    ),
    "the session, by one before": (
        """
        swap(opening, (SELECT session_id::text FROM sessions WHERE ordinal = 3),
             (SELECT session_id::text FROM sessions WHERE ordinal = 1))
        """,
        4,
        "was opened since and is not voided",
    ),
}


@pytest.mark.parametrize("forged", FORGED)
async def test_what_was_not_left_is_not_carried(ledger: Ledger, forged: str) -> None:
    """Of sessions without a closing, which has no hash that would tell it."""
    await ledger.apply(*a_drawer_that_stays())
    change, ordinal, sentence = FORGED[forged]
    await ledger.sql(SWAP)
    await ledger.sql(BY_FORCE)
    await ledger.sql(f"UPDATE sessions SET opening = {change} WHERE ordinal = {ordinal}")  # noqa: S608 - constants
    for proof in (verify, rebuild):
        with pytest.raises(LedgerMismatch, match="carried") as bad:
            await proof(ledger.engine, progress=silent)
        assert sentence in str(bad.value)


async def test_openings_that_do_not_say_the_command_are_not_proved(ledger: Ledger) -> None:
    await ledger.apply(*a_drawer_that_stays())
    await ledger.sql(BY_FORCE)
    await ledger.sql(r"""
        UPDATE sessions
           SET opening = convert_to(regexp_replace(convert_from(opening, 'UTF8'), ',[0-9]*,\w+,\[\]\]$', ']'), 'UTF8')
         WHERE ordinal > 1
    """)
    assert (await verify(ledger.engine, progress=silent)).sessions == 4


async def test_the_first_session_of_a_till_is_carried_from_none(ledger: Ledger) -> None:
    await ledger.apply(a_drawer_that_stays()[0])
    await ledger.sql(SWAP)
    await ledger.sql(BY_FORCE)
    await ledger.sql(
        """UPDATE sessions SET opening = swap(opening, 'null,null,true,', '["' || session_id || '",{},[]],1,true,')"""
    )
    with pytest.raises(LedgerMismatch, match=r"carried from .*, which was not opened at this till before it"):
        await verify(ledger.engine, progress=silent)
