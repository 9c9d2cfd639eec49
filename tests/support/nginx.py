"""nginx in front of a service, with the configuration that the page of clients shows."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest

from deploy.embedded.trouble import free_port
from tests.support.waiting import eventually

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
needs_nginx = pytest.mark.skipif(NGINX is None, reason="Needs nginx: apt-get install nginx-light")
CLIENTS = (Path(__file__).parents[2] / "docs" / "clients.md").read_text(encoding="utf-8")


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
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

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
