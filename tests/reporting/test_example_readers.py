"""The readers in `contracts/examples/readers`, run as somebody would run them who takes them as a beginning."""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from contracts.closings import GENESIS_HASH, closing_hash
from contracts.jsontext import compact
from services.platform.kafka.topics import create_topics
from services.platform.settings import Settings
from tests.reporting.closing_messages import closing, value, voided
from tests.reporting.reader import publish
from tests.support.example_programs import PATIENCE_S, build, code_lines, of_each_language, sources
from tests.support.waiting import eventually

LINES_MAX: Final = 60
"""Of code: a reader should be read in one go."""
REPORT: Final = {"\U0001f600": "\x01\x1f\x7f é", "\ufb33": [1, -5, 9_007_199_254_740_991], "a": {"é": None, "\r": True}}
"""A report of a register with all that canonical JSON is particular about."""


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


class Reader:
    """One language's reader in a folder of its own, over one deployment's closings."""

    def __init__(self, folder: Path, command: Sequence[str], settings: Settings) -> None:
        self._folder = folder
        self._command = [*command, settings.kafka, settings.topics.closings, "closings.seen"]
        self._process: subprocess.Popen[bytes] | None = None
        self.seen_file = folder / "closings.seen"

    @property
    def output(self) -> str:
        """What it said, since it was started last."""
        return (self._folder / "output").read_text()

    def start(self) -> None:
        """Start it, for the first time or anew."""
        with (self._folder / "output").open("w") as file:
            self._process = subprocess.Popen(self._command, cwd=self._folder, stdout=file, stderr=file)

    def seen(self) -> list[list[str]]:
        """The words of each line of its file that is not empty, sorted."""
        lines = self.seen_file.read_text().splitlines() if self.seen_file.exists() else []
        return sorted(parts for line in lines if (parts := line.split()))

    async def until_seen(self, count: int) -> None:
        """Wait for so many lines; fails where it ends before."""
        process = self._process
        assert process is not None

        async def has_come() -> bool:
            assert process.poll() is None, self.output
            return len(self.seen()) >= count

        await eventually(has_come, within_s=PATIENCE_S)

    async def ended(self) -> int:
        """The status that it ends with by itself."""
        assert self._process is not None
        return await asyncio.to_thread(self._process.wait, PATIENCE_S)

    def kill(self) -> None:
        """End it as a crash would, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@pytest.fixture(scope="module")
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """A language's reader, built once for all tests: the folder and the words that start it there."""
    return build("readers", request.param, tmp_path_factory.mktemp("reader"))


@pytest.fixture
async def reader(built: tuple[Path, list[str]], corner: Settings) -> AsyncIterator[Reader]:
    """It over a topic of its own, not yet started and with nothing seen."""
    await create_topics(corner)
    reader = Reader(*built, corner)
    reader.seen_file.unlink(missing_ok=True)
    yield reader
    reader.kill()


@pytest.mark.timeout(1800)
@of_each_language
async def test_a_reader_takes_each_closing_once_and_stops_at_one_that_was_changed(
    reader: Reader, corner: Settings
) -> None:
    first, other = _chain("s1", 1, 2, 3), _chain("s2", 1, 2)
    await _publish(corner, [*first[:2], first[0], first[1], voided(first[0])], 0)
    await _publish(corner, other, 1)

    reader.start()
    await reader.until_seen(5)
    reader.kill()
    # Of the next one, a crash left half a line.
    with reader.seen_file.open("a") as file:
        file.write(f"{first[2]['closing_id']} s1/p1 {first[2]['hash'][:20]}")
    await _publish(corner, [first[0], first[2]], 0)
    reader.start()
    await reader.until_seen(7)
    whole = [parts for parts in reader.seen() if len(parts) == 4]
    expected = [[m["closing_id"], f"{m['store_id']}/p1", m["hash"], "closing"] for m in (*first, *other)]
    correction = voided(first[0])
    assert whole == sorted([*expected, [correction["correction_id"], "s1/p1", first[1]["hash"], "closing_correction"]])

    changed = _chain("s1", 4, before=first[2]["hash"])[0] | {"closing_note": "all was well"}
    await _publish(corner, [changed], 0)
    assert await reader.ended() == 1
    assert "s1/p1 closing 4 was changed" in reader.output

    # Who has looked into it passes it over by its own id, and what comes next follows the hash that it claims.
    fifth = _chain("s1", 5, before=changed["hash"])[0]
    await _publish(corner, [fifth], 0)
    with reader.seen_file.open("a") as file:
        file.write(f"{changed['closing_id']} s1/p1 {changed['hash']} closing\n")
    reader.start()
    await reader.until_seen(9)
    assert [fifth["closing_id"], "s1/p1", fifth["hash"], "closing"] in reader.seen()


@pytest.mark.timeout(1800)
@of_each_language
async def test_a_reader_that_misses_a_closing_names_it_and_its_till_and_goes_no_further(
    reader: Reader, corner: Settings
) -> None:
    whole, gap = _chain("s2", 1, 2, 3), _chain("s1", 1, 2, 3, 4)
    await _publish(corner, [*whole, gap[0], gap[1], gap[3]], 0)
    reader.start()
    assert await reader.ended() == 1
    assert _does_not_follow(gap[3], gap[1]["hash"]) in reader.output
    expected = [[m["closing_id"], f"{m['store_id']}/p1", m["hash"], "closing"] for m in (*whole, *gap[:2])]
    assert reader.seen() == sorted(expected)

    # Kafka was not told of closing 4, and who knows what became of closing 3 says so in the file.
    with reader.seen_file.open("a") as file:
        file.write(f"looked-into s1/p1 {gap[3]['prev_hash']} closing\n")
    reader.start()
    await reader.until_seen(len(expected) + 2)
    assert [gap[3]["closing_id"], "s1/p1", gap[3]["hash"], "closing"] in reader.seen()


@pytest.mark.timeout(1800)
@of_each_language
async def test_a_reader_notices_a_closing_that_was_replaced_by_one_with_a_hash_of_its_own(
    reader: Reader, corner: Settings
) -> None:
    """It is whole by itself, and follows: the one behind it tells."""
    true = _chain("s1", 1, 2, 3)
    replaced = closing(2, store_id="s1", prev_hash=true[0]["hash"], closing_note="all was well")
    assert replaced["hash"] != true[1]["hash"]
    await _publish(corner, [true[0], replaced, true[2]], 0)

    reader.start()
    assert await reader.ended() == 1
    assert _does_not_follow(true[2], replaced["hash"]) in reader.output


@pytest.mark.timeout(1800)
@of_each_language
async def test_a_reader_says_why_a_first_closing_is_none(reader: Reader, corner: Settings) -> None:
    """It has no number before its own that could be missing."""
    (first,) = _chain("s1", 1, before="ab" * 32)
    await _publish(corner, [first], 0)

    reader.start()
    assert await reader.ended() == 1
    assert _does_not_follow(first, GENESIS_HASH) in reader.output
    assert reader.seen() == []


def _without_number() -> tuple[dict[str, Any], bytes]:
    """A closing of a till's middle that has no number, with the hash of what it has."""
    (message,) = _chain("s1", 3, before="ab" * 32)
    del message["z_number"]
    message["hash"] = closing_hash(message)
    return message, compact(message)


@pytest.mark.timeout(1800)
@of_each_language
async def test_a_reader_names_what_it_could_not_take_and_where_it_lies(
    built: tuple[Path, list[str]], corner: Settings
) -> None:
    """It ends there, and its file says nothing of it: what can't be read may be a closing."""
    whole = _chain("s1", 1, 2)
    ce_ids = [[("ce_id", message["closing_id"].encode())] for message in whole]
    odd, number_missing = _without_number()
    cases: dict[str, tuple[bytes | None, list[tuple[str, bytes]], str]] = {
        "bare": (value(whole[1]), [], "partition 0 offset 1 could not be taken: "),
        "garbled": (value(whole[1])[:-1], ce_ids[1], "partition 0 offset 1 could not be taken: "),
        "empty": (None, ce_ids[1], "partition 0 offset 1 could not be taken: "),
        "nameless": (b"{}", ce_ids[1], "partition 0 offset 1 could not be taken: "),
        "numberless": (number_missing, ce_ids[1], f"does not follow: its prev_hash is {odd['prev_hash']}"),
    }
    for name, (record, headers, complaint) in cases.items():
        settings = corner.model_copy(update={"topic_prefix": f"{corner.topic_prefix}{name}."})
        await create_topics(settings)
        await publish(settings, [value(whole[0])], 0, ce_ids[0])
        await publish(settings, [record], 0, headers)
        reader = Reader(*built, settings)
        reader.seen_file.unlink(missing_ok=True)
        try:
            reader.start()
            assert await reader.ended() == 1, name
            assert complaint in reader.output, name
            assert "panic" not in reader.output, name
        finally:
            reader.kill()
        assert [words[0] for words in reader.seen()] == [whole[0]["closing_id"]], name


def _does_not_follow(message: dict[str, Any], before: str) -> str:
    name = f"{message['store_id']}/p1 closing {message['z_number']}"
    return f"{name} does not follow: its prev_hash is {message['prev_hash']}, the last one taken has {before}"


def test_a_reader_is_read_in_one_go() -> None:
    assert {file: lines for file in sources("readers") if (lines := code_lines(file)) > LINES_MAX} == {}
