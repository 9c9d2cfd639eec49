"""A small app on a real listener in this process, and clients that write their requests byte by byte."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from fastapi import FastAPI, Request, Response

from services.platform.http.body import read_body
from services.platform.http.connection import TimeLimits
from services.platform.http.cross_origin import allow_origins
from services.platform.http.problems import Problem, problem
from services.platform.http.request_log import Requests
from services.platform.http.server import health_routes, serve
from services.platform.http.unforeseen import Unforeseen

BODY_BYTES_MAX = 100_000
LARGE_BYTES = 8_000_000
"""Twice what the system itself takes of a reply before its client takes any."""
ANSWER_LIMIT_S = 20.0
SHORT = TimeLimits(head_s=1.0, body_s=1.0, reply_s=1.0, keep_alive_s=3)


@dataclass
class Door:
    """Where the app listens, what it has seen, and who has come to it."""

    address: str
    clients: list["Client"] = field(default_factory=list)
    trailers: list[str] = field(default_factory=list)
    leave: asyncio.Event = field(default_factory=asyncio.Event)
    """What /held waits for."""
    held: int = 0
    """How many wait for it."""
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    """What /health/ready waits for."""
    checked: int = 0
    """How often it was asked."""

    async def check(self) -> None:
        self.checked += 1
        await self.ready.wait()

    async def client(self, address: str = "", sock: socket.socket | None = None) -> "Client":
        """A new connection, to `address` where another one is meant; `sock` is used for it."""
        host, _, port = (address or self.address).rpartition(":")
        sock = sock or socket.socket()
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, (host, int(port)))
        self.clients.append(Client(*await asyncio.open_connection(sock=sock, limit=1 << 16)))
        return self.clients[-1]

    async def close(self) -> None:
        for client in self.clients:
            client.writer.transport.abort()
        for client in self.clients:
            with suppress(OSError):
                await client.writer.wait_closed()


@dataclass
class Client:
    """One connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes, times: int = 1) -> int:
        """Send, as long as somebody takes it; returns how many bytes were."""
        for number in range(times):
            self.writer.write(data)
            try:
                async with asyncio.timeout(ANSWER_LIMIT_S):
                    await self.writer.drain()
            except ConnectionError:
                return number * len(data)
        return times * len(data)

    async def reply(self) -> tuple[int, bytes]:
        """The next reply: its status and its body."""
        async with asyncio.timeout(ANSWER_LIMIT_S):
            head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
            lines = head.split(b"\r\n")
            lengths = [int(line.split(b":")[1]) for line in lines if line.startswith(b"content-length:")]
            body = await self.reader.readexactly(lengths[0]) if lengths else b""
        return int(head.split()[1]), body

    async def status(self) -> int:
        """The next reply's status."""
        return (await self.reply())[0]

    async def ended(self) -> bytes:
        """Wait until the other side ends the connection; returns what came before."""
        rest = b""
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                while chunk := await self.reader.read(1 << 20):
                    rest += chunk
        except ConnectionError:
            pass
        return rest


@asynccontextmanager
async def open_door(
    limits: TimeLimits = SHORT, connections_max: int = 500, origins: Sequence[str] = ()
) -> AsyncIterator[Door]:
    """An app with a small reply, a large one, and a body to send, and its health; pages of `origins` may read them."""
    door = Door("")
    door.ready.set()
    handlers = {Problem: lambda _, error: problem(error.status, error.detail)}
    app = FastAPI(exception_handlers=handlers, routes=health_routes({"door": door.check}))

    @app.get("/small")
    async def small() -> Response:
        return Response(b"small")

    @app.get("/slow")
    async def slow() -> Response:
        await asyncio.sleep(0.3)
        return Response(b"slow")

    @app.get("/held")
    async def held() -> Response:
        door.held += 1
        await door.leave.wait()
        return Response(b"held")

    @app.get("/bug")
    async def bug() -> Response:
        raise ArithmeticError("a secret")

    @app.get("/large")
    async def large() -> Response:
        return Response(bytes(LARGE_BYTES))

    @app.post("/body")
    async def body(request: Request) -> Response:
        size = len(await read_body(request, BODY_BYTES_MAX))
        door.trailers += [name for name in request.headers if name.startswith("late-")]
        return Response(str(size))

    app.add_middleware(Unforeseen, reply=lambda _, status, detail: problem(status, detail))
    allow_origins(app, origins)
    app.add_middleware(Requests, apis={})
    async with serve("127.0.0.1:0", app, connections_max, limits, origins) as door.address:
        try:
            yield door
        finally:
            door.leave.set()
            await door.close()
