"""Tills and what they are set by: who sees it, what a change says before it counts, what is refused, the history."""

import re
from html import unescape
from typing import Any, get_args

import pytest
from babel import Locale

from contracts.profiles import ProfileSettings
from contracts.values import TenderType
from services.console.formats import Formats
from services.console.till_settings import SENTENCES, changes, filled_of, in_full, objections, settings_of
from services.console.words import SETTINGS, TENDER_TYPES
from tests.console.visitor import Visitor, filled
from tests.support.chromium import chromium, complaints, looks
from tests.support.market import Market

PATH = "/stores/s1/tills"
US, SPAIN = Locale.parse("en_US"), Locale.parse("es_ES")
EVIL = "<script>alert(1)</script>"
BAR: dict[str, Any] = {
    "name": "Bar",
    "currency": "MXN",
    "over_short_limit_minor": 500,
    "time_zone": "America/Mexico_City",
    "tenders": [
        {"id": "cash", "name": "Efectivo", "type": "cash", "currency": "MXN", "exchange_rate": "1"},
        {"id": "usd", "name": "Dollars", "type": "cash", "currency": "USD", "exchange_rate": "17.5"},
    ],
}


async def put(market: Market, profile: str, sub: str = "mel", **changed: Any) -> None:
    headers = market.bearer("s1", role="manager", sub=sub)
    path = f"/api/stores/s1/profiles/{profile}"
    reply = await market.client.put(path, json=BAR | changed, headers=headers)
    assert reply.status_code == 200, reply.text


async def in_force(market: Market, profile: str) -> dict[str, Any]:
    headers = market.bearer("s1", role="manager", sub="mona")
    shown: dict[str, Any] = (await market.client.get(f"/api/stores/s1/profiles/{profile}", headers=headers)).json()
    return shown


async def ask_for(visitor: Visitor, profile: str, **changed: str) -> None:
    """Fill in the form of a till, and send it."""
    path = f"{PATH}/{profile}"
    page = (await visitor.get(path)).text
    fields = {name: text for name, text in (filled(page) | changed).items() if text != "off"}
    await visitor.send(path, **fields)


def plain(text: str) -> str:
    return text.replace("\N{NO-BREAK SPACE}", " ")


def test_every_setting_and_every_kind_of_payment_has_its_words() -> None:
    assert set(SETTINGS) == set(ProfileSettings.model_fields)
    assert set(TENDER_TYPES) == set(get_args(TenderType))
    # Those left out can only be yes or no.
    assert set(SETTINGS) - set(SENTENCES) == {"enabled", "blind"}


@pytest.mark.parametrize("limit", [None, 0, 1, 500, 2**53 - 1])
@pytest.mark.parametrize("currency", ["MXN", "JPY", "KWD"])
@pytest.mark.parametrize("locale", [US, SPAIN], ids=str)
def test_what_a_form_shows_is_what_it_says(limit: int | None, currency: str, locale: Locale) -> None:
    settings: dict[str, Any] = BAR | {"over_short_limit_minor": limit, "currency": currency, "late_window_s": 90}
    rates = ["17.5", "17.50", "4000", "0.000000001"]
    dear = [{**BAR["tenders"][1], "id": f"usd-{rate}", "exchange_rate": rate} for rate in rates]
    settings["tenders"] = [{**BAR["tenders"][0], "currency": currency}, *dear]
    before = in_full("s1", settings)
    assert objections(settings_of(filled_of(before, Formats(locale)), locale)) == {}
    assert in_full("s1", settings_of(filled_of(before, Formats(locale)), locale)) == before


@pytest.mark.parametrize(
    ("changed", "at"),
    [
        ({"name": ""}, "name"),
        ({"currency": "XXX"}, "currency"),
        ({"over_short_limit_minor": "1.005"}, "over_short_limit_minor"),
        ({"over_short_limit_minor": "-1"}, "over_short_limit_minor"),
        ({"over_short_limit_minor": "9" * 16}, "over_short_limit_minor"),
        ({"currency": "JPY", "over_short_limit_minor": "0.5"}, "over_short_limit_minor"),
        ({"idle_close_after_s": "0"}, "idle_close_after_s"),
        ({"late_window_s": "999999999"}, "late_window_s"),
        ({"late_window_s": "1", "late_window_s_unit": "years"}, "late_window_s"),
        ({"business_day_starts_at": "25:00"}, "business_day_starts_at"),
        ({"time_zone": "Mars/Base"}, "time_zone"),
        ({"company_id": "a b"}, "company_id"),
        ({"blind": "yes", "allow_negative_drawer": ""}, "allow_negative_drawer"),
        ({"tender_0_exchange_rate": "2"}, "tenders"),
        ({"tender_1_id": "cash"}, "tenders"),
        ({"tender_1_exchange_rate": "much"}, "tender_1_exchange_rate"),
        ({"tender_1_exchange_rate": "17,5"}, "tender_1_exchange_rate"),
        ({"tender_1_name": ""}, "tender_1_name"),
        ({"tender_1_type": "gold"}, "tender_1_type"),
    ],
)
def test_what_is_wrong_is_said_at_its_field(changed: dict[str, str], at: str) -> None:
    assert list(objections(settings_of(filled_of(in_full("s1", BAR), Formats(US)) | changed, US))) == [at]


@pytest.mark.parametrize(
    ("locale", "typed", "rate", "shown"),
    [
        (US, "4.000", "4.000", "4.000"),
        (US, "4,000", "4000", "4000"),
        (SPAIN, "4.000", "4000", "4000"),
        (SPAIN, "4,000", "4.000", "4,000"),
        (SPAIN, "17,5", "17.5", "17,5"),
    ],
)
def test_a_rate_is_read_and_written_as_its_reader_writes_it(locale: Locale, typed: str, rate: str, shown: str) -> None:
    before, formats = in_full("s1", BAR), Formats(locale)
    settings = settings_of(filled_of(before, formats) | {"tender_1_exchange_rate": typed}, locale)
    assert settings["tenders"][1]["exchange_rate"] == rate
    after = in_full("s1", settings | {"name": "Bar"})
    assert filled_of(after, formats)["tender_1_exchange_rate"] == shown
    after_them = [change.after for change in changes(before, after, str, formats)]
    assert after_them == ([] if rate == "17.5" else [f"Dollars (cash, USD, {shown})"])


@pytest.mark.parametrize(("locale", "text", "minor"), [(US, "1,250", 1_250_000), (SPAIN, "1,250", 1_250)], ids=str)
def test_a_limit_is_read_as_its_reader_writes_it(locale: Locale, text: str, minor: int) -> None:
    filled_in = {"name": "Bar", "currency": "KWD", "over_short_limit_minor": text}
    assert settings_of(filled_in, locale)["over_short_limit_minor"] == minor


async def test_a_rate_of_thousands_is_confirmed_as_such(market: Market, address: str) -> None:
    await put(market, "rates")
    for language, typed, rate in (("es-ES", "4.000", "4000"), ("en-US", "4.000", "4.000")):
        async with Visitor(address, **{"accept-language": language}) as mona:
            await mona.sign_in("mona", "what only mona knows")
            await ask_for(mona, "rates", tender_1_exchange_rate=typed)
            assert f"USD, {rate})" in mona.text
            await mona.send(f"{PATH}/rates", step="do")
        assert (await in_force(market, "rates"))["profile"]["tenders"][1]["exchange_rate"] == rate


async def test_a_manager_sets_a_limit_once_it_was_shown_what_changes(mona: Visitor, market: Market) -> None:
    await put(market, "bar")
    page = await mona.get(PATH)
    assert f'href="{PATH}/bar"' in page.text
    await ask_for(mona, "bar", over_short_limit_minor="12.50", blind="yes")

    assert "This will change" in mona.text
    assert "Limit for over and short before: MX$5.00 → now: MX$12.50" in plain(mona.text)
    assert "Counted blind before: no → now: yes" in mona.text
    assert (await in_force(market, "bar"))["version"] == 1

    confirmed = mona.hidden(f"{PATH}/bar") | {"step": "do"}
    await mona.send(f"{PATH}/bar", step="do")
    assert "Done: the till goes by these settings now." in mona.text
    shown = await in_force(market, "bar")
    assert (shown["version"], shown["actor"]["id"]) == (2, "mona")
    assert shown["profile"] == in_full("s1", BAR | {"over_short_limit_minor": 1_250, "blind": True})
    assert "mona" in mona.text
    assert "version 2 Limit for over and short before: MX$5.00 → now: MX$12.50" in plain(mona.text)

    # The same form once more, as after a press too many, sets nothing anew.
    await mona.post(f"{PATH}/bar", confirmed)
    assert "Nothing would change" in mona.text
    assert (await in_force(market, "bar"))["version"] == 2


async def test_a_form_that_is_sent_as_it_is_changes_nothing_and_one_that_is_taken_back_neither(
    mona: Visitor, market: Market
) -> None:
    await put(market, "same")
    await ask_for(mona, "same")
    assert "Nothing would change" in mona.text
    await ask_for(
        mona, "same", name="Other", tender_1_name="", tender_1_id="", tender_1_currency="", tender_1_exchange_rate=""
    )
    assert "Means of payment: usd before: Dollars (cash, USD, 17.5) → now: \N{EN DASH}" in mona.text
    await mona.send(f"{PATH}/same", step="back")
    assert filled(mona.page.text)["name"] == "Other"
    assert (await in_force(market, "same"))["version"] == 1


async def test_a_till_that_somebody_else_has_set_since_is_looked_at_again(mona: Visitor, market: Market) -> None:
    await put(market, "raced")
    await ask_for(mona, "raced", name="Mine")
    await put(market, "raced", over_short_limit_minor=900)
    await mona.send(f"{PATH}/raced", step="do")
    assert "Somebody else has set this till since you looked." in mona.text
    assert "before: MX$9.00 → now: MX$5.00" in plain(mona.text)
    assert (await in_force(market, "raced"))["version"] == 2


async def test_what_the_wire_refuses_is_said_at_its_field_and_nothing_is_set(mona: Visitor, market: Market) -> None:
    await put(market, "wrong")
    await ask_for(mona, "wrong", time_zone="Mars/Base", name=EVIL)
    assert mona.page.status_code == 422
    assert "The till can't be set like this" in mona.text
    assert '<p class="wrong" id="time_zone-wrong">' in mona.page.text
    assert "There is no such time zone" in mona.text
    assert EVIL not in mona.page.text
    assert filled(mona.page.text)["name"] == EVIL
    assert (await in_force(market, "wrong"))["version"] == 1


async def test_names_that_hold_tags_are_text_in_forms_and_histories(mona: Visitor, market: Market) -> None:
    await put(market, "evil", sub=EVIL, name=EVIL)
    await put(market, "evil", sub=EVIL, name=f"{EVIL}!", store_name=EVIL)
    for path in (PATH, f"{PATH}/evil"):
        page = await mona.get(path)
        assert EVIL in mona.text
        assert "<script>alert" not in page.text


async def test_a_long_history_goes_on_where_a_page_of_it_ends(mona: Visitor, market: Market) -> None:
    for limit in range(32):
        await put(market, "long", over_short_limit_minor=limit)
    page = await mona.get(f"{PATH}/long")
    assert "version 3 " in mona.text
    assert "version 2 " not in mona.text
    assert page.text.count('<dl class="changes">') == 30
    (cursor,) = re.findall(r'href="([^"]*cursor=[^"]*)#history"', page.text)
    await mona.get(unescape(cursor))
    assert "version 2 " in mona.text
    assert "The till was set up." in mona.text


async def test_a_form_of_another_page_or_sign_in_sets_nothing(mona: Visitor, market: Market) -> None:
    await put(market, "foreign")
    await ask_for(mona, "foreign", name="Altered")
    fields = mona.hidden(f"{PATH}/foreign") | {"step": "do"}
    assert (await mona.post(f"{PATH}/foreign", fields | {"form_key": "0" * 64})).status_code == 403
    assert (await mona.post(f"{PATH}/foreign", fields, sec_fetch_site="cross-site")).status_code == 403
    assert (await in_force(market, "foreign"))["version"] == 1


@pytest.mark.parametrize("role", ["register", "cashier", "reader", "manager", "admin"])
async def test_settings_are_shown_and_changed_as_the_gateway_allows(
    visitor: Visitor, market: Market, role: str
) -> None:
    await put(market, "walls")
    version = (await in_force(market, "walls"))["version"]
    may = role in {"manager", "admin"}
    await visitor.bring_token(market.token("s1", role=role, sub=f"t-{role}"))
    page = await visitor.get(PATH)
    assert (page.status_code, f'href="{PATH}/walls"' in page.text) == (200, may)
    assert (f'<a href="{PATH}"' in page.text) is may
    page = await visitor.get(f"{PATH}/walls")
    assert page.status_code == (200 if may else 403)
    assert ("Dollars" in page.text) is may
    if not may:
        fields = {"form_key": visitor.hidden("/sign-out")["form_key"], "name": "Altered", "currency": "MXN"}
        assert (await visitor.post(f"{PATH}/walls", fields)).status_code == 403
    for path in ("/stores/s2/tills", "/stores/s2/tills/p1"):
        assert (await visitor.get(path)).status_code == 403
    for path in (f"{PATH}/nothing", f"{PATH}/a%20b"):
        assert (await visitor.get(path)).status_code == (404 if may or "%" in path else 403)
    assert (await in_force(market, "walls"))["version"] == version


# Eighteen pages, each looked through by axe.
async def test_the_pages_of_tills_have_no_barrier_and_work_without_scripts(
    mona: Visitor, market: Market, address: str
) -> None:
    await put(market, "seen")
    await put(market, "seen", over_short_limit_minor=5_000, name="Bar at the entrance")
    cookie = {"name": "till", "value": mona.cookies["till"], "url": address}
    async with chromium() as browser:
        context = await browser.new_context(reduced_motion="reduce", locale="es-MX")
        await context.add_cookies([cookie])  # type: ignore[list-item]
        page = await context.new_page()
        seen = {}
        for where in (PATH, f"{PATH}/seen", "wrong"):
            async for theme, width in looks(page):
                await page.goto(f"{address}{f'{PATH}/seen' if where == 'wrong' else where}")
                if where == "wrong":
                    await page.fill("#time_zone", "Mars/Base")
                    await page.click("button.main")
                    await page.wait_for_selector(".wrong")
                seen[where, theme, width] = await complaints(page)
        assert {where: what for where, what in seen.items() if what} == {}
        await context.close()

        context = await browser.new_context(java_script_enabled=False)
        await context.add_cookies([cookie])  # type: ignore[list-item]
        page = await context.new_page()
        await page.goto(f"{address}{PATH}/seen")
        await page.fill("#over_short_limit_minor", "75")
        await page.click("text=See what would change")
        await page.click("text=Change the till")
        await page.get_by_text("Done: the till goes by these settings now.").wait_for()
        assert (await in_force(market, "seen"))["profile"]["over_short_limit_minor"] == 7_500
        await context.close()
