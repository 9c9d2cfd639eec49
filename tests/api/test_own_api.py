"""The own API from outside: answers as on the topic, statuses, keys, lists, walls."""

from uuid import uuid4

from tests.api.conftest import Market
from tests.faults.commands import opening


async def test_a_command_is_answered_as_on_the_topic(market: Market) -> None:
    body = opening("p1", str(uuid4()))

    first = await market.post(body)
    again = await market.post(body)

    assert first.status_code == 200, first.text
    assert first.json()["kind"] == "session_opened"
    assert again.content == first.content
    stored = await market.rows("SELECT answer FROM journal WHERE command_id = :id", id=body["command_id"])
    assert [row.answer for row in stored] == [first.content]
