"""The language can be changed where that leads somewhere, and loses nothing."""

from collections.abc import AsyncIterator

import pytest

from tests.console.visitor import Visitor
from tests.support.market import Market


@pytest.fixture
async def adam(address: str) -> AsyncIterator[Visitor]:
    async with Visitor(address) as visitor:
        await visitor.sign_in("adam", "what only adam knows")
        yield visitor


def offers(visitor: Visitor) -> bool:
    """Whether the page has the form of the language."""
    return 'action="/language"' in visitor.page.text


async def test_what_is_shown_this_once_has_no_form_that_leads_away_from_it(adam: Visitor) -> None:
    await adam.get("/stores/s1/people")
    assert offers(adam)
    page = await adam.send("/stores/s1/people/keys", company_id="acme", role="register")
    assert page.status_code == 201
    assert not offers(adam)


async def test_what_is_filled_in_is_not_lost_by_it(mona: Visitor, market: Market) -> None:
    moving = f"/stores/s1/sessions/{await market.open_session('p1')}/move-cash"
    await mona.get(moving)
    assert offers(mona)
    await mona.send(moving, movement="pay_in", amount="x", category="ice")
    assert "can't be read" in mona.text
    assert not offers(mona)
    await mona.send(moving, movement="pay_in", amount="1", category="ice")
    assert "is this right?" in mona.text
    assert not offers(mona)


async def test_after_a_form_that_was_refused_it_leads_back_to_a_page(adam: Visitor, mona: Visitor) -> None:
    await adam.get("/stores/s1/people")
    page = await adam.send("/stores/s1/people/users", user="key:x", role="register", password="x")
    assert page.status_code >= 400
    page = await adam.send("/language", code="en")
    assert (page.status_code, page.url.path) == (200, "/stores/s1/people")
    for path in ("/sign-out", "/language", "/stores/s1/nothing"):
        assert (await mona.post(path, {"form_key": "another"})).status_code >= 400
        page = await mona.send("/language", code="en")
        assert page.status_code == 200
