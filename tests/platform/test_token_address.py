"""A token address that is broken, slow or hostile: no token, a sentence without the secret, and soon."""

import math
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

import pytest

from services.platform.kafka import oauth
from services.platform.kafka.oauth import LIFE_UNKNOWN_S, REPLY_BYTES_MAX, TOKEN_BYTES_MAX, USED_UP, NoToken, Tokens
from tests.support.secured_kafka import write_certificates

SECRET = "hush-hush"
Say = Callable[[ssl.SSLSocket], None]


def reply(body: bytes, status: str = "200 OK", headers: str = "") -> bytes:
    return f"HTTP/1.1 {status}\r\n{headers}content-length: {len(body)}\r\n\r\n".encode() + body


def token_of(life: str) -> bytes:
    return reply(b'{"access_token":"abc","expires_in":%s}' % life.encode())


def asked_of(line: socket.socket) -> bytes:
    """A request, to the end of its form."""
    asked = b""
    while b"client_credentials" not in asked:
        asked += line.recv(65_536) or b"client_credentials"
    return asked


@contextmanager
def address(folder: Path, say: Say) -> Iterator[Callable[[], tuple[str, float]]]:
    """Fetches from an https address where `say` replies."""
    write_certificates(folder)
    (folder / "secret").write_text(SECRET)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "broker.pem")
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with context.wrap_socket(listener.accept()[0], server_side=True) as line, suppress(OSError):
                        asked_of(line)
                        say(line)

        threading.Thread(target=serve, daemon=True).start()
        url = f"https://127.0.0.1:{listener.getsockname()[1]}/token"
        yield partial(oauth._fetched, url, "till", folder / "secret", None, folder / "ca.pem")
        listener.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        (reply(b"<html>Sign in</html>"), "JSONDecodeError"),
        (reply(b'{"access_token":"abc"'), "JSONDecodeError"),
        (reply(b"{\xff"), "UnicodeDecodeError"),
        (reply(b"[" * 60_000), "RecursionError|JSONDecodeError"),
        (reply(b'["abc"]'), "no JSON object"),
        (reply(b"{}"), "without an access_token"),
        (reply(b'{"access_token":""}'), "without an access_token"),
        (reply(b'{"access_token":7}'), "without an access_token"),
        (reply('{"access_token":"ñ"}'.encode()), "without an access_token"),
        (reply(b'{"access_token":"%s"}' % (b"x" * (TOKEN_BYTES_MAX + 1))), "without an access_token"),
        (reply(b'{"error":"invalid_client"}', "401 Unauthorized"), "HTTP 401"),
        (reply(b'{"access_token":"abc"}', "500 Internal Server Error"), "HTTP 500"),
        (reply(b"", "302 Found", "location: https://elsewhere.example/token\r\n"), "HTTP 302"),
        (reply(b" " * (REPLY_BYTES_MAX + 1)), "too long, or too slow"),
        (b"SSH-2.0-OpenSSH\r\n", "BadStatusLine"),
        (b"", "RemoteDisconnected"),
        (b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200, "HTTPException"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n{", "IncompleteRead|JSONDecodeError"),
    ],
)
def test_what_is_no_token_is_said_without_the_secret(tmp_path: Path, sent: bytes, sentence: str) -> None:
    with address(tmp_path, lambda line: line.sendall(sent)) as fetch, pytest.raises(NoToken, match=sentence) as refused:
        fetch()
    assert SECRET not in str(refused.value)
    assert "gave no token" in str(refused.value) or "without an access_token" in str(refused.value)


@pytest.mark.parametrize(
    ("begins", "drop"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"x: y\r\n", id="headers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nx: ", b"y", id="one header"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 60000\r\n\r\n", b" ", id="a body"),
        pytest.param(b"", b"", id="nothing"),
    ],
)
def test_who_replies_drop_by_drop_keeps_nobody_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, begins: bytes, drop: bytes
) -> None:
    monkeypatch.setattr(oauth, "FETCH_LIMIT_S", 1.0)
    left = threading.Event()

    def say(line: ssl.SSLSocket) -> None:
        line.sendall(begins)
        while not left.wait(0.2):
            line.sendall(drop)

    begun = time.monotonic()
    with address(tmp_path, say) as fetch:
        try:
            with pytest.raises(NoToken, match="gave no token"):
                fetch()
        finally:
            left.set()
    assert time.monotonic() - begun < 20


@pytest.mark.parametrize(
    ("life", "life_s"),
    [
        ("3600", 3_600),
        ("0.5", 0.5),
        *((odd, LIFE_UNKNOWN_S) for odd in ("NaN", "Infinity", "-Infinity", '"soon"', "null", "true", "[]", "1e999")),
    ],
)
def test_a_life_that_says_nothing_is_a_minute(tmp_path: Path, life: str, life_s: float) -> None:
    with address(tmp_path, lambda line: line.sendall(token_of(life))) as fetch:
        assert fetch() == ("abc", life_s)


def test_whatever_is_said_of_its_life_a_token_ends() -> None:
    now, asked = 0.0, []

    def fetch() -> tuple[str, float]:
        asked.append(now)
        return "abc", math.nan

    tokens = Tokens(fetch, lambda: now)
    tokens.token()
    now = oauth.LIFE_S_MAX * USED_UP
    tokens.token()
    assert asked == [0.0, now]


def test_an_address_with_a_strangers_certificate_is_not_asked(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    write_certificates(tmp_path / "other")
    heard: list[bytes] = []
    with address(tmp_path, lambda _: heard.append(b"asked")) as fetch:
        (tmp_path / "ca.pem").write_bytes((tmp_path / "other" / "ca.pem").read_bytes())
        with pytest.raises(NoToken, match="SSLCertVerificationError"):
            fetch()
    assert heard == []


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_an_identity_provider_on_this_machine_needs_no_certificate(tmp_path: Path, host: str) -> None:
    (tmp_path / "secret").write_text(SECRET)
    asked: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with listener.accept()[0] as line:
                asked.append(asked_of(line))
                line.sendall(token_of("60"))

        threading.Thread(target=serve, daemon=True).start()
        url = f"http://{host}:{listener.getsockname()[1]}/realms/till/token"
        assert oauth._fetched(url, "till", tmp_path / "secret", None, None) == ("abc", 60)
    assert asked[0].startswith(b"POST /realms/till/token HTTP/1.1")
