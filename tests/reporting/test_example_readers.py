"""The readers in `contracts/examples/readers`, run as somebody would run them who takes them as a beginning."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

import contracts
from contracts.closings import GENESIS_HASH
from deploy.embedded import jars
from deploy.embedded.kafka import find_java
from deploy.embedded.trouble import StackError
from services.platform.kafka.topics import create_topics
from services.platform.settings import Settings
from tests.reporting.closing_messages import closing, value, voided
from tests.reporting.reader import publish
from tests.support.waiting import eventually

READERS: Final = Path(contracts.__file__).parent / "examples" / "readers"
LINES_MAX: Final = 60
"""Of code: a reader should be read in one go."""
COMMENTS: Final = ("//", "#")
REPORT: Final = {"\U0001f600": "\x01\x1f\x7f é", "\ufb33": [1, -5, 9_007_199_254_740_991], "a": {"é": None, "\r": True}}
"""A report of a register with all that canonical JSON is particular about."""


def _tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"Needs {name}: it is not on this machine.")
    return path


def _build(*command: str, folder: Path) -> None:
    built = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True, timeout=240)
    if built.returncode:
        pytest.skip(f"{' '.join(command)} did not work, perhaps for want of a line:\n{built.stdout}{built.stderr}")


def python(_folder: Path) -> list[str]:
    return [sys.executable, "read_closings.py"]


def node(folder: Path) -> list[str]:
    _build(_tool("npm"), "ci", "--no-audit", "--no-fund", folder=folder)
    return [_tool("node"), "read-closings.mjs"]


def go(folder: Path) -> list[str]:
    _build(_tool("go"), "build", "-o", "read-closings", ".", folder=folder)
    return [str(folder / "read-closings")]


def java(_folder: Path) -> list[str]:
    _tool("javac")
    try:
        return [find_java(), "-cp", jars.class_path(lambda *_: None), "ReadClosings.java"]
    except StackError as error:
        pytest.skip(f"Needs Kafka's jars: {error}")


LANGUAGES: Final[tuple[Callable[[Path], list[str]], ...]] = (python, node, go, java)


def _chain(store_id: str, *numbers: int, before: str = GENESIS_HASH) -> list[dict[str, Any]]:
    chain: list[dict[str, Any]] = []
    for number in numbers:
        before = chain[-1]["hash"] if chain else before
        chain.append(closing(number, store_id=store_id, prev_hash=before, sales_report=REPORT))
    return chain


async def _publish(settings: Settings, messages: Sequence[dict[str, Any]], partition: int) -> None:
    for message in messages:
        ce_id = message.get("correction_id", message["closing_id"])
        await publish(settings, [value(message)], partition, [("ce_id", ce_id.encode())])


@pytest.mark.timeout(600)
@pytest.mark.parametrize("language", LANGUAGES, ids=lambda language: language.__name__)
async def test_a_reader_takes_each_closing_once_and_stops_at_one_that_was_changed(
    language: Callable[[Path], list[str]], corner: Settings, tmp_path: Path
) -> None:
    folder = shutil.copytree(
        READERS / language.__name__, tmp_path / "reader", ignore=shutil.ignore_patterns("node_modules")
    )
    command = [*language(folder), corner.kafka, corner.topics.closings, "closings.seen"]
    await create_topics(corner)
    first, other = _chain("s1", 1, 2, 3), _chain("s2", 1, 2)
    await _publish(corner, [*first[:2], first[0], first[1], voided(first[0])], 0)
    await _publish(corner, other, 1)

    output = folder / "output"

    def started() -> subprocess.Popen[bytes]:
        with output.open("w") as file:
            return subprocess.Popen(command, cwd=folder, stdout=file, stderr=file)

    def seen() -> list[list[str]]:
        lines = (folder / "closings.seen").read_text() if (folder / "closings.seen").exists() else ""
        return sorted(parts for line in lines.splitlines() if (parts := line.split()))

    async def until(count: int, process: subprocess.Popen[bytes]) -> None:
        async def has_come() -> bool:
            assert process.poll() is None, output.read_text()
            return len(seen()) >= count

        await eventually(has_come, within_s=90)

    running = started()
    try:
        await until(5, running)
        running.kill()
        running.wait()
        # Of the next one, a crash left half a line.
        with (folder / "closings.seen").open("a") as file:
            file.write(f"{first[2]['closing_id']} s1/p1 {first[2]['hash'][:20]}")
        await _publish(corner, [first[0], first[2]], 0)
        running = started()
        await until(7, running)
        whole = [parts for parts in seen() if len(parts) == 4]
        expected = [[m["closing_id"], f"{m['store_id']}/p1", m["hash"], "closing"] for m in (*first, *other)]
        correction = voided(first[0])
        assert whole == sorted(
            [*expected, [correction["correction_id"], "s1/p1", first[1]["hash"], "closing_correction"]]
        )

        changed = _chain("s1", 4, before=first[2]["hash"])[0] | {"closing_note": "all was well"}
        await _publish(corner, [changed], 0)
        assert running.wait(60) == 1
        assert "s1/p1 closing 4 was changed" in output.read_text()
    finally:
        running.kill()
        running.wait()


def test_a_reader_is_read_in_one_go() -> None:
    for language in LANGUAGES:
        for suffix in ("py", "mjs", "go", "java"):
            for file in (READERS / language.__name__).glob(f"*.{suffix}"):
                lines = [line.strip() for line in file.read_text().splitlines()]
                code = [line for line in lines if line and not line.startswith(COMMENTS)]
                assert len(code) <= LINES_MAX, file
