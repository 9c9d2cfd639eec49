"""What comes on a connection, byte by byte: heads, bodies in chunks, requests in a row, before any route is asked."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

from uvicorn.config import Config
from uvicorn.server import ServerState

from contracts.jsontext import BODY_BYTES_MAX
from services.platform.http.connection import PIPELINED_MAX, TIME_LIMITS, Connection, Crowd
from services.platform.http.cross_origin import OutsideReplies
from services.platform.http.server import CONNECTIONS_MAX
from tests.costs.cost_fuzzer import Target, Work
from tests.costs.http_apps import LOOP
from tests.costs.http_targets import KEPT_MAX, good_byte

HEAD: Final = (
    b"GET /api/sessions?store=parrot-cafe&limit=10 HTTP/1.1\r\nhost: till.example\r\nuser-agent: caja/1.0\r\n"
    b"accept: application/json\r\naccept-encoding: gzip\r\nauthorization: Bearer %b\r\n\r\n" % (b"a" * 300)
)
CHUNKED: Final = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
TOKENS: Final = (
    *(b"\r\n", b"\r\n\r\n", b"\n", b"\r", b":", b" ", b"\t", b"a: b\r\n", b"GET / HTTP/1.1\r\n\r\n", b"&", b"?", b"%"),
    *(b"GET / HTTP/1.0\r\n\r\n", b"content-length: 1\r\n", b"content-length: 0\r\n", b"connection: close\r\n"),
    *(b"transfer-encoding: chunked\r\n", b"1\r\na\r\n", b"0\r\n\r\n", b"1;a=b\r\na\r\n", b"upgrade: h2c\r\n"),
    *(b"expect: 100-continue\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"HEAD", b"CONNECT x:1", b"\x00", b"\xff"),
)


class Unread(asyncio.Transport):
    """A connection of which only that it was ended is known."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 80)})
        self._ended = False

    def write(self, data: Any) -> None:
        pass

    def is_closing(self) -> bool:
        return self._ended

    def close(self) -> None:
        self._ended = True

    abort = close

    def write_eof(self) -> None:
        pass

    pause_reading = resume_reading = write_eof

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


async def app(_scope: Any, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
    """Reads a body as routes do, up to a bound, and replies."""
    size, more = 0, True
    while more and size <= BODY_BYTES_MAX:
        message = await receive()
        size, more = size + len(message.get("body", b"")), message.get("more_body", False)
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


def head_targets() -> list[Target]:
    """A search in all that one connection sends; so many requests in a row as are taken are what a good one sends."""
    config = Config(app, access_log=False, log_config=None, lifespan="off", ws="none", proxy_headers=False)
    config.load()
    state = ServerState()
    crowd = Crowd(CONNECTIONS_MAX, TIME_LIMITS, OutsideReplies(()))

    async def serve(data: bytes) -> None:
        connection = Connection(config, state, {}, LOOP, crowd=crowd)
        connection.connection_made(Unread())
        connection.data_received(data)
        await asyncio.sleep(0)
        connection.connection_lost(None)
        while state.tasks:
            await asyncio.sleep(0)

    def prepare(data: bytes) -> Work:
        return lambda: LOOP.run_until_complete(serve(data))

    chunks = CHUNKED + b"1\r\na\r\n" * 1_000
    seeds = [HEAD, CHUNKED, chunks, b"GET / HTTP/1.1\r\n\r\n" * 100, HEAD[:-2] + b"a: b\r\n" * 90 + b"\r\n"]
    good = HEAD * PIPELINED_MAX
    return [
        Target("one connection", good, prepare, BODY_BYTES_MAX, 12, 400, KEPT_MAX, TOKENS, seeds, good_byte()),
    ]
