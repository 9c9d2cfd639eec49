"""A till that is not there yet: what its form begins with, what is said before it counts, and who may set it up."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from babel import Locale

from services.console.till_settings import in_common, objections, settings_of
from tests.console.visitor import Visitor, filled
from tests.support.chromium import chromium, complaints, looks
from tests.support.market import Market

PATH = "/stores/s1/new-till"
US = Locale.parse("en_US")
EVIL = "<script>alert(1)</script>"


@pytest.fixture
async def adam(address: str) -> AsyncIterator[Visitor]:
    """The admin of s1, signed in."""
    async with Visitor(address) as visitor:
        await visitor.sign_in("adam", "what only adam knows")
        yield visitor


async def fill_in(adam: Visitor, **changed: str) -> None:
    """Fill in the form as it begins, and send it."""
    page = (await adam.get(PATH)).text
    await adam.send(PATH, **(filled(page) | changed))


async def settings(market: Market, profile_id: str) -> Any:
    headers = market.bearer("s1", role="admin", sub="root")
    return await market.client.get(f"/api/stores/s1/profiles/{profile_id}", headers=headers)


def test_the_form_begins_with_what_the_wire_takes_where_nothing_is_said_and_what_tills_have_in_common() -> None:
    first = {
        "currency": "EUR",
        "time_zone": "Europe/Madrid",
        "store_name": None,
        "over_short_limit_minor": 1,
        "blind": True,
    }
    begun = in_common([first, first | {"currency": "USD"}])
    assert (begun["currency"], begun["time_zone"], begun["store_name"]) == ("EUR", "Europe/Madrid", "")
    assert settings_of(begun | {"name": "Bar"}, US) == {
        "name": "Bar",
        "currency": "EUR",
        "time_zone": "Europe/Madrid",
        "enabled": True,
        "blind": False,
        "allow_negative_drawer": True,
    }
    assert list(objections(settings_of(in_common([]), US))) == ["name", "currency"]


async def test_an_admin_sets_up_a_till_once_it_was_shown_what_it_will_be(adam: Visitor, market: Market) -> None:
    page = await adam.get("/stores/s1/tills")
    assert f'href="{PATH}"' in page.text
    await fill_in(adam, profile_id="stall-1", name="Market stall", over_short_limit_minor="12.50", blind="yes")
    assert "Set up a till: is this right?" in adam.text
    assert "Till's id stall-1" in adam.text
    assert "Limit for over and short MX$12.50" in adam.text.replace("\N{NO-BREAK SPACE}", " ")
    assert "Counted blind yes" in adam.text
    assert "Means of payment cash alone" in adam.text
    assert (await settings(market, "stall-1")).status_code == 404

    await adam.send(PATH, step="back")
    assert filled(adam.page.text)["name"] == "Market stall"
    await adam.send(PATH, **filled(adam.page.text))
    fields = adam.hidden(PATH) | {"step": "do"}
    pages = await asyncio.gather(*(adam.post(PATH, fields) for _ in range(3)))
    there = "/stores/s1/tills/stall-1?note=new"
    assert [page.headers.get("location") for page in pages] == [there] * 3
    await adam.get(there)
    assert "Done: the till is set up. Registers can open sessions on it." in adam.text
    shown = (await settings(market, "stall-1")).json()
    assert (shown["version"], shown["actor"]["id"]) == (1, "adam")
    assert shown["profile"]["over_short_limit_minor"] == 1_250
    assert (shown["profile"]["blind"], shown["profile"]["time_zone"]) == (True, shown["profile"]["time_zone"])
    assert await market.open_session("stall-1")


async def test_a_till_that_is_there_is_never_set_by_the_form_for_a_new_one(adam: Visitor, market: Market) -> None:
    before = (await settings(market, "p1")).json()
    await fill_in(adam, profile_id="p1", name="Altered")
    assert adam.page.status_code == 422
    assert "There is a till of this id already" in adam.text
    key = adam.hidden(PATH) | {"profile_id": "p1", "name": "Altered", "currency": "MXN", "step": "do"}
    assert (await adam.post(PATH, key | {"change_id": "6a0f3f0e-5e0c-4f43-8d3e-7a52c2e1a001"})).status_code == 422
    assert (await settings(market, "p1")).json() == before


async def test_what_is_wrong_is_said_at_its_field_and_nothing_is_set_up(adam: Visitor, market: Market) -> None:
    for profile_id in ("", "a b", "x" * 65, EVIL):
        await fill_in(adam, profile_id=profile_id, name=EVIL, time_zone="Mars/Base")
        assert adam.page.status_code == 422
        assert '<p class="wrong" id="profile_id-wrong">' in adam.page.text
        assert '<p class="wrong" id="time_zone-wrong">' in adam.page.text
        assert EVIL not in adam.page.text
        assert filled(adam.page.text)["name"] == EVIL
    await fill_in(adam, profile_id="foreign", name="Bar")
    fields = adam.hidden(PATH) | {"step": "do"}
    assert (await adam.post(PATH, fields | {"form_key": "0" * 64})).status_code == 403
    assert (await settings(market, "foreign")).status_code == 404


# Twelve pages, each looked through by axe.
async def test_its_pages_have_no_barrier(adam: Visitor, address: str) -> None:
    async with chromium() as browser:
        context = await browser.new_context(reduced_motion="reduce", locale="es-MX")
        await context.add_cookies([{"name": "till", "value": adam.cookies["till"], "url": address}])
        page = await context.new_page()
        seen = {}
        for where in ("form", "confirm"):
            await page.goto(f"{address}{PATH}")
            if where == "confirm":
                await page.fill("#profile_id", "seen-1")
                await page.fill("#name", "Puesto del mercado")
                await page.click("button.main")
                await page.wait_for_selector("dl.sums")
            async for theme, width in looks(page):
                seen[where, theme, width] = await complaints(page)
        assert {where: what for where, what in seen.items() if what} == {}
        await context.close()


@pytest.mark.parametrize(("role", "is_led"), [("admin", True), ("manager", False)])
async def test_a_store_without_tills_says_what_a_till_is_and_leads_admins_to_the_first(
    visitor: Visitor, market: Market, role: str, is_led: bool
) -> None:
    await visitor.bring_token(market.token("s-new", role=role, sub=f"n-{role}"))
    page = await visitor.get("/stores/s-new")
    assert page.status_code == 200
    assert "This store has no tills yet" in page.text
    assert ('href="/stores/s-new/new-till"' in page.text) is is_led
    assert ("An admin of the store sets it up." in page.text) is not is_led
