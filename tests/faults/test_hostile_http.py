"""What anybody may do to a service's HTTP port without a token, done to real processes of all three services."""

import asyncio
import re
import socket
from functools import partial
from uuid import uuid4

import httpx
import psutil

from deploy.embedded.trouble import free_port
from services.platform.http.server import CONNECTIONS_MAX
from services.platform.postgres.migrate import upgrade
from tests.support.commands import opening
from tests.support.market import Market
from tests.support.waiting import eventually

MEGABYTE = 1_000_000
HEAD_BYTES = 60 * MEGABYTE
SILENT = CONNECTIONS_MAX + 20
"""More than worker and reporting have places for; the gateway has ten thousand."""


async def test_neither_an_endless_head_nor_silence_takes_a_service_from_others(market: Market) -> None:
    await market.worker.stopped()
    await upgrade(market.settings.database_url, "services.reporting.migrations")
    free = f"127.0.0.1:{free_port(set())}"
    market.worker = market.start("sessions", TILL_SESSIONS_HTTP=free)
    gateway, reporting = market.start("gateway"), market.start("reporting")
    await market.worker.until_logged("worker_reads")
    await gateway.until_logged("gateway_started")
    await reporting.until_logged("reporting_started")
    addresses = {
        market.worker: f"http://{free}",
        gateway: gateway.address("gateway_started"),
        reporting: reporting.address("reporting_started"),
    }
    for process, address in addresses.items():
        url = httpx.URL(address)
        async with httpx.AsyncClient(base_url=url, timeout=20) as http:
            assert (await http.get("/health/live")).status_code == 200
            before = psutil.Process(process.pid).memory_info().rss
            status = await asyncio.to_thread(_endless_head, url)
            grown = psutil.Process(process.pid).memory_info().rss - before
            assert status == 431
            assert grown < HEAD_BYTES / 3
            silent = [await asyncio.open_connection(url.host, url.port) for _ in range(SILENT)]
            async with httpx.AsyncClient(base_url=url, timeout=20) as newcomer:
                assert (await newcomer.get("/health/live")).status_code == 200
                # A busy machine may need more than one look.
                await eventually(partial(_is_ready, newcomer))
                metrics = (await newcomer.get("/metrics")).text
            displaced = re.search(r'^till_http_connections_ended_total\{why="displaced"\} (\S+)', metrics, re.MULTILINE)
            assert (displaced is not None and float(displaced[1]) > 0) == (process is not gateway)
            for _, writer in silent:
                writer.transport.abort()
    async with httpx.AsyncClient(base_url=addresses[gateway], timeout=60) as http:
        reply = await http.post("/api/commands", json=opening("p1", str(uuid4())), headers=market.bearer("s1"))
        assert reply.status_code == 200


async def _is_ready(http: httpx.AsyncClient) -> bool:
    return (await http.get("/health/ready")).status_code == 200


def _endless_head(url: httpx.URL) -> int:
    """The status of a head that goes on for HEAD_BYTES, as far as the other side takes it."""
    assert url.port is not None
    with socket.create_connection((url.host, url.port), timeout=20) as line:
        try:
            line.sendall(b"GET /health/live HTTP/1.1\r\nhost: x\r\nx: ")
            for _ in range(HEAD_BYTES // MEGABYTE):
                line.sendall(b"y" * MEGABYTE)
        except ConnectionError:
            pass
        return int(line.recv(1_000).split()[1])
