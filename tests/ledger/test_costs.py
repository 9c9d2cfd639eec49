"""What a command costs the ledger doesn't grow with what others sent: rows are counted, no clock is asked."""

import json
import re
from uuid import uuid4

import pytest

from services.sessions.ledger.published import LOAD_POSITIONS
from tests.ledger.ledger import Ledger, profile
from tests.ledger.week import a_week
from tests.support.plans import plan_of
from tests.support.rows_read import rows_read
from tests.support.till import Body, order

MANY = 50_000
OTHER_BODIES = """
    INSERT INTO reused_answers (store_id, command_id, body_hash, received_at, answer)
    SELECT 's', '{command_id}', sha256(n::text::bytea), now(), '{{}}' FROM generate_series(1, {many}) AS n
"""


def other_body(body: Body) -> Body:
    """Another body under the same id."""
    return body | {"note": str(uuid4())}


async def read_by(ledger: Ledger, *bodies: Body) -> dict[str, int]:
    """The rows of each table that were read to apply these in one batch."""
    before = await rows_read(ledger.engine)
    await ledger.apply(*bodies)
    after = await rows_read(ledger.engine)
    return {table: after[table] - before[table] for table in after}


@pytest.mark.parametrize("again", [True, False], ids=["a body sent again", "a new body"])
async def test_bodies_that_others_sent_under_an_id_cost_those_who_use_it_nothing(ledger: Ledger, again: bool) -> None:
    opening = a_week()[0]
    known = other_body(opening)
    await ledger.apply(opening, known)
    body = known if again else other_body(opening)
    calm = await read_by(ledger, body)
    await ledger.sql(OTHER_BODIES.format(command_id=opening["command_id"], many=MANY))
    body = known if again else other_body(opening)
    assert await read_by(ledger, body) == calm
    assert calm["reused_answers"] == again


async def test_a_record_read_again_costs_no_more_for_what_others_sent_under_its_id(ledger: Ledger) -> None:
    opening = a_week()[0]
    records = [json.dumps(body).encode() for body in (opening, other_body(opening))]
    await ledger.apply(*records)
    await ledger.sql(OTHER_BODIES.format(command_id=opening["command_id"], many=MANY))
    before = await rows_read(ledger.engine)
    again = await ledger.run(ledger.batch(records, 0))
    after = await rows_read(ledger.engine)
    assert len(again.publications) == 2
    assert after["reused_answers"] - before["reused_answers"] == 1


async def test_each_of_two_bodies_in_one_batch_is_given_its_own_answer(ledger: Ledger) -> None:
    opening = a_week()[0]
    other = other_body(opening)
    first = [outcome.value for outcome in (await ledger.apply(opening, other)).outcomes]
    assert [outcome.value for outcome in (await ledger.apply(other, opening)).outcomes] == first[::-1]


async def test_refused_openings_with_numbers_cost_the_opening_that_names_their_session_nothing(ledger: Ledger) -> None:
    opening = a_week()[0]
    refused = opening | {"currency": "USD"}
    await ledger.apply(*(refused | {"command_id": str(uuid4()), "register_seq": number} for number in range(500)))
    assert (await read_by(ledger, opening | {"register_seq": 500}))["journal"] == 0
    seen = (await ledger.sql("SELECT convert_from(register, 'UTF8') AS seen FROM sessions"))[0].seen
    assert seen.startswith("[500,500,[]")


async def test_a_command_refused_for_what_is_missing_is_accepted_once_it_is_there(ledger: Ledger) -> None:
    opening, *rest = a_week()
    early = next(body for body in rest if body["kind"] == "move_cash")
    refused = (await ledger.apply(early)).outcomes[0]
    assert (refused.reason, refused.stored_in) == ("session_unknown", "position")
    await ledger.apply(opening)
    assert [outcome.kind for outcome in (await ledger.apply(early, early)).outcomes] == ["cash_moved"] * 2
    again = await ledger.run(ledger.batch([json.dumps(early).encode()], 0))
    assert [publication.value for publication in again.publications] == [refused.value]
    assert await ledger.sql("SELECT 1 FROM journal WHERE reason IS NOT NULL") == []


async def test_answers_kept_by_position_are_looked_up_one_by_one_also_where_there_were_none_yet(ledger: Ledger) -> None:
    # Prepared while the table is empty: the plan stays when it has filled.
    statement = re.sub(r"\$(\d)", r":p\1", LOAD_POSITIONS)
    plan = await plan_of(ledger.engine, statement, {"p1": ["s"], "p2": "a topic", "p3": [0], "p4": [1]})
    assert plan.kinds_of("place_answers") == {"Index Scan"}
    assert "Materialize" not in plan.kinds


async def test_an_order_is_written_into_its_session_without_touching_an_index(ledger: Ledger) -> None:
    opening, tills = a_week()[0], [f"till-{number}" for number in range(20)]
    await ledger.import_profiles(*(profile(profile_id=name) for name in tills))
    opened = [opening | {"profile_id": n, "session_id": str(uuid4()), "command_id": str(uuid4())} for n in tills]
    await ledger.apply(*opened)
    names = ("store_id", "profile_id", "session_id", "occurred_at", "actor")

    for number in range(3):
        orders = [
            {name: body[name] for name in names}
            | {"kind": "record_order", "command_id": str(uuid4())}
            | order(f"A-{number}", {"cash": 100})
            for body in opened
        ]
        await ledger.apply(*orders)

    await ledger.sql("SELECT pg_stat_force_next_flush()")
    [(written, without_index)] = await ledger.sql(
        "SELECT n_tup_upd, n_tup_hot_upd FROM pg_stat_user_tables WHERE relname = 'sessions'"
    )
    assert (written, without_index) == (3 * len(tills), 3 * len(tills))
