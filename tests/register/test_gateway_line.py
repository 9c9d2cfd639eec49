"""A line to real gateways: let in by a key alone, and never deceived by whoever else replies."""

import asyncio
import logging
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest

from services.gateway.access import api_keys
from services.register import gateway_http
from services.register.errors import LineDown, NotLetIn, NotTaken
from services.register.gateway_line import GatewayLine
from services.register.settings import RegisterSettings
from tests.support.access import new_key, revoke_key
from tests.support.commands import movement, opening
from tests.support.market import Market
from tests.support.register_entries import entry_of
from tests.support.secured_kafka import write_certificates
from tests.support.waiting import eventually

Ask = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def line_to(url: str, **more: Any) -> AsyncIterator[GatewayLine]:
    settings = RegisterSettings(gateway_url=url, **more)
    line = GatewayLine(settings, lambda *_: None, time.monotonic)
    try:
        yield line
    finally:
        await line.close()


@pytest.fixture
async def key_file(market: Market, tmp_path: Path) -> Path:
    """A file with a key of s1."""
    await new_key(market.engine, tmp_path / "key")
    return tmp_path / "key"


def count_trades(line: GatewayLine, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that are asked for from now on."""
    paths: list[str] = []
    request = line.http.request

    async def counted(method: str, path: str, *more: Any) -> Any:
        paths.append(path)
        return await request(method, path, *more)

    monkeypatch.setattr(line.http, "request", counted)
    return paths


async def test_a_key_is_all_that_a_register_needs(market: Market, key_file: Path) -> None:
    entry = entry_of(opening("p1", str(uuid4())))
    async with line_to(str(market.client.base_url), api_key_file=key_file) as line:
        answer = await line.send(entry)
        again = await line.send(entry)
        asked = await line.ask(entry)

        assert answer is not None
        assert orjson.loads(answer)["kind"] == "session_opened"
        assert answer == again == asked, "it counts once, and is answered alike"
        assert await line.ask(entry_of(opening("p1", str(uuid4())))) is None, "nobody sent it"


async def test_many_tills_have_one_token_which_is_renewed_once(
    market: Market, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [entry_of(movement("p2", str(uuid4()), 1)) for _ in range(8)]
    async with line_to(str(market.client.base_url), api_key_file=key_file) as line:
        paths = count_trades(line, monkeypatch)
        await asyncio.gather(*map(line.send, entries))
        assert paths.count("/auth/key-token") == 1
        first = line.tokens._tokens["api"]

        line.tokens._tokens["api"] = replace(first, renew_at=time.monotonic())
        await asyncio.gather(*map(line.send, entries))

        assert paths.count("/auth/key-token") == 2
        assert first.ends_at - first.renew_at == pytest.approx(1_200), "a third of an hour before it ends"


async def test_a_token_that_nobody_can_renew_is_used_to_its_end(
    market: Market, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with line_to(str(market.client.base_url), api_key_file=key_file) as line:
        first = await line.tokens.of("api")
        line.tokens._tokens["api"] = replace(line.tokens._tokens["api"], renew_at=time.monotonic())

        asked = 0

        async def away(*_: Any) -> Any:
            nonlocal asked
            asked += 1
            raise LineDown("away")

        monkeypatch.setattr(line.http, "request", away)
        assert [await line.tokens.of("api") for _ in range(3)] == [first] * 3
        assert asked == 1, "not before each command"
        line.tokens._tokens["api"] = replace(line.tokens._tokens["api"], ends_at=time.monotonic())
        with pytest.raises(LineDown, match="away"):
            await line.tokens.of("api")


async def test_a_revoked_key_is_said_and_a_new_one_in_the_file_is_taken_at_once(market: Market, tmp_path: Path) -> None:
    key_file = tmp_path / "key"
    key_id = await new_key(market.engine, key_file)
    async with line_to(str(market.client.base_url), api_key_file=key_file) as line:
        await line.send(entry_of(movement("p2", str(uuid4()), 1)))
        await revoke_key(market.settings, market.engine, "s1", key_id)

        async def refused() -> str | None:
            try:
                await line.send(entry_of(movement("p2", str(uuid4()), 1)))
            except NotLetIn as error:
                return str(error)
            return None

        sentence = await eventually(refused)
        assert sentence is not None
        assert str(key_file) in sentence
        await new_key(market.engine, key_file)
        assert await line.send(entry_of(movement("p2", str(uuid4()), 1))) is not None


async def test_a_rotated_key_is_taken_from_the_file_while_the_token_of_before_counts(
    market: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_file = tmp_path / "key"
    key_id = await new_key(market.engine, key_file)
    async with line_to(str(market.client.base_url), api_key_file=key_file) as line:
        old = await line.tokens.of("api")
        async with market.engine.begin() as tx:
            secret = await api_keys.rotate(tx, "s1", key_id, overlap_s=0)
        assert secret is not None
        assert await line.tokens.of("api") == old, "nothing was asked for yet"
        key_file.write_text(secret)
        paths = count_trades(line, monkeypatch)

        assert await line.send(entry_of(movement("p2", str(uuid4()), 1))) is not None

        assert paths == ["/auth/key-token", "/api/commands"]
        assert await line.tokens.of("api") != old


async def test_a_token_that_counts_no_more_is_replaced_within_the_request(
    market: Market, key_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with line_to(str(market.client.base_url), api_key_file=key_file) as line:
        await line.tokens.of("api")
        line.tokens._tokens["api"] = replace(line.tokens._tokens["api"], text="x.y.z")
        paths = count_trades(line, monkeypatch)

        assert await line.send(entry_of(movement("p2", str(uuid4()), 1))) is not None

        assert paths == ["/api/commands", "/auth/key-token", "/api/commands"]


async def test_what_is_let_in_nowhere_says_what_to_do(market: Market, key_file: Path, tmp_path: Path) -> None:
    url, entry = str(market.client.base_url), entry_of(movement("p2", str(uuid4()), 1))
    strange, empty = tmp_path / "strange", tmp_path / "empty"
    strange.write_text("till_strange")
    empty.write_text("\n")
    cases: list[tuple[dict[str, Any], str]] = [
        ({}, "TILL_REGISTER_API_KEY_FILE"),
        ({"api_key_file": tmp_path / "nowhere"}, r"nowhere can't be read: No such file"),
        ({"api_key_file": empty}, r"empty is no API key"),
        ({"api_key_file": strange}, r"does not take this register's API key. Put a new API key into .*strange"),
        ({"api_key": "two\nlines"}, r"What stands in the settings is no API key"),
        ({"token": "x.y.z"}, r"does not let this register in. Set a new token"),
    ]
    for settings, sentence in cases:
        async with line_to(url, **settings) as line:
            with pytest.raises(NotLetIn, match=sentence) as raised:
                await line.send(entry)
        assert "strange_" not in str(raised.value)
        assert "two" not in str(raised.value)
    of_s2 = opening("p1", str(uuid4()), store_id="s2")
    async with line_to(url, api_key_file=key_file) as line:
        with pytest.raises(NotLetIn, match=r"and not here: .*s2"):
            await line.send(entry_of(of_s2, "s2"))


async def test_a_token_of_a_file_is_read_again_when_it_is_another(market: Market, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(market.token(ttl_s=600))
    async with line_to(str(market.client.base_url), token_file=file) as line:
        assert await line.send(entry_of(movement("p2", str(uuid4()), 1))) is not None
        file.write_text("x.y.z")
        with pytest.raises(NotLetIn):
            await line.send(entry_of(movement("p2", str(uuid4()), 1)))
        file.write_text(market.token(sub="r2"))
        assert await line.send(entry_of(movement("p2", str(uuid4()), 1))) is not None


async def test_what_nobody_would_be_answered_for_is_not_taken(market: Market, key_file: Path) -> None:
    entry = entry_of(movement("p2", str(uuid4()), 1))
    bodies = (b"{", b"[]", b'{"store_id": "s1"}', b" " * 262_145)
    async with line_to(str(market.client.base_url), api_key_file=key_file) as line:
        for body in bodies:
            with pytest.raises(NotTaken):
                await line.send(replace(entry, body=body))


async def test_an_answer_that_claims_nothing_is_no_answer_to_what_was_sent_since(
    market: Market, key_file: Path
) -> None:
    session_id = str(uuid4())
    early = entry_of(movement("p2", session_id, 500))
    async with line_to(str(market.client.base_url), api_key_file=key_file) as line:
        answer = await line.send(early)
        assert answer is not None
        assert orjson.loads(answer)["reason"] == "session_unknown"

        assert await line.ask(early) is None
        assert await line.ask(replace(early, answer=answer)) is None

        newer = await line.send(early)
        assert newer is not None
        assert orjson.loads(newer)["reason"] == "session_unknown"
        assert newer != answer, "it has the moment of its own record"


async def test_the_services_clock_is_heard(market: Market, key_file: Path) -> None:
    heard: list[tuple[float, float, float]] = []
    settings = RegisterSettings(gateway_url=str(market.client.base_url), api_key_file=key_file)
    line = GatewayLine(settings, lambda *reading: heard.append(reading), time.time)
    try:
        for _ in range(30):
            await line.ask(entry_of(opening("p1", str(uuid4()))))
            await asyncio.sleep(0.05)
    finally:
        await line.close()

    assert len(heard) == 31
    for asked, had, second in heard:
        assert second <= had
        assert second + 1 + 10 >= asked, "it is of now, as far as a loaded machine lets it be"


@asynccontextmanager
async def stranger(
    reply: bytes, certificate: ssl.SSLContext | None = None, *, holds: bool = False
) -> AsyncIterator[tuple[str, list[bytes]]]:
    """Somebody who replies this to everybody; its address, and what it was sent."""
    heads: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            heads.append(await reader.readuntil(b"\r\n\r\n"))
            writer.write(reply)
            await writer.drain()
            if holds:
                await reader.read()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=certificate)
    try:
        yield f"http{'s' if certificate else ''}://127.0.0.1:{server.sockets[0].getsockname()[1]}", heads
    finally:
        server.close()


def page(status: str, kind: str, body: bytes, *more: str) -> bytes:
    head = [f"HTTP/1.1 {status}", f"content-type: {kind}", f"content-length: {len(body)}", "connection: close", *more]
    return "\r\n".join([*head, "", ""]).encode() + body


ID = str(uuid4())
STRANGE: dict[str, tuple[bytes, str]] = {
    "a page that asks for a log-in": (page("200 OK", "text/html", b"<html>"), "ask for a log-in"),
    "a log-in that says JSON": (page("200 OK", "application/json", b"<html>"), "ask for a log-in"),
    "an array": (page("200 OK", "application/json", b"[]"), "ask for a log-in"),
    "brackets": (page("200 OK", "application/json", b"[" * 100_000), "ask for a log-in"),
    "nobody behind a proxy": (page("502 Bad Gateway", "text/html", b"x"), "Nobody serves behind"),
    "another command's answer": (
        page("200 OK", "application/json", b'{"kind": "cash_moved", "command_id": "%s"}' % str(uuid4()).encode()),
        "no answer to the command that was sent",
    ),
    "JSON of another program": (page("200 OK", "application/json", b'{"ok": true}'), "no answer to the command"),
    "another page": (page("302 Found", "text/html", b"", "location: http://127.0.0.1:9/"), "is no gateway"),
    "too much": (page("200 OK", "application/json", b" " * 4_200_000), "more than 4194304 bytes"),
    "half of it": (b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\nhalf", "can't be reached"),
    "no HTTP": (b"SSH-2.0-OpenSSH_9.2\r\n", "can't be reached"),
    "nothing": (b"", "can't be reached"),
    "a queue": (
        page("503 Service Unavailable", "application/problem+json", b'{"detail": "Too many."}', "retry-after: 7"),
        "Too many.",
    ),
}


@pytest.mark.parametrize("name", STRANGE)
async def test_whoever_else_replies_ends_nothing(name: str) -> None:
    reply, sentence = STRANGE[name]
    async with stranger(reply) as (url, heads), line_to(url, token="a.b.c") as line:
        entry = entry_of(opening("p1", ID))
        with pytest.raises(LineDown, match=sentence) as raised:
            await line.send(entry)
        with pytest.raises(LineDown):
            await line.ask(entry)

    assert raised.value.retry_after_s == (7.0 if name == "a queue" else None)
    assert len(heads) <= 4, "once more where a connection ended, and no further"


async def test_a_key_goes_nowhere_that_a_reply_points_to() -> None:
    async with stranger(b"") as (elsewhere, seen):
        moved = page("307 Temporary Redirect", "application/json", b"{}", f"location: {elsewhere}/auth/key-token")
        async with stranger(moved) as (url, heads), line_to(url, api_key="till_secret") as line:
            with pytest.raises(LineDown):
                await line.send(entry_of(opening("p1", str(uuid4()))))

    assert b"till_secret" in heads[0]
    assert seen == []


async def test_no_key_goes_to_who_can_not_prove_to_be_the_gateway(tmp_path: Path) -> None:
    write_certificates(tmp_path)
    certificate = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.load_cert_chain(tmp_path / "broker.pem")
    no_such = page("503 Service Unavailable", "application/problem+json", b'{"detail": "Come later."}')
    async with stranger(no_such, certificate) as (url, heads):
        entry = entry_of(opening("p1", str(uuid4())))
        async with line_to(url, api_key="till_secret") as line:
            with pytest.raises(LineDown, match="can't prove that it is the gateway"):
                await line.send(entry)
        assert heads == []
        async with line_to(url, api_key="till_secret", ca_file=tmp_path / "ca.pem") as line:
            with pytest.raises(LineDown, match="Come later"):
                await line.send(entry)
        elsewhere = url.replace("127.0.0.1", "localhost")
        async with line_to(elsewhere, api_key="till_secret", ca_file=tmp_path / "ca.pem") as line:
            with pytest.raises(LineDown, match="can't prove that it is the gateway"):
                await line.send(entry)

    assert len(heads) == 1, "its certificate names the address 127.0.0.1 and no other"


async def test_a_reply_that_drips_in_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway_http, "REQUEST_S_MAX", 0.5)

    async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 90000\r\n\r\n")
            while True:
                writer.write(b" ")
                await writer.drain()
                await asyncio.sleep(0.05)

    server = await asyncio.start_server(drip, "127.0.0.1", 0)
    try:
        async with line_to(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", token="a.b.c") as line:
            with pytest.raises(LineDown, match="did not reply in time"):
                await line.send(entry_of(opening("p1", str(uuid4()))))
    finally:
        server.close()


async def test_silence_is_a_line_that_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(gateway_http.TIMEOUTS_S, "read", 0.2)
    async with stranger(b"", holds=True) as (url, _), line_to(url, token="a.b.c") as line:
        with pytest.raises(LineDown, match="did not reply in time"):
            await line.send(entry_of(opening("p1", str(uuid4()))))


async def test_no_secret_is_logged_or_shown(market: Market, key_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    async with line_to(str(market.client.base_url), api_key_file=key_file) as line:
        await line.send(entry_of(movement("p2", str(uuid4()), 1)))
        token = await line.tokens.of("api")
        secrets = [key_file.read_text().strip(), token.split(".")[-1]]
        shown = caplog.text + repr(line) + repr(line.tokens) + repr(line.http)

    assert [secret for secret in secrets if secret in shown] == []
