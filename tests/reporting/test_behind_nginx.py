"""nginx in front, as the page of clients shows it: it takes a path off, keeps connections and logs no queries."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from deploy.embedded.trouble import free_port
from services.platform.http.server import serve
from services.platform.settings import Settings
from services.reporting.access import Callers
from services.reporting.api import reporting_app
from tests.reporting.closing_messages import closing
from tests.reporting.reader import keep
from tests.support.waiting import eventually

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
CLIENTS = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")
DAY = {"startTimestamp": "2025-01-01T00:00:00Z", "endTimestamp": "2025-01-02T00:00:00Z", "pageSize": "1"}

pytestmark = pytest.mark.skipif(NGINX is None, reason="Needs nginx: apt-get install nginx-light")


@asynccontextmanager
async def nginx(upstream: str, home: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A client of nginx with the page's own configuration."""
    port, log = free_port(set()), home / "access.log"
    block = CLIENTS.partition("```nginx\n")[2].partition("```")[0]
    for written, ours in (
        ("127.0.0.1:8080", upstream),
        ("listen 80;", f"listen 127.0.0.1:{port};"),
        ("/var/log/nginx/till.log", str(log)),
    ):
        assert written in block
        block = block.replace(written, ours)
    folders = " ".join(f"{kind}_temp_path {home / kind};" for kind in ("proxy", "fastcgi", "uwsgi", "scgi"))
    temporary = f"client_body_temp_path {home / 'body'}; {folders}"
    config = home / "nginx.conf"
    config.write_text(
        f"daemon off; master_process off; pid {home / 'nginx.pid'}; error_log {home / 'error.log'};\n"
        f"events {{}}\nhttp {{ {temporary}\n{block} }}\n",
        encoding="utf-8",
    )
    process = await asyncio.create_subprocess_exec(
        str(NGINX), "-p", str(home), "-c", str(config), stderr=asyncio.subprocess.DEVNULL
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:

            async def serves() -> bool:
                try:
                    return (await client.get("/")).status_code > 0
                except httpx.TransportError:
                    return False

            await eventually(serves)
            yield client
    finally:
        process.kill()
        await process.wait()


async def test_links_lead_through_the_proxy_and_its_log_holds_no_ticket(
    reporting: Settings, engine: AsyncEngine
) -> None:
    await keep(engine, closing(1), closing(2))
    settings = reporting.model_copy(update={"trusted_proxies": "127.0.0.0/8", "auth": "off"})
    stop = asyncio.Event()
    app = reporting_app(settings, engine, Callers(None, None), [], stop)
    async with serve("127.0.0.1:0", app) as address, nginx(address, reporting.home) as client:
        first = await client.get("/till/v1/cashier-sessions/", params=DAY)
        following = await client.get(first.json()["pagination"]["next"])
        root = await client.get("/till/")
        docs = await client.get(root.headers["location"])
        document = await client.get("/till/openapi.json")
        issued = await client.post("/till/api/stream-tickets")
        async with client.stream(
            "GET", "/till/api/closings/stream", params={"ticket": issued.json()["ticket"]}
        ) as reply:
            stream = reply.status_code
        # One after the other over the connections that nginx keeps: none is met by one that was just closed.
        statuses = {(await client.post("/till/api/stream-tickets")).status_code for _ in range(200)}
        stop.set()
    log = (reporting.home / "access.log").read_text(encoding="utf-8")

    assert first.json()["pagination"]["next"].startswith("/till/v1/cashier-sessions/?")
    assert (following.status_code, len(following.json()["data"])) == (200, 1)
    assert root.headers["location"].endswith("/till/docs")
    assert 'href="/till/openapi.json"' in docs.text
    assert document.json()["servers"] == [{"url": "/till"}]
    assert (stream, statuses) == (200, {200})
    assert "/api/closings/stream" in log
    assert issued.json()["ticket"] not in log
    assert "ticket=" not in log
