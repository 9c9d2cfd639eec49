"""The door of a broker of Amazon's MSK with IAM: it checks who logs in as that one does, and passes all else on.

Amazon's own servers can't be had. What they look at is public: the token is a URL of theirs, signed with the secret of
an access key (Signature Version 4), for the action `kafka-cluster:Connect`, good for 15 minutes.
"""

import asyncio
import base64
import datetime as dt
import hashlib
import hmac
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl, quote, urlsplit

ACCESS_KEY: Final = "AKIDTILLSTREAM"
SECRET_KEY: Final = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
SESSION_TOKEN: Final = "FwoGZXIvYXdzEBc/a+session=="
REGION: Final = "eu-west-3"
ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_SECRET_ACCESS_KEY": SECRET_KEY,
    "AWS_SESSION_TOKEN": SESSION_TOKEN,
    # Nothing else of the machine says who it is, and nobody is asked on the network.
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
}
"""What AWS gives a machine."""

_HANDSHAKE, _AUTHENTICATE, _API_VERSIONS = 17, 36, 18
_FLEXIBLE: Final = 2
_FAILED, _NOT_OFFERED = 58, 33


class BadToken(ValueError):
    """Amazon would not let the bearer in; the message says why."""


def read_token(token: str, now: dt.datetime) -> dict[str, str]:
    """What a token says, by the members of its URL and `host`. Raises BadToken."""
    url = urlsplit(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode())
    members = dict(parse_qsl(url.query, keep_blank_values=True, strict_parsing=True))
    signed = {name: text for name, text in members.items() if name not in {"X-Amz-Signature", "User-Agent"}}
    query = "&".join(f"{quote(name, safe='')}={quote(signed[name], safe='')}" for name in sorted(signed))
    key_id, *scope = members["X-Amz-Credential"].split("/")
    request = f"GET\n/\n{query}\nhost:{url.netloc}\n\nhost\n{hashlib.sha256(b'').hexdigest()}"
    text = "\n".join(
        ("AWS4-HMAC-SHA256", members["X-Amz-Date"], "/".join(scope), hashlib.sha256(request.encode()).hexdigest())
    )
    key = f"AWS4{SECRET_KEY}".encode()
    for part in (*scope, text):
        key = hmac.digest(key, part.encode(), "sha256")
    if key_id != ACCESS_KEY or not hmac.compare_digest(key.hex(), members["X-Amz-Signature"]):
        raise BadToken("the signature is not that of an access key that is known here")
    begins = dt.datetime.strptime(members["X-Amz-Date"], "%Y%m%dT%H%M%S%z")
    if not -300 <= (now - begins).total_seconds() < int(members["X-Amz-Expires"]) <= 900:
        raise BadToken("the token does not count now")
    if members["Action"] != "kafka-cluster:Connect" or scope[1:] != [REGION, "kafka-cluster", "aws4_request"]:
        raise BadToken("the token is for something else")
    return members | {"host": url.netloc}


@dataclass
class Door:
    """Where to log in, and what those said who were let in."""

    address: str
    broker_port: int
    let_in: list[dict[str, str]] = field(default_factory=list)

    async def pass_through(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        """One connection: log in, and then all bytes of both as they come."""
        broker, forth = await asyncio.open_connection("127.0.0.1", self.broker_port)
        passing: list[asyncio.Task[None]] = []
        try:
            while await self._asks_to_log_in(client, back, broker, forth):
                pass
            passing = [asyncio.create_task(_pump(client, forth)), asyncio.create_task(_pump(broker, back))]
            await asyncio.wait(passing, return_when=asyncio.FIRST_COMPLETED)
        except (OSError, asyncio.IncompleteReadError, BadToken):
            pass
        finally:
            for task in passing:
                task.cancel()
            for writer in (back, forth):
                with suppress(OSError):
                    writer.close()

    async def _asks_to_log_in(
        self,
        client: asyncio.StreamReader,
        back: asyncio.StreamWriter,
        broker: asyncio.StreamReader,
        forth: asyncio.StreamWriter,
    ) -> bool:
        """Reply to one request of a client that is not let in yet; False once it is."""
        request = await _frame(client)
        kind, version, correlation = struct.unpack_from(">hhi", request)
        if kind == _API_VERSIONS:
            forth.write(struct.pack(">i", len(request)) + request)
            reply = await _frame(broker)
        elif kind == _HANDSHAKE:
            offered = request.endswith(b"\0\x0bOAUTHBEARER")
            reply = struct.pack(">ihih", correlation, 0 if offered else _NOT_OFFERED, 1, 11) + b"OAUTHBEARER"
        elif kind == _AUTHENTICATE:
            begin = request.index(b"n,,\x01auth=Bearer ")
            token = request[begin:].removeprefix(b"n,,\x01auth=Bearer ").partition(b"\x01")[0].decode()
            try:
                self.let_in.append(read_token(token, dt.datetime.now(dt.UTC)))
            except BadToken as bad:
                back.write(_framed(_authenticated(version, correlation, _FAILED, str(bad))))
                await back.drain()
                raise
            back.write(_framed(_authenticated(version, correlation, 0, "")))
            return False
        else:
            raise BadToken(f"request {kind} before anybody logged in")
        back.write(_framed(reply))
        return True


@asynccontextmanager
async def msk_door(port: int, broker_port: int, trust: ssl.SSLContext) -> AsyncIterator[Door]:
    """The door of the broker at `broker_port`, over TLS, for as long as the block lasts."""
    door = Door(f"127.0.0.1:{port}", broker_port)
    server = await asyncio.start_server(door.pass_through, "127.0.0.1", port, ssl=trust)
    try:
        yield door
    finally:
        server.close()


def _authenticated(version: int, correlation: int, code: int, message: str) -> bytes:
    """The reply to SaslAuthenticate. It says no life of the session: whoever says one is asked to log in anew."""
    text = message.encode()
    if version >= _FLEXIBLE:
        return struct.pack(">ibhb", correlation, 0, code, len(text) + 1) + text + struct.pack(">bqb", 1, 0, 0)
    life = struct.pack(">q", 0) if version else b""
    return struct.pack(">ihh", correlation, code, len(text)) + text + struct.pack(">i", 0) + life


def _framed(reply: bytes) -> bytes:
    return struct.pack(">i", len(reply)) + reply


async def _frame(reader: asyncio.StreamReader) -> bytes:
    (size,) = struct.unpack(">i", await reader.readexactly(4))
    return await reader.readexactly(size)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
        await writer.drain()
