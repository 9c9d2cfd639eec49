"""A page of another origin in a real browser."""

import asyncio
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Response

from services.platform.http.server import serve

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Needs Chromium: apt-get install chromium")
PAGE = """<!doctype html><title>waiting</title><body><pre id=out></pre><script>
const words = %s, seen = {};
function done() { document.getElementById("out").textContent = "RESULT" + JSON.stringify(seen) + "END"; }
%s
run().catch(error => { seen.failed = String(error); done(); });
</script>"""


@asynccontextmanager
async def page_of(script: str, words: dict[str, str]) -> AsyncIterator[str]:
    """The origin of a page; its `script` has `run()`, notes in `seen` and calls `done()`, and `words` when it is asked.

    The browser keeps a page that never calls it for as long as `shown` waits.
    """
    app = FastAPI()

    @app.get("/")
    async def page() -> Response:
        return Response(PAGE % (json.dumps(words), script), media_type="text/html")

    async with serve("127.0.0.1:0", app) as address:
        yield f"http://{address}"


async def shown(url: str, home: Path) -> dict[str, Any]:
    """What the page wrote once it was done, in a browser with a profile of its own."""
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", f"--user-data-dir={home / 'chromium'}"]
    timing = ["--virtual-time-budget=20000", "--timeout=80000", "--dump-dom", url]
    process = await asyncio.create_subprocess_exec(
        str(CHROMIUM),
        *options,
        *timing,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        env=os.environ | {"HOME": str(home)},
    )
    async with asyncio.timeout(100):
        dom = (await process.communicate())[0].decode()
    result: dict[str, Any] = json.loads(dom.partition("RESULT")[2].partition("END")[0])
    return result
