"""What the README of the register's side tells people to type runs as it stands, in what they have installed."""

import asyncio
import os
import re
import socket
import subprocess
from pathlib import Path

import pytest

from tests.register.distribution import FOLDER, build, install
from tests.support.access import new_key
from tests.support.market import Market

README = (FOLDER / "README.md").read_text(encoding="utf-8")
LINES_MAX = 30


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the distribution; its folder of programs."""
    return install(build(tmp_path_factory.mktemp("dist")), tmp_path_factory.mktemp("shop")).parent


def block(language: str) -> str:
    (code,) = re.findall(rf"^```{language}\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    return str(code)


def here(code: str, market: Market, profile: str) -> str:
    """The code with the names of this market in place of those that the page makes up."""
    for name, ours in (
        ("https://gateway.example", str(market.client.base_url).rstrip("/")),
        ("caja-1", profile),
        ("cafe", "s1"),
    ):
        assert name in code
        code = code.replace(name, ours)
    return code


def a_free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


async def typed(command: list[str], folder: Path, shop: Path) -> str:
    environment = {"PATH": f"{shop}:{os.environ['PATH']}"}
    done = await asyncio.to_thread(
        subprocess.run, command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


async def test_thirty_lines_of_python_close_a_first_session(market: Market, tmp_path: Path, shop: Path) -> None:
    await new_key(market.engine, tmp_path / "register.key")
    code = block("python")
    assert len(code.splitlines()) <= LINES_MAX

    output = await typed([str(shop / "python"), "-I", "-c", here(code, market, "p1")], tmp_path, shop)

    assert output.startswith('answered b\'{"kind":"session_closed"'), output
    assert len(output.splitlines()) == 1
    assert (await market.get("/api/sessions", profile="p1", state="closed")).json()["items"] != []


async def test_the_lines_of_the_agent_close_a_first_session(market: Market, tmp_path: Path, shop: Path) -> None:
    await new_key(market.engine, tmp_path / "register.key")
    port = a_free_port()
    code = here(block("sh"), market, "p2").replace("7700", str(port))
    script = f"set -e\nexport TILL_REGISTER_PORT={port}\n{code}\nkill -TERM %1\nwait %1"

    output = (await typed(["bash", "-mc", script], tmp_path, shop)).splitlines()

    assert '"kind":"session_opened"' in output[0]
    assert '"kind":"session_closed"' in output[3]
    assert '"state":"up"' in output[4]
    assert '"queued":0' in output[4]
