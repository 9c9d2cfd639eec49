"""What an X report says beside its figures."""

from uuid import uuid4

import orjson

from tests.support.commands import closing, opening
from tests.support.market import Market


async def test_an_x_report_says_what_was_carried_as_the_closing_will(market: Market) -> None:
    evening, morning = str(uuid4()), str(uuid4())
    await market.post(opening("p1", evening))
    await market.post(closing("p1", evening, 1_000) | {"left": [{"tender": "cash", "amount_minor": 300}]})
    await market.post(opening("p1", morning, 280))

    report = (await market.get(f"/api/sessions/{morning}/x-report")).json()
    await market.post(closing("p1", morning, 280))
    after = (await market.get(f"/api/sessions/{morning}/x-report")).json()
    z = orjson.loads((await market.rows("SELECT body FROM closings WHERE session_id = :id", id=morning))[0].body)

    assert (report["carried_from"], report["not_carried"]) == (evening, [])
    cash = report["tenders"][0]
    assert (cash["carried_minor"], cash["opening_difference_minor"], cash["left_minor"]) == (300, -20, None)
    assert {name: after[name] for name in ("carried_from", "not_carried", "tenders", "cash_movements")} == {
        name: z[name] for name in ("carried_from", "not_carried", "tenders", "cash_movements")
    }
