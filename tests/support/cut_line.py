"""A line that can be cut: a way through TCP to a server, which ends all that is on it and takes nothing new."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress


class CutLine:
    """What goes through one address to another; `cut` and `mend` change it, `bytes_left` cuts it in mid-message."""

    def __init__(self, host: str, port: int) -> None:
        self._to = (host, port)
        self._writers: set[asyncio.StreamWriter] = set()
        self.is_cut = False
        self.cut_after_bytes: int | None = None
        """Cut once so many bytes of replies went through: a server has worked, and nobody hears of it."""
        self.address = ""

    def cut(self) -> None:
        """End all connections, as a plug that is pulled, and let nobody in."""
        self.is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Let who comes through again."""
        self.is_cut, self.cut_after_bytes = False, None

    def lead_to(self, host: str, port: int) -> None:
        """Let who comes from now on through to another server."""
        self._to = (host, port)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self.is_cut:
            writer.transport.abort()
        far = None
        try:
            far_reader, far = await asyncio.open_connection(*self._to)
            self._writers.add(far)
            tasks = [
                asyncio.create_task(self._pass(reader, far, counted=False)),
                asyncio.create_task(self._pass(far_reader, writer, counted=True)),
            ]
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                task.cancel()
        except OSError:
            pass
        finally:
            for one in (writer, far):
                if one is not None:
                    self._writers.discard(one)
                    one.transport.abort()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, counted: bool) -> None:
        with suppress(OSError):
            while some := await reader.read(65_536):
                if counted and self.cut_after_bytes is not None:
                    self.cut_after_bytes -= len(some)
                    if self.cut_after_bytes < 0:
                        self.cut()
                        return
                writer.write(some)
                await writer.drain()


@asynccontextmanager
async def cut_line(host: str, port: int) -> AsyncIterator[CutLine]:
    """A line to a server for as long as the block lasts, whole at first; `address` is its near end."""
    line = CutLine(host, port)
    server = await asyncio.start_server(line._serve, "127.0.0.1", 0)
    line.address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield line
    finally:
        line.cut()
        server.close()
