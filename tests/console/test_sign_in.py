"""Signing in and out: what the browser keeps, whose forms are taken, and when it ends."""

import asyncio
import base64
import time
from urllib.parse import parse_qsl, urlsplit

import pytest

from services.console.cookies import TOKEN_BYTES_MAX
from services.console.forms import FORM_BYTES_MAX
from services.console.main import console
from services.console.pages.sign_in import NEXT_CHARACTERS_MAX, goal_of
from services.console.person import read_person
from tests.console.visitor import Visitor
from tests.support.market import Market

WRONG = "The store, the user or the password is wrong."


async def test_a_password_opens_the_tills_of_its_store(visitor: Visitor) -> None:
    page = await visitor.get("/")
    assert page.url.path == "/sign-in"

    page = await visitor.sign_in("mona", "what only mona knows")

    assert (page.status_code, page.url.path) == (200, "/stores/s1")
    assert "Till 1" in visitor.text
    assert "manager" in visitor.text


async def test_who_was_sent_to_sign_in_goes_on_to_where_they_wanted(visitor: Visitor) -> None:
    address = "/stores/s1/closings?day=2026-11-20"
    await visitor.get(address)
    await visitor.send("/language", code="es")
    page = await visitor.send("/sign-in", store="s1", user="mona", password="what only mona knows")
    assert page.url.raw_path == address.encode()
    page = await visitor.send("/language", code="en")
    assert page.url.raw_path == address.encode()


@pytest.mark.parametrize(
    "path",
    ["//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1", "/sign-in", "//[", "https://["],
)
def test_nobody_is_led_elsewhere(path: str) -> None:
    assert goal_of(path) == "/"
    assert goal_of("/stores/s1?x=//evil.example") == "/stores/s1?x=//evil.example"
    assert goal_of("/stores/s1?x=" + "y" * NEXT_CHARACTERS_MAX) == "/stores/s1"


def written_token(payload: str, signature: str = "AAAA") -> str:
    return f"AAAA.{base64.urlsafe_b64encode(payload.encode()).decode().rstrip('=')}.{signature}"


CLAIMS = '{"sub": %s, "role": "manager", "stores": [%s], "exp": %s}'
UNREADABLE = {
    "an end of 400 digits": written_token(CLAIMS % ('"x"', '"s1"', "9" * 400)),
    "no end at all": written_token(CLAIMS % ('"x"', '"s1"', "1e999")),
    "half a character for a name": written_token(CLAIMS % (r'"\ud800"', '"s1"', "9e9")),
    "half a character for a store": written_token(CLAIMS % ('"x"', r'"\ud800"', "9e9")),
    "a foreign signature": written_token(CLAIMS % ('"x"', '"s1"', "9e9"), "ñ"),
    "a role that is none": written_token(CLAIMS.replace("manager", "<b>x</b>") % ('"x"', '"s1"', "9e9")),
    "a line in it": written_token(CLAIMS % ('"x"', '"s1"', "9e9"), "AA\nAA"),
}


@pytest.mark.parametrize("what", UNREADABLE)
def test_what_no_page_could_show_or_send_on_is_no_token(what: str) -> None:
    assert read_person(written_token(CLAIMS % ('"x"', '"s1"', "9e9"))) is not None
    assert read_person(UNREADABLE[what]) is None


async def test_what_strangers_make_up_is_answered_with_the_form(visitor: Visitor) -> None:
    for what in ("an end of 400 digits", "half a character for a name", "a role that is none"):
        token = UNREADABLE[what]
        await visitor.get("/sign-in?next=//%5B")
        page = await visitor.send("/sign-in", token=token)
        assert page.status_code == 400
        visitor.plant("till", token)
        assert (await visitor.get("/stores/s1")).url.path == "/sign-in"


async def test_a_wrong_password_is_a_sentence_and_is_not_shown_again(visitor: Visitor) -> None:
    page = await visitor.sign_in("mona", "a guess of somebody")
    assert page.status_code == 401
    assert WRONG in visitor.text
    assert "a guess of somebody" not in page.text
    assert 'value="mona"' in page.text
    assert "till" not in visitor.cookies


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"store": "s 1", "user": "mona", "password": "x"}, "Fill in store, user and password."),
        ({"store": "s1", "user": "mona", "password": ""}, "Fill in store, user and password."),
        ({"token": "no token"}, "That is no token that can be used here, or it has ended."),
    ],
)
async def test_what_is_missing_is_said(visitor: Visitor, fields: dict[str, str], sentence: str) -> None:
    await visitor.get("/sign-in")
    page = await visitor.send("/sign-in", **fields)
    assert page.status_code == 400
    assert sentence in visitor.text


async def test_after_too_many_wrong_passwords_it_says_when_to_try_again(visitor: Visitor) -> None:
    for _ in range(12):
        page = await visitor.sign_in("nobody", "a guess")
        if page.status_code == 429:
            break
    assert page.status_code == 429
    assert "There were too many wrong passwords. Please try again in 15 minutes." in visitor.text
    assert int(page.headers["retry-after"]) > 60


async def test_a_token_for_several_stores_shows_which(visitor: Visitor, market: Market) -> None:
    await visitor.bring_token(market.token("s1", "s2", role="manager", sub="mona"))
    assert visitor.page.url.path == "/stores"
    assert 'href="/stores/s2"' in visitor.page.text
    await visitor.bring_token(market.token("*", role="admin", sub="adam"))
    page = await visitor.get("/stores?store=a%20b")
    assert (page.status_code, 'value="a b"' in page.text) == (400, True)
    page = await visitor.get("/stores?store=s2")
    assert (page.status_code, page.url.path) == (200, "/stores/s2")


async def test_a_token_that_no_browser_would_keep_is_refused_with_a_sentence(visitor: Visitor, market: Market) -> None:
    token = market.token(*(f"store-{number:04}" for number in range(400)), role="manager", sub="mona")
    assert len(token) > TOKEN_BYTES_MAX
    page = await visitor.bring_token(token)
    assert page.status_code == 400
    assert "ask for one that names fewer stores" in visitor.text


async def test_a_sign_in_ends_with_its_token(visitor: Visitor, market: Market) -> None:
    await visitor.bring_token(market.token("s1", role="manager", sub="mona", ttl_s=600))
    (cookie,) = [cookie for cookie in visitor.cookies.jar if cookie.name == "till"]
    assert cookie.expires is not None
    assert 590 <= cookie.expires - time.time() <= 600
    # A browser whose clock is wrong still has it: the token itself says that it has ended, and so does the gateway.
    visitor.plant("till", market.token("s1", role="manager", sub="mona", ttl_s=1))
    await asyncio.sleep(1.1)
    page = await visitor.get("/stores/s1")
    assert page.url.path == "/sign-in"
    assert "Your sign-in has ended." in visitor.text
    assert "till" not in visitor.cookies


@pytest.mark.parametrize(
    ("shown", "goal"),
    [
        ("http://127.0.0.1/stores/s1/sessions/x?command=y", "/stores/s1/sessions/x?command=y"),
        ("http://127.0.0.1//evil.example", "/"),
        ("http://[", "/"),
        ("", "/"),
    ],
)
async def test_a_live_page_says_that_the_sign_in_ended_and_leads_back_to_it(
    visitor: Visitor, market: Market, shown: str, goal: str
) -> None:
    visitor.plant("till", market.token("s1", role="manager", sub="mona", ttl_s=1))
    await asyncio.sleep(1.1)
    # The line of the page ends first, and has nothing forgotten that the page needs to say why.
    page = await visitor.get("/stores/s1/changes", accept="text/event-stream")
    assert page.url.path == "/sign-in"
    assert "till" in visitor.cookies
    for _ in range(2):
        page = await visitor.get("/stores/s1", **{"hx-request": "true", "hx-current-url": shown})
        assert page.status_code == 204
        led = urlsplit(page.headers["hx-redirect"])
        assert led.path == "/sign-in"
        assert dict(parse_qsl(led.query)) == {"next": goal, "note": "ended"}
    assert "till" not in visitor.cookies


async def test_a_token_that_the_gateway_does_not_take_is_forgotten(visitor: Visitor, market: Market) -> None:
    head, payload, _ = market.token("s1", role="manager", sub="mona").split(".")
    visitor.plant("till", f"{head}.{payload}.AAAA")
    page = await visitor.get("/stores/s1")
    assert page.url.path == "/sign-in"
    assert "till" not in visitor.cookies


async def test_signing_out_forgets_the_token(mona: Visitor) -> None:
    await mona.get("/stores/s1")
    page = await mona.send("/sign-out")
    assert "You are signed out." in mona.text
    assert "till" not in mona.cookies
    page = await mona.get("/stores/s1")
    assert page.url.path == "/sign-in"


async def test_other_sites_sign_nobody_out(address: str) -> None:
    # What they lead a browser to comes without its strict cookies.
    async with Visitor(address) as led:
        for reply in (
            await led.post("/sign-out", {}, sec_fetch_site="cross-site"),
            await led.post("/stores/s1/sessions/x/void", {}, sec_fetch_site="cross-site"),
            (await led.get("/stores/s1", **{"sec-fetch-site": "cross-site"})).history[0],
        ):
            assert reply.status_code == 303
            assert "set-cookie" not in reply.headers
        # What is brought and counts no longer goes.
        led.plant("till", "no.token.here")
        reply = await led.post("/sign-out", {})
        assert any(line.startswith("till=") for line in reply.headers.get_list("set-cookie"))


async def test_a_form_without_the_browsers_own_key_is_refused(mona: Visitor, address: str) -> None:
    await mona.get("/stores/s1")
    key = mona.hidden("/sign-out")["form_key"]
    async with Visitor(address) as other:
        await other.sign_in("ana", "what only ana knows")
        foreign = other.hidden("/sign-out")["form_key"]
    for fields in ({"another": ""}, {"form_key": ""}, {"form_key": foreign}, {"form_key": key[:-1]}):
        page = await mona.post("/sign-out", fields)
        assert page.status_code == 403, fields
        assert "This form is too old" in mona.text
        assert "till" in mona.cookies
    for site in ("cross-site", "same-site", "none"):
        page = await mona.post("/sign-out", {"form_key": key}, sec_fetch_site=site)
        assert page.status_code == 403, site
    page = await mona.post("/sign-out", {"form_key": key})
    assert page.status_code == 303


async def test_nobody_is_signed_in_by_a_form_that_their_browser_did_not_get(visitor: Visitor, market: Market) -> None:
    token = market.token("s1", role="manager", sub="mona")
    page = await visitor.post("/sign-in", {"token": token})
    assert page.status_code == 403
    await visitor.get("/sign-in")
    page = await visitor.post("/sign-in", {"token": token, "form_key": "0" * 64})
    assert page.status_code == 403
    assert "till" not in visitor.cookies


async def test_a_sign_in_replaces_what_was_there(visitor: Visitor, market: Market) -> None:
    planted = market.token("s1", role="cashier", sub="planted")
    await visitor.get("/sign-in")
    before = visitor.cookies["till-form"]
    fields = visitor.hidden("/sign-in")
    visitor.plant("till", planted)
    await visitor.post("/sign-in", fields | {"store": "s1", "user": "mona", "password": "what only mona knows"})
    assert [cookie.value for cookie in visitor.cookies.jar if cookie.name == "till"][-1] != planted
    assert visitor.page.status_code == 303
    await visitor.get("/sign-in")
    assert before not in [cookie.value for cookie in visitor.cookies.jar]


async def test_forms_are_read_within_bounds(mona: Visitor) -> None:
    page = await mona.post("/sign-out", {"form_key": "0" * (FORM_BYTES_MAX + 1)})
    assert page.status_code == 413
    page = await mona.post("/sign-out", {f"field-{number}": "" for number in range(1_001)})
    assert page.status_code == 400
    page = await mona.post("/sign-out", {}, content_type="text/plain")
    assert page.status_code == 415


async def test_over_https_cookies_go_over_nothing_else(market: Market) -> None:
    gateway_url = str(market.client.base_url).rstrip("/")
    settings = market.settings.model_copy(update={"console_http": "127.0.0.1:0", "gateway_url": gateway_url})
    async with console(settings) as served, Visitor(f"http://{served}") as visitor:
        set_cookies = (await visitor.get("/sign-in")).headers.get_list("set-cookie")
        secret = set_cookies[0].partition("=")[2].partition(";")[0]
        fields = visitor.hidden("/sign-in") | {"token": market.token("s1", role="manager", sub="mona")}
        reply = await visitor.post("/sign-in", fields, cookie=f"__Host-till-form={secret}")
        set_cookies += reply.headers.get_list("set-cookie")
    assert {cookie.partition("=")[0] for cookie in set_cookies} == {"__Host-till-form", "__Host-till"}
    for cookie in set_cookies:
        attributes = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"secure", "httponly", "samesite=strict", "path=/"} <= attributes
        assert not any(part.startswith("domain") for part in attributes)


async def test_when_the_gateway_is_away_signing_in_says_so(market: Market) -> None:
    settings = market.settings.model_copy(
        update={"console_http": "127.0.0.1:0", "console_https": False, "gateway_url": "http://127.0.0.1:9"}
    )
    async with console(settings) as served, Visitor(f"http://{served}") as visitor:
        page = await visitor.sign_in("mona", "what only mona knows")
        assert page.status_code == 503
        assert "Signing in is not possible just now." in visitor.text
        visitor.plant("till", market.token("s1", role="manager", sub="mona"))
        page = await visitor.get("/stores/s1")
        assert page.status_code == 503
        assert "The tills go on working" in visitor.text
        assert (await visitor.get("/health/live")).status_code == 200
        assert (await visitor.get("/health/ready")).json() == {"status": "not ready", "failed": ["gateway"]}
