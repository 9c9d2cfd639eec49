"""People and keys: only an admin sees them, what a revocation does is said and done, a key is shown once."""

import asyncio
import re
from collections.abc import AsyncIterator
from uuid import uuid4

import pytest

from tests.console.visitor import Visitor
from tests.support.chromium import chromium, complaints, looks
from tests.support.market import Market
from tests.support.waiting import eventually

PATH = "/stores/s1/people"
EVIL = "<b>evil</b>"


@pytest.fixture
async def adam(address: str) -> AsyncIterator[Visitor]:
    """The admin of s1, signed in."""
    async with Visitor(address) as visitor:
        await visitor.sign_in("adam", "what only adam knows")
        yield visitor


async def let_in(adam: Visitor, user: str, password: str, **more: str) -> None:
    await adam.get(PATH)
    await adam.send(
        f"{PATH}/users", **({"user": user, "role": "cashier", "profile_id": "", "password": password} | more)
    )


async def test_an_admin_lets_somebody_in_and_ends_it(adam: Visitor, visitor: Visitor) -> None:
    await let_in(adam, "eva", "what only eva knows", role="manager", profile_id="p1")
    assert "they may sign in with this password" in adam.text
    assert "eva manager · p1 Revoke" in adam.text
    await visitor.sign_in("eva", "what only eva knows")
    assert visitor.page.status_code == 200
    assert visitor.page.url.path == "/stores/s1"

    await adam.get(f"{PATH}/revoke?user=eva")
    assert "Their password opens nothing any more" in adam.text
    await adam.send(f"{PATH}/revoke")
    assert "has ended, or does within 5 seconds" in adam.text
    assert "eva manager · p1 Revoked" in adam.text

    async def is_out() -> bool:
        return (await visitor.get("/stores/s1")).url.path == "/sign-in"

    await eventually(is_out)


async def test_a_key_is_shown_once_and_revoked(adam: Visitor, market: Market) -> None:
    await adam.get(PATH)
    page = await adam.send(f"{PATH}/keys", company_id="cafes", role="manager")
    assert (page.status_code, page.headers["cache-control"]) == (201, "no-store")
    (secret,) = re.findall(r"till_[A-Za-z0-9_-]{43}", page.text)
    assert "It is shown this once" in adam.text
    (row,) = await market.rows("SELECT key_id FROM gateway.api_keys WHERE company_id = 'cafes'")
    page = await adam.get(PATH)
    assert secret not in page.text
    assert f"cafes manager · {row.key_id} Renew Revoke" in adam.text
    await adam.get(f"{PATH}/revoke?key={row.key_id}")
    assert "make another key in its place" in adam.text
    await adam.send(f"{PATH}/revoke")
    assert f"cafes manager · {row.key_id} Revoked" in adam.text


async def test_a_form_that_is_sent_twice_at_one_instant_makes_one_key(adam: Visitor, market: Market) -> None:
    await adam.get(PATH)
    fields = adam.hidden(f"{PATH}/keys") | {"company_id": "twice", "role": "register"}
    pages = await asyncio.gather(*(adam.post(f"{PATH}/keys", fields) for _ in range(3)))
    assert sorted(page.status_code for page in pages) == [200, 200, 201]
    secrets = [page.text for page in pages if "till_" in page.text]
    assert len(secrets) == 1
    await adam.post(f"{PATH}/keys", fields)
    assert "This form was sent twice: it made one key" in adam.text
    (row,) = await market.rows("SELECT key_id FROM gateway.api_keys WHERE company_id = 'twice'")
    assert f'href="{PATH}/renew?key={row.key_id}"' in adam.page.text
    # A form of its own makes another one, whatever was made since its page was shown.
    await adam.get(PATH)
    page = await adam.send(f"{PATH}/keys", company_id="twice", role="register")
    assert page.status_code == 201
    assert (await adam.post(f"{PATH}/keys", fields | {"once": "no id"})).status_code == 422


async def test_a_key_is_renewed_and_what_it_was_opens_as_long_as_was_said(adam: Visitor, market: Market) -> None:
    await adam.get(PATH)
    page = await adam.send(f"{PATH}/keys", company_id="renewed", role="manager")
    (old,) = re.findall(r"till_[A-Za-z0-9_-]{43}", page.text)
    (row,) = await market.rows("SELECT key_id FROM gateway.api_keys WHERE company_id = 'renewed'")
    asked = f"{PATH}/renew?key={row.key_id}"

    async def opens(secret: str) -> bool:
        reply = await market.client.get("/v1/api/session/none", headers={"x-api-key": secret})
        return reply.status_code != 401

    await adam.get(asked)
    assert "ends at once by this" not in adam.text
    fields = adam.hidden(f"{PATH}/renew")
    page = await adam.send(f"{PATH}/renew", overlap_s="3600")
    assert (page.status_code, page.headers["cache-control"]) == (200, "no-store")
    (new,) = re.findall(r"till_[A-Za-z0-9_-]{43}", page.text)
    assert "What it was before still opens until" in adam.text
    assert [await opens(secret) for secret in (old, new)] == [True, True]
    # The same form once more, as by a double click, renews nothing.
    assert (await adam.post(f"{PATH}/renew", fields | {"overlap_s": "0"})).status_code == 409
    assert "since this page was shown the key was renewed" in adam.text
    assert "what it was before opens until" in adam.text
    assert new not in adam.page.text
    assert [await opens(secret) for secret in (old, new)] == [True, True]
    await adam.get(asked)
    assert "ends at once by this" in adam.text
    page = await adam.send(f"{PATH}/renew", overlap_s="0")
    assert "What it was before opens nothing any more." in adam.text
    (newest,) = re.findall(r"till_[A-Za-z0-9_-]{43}", page.text)
    assert [await opens(secret) for secret in (old, new, newest)] == [False, False, True]
    await adam.get(f"{PATH}/revoke?key={row.key_id}")
    await adam.send(f"{PATH}/revoke")
    assert (await adam.get(asked)).status_code == 404


async def test_somebody_who_is_there_already_is_replaced_only_once_it_was_said(adam: Visitor, visitor: Visitor) -> None:
    await let_in(adam, "kim", "what only kim knows", profile_id="p1")
    await let_in(adam, "kim", "what a thief knows", role="admin")
    assert "kim is there already" in adam.text
    assert "Role before: cashier → now: admin" in adam.text
    assert "what a thief knows" not in adam.page.text
    old = adam.hidden(f"{PATH}/users")
    await visitor.sign_in("kim", "what only kim knows")
    assert visitor.page.url.path == "/stores/s1"
    await adam.send(f"{PATH}/users", password="what kim knows now")
    assert "kim admin Revoke" in adam.text
    # What was confirmed was something else than what there is by now.
    await adam.post(f"{PATH}/users", old | {"password": "another one"})
    assert "kim is there already" in adam.text
    await visitor.bring_token("none")
    await visitor.sign_in("kim", "what kim knows now")
    assert visitor.page.url.path == "/stores/s1"


async def test_what_is_wrong_is_said_at_its_field_and_no_password_comes_back(adam: Visitor) -> None:
    await let_in(adam, "key:1", "only this once")
    assert adam.page.status_code == 422
    assert '<p class="wrong" id="user-wrong">' in adam.page.text
    assert 'value="key:1"' in adam.page.text
    assert "only this once" not in adam.page.text
    await let_in(adam, EVIL, "only this once")
    assert EVIL in adam.text
    assert EVIL not in adam.page.text
    await adam.get(f"{PATH}/revoke?user=nobody")
    assert adam.page.status_code == 404


@pytest.mark.parametrize("role", ["register", "cashier", "reader", "manager"])
async def test_nobody_else_sees_or_says_who_may_come_in(visitor: Visitor, market: Market, role: str) -> None:
    await visitor.bring_token(market.token("s1", role=role, sub=f"p-{role}"))
    page = await visitor.get("/stores/s1")
    assert f'href="{PATH}"' not in page.text
    key = {"form_key": visitor.hidden("/sign-out")["form_key"]}
    for path in (PATH, f"{PATH}/revoke?user=mona", f"{PATH}/renew?key=4f1c2ab90d3e", "/stores/s2/people"):
        page = await visitor.get(path)
        assert page.status_code == 403
        assert "adam" not in page.text
    thief = {"user": "thief", "role": "admin", "password": "x"}
    for action, fields in (
        ("users", thief),
        ("keys", {"company_id": "c", "role": "manager", "once": str(uuid4())}),
        ("renew", {"key": "4f1c2ab90d3e", "previous_until": ""}),
        ("revoke", {"user": "mona"}),
    ):
        assert (await visitor.post(f"{PATH}/{action}", key | fields)).status_code == 403
        # Nor does any form of another page.
        assert (await visitor.post(f"{PATH}/{action}", fields)).status_code == 403
    assert await market.rows("SELECT 1 FROM gateway.users WHERE user_id = 'thief'") == []
    assert await market.rows("SELECT 1 FROM gateway.users WHERE user_id = 'mona' AND revoked_at IS NOT NULL") == []


# Eighteen pages, each looked through by axe.
async def test_the_pages_of_people_have_no_barrier(adam: Visitor, market: Market, address: str) -> None:
    await let_in(adam, "zoe", "what only zoe knows", profile_id="p1")
    await adam.get(PATH)
    await adam.send(f"{PATH}/keys", company_id="seen", role="manager")
    (row,) = await market.rows("SELECT key_id FROM gateway.api_keys WHERE company_id = 'seen'")
    await adam.get(f"{PATH}/renew?key={row.key_id}")
    await adam.send(f"{PATH}/renew")
    async with chromium() as browser:
        context = await browser.new_context(reduced_motion="reduce", locale="es-MX")
        await context.add_cookies([{"name": "till", "value": adam.cookies["till"], "url": address}])
        page = await context.new_page()
        seen = {}
        for where in (PATH, f"{PATH}/revoke?user=zoe", f"{PATH}/renew?key={row.key_id}"):
            async for theme, width in looks(page):
                await page.goto(f"{address}{where}")
                seen[where, theme, width] = await complaints(page)
        assert {where: what for where, what in seen.items() if what} == {}
        await context.close()
