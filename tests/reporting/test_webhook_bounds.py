"""A try is bounded: in time, in bytes, and in where it may go to, whatever name leads there."""

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from services.platform.settings import Settings
from services.reporting.webhooks import deliver
from services.reporting.webhooks.addresses import Network
from services.reporting.webhooks.deliver import Attempt, Names, Receiver, tls_context
from services.reporting.webhooks.messages import message_of
from services.reporting.webhooks.signing import new_secret
from tests.reporting.closing_messages import closing, value
from tests.reporting.hooks import LOOPBACK, Got, receiving, reply

MESSAGE = message_of(value(closing(1)))


@pytest.fixture
async def names() -> AsyncIterator[Names]:
    opened = Names()
    yield opened
    opened.close()


async def tried(
    names: Names, url: str, private: tuple[Network, ...] = LOOPBACK, tls: ssl.SSLContext | None = None
) -> Attempt:
    receiver = Receiver(url, names, tls or tls_context(), private, lambda: datetime.now(UTC))
    try:
        return await receiver.send(MESSAGE, [new_secret()])
    finally:
        await receiver.close()


def leading_to(monkeypatch: pytest.MonkeyPatch, *addresses: str) -> list[str]:
    """Every name leads to these addresses; the names that were asked."""
    asked: list[str] = []

    def look_up(host: str, _: int) -> list[str]:
        asked.append(host)
        return list(addresses)

    monkeypatch.setattr(deliver, "_look_up", look_up)
    return asked


@pytest.mark.parametrize("address", ["10.0.0.1", "127.0.0.2", "169.254.169.254", "::1", "::ffff:10.0.0.1", "fd00::1"])
async def test_a_name_that_leads_inside_is_not_followed(
    names: Names, monkeypatch: pytest.MonkeyPatch, address: str
) -> None:
    # One address outside does not make the others good.
    leading_to(monkeypatch, "93.184.216.34", address)
    attempt = await tried(names, "https://books.example/", private=())
    assert attempt.problem == f"books.example leads to {address}, which is not on the public internet."
    assert attempt.status is None


async def test_plain_http_goes_to_allowed_networks_alone(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    leading_to(monkeypatch, "93.184.216.34")
    attempt = await tried(names, "http://books.example/")
    assert attempt.problem is not None
    assert attempt.problem.endswith("out of the private networks: that takes https.")
    # Who takes the setting back takes back what was added under it.
    assert "Without https" in str((await tried(names, "http://127.0.0.1:9/", private=())).problem)


async def test_a_name_is_asked_once_and_that_address_connected_to(
    names: Names, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with receiving() as receiver:
        port = receiver.url.split(":")[2].partition("/")[0]
        asked = leading_to(monkeypatch, "127.0.0.1")
        attempt = await tried(names, f"http://books.example:{port}/in")
    assert (attempt.problem, asked) == (None, ["books.example"])
    assert receiver.got[0].headers["host"] == f"books.example:{port}"


async def test_the_certificate_is_that_of_the_name(
    names: Names, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = certified(tmp_path, "books.example")
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    spoken: list[str | None] = []
    server.sni_callback = lambda _, name, __: spoken.append(name)
    leading_to(monkeypatch, "127.0.0.1")
    async with receiving(tls=server) as receiver:
        port = receiver.url.split(":")[2].partition("/")[0]
        good = await tried(names, f"https://books.example:{port}/in", tls=trusted)
        other = await tried(names, f"https://other.example:{port}/in", tls=trusted)
        unknown = await tried(names, f"https://books.example:{port}/in")
    assert (good.status, good.problem) == (204, None)
    assert spoken[:2] == ["books.example", "other.example"]
    assert "certificate verify failed" in str(other.problem).lower()
    assert "certificate verify failed" in str(unknown.problem).lower()
    assert len(receiver.got) == 1


def certified(folder: Path, name: str) -> ssl.SSLContext:
    """A server's side of TLS with a certificate for `name`, which lies in cert.pem."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(subject, subject, key.public_key(), 1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "both.pem").write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "both.pem")
    return context


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, head: bytes, part: bytes) -> None:
    try:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head)
        while True:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(0 if len(part) > 10 else 0.05)
    except (ConnectionError, asyncio.IncompleteReadError):
        writer.close()


@pytest.mark.parametrize(
    ("head", "part", "status", "seconds"),
    [
        # Bytes without end are cut off, and what was answered counts.
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 4_096, 200, 60),
        # Slow ones take no longer than a try may take: of the head, of a header, of the body.
        (b"", b"H", None, 1),
        (b"HTTP/1.1 200 OK\r\nx: ", b"y", None, 1),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"z", None, 1),
        # A head without end is none.
        (b"HTTP/1.1 200 OK\r\n", b"x: " + b"y" * 4_000 + b"\r\n", None, 60),
        (b"", b"\0\xff" * 4_000, None, 60),
    ],
)
async def test_a_reply_is_bounded(
    names: Names, monkeypatch: pytest.MonkeyPatch, head: bytes, part: bytes, status: int | None, seconds: float
) -> None:
    monkeypatch.setattr(deliver, "REQUEST_S", seconds)
    server = await asyncio.start_server(lambda r, w: endless(r, w, head, part), "127.0.0.1", 0)
    attempt = await tried(names, f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    server.close()
    assert attempt.status == status
    assert (attempt.problem == "It did not answer within 1 s.") == (seconds == 1)
    assert (attempt.problem is None) == (status == 200)


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_every_2xx_takes_it(names: Names, status: int) -> None:
    async def answer(_: Got) -> bytes | None:
        return reply(status, body=b"thanks")

    async with receiving(answer) as receiver:
        assert (await tried(names, receiver.url)).problem is None


async def test_what_is_taken_asks_for_no_patience(names: Names) -> None:
    async def answer(_: Got) -> bytes | None:
        return reply(200, "retry-after: Mon, 02 Mar 99999999999 08:02:00 GMT")

    async with receiving(answer) as receiver:
        attempt = await tried(names, receiver.url)
    assert (attempt.problem, attempt.retry_after_s) == (None, None)


async def test_the_url_is_asked_for_as_it_was_given(names: Names) -> None:
    async with receiving() as receiver:
        base = receiver.url.partition("/till")[0]
        for path in ("/in;token=1/to;v=2?a=1;b=2", "", "?a=1"):
            assert (await tried(names, base + path)).problem is None
    lines = [one.line.split()[1] for one in receiver.got]
    assert lines == ["/in;token=1/to;v=2?a=1;b=2", "/", "/?a=1"]


async def test_an_ipv6_literal_has_its_brackets_in_the_host(names: Names) -> None:
    async with receiving() as receiver:
        server = await asyncio.start_server(receiver.serve, "::1", 0)
        port = server.sockets[0].getsockname()[1]
        private = Settings(webhooks_private_networks="::1").private_networks
        attempt = await tried(names, f"http://[::1]:{port}/in", private)
        server.close()
    assert attempt.problem is None
    assert receiver.got[0].headers["host"] == f"[::1]:{port}"


async def test_the_scheme_may_be_written_in_capitals(
    names: Names, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server = certified(tmp_path, "books.example")
    trusted = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))
    leading_to(monkeypatch, "127.0.0.1")
    # As if the address were out of the private networks, where nothing goes without https.
    monkeypatch.setattr(deliver, "is_private_allowed", lambda *_: False)
    async with receiving(tls=server) as receiver:
        port = receiver.url.split(":")[2].partition("/")[0]
        assert (await tried(names, f"HTTPS://books.example:{port}/in", tls=trusted)).problem is None


@pytest.mark.parametrize("status", [301, 302, 308, 400, 401, 404, 410, 429, 500, 503])
async def test_nothing_else_does(names: Names, status: int) -> None:
    async def answer(_: Got) -> bytes | None:
        return reply(status, "location: /", body=b"x" * 100_000)

    async with receiving(answer) as receiver:
        attempt = await tried(names, receiver.url)
    assert attempt.status == status
    assert str(attempt.problem).startswith(f"It answered {status}")


@pytest.mark.parametrize(
    "url", ["http://127.0.0.1:9/", "http://nowhere.invalid/", f"http://{'a' * 70}.example/", "http://a..b/"]
)
async def test_who_can_not_be_reached_is_a_sentence(names: Names, url: str) -> None:
    problem = str((await tried(names, url)).problem)
    # The last is said where a machine has nobody to ask for names, and waits.
    assert problem.startswith(("It can't be reached: ", "There was no connection", "It did not answer within"))


async def test_a_problem_is_one_short_line(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    def look_up(*_: object) -> list[str]:
        raise OSError("a\n" * 1_000)

    monkeypatch.setattr(deliver, "_look_up", look_up)
    problem = str((await tried(names, "https://books.example/")).problem)
    assert len(problem) == deliver.PROBLEM_CHARACTERS_MAX
    assert problem.isprintable()


async def test_a_slow_name_is_looked_up_once_at_a_time(names: Names, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    may_answer = threading.Event()

    def look_up(host: str, _: int) -> list[str]:
        asked.append(host)
        may_answer.wait()
        return ["127.0.0.1"]

    monkeypatch.setattr(deliver, "_look_up", look_up)
    monkeypatch.setattr(deliver, "REQUEST_S", 0.2)
    try:
        attempts = await asyncio.gather(*(tried(names, "http://slow.example:9/") for _ in range(5)))
        again = await tried(names, "http://slow.example:9/")
    finally:
        may_answer.set()
    assert {one.problem for one in (*attempts, again)} == {"It did not answer within 0.2 s."}
    assert asked == ["slow.example"]


async def test_a_connection_is_kept_between_messages(names: Names) -> None:
    connections = 0

    async with receiving() as receiver:
        serve = receiver.serve

        async def counted(reader: Any, writer: Any) -> None:
            nonlocal connections
            connections += 1
            await serve(reader, writer)

        server = await asyncio.start_server(counted, "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        sender = Receiver(url, names, tls_context(), LOOPBACK, lambda: datetime.now(UTC))
        for _ in range(5):
            assert (await sender.send(MESSAGE, [new_secret()])).problem is None
        await sender.close()
        server.close()
    assert (len(receiver.got), connections) == (5, 1)
