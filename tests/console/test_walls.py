"""What no page may do: run what is others', be framed, be kept on the way, tell what its reader may not know."""

import re
from uuid import uuid4

import pytest

from services.console.headers import HEADERS
from tests.console.visitor import Visitor
from tests.support.commands import closing, opening, order
from tests.support.market import Market

ROLES = ("register", "cashier", "manager", "admin", "reader")
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"
PAGES = ("/", "/sign-in", "/stores", "/stores/s1", "/stores/s2", "/nothing", "/assets/nothing.css", "/health/live")


@pytest.mark.parametrize("path", PAGES)
async def test_every_reply_is_guarded(mona: Visitor, path: str) -> None:
    page = await mona.get(path)
    assert {name: page.headers[name] for name in HEADERS} == HEADERS
    assert page.headers["cache-control"] == "no-store"
    assert "unsafe" not in page.headers["content-security-policy"]


async def test_pages_name_no_other_host_and_hold_no_script_or_style_of_their_own(mona: Visitor) -> None:
    for path in ("/sign-in", "/stores", "/stores/s1", "/nothing"):
        page = (await mona.get(path)).text
        assert "://" not in page
        assert " style=" not in page
        assert not re.search(r"<[^>]*\son[a-z]+=", page)
        assert page.count("<script") == page.count('<script src="/assets/')
    async with Visitor(str(mona.page.url.join("/"))) as visitor:
        page = (await visitor.get("/sign-in")).text
        assert page.count("<script") == page.count('<script src="/assets/') == 3


async def test_assets_are_kept_for_good_and_named_by_what_is_in_them(mona: Visitor) -> None:
    page = (await mona.get("/stores/s1")).text
    paths = {part.partition('"')[0] for part in page.split('"/assets/')[1:]}
    assert len(paths) == 5
    for path in sorted(paths):
        asset = await mona.get(f"/assets/{path}")
        assert asset.status_code == 200
        assert asset.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert asset.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("role", ROLES)
async def test_a_page_shows_only_the_stores_of_its_reader(visitor: Visitor, market: Market, role: str) -> None:
    await visitor.bring_token(market.token("s1", role=role, sub=f"one-{role}"))
    page = await visitor.get("/stores/s1")
    assert page.status_code == 200
    assert "Other shop" not in visitor.text
    page = await visitor.get("/stores/s2")
    assert page.status_code == 403
    assert "You may not see this" in visitor.text
    assert "Other shop" not in visitor.text
    for path in ("/stores/..", "/stores/%2e%2e", "/stores/s1%2f..%2fs2", "/stores/a%20b"):
        page = await visitor.get(path)
        assert page.status_code in {200, 403, 404}, path
        assert "Other shop" not in visitor.text


async def test_names_that_hold_tags_are_text(mona: Visitor, market: Market) -> None:
    session_id = str(uuid4())
    names = {"session_number": EVIL[:64], "station": EVIL[:64], "note": EVIL}
    reply = await market.post(opening("p1", session_id, actor={"id": "eve", "name": EVIL}, **names))
    assert reply.status_code == 200, reply.text
    page = await mona.get("/stores/s1")
    assert EVIL in mona.text or "<script>alert(1)</script>" in mona.text
    assert "<script>alert" not in page.text
    assert "<img src=x" not in page.text
    await market.post(closing("p1", session_id, 1_000))


@pytest.mark.parametrize("role", ROLES)
async def test_who_counts_blind_sees_no_figure(visitor: Visitor, market: Market, role: str) -> None:
    session_id = await market.open_session("blind")
    await market.post(order("blind", session_id, f"blind-{role}", 77_177_100))
    await visitor.bring_token(market.token("s1", role=role, sub=f"blind-{role}"))
    page = await visitor.get("/stores/s1")
    shown = "771,771" in page.text or "1,543,542" in page.text or "77177100" in page.text
    part = await visitor.get("/stores/s1", **{"hx-request": "true"})
    assert "<html" not in part.text
    if role in {"register", "cashier"}:
        assert "Counted blind" in page.text
        assert ",171." not in page.text + part.text
        assert not shown
    else:
        assert "Counted blind" not in page.text
        # What was sold they see at a glance, what should be in the drawer nobody does.
        assert "Sales MX$" in visitor.card("blind")
        assert "Cash in the drawer \N{EN DASH} shows once it is counted" in visitor.card("blind")


async def test_a_part_that_is_asked_for_after_the_sign_in_ended_leads_the_whole_page_there(visitor: Visitor) -> None:
    page = await visitor.get("/stores/s1", **{"hx-request": "true"})
    assert page.status_code == 204
    assert page.headers["hx-redirect"].startswith("/sign-in")


async def test_nothing_of_the_person_is_logged(visitor: Visitor, market: Market) -> None:
    await visitor.sign_in("mona", "what only mona knows")
    await visitor.get("/stores/s1?next=secret-of-mona")
    token = visitor.cookies["till"]
    (process,) = [one for one in market.processes if "console" in one.log.name]
    log = process.log.read_text()
    assert '"route": "/stores/{store_id}"' in log
    for secret in (token, "what only mona knows", "secret-of-mona", "/stores/s1"):
        assert secret not in log
