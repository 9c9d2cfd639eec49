"""Closings searched, page by page, as a file, and back along their chain: what the reader gives, and no more."""

import csv
import re
from html import unescape
from io import BytesIO, StringIO
from typing import Any
from uuid import uuid4

import pytest
from pyarrow.parquet import read_table

from services.console import chain, sheet
from services.console.pages import closings, proof
from tests.console.visitor import Visitor
from tests.support.commands import closing, command, opening
from tests.support.market import Market
from tests.support.waiting import eventually

PAGE = "/stores/s1/closings"
SHORT = 5
EVIL = "=cmd|'/c calc'!A1"


@pytest.fixture(scope="module")
async def closed(address: str, market: Market) -> list[str]:
    """The ids of seven closings of one till, the latest first; all are short, the latest was counted again."""
    ids = []
    for number in range(7):
        session_id = str(uuid4())
        actor = {"id": "ana", "name": EVIL} if number == 3 else {"id": f"p{number}"}
        day = f"2026-11-{number + 1:02}"
        bodies = [opening("p1", session_id, actor=actor), closing("p1", session_id, 1_000 - SHORT)]
        for hour, body in enumerate(bodies):
            reply = await market.post(body | {"occurred_at": f"{day}T1{hour}:00:00Z", "actor": actor})
            assert reply.status_code == 200, reply.text
        ids.append(reply.json()["closing_id"])
    counted = [{"tender": "cash", "amount_minor": 1_000}]
    adam = {"reason": "under the tray", "actor": {"id": "adam"}}
    again = command("recount", "p1", session_id, counted=counted, **adam)
    reply = await market.post(again, headers=market.bearer("s1", role="admin", sub="adam"))
    assert reply.status_code == 200, reply.text
    async with Visitor(address) as visitor:
        await visitor.sign_in("mona", "what only mona knows")

        async def is_read() -> bool:
            page = (await visitor.get(PAGE)).text
            return all(one in page for one in ids) and "when it was closed" in page

        await eventually(is_read)
    return ids[::-1]


def listed(visitor: Visitor) -> list[str]:
    return re.findall(rf'<a href="{PAGE}/([0-9a-f-]+)">', visitor.page.text)


async def test_the_latest_come_first_and_each_stands_as_it_is_now(mona: Visitor, closed: list[str]) -> None:
    await mona.get(PAGE)
    assert listed(mona) == closed
    latest = mona.page.text.partition(f"{PAGE}/{closed[0]}")[2].partition("</li>")[0]
    assert "right" in latest
    assert "when it was closed" in latest
    assert EVIL in mona.text


@pytest.mark.parametrize(
    ("query", "numbers"),
    [
        ("from=2026-11-02&to=2026-11-03", (3, 2)),
        ("from=2026-11-06", (7, 6)),
        ("to=2026-11-01", (1,)),
        ("person=ana", (4,)),
        ("person=ana&part=opened", (4,)),
        ("person=adam", ()),
        ("z_number=5", (5,)),
        ("session_number=6", (6,)),
        ("above=0", (6, 5, 4, 3, 2, 1)),
        ("above=0.05", ()),
        ("above=0&currency=USD", ()),
        ("above=&currency=USD", (7, 6, 5, 4, 3, 2, 1)),
        ("review=1", ()),
        ("till=p2", ()),
        ("from=&to=&till=&person=&part=any&z_number=&session_number=&above=", (7, 6, 5, 4, 3, 2, 1)),
    ],
)
async def test_closings_are_searched(mona: Visitor, closed: list[str], query: str, numbers: tuple[int, ...]) -> None:
    assert (await mona.get(f"{PAGE}?{query}")).status_code == 200
    assert listed(mona) == [closed[7 - number] for number in numbers]
    assert ("No closing is like that" in mona.text) == (not numbers)


async def test_a_field_that_cant_be_read_is_said_there_and_nothing_is_searched(
    mona: Visitor, closed: list[str]
) -> None:
    page = await mona.get(f"{PAGE}?above=much&from=<b>")
    assert page.status_code == 400
    assert listed(mona) == []
    assert "That is no amount" in mona.text
    assert "<b>" not in page.text
    assert "write it as 12.50" in mona.text
    assert 'id="above-wrong"' in page.text
    # So is it where the file was asked for.
    page = await mona.get(f"{PAGE}.csv?above=much")
    assert (page.status_code, page.headers["content-type"]) == (400, "text/html; charset=utf-8")


async def test_a_till_that_is_gone_is_searched_for_by_its_id(mona: Visitor, closed: list[str]) -> None:
    await mona.get(f"{PAGE}?till=gone")
    assert '<option value="gone" selected>' in mona.page.text
    assert "gone: there is no such till any more" in mona.text


async def test_pages_follow_each_other_and_keep_what_was_searched(
    mona: Visitor, closed: list[str], market: Market
) -> None:
    cursor = (await _asked(market, limit="4", order="desc"))["next_cursor"]
    await mona.get(f"{PAGE}?from=2026-11-01&cursor={cursor}")
    assert listed(mona) == closed[4:]
    assert f'href="{PAGE}?from=2026-11-01"' in mona.page.text
    assert (await mona.get(f"{PAGE}?cursor=none")).status_code == 400
    assert closings.ROWS <= 500


async def _asked(market: Market, **params: str) -> Any:
    (reporting,) = [one for one in market.processes if "reporting" in one.log.name]
    headers = market.bearer("s1", role="manager", sub="mona")
    address = reporting.address("reporting_started")
    return (await market.client.get(f"{address}/api/closings", params=params, headers=headers)).json()


async def test_what_is_shown_is_to_be_had_as_a_file(mona: Visitor, closed: list[str]) -> None:
    await mona.get(f"{PAGE}?from=2026-11-02&to=2026-11-05")
    shown, path = listed(mona), unescape(re.findall(r'href="([^"]+\.csv[^"]*)"', mona.page.text)[0])
    page = await mona.get(path)
    assert page.content.startswith(b"\xef\xbb\xbf")
    assert page.headers["content-type"].startswith("text/csv")
    assert re.fullmatch(r'attachment; filename="closings-s1-[0-9-]{10}\.csv"', page.headers["content-disposition"])
    rows = list(csv.DictReader(StringIO(page.content.decode("utf-8-sig"), newline="")))
    assert [row["Closing"] for row in rows] == shown
    assert [row["Opened by (name)"] for row in rows][1] == f"'{EVIL}"
    assert {row["Cash over or short now"] for row in rows} == {"-0.05"}


async def test_a_file_speaks_the_readers_language(address: str, closed: list[str]) -> None:
    async with Visitor(address, **{"accept-language": "es-MX"}) as reader:
        await reader.sign_in("mona", "what only mona knows")
        assert (await reader.get(f"{PAGE}.csv")).text.startswith("\ufeffTienda,")


async def test_a_chain_is_verified_back_to_the_first_closing(mona: Visitor, closed: list[str]) -> None:
    page = await mona.get(f"{PAGE}/{closed[0]}")
    assert f'href="{PAGE}/{closed[0]}/proof"' in page.text
    page = await mona.get(f"{PAGE}/{closed[0]}/proof")
    assert "The chain holds back to the first closing" in mona.text
    assert re.findall(rf'<a href="{PAGE}/([0-9a-f-]+)"><strong>', page.text) == closed
    assert mona.text.count("genuine") == 7
    assert (await mona.get(f"/stores/s2/closings/{closed[0]}/proof")).status_code == 404


class Touched:
    """A reader whose closings somebody touched."""

    def __init__(self, closings: dict[int, dict[str, Any]]) -> None:
        self.closings_by_number = closings

    @property
    def desk(self) -> Any:
        return self

    apis = desk
    person = None

    async def closings(self, _: Any, __: str, filters: dict[str, str]) -> dict[str, Any]:
        closing = self.closings_by_number.get(int(filters["z_number"]))
        return {"items": [closing] if closing else []}


async def test_a_chain_that_was_touched_is_seen_where_it_was(market: Market, closed: list[str]) -> None:
    items = {one["z_number"]: one for one in (await _asked(market))["items"]}

    async def outcome(**changed: Any) -> tuple[int, str]:
        links, said_of_it = await proof.follow(Touched(items | changed.pop("by_number", {})), "s1", items[7])  # type: ignore[arg-type]
        return len(links), said_of_it

    assert await outcome() == (7, proof.WHOLE)
    assert await outcome(by_number={4: None}) == (3, proof.MISSING)
    assert await outcome(by_number={4: items[4] | {"prev_hash": "0" * 64}}) == (4, proof.ALTERED)
    assert await outcome(by_number={4: items[4] | {"hash": "1" * 64}}) == (3, proof.BROKEN)


async def test_one_press_goes_back_so_far(market: Market, closed: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    items = {one["z_number"]: one for one in (await _asked(market))["items"]}
    monkeypatch.setattr(proof, "LINKS_MAX", 5)
    links, outcome = await proof.follow(Touched(items), "s1", items[7])  # type: ignore[arg-type]
    assert (len(links), outcome) == (5, proof.AS_FAR)
    assert chain.LINKS_MAX <= 50
    assert sheet.ROWS_MAX == 10_000


async def test_what_is_shown_is_had_as_parquet_by_the_same_fields(mona: Visitor, closed: list[str]) -> None:
    await mona.get(f"{PAGE}?from=2026-11-02&to=2026-11-05&above=0.01")
    shown, path = listed(mona), unescape(re.findall(r'href="([^"]+\.parquet[^"]*)"', mona.page.text)[0])
    assert set(shown) == set(closed[2:6])
    page = await mona.get(path)
    assert page.headers["content-type"] == "application/vnd.apache.parquet"
    assert page.headers["cache-control"] == "no-store"
    assert re.fullmatch(r'attachment; filename="closings-s1-[0-9-]{10}\.parquet"', page.headers["content-disposition"])
    table = read_table(BytesIO(page.content))
    assert set(map(str, table["closing_id"].to_pylist())) == set(shown)
    page = await mona.get(f"{PAGE}.parquet?from=2026-11-31")
    assert page.url.path == PAGE
    for refused in ("/stores/s2/closings.parquet", "/stores/nowhere/closings.parquet"):
        assert (await mona.get(refused)).status_code == 403
