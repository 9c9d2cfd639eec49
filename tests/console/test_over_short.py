"""Over and short: sums by currency, the worst first, no day of a trend left out; each leads to its closings."""

import re
from datetime import date
from html import unescape
from typing import Any
from uuid import uuid4

import pytest
from playwright.async_api import Browser

from services.console.over_short import DAYS_MAX, Asked, read_asked, sections
from tests.console.visitor import Visitor
from tests.support.chromium import chromium, complaints, looks
from tests.support.commands import closing, command, opening
from tests.support.market import Market
from tests.support.waiting import eventually

TODAY = date(2026, 11, 27)
PAGE = "/stores/s1/over-short"
NOVEMBER = "from=2026-11-01&to=2026-11-30"


def item(by: str, key: str, short_minor: int, over_minor: int = 0, currency: str = "MXN") -> dict[str, Any]:
    net = {"net_minor": over_minor + short_minor}
    counts = {"closings": 2, "off": int(bool(over_minor or short_minor))}
    return {by: key, "currency": currency, "over_minor": over_minor, "short_minor": short_minor, **counts, **net}


def asked(by: str = "person", **fields: str) -> Asked:
    return read_asked({"by": by, "from": "2026-11-02", "to": "2026-11-10"} | fields, TODAY)


def test_the_last_thirty_days_are_added_up_where_none_are_named() -> None:
    assert (asked_for := read_asked({}, TODAY)).wrong == {}
    assert (asked_for.by, asked_for.first, asked_for.last) == ("person", date(2026, 10, 29), TODAY)
    assert read_asked({"to": "2026-11-10"}, TODAY).first == date(2026, 10, 12)
    assert read_asked({"from": "2026-12-24"}, TODAY).wrong == {}
    assert read_asked({"by": "weather"}, TODAY).by == "person"


def test_what_the_reader_would_refuse_is_said_by_its_field() -> None:
    assert list(read_asked({"from": "soon"}, TODAY).wrong) == ["from"]
    assert list(read_asked({"from": "2026-11-02", "to": "2026-11-01"}, TODAY).wrong) == ["to"]
    first = date.fromordinal(TODAY.toordinal() - DAYS_MAX)
    assert list(read_asked({"from": first.isoformat()}, TODAY).wrong) == ["from"]
    day_later = date.fromordinal(first.toordinal() + 1)
    assert read_asked({"from": day_later.isoformat()}, TODAY).wrong == {}


def test_the_worst_comes_first_in_each_currency() -> None:
    items = [item("day", "2026-11-02", 0, 900), item("day", "2026-11-03", -50), item("day", "2026-11-04", -700, 20)]
    euros, pesos = sections([*items, item("day", "2026-11-03", -1, 0, "EUR")], asked("day"))
    assert (euros.currency, pesos.currency) == ("EUR", "MXN")
    assert [one.key for one in pesos.sums] == ["2026-11-04", "2026-11-03", "2026-11-02"]
    assert [(one.short_share, one.over_share) for one in pesos.sums] == [(77.78, 2.22), (5.56, 0.0), (0.0, 100.0)]
    assert (pesos.counted, pesos.off, pesos.short_minor, pesos.over_minor, pesos.net_minor) == (6, 3, -750, 920, 170)


def test_a_trend_leaves_out_no_day_and_no_week() -> None:
    (section,) = sections([item("day", "2026-11-03", -300), item("day", "2026-11-05", 0, 100)], asked("day"))
    assert section.trend is not None
    assert [column.key for column in section.trend.columns] == [f"2026-11-{day:02}" for day in range(2, 11)]
    assert [column.short_height for column in section.trend.columns] == [0, 75.0, *[0] * 7]
    assert (section.trend.zero, section.trend.over_minor, section.trend.short_minor) == (25.0, 100, -300)
    (section,) = sections([item("week", "2026-11-02", 0)], asked("week", **{"from": "2026-11-04"}))
    assert section.trend is not None
    assert [column.key for column in section.trend.columns] == ["2026-11-02", "2026-11-09"]
    assert section.trend.zero == 50.0
    assert sections([item("person", "ana", 0)], asked())[0].trend is None


@pytest.mark.parametrize(
    ("by", "key", "query"),
    [
        ("person", "a&b", "from=2026-11-02&to=2026-11-10&person=a%26b&part=opened&above=0&currency=MXN"),
        ("profile", "s1/p1", "from=2026-11-02&to=2026-11-10&till=p1&above=0&currency=MXN"),
        ("day", "2026-11-03", "from=2026-11-03&to=2026-11-03&above=0&currency=MXN"),
        ("week", "2026-11-09", "from=2026-11-09&to=2026-11-10&above=0&currency=MXN"),
    ],
)
def test_a_sum_leads_to_its_closings(by: str, key: str, query: str) -> None:
    (section,) = sections([item(by, key, -1)], asked(by))
    assert section.sums[0].closings == query


async def closed(market: Market, profile: str, who: str, off_minor: int) -> None:
    session_id, actor = str(uuid4()), {"id": who, "name": who.title()}
    for body in (opening(profile, session_id, actor=actor), closing(profile, session_id, 1_000 + off_minor)):
        reply = await market.post(body)
        assert reply.status_code == 200, reply.text


@pytest.fixture(scope="module")
async def counted(address: str, market: Market) -> None:
    """What some people were off by, once the reader knows it."""
    for profile, who, off_minor in (("p1", "ana", -200), ("p1", "ben", 50), ("blind", "ana", -70), ("p2", "ana", 0)):
        await closed(market, profile, who, off_minor)
    async with Visitor(address) as visitor:
        await visitor.sign_in("mona", "what only mona knows")

        async def is_read() -> bool:
            return "3 of 4" in (await visitor.get(f"{PAGE}?{NOVEMBER}")).text

        await eventually(is_read)


async def test_sums_are_shown_and_lead_to_as_many_closings_as_they_say(mona: Visitor, counted: None) -> None:
    page = await mona.get(f"{PAGE}?{NOVEMBER}")
    rows = re.findall(r'<th scope="row">(.*?)</th>', page.text)
    assert [re.sub("<[^>]+>", "", row) for row in rows] == ["Ana", "Ben"]
    path = unescape(re.findall(r'href="([^"]+)"', rows[0])[0])
    assert "2 of 3" in mona.text
    page = await mona.get(path)
    assert page.text.count('<a href="/stores/s1/closings/') == 2
    for by, words in (("profile", "Till 1"), ("day", "Fri, Nov 20, 2026"), ("week", "Week of Mon, Nov 16, 2026")):
        page = await mona.get(f"{PAGE}?{NOVEMBER}&by={by}")
        assert words in mona.text
        assert ("<figure" in page.text) == (by in {"day", "week"})
    await mona.get(f"{PAGE}?from=2020-01-01&to=2020-01-02")
    assert "Nobody counted a drawer in these days" in mona.text
    assert (await mona.get(f"{PAGE}?from=soon")).status_code == 400
    assert "That is no day of the calendar" in mona.text
    assert (await mona.get(f"{PAGE}?till=a%20b")).status_code == 400


@pytest.mark.parametrize("role", ["register", "cashier", "reader", "manager", "admin"])
async def test_sums_are_those_of_ones_own_stores(visitor: Visitor, market: Market, role: str) -> None:
    await visitor.bring_token(market.token("s1", role=role, sub=f"sums-{role}"))
    assert (await visitor.get(PAGE)).status_code == 200
    for path in ("/stores/s2/over-short", "/stores/s2/closings", "/stores/s2/closings.csv"):
        assert (await visitor.get(path)).status_code == 403


async def test_figures_of_a_blind_till_that_is_open_are_in_no_sum(mona: Visitor, market: Market, counted: None) -> None:
    before = (await mona.get(f"{PAGE}?{NOVEMBER}&by=profile&till=blind")).text
    session_id = str(uuid4())
    for body in (opening("blind", session_id, 4_444), command("count_drawer", "blind", session_id, counted=[])):
        await market.post(body)
    assert (await mona.get(f"{PAGE}?{NOVEMBER}&by=profile&till=blind")).text == before


async def test_sums_have_no_barrier(mona: Visitor, address: str, counted: None) -> None:
    async with chromium() as browser:
        await _look(browser, mona, address)


async def _look(browser: Browser, mona: Visitor, address: str) -> None:
    context = await browser.new_context(reduced_motion="reduce", locale="es-MX")
    await context.add_cookies([{"name": "till", "value": mona.cookies["till"], "url": address}])
    page = await context.new_page()
    errors: list[str] = []
    page.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    seen = {}
    for by in ("person", "day"):
        async for theme, width in looks(page):
            await page.goto(f"{address}{PAGE}?{NOVEMBER}&by={by}")
            seen[by, theme, width] = await complaints(page)
    assert {where: what for where, what in seen.items() if what} == {}
    # The policy lets charts through as they are.
    assert errors == []
    await context.close()
