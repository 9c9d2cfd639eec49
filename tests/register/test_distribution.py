"""What a shop installs: the agent and its library alone, with the wire's models and none of what servers need."""

import asyncio
import json
import os
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from services.register import __version__
from tests.register.distribution import ENTERED, TOP, build, install

RSS_BYTES_MAX = 60 * 1024 * 1024
EVERY_MODULE = """
import importlib, pkgutil, sys, tillstream_register, contracts
for package in (tillstream_register, contracts):
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
        if sys.argv[1:] or not module.name.endswith(".kafka_line"):
            importlib.import_module(module.name)
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def python(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return install(wheel, tmp_path_factory.mktemp("shop"))


def run(python: Path, code: str, *arguments: str) -> str:
    command = [str(python), "-I", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_of_it_can_be_imported_with_what_it_says_that_it_needs(python: Path) -> None:
    loaded = set(run(python, EVERY_MODULE).split())
    assert {"tillstream_register", "contracts", "pydantic", "httpcore"} <= loaded
    servers = {"services", "aiokafka", "asyncpg", "babel", "fastapi", "httpx", "jinja2", "sqlalchemy", "structlog"}
    assert loaded.isdisjoint(servers)


def test_with_its_extra_it_speaks_kafka(wheel: Path, tmp_path: Path) -> None:
    assert "aiokafka" in run(install(wheel, tmp_path / "shop", "kafka"), EVERY_MODULE, "all").split()


def test_it_has_the_version_of_the_whole(wheel: Path) -> None:
    whole = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    assert (__version__, wheel.name.split("-")[:2]) == (whole, ["tillstream_register", whole])


async def test_the_agent_runs_there_in_little_memory_and_stops_when_it_is_asked(
    python: Path, tmp_path: Path, record_property: Any
) -> None:
    """Its start is measured, and not judged: the machine may be busy."""
    environment = {
        "TILL_REGISTER_OUTBOX": str(tmp_path / "register.outbox"),
        "TILL_REGISTER_STORE_ID": "cafe",
        "TILL_REGISTER_PROFILE_ID": "caja-1",
        "TILL_REGISTER_ACTOR": "ana",
        "TILL_REGISTER_CURRENCY": "MXN",
        "TILL_REGISTER_PORT": "0",
        "TILL_REGISTER_GATEWAY_URL": "https://127.0.0.1:9",
        "TILL_REGISTER_API_KEY": "nobody's key",
    }
    begun = asyncio.get_running_loop().time()
    process = await asyncio.create_subprocess_exec(
        str(python), "-I", "-c", ENTERED, env=environment, stderr=asyncio.subprocess.PIPE
    )
    try:
        assert process.stderr is not None
        line = json.loads(await process.stderr.readline())
        start_s = asyncio.get_running_loop().time() - begun
        assert line["event"] == "register_started"
        async with httpx.AsyncClient(base_url=f"http://{line['address']}", timeout=60) as client:
            assert (await client.post("/open", json={"float_minor": 50_000})).status_code == 202
            for number in range(200):
                sale = {"order_id": f"A-{number}", "total_minor": 100}
                assert (await client.post("/sale", json=sale)).status_code == 202
            assert (await client.get("/")).status_code == 200
            status = (await client.get("/status")).json()
        assert (status["queued"], status["version"]) == (201, __version__)
        memory = psutil.Process(process.pid).memory_info()
        mib = memory.rss / 1024 / 1024
        record_property("walls", f"the agent: {start_s:.2f} s to its start, {mib:.0f} MiB with 201 commands queued")
        assert memory.rss < RSS_BYTES_MAX
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 60) == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


def test_what_is_set_up_wrongly_and_what_passes_are_sentences_and_exit_codes(python: Path, tmp_path: Path) -> None:
    base = {"PATH": os.environ["PATH"], "TILL_REGISTER_OUTBOX": str(tmp_path / "o"), "TILL_REGISTER_PORT": "0"}

    def started(python: Path = python, **changed: str) -> tuple[int, str]:
        command = [str(python), "-I", "-c", ENTERED]
        done = subprocess.run(command, env=base | changed, capture_output=True, text=True, check=False)
        assert "Traceback" not in done.stderr
        return done.returncode, done.stderr

    for wrong, sentence in (
        ({"TILL_REGISTER_PORT": "port"}, "TILL_REGISTER_PORT: "),
        ({"TILL_REGISTER_GATEWAY_URL": "http://gateway.example"}, "TILL_REGISTER_ALLOW_HTTP"),
        ({"TILL_REGISTER_KAFKA": "kafka:9092"}, "set TILL_REGISTER_GATEWAY_URL"),
        ({"TILL_REGISTER_GATEWAY_URL": "https://g", "TILL_REGISTER_CA_FILE": str(tmp_path)}, "holds no certificates"),
    ):
        code, output = started(**wrong)
        assert (code, sentence in output) == (2, True), output
    first = subprocess.Popen([str(python), "-I", "-c", ENTERED], env=base, stderr=subprocess.PIPE, text=True)
    try:
        assert first.stderr is not None
        line = json.loads(first.stderr.readline())
        code, output = started()
        assert (code, str(first.pid) in output) == (1, True), output
        # Whose address is taken has not begun to send: it does not touch the outbox.
        other = tmp_path / "other"
        port = line["address"].rpartition(":")[2]
        code, output = started(TILL_REGISTER_PORT=port, TILL_REGISTER_OUTBOX=str(other))
        assert (code, "Another TILL_REGISTER_PORT may be free" in output, other.exists()) == (1, True, False), output
    finally:
        first.terminate()
        first.communicate()


def test_it_does_not_start_where_the_models_are_anothers(wheel: Path, tmp_path: Path) -> None:
    python = install(wheel, tmp_path / "shop")
    (site,) = python.parent.parent.glob("lib/python*/site-packages")
    (site / "services").mkdir()
    done = subprocess.run([str(python), "-I", "-c", ENTERED], env={}, capture_output=True, text=True, check=False)
    assert (done.returncode, "an environment of its own" in done.stderr) == (2, True), done.stderr
