"""`till export`: a file that is there once it is whole, and standard output for what reads on."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pyarrow.parquet as pq
import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from services.cli import export
from services.platform.settings import Settings
from services.reporting import export_files, export_rows
from tests.reporting.many_closings import CLOSINGS, MESSAGES
from tests.reporting.reader import keep
from tests.support.command_line import command_line


def test_the_command_knows_the_words_of_the_service() -> None:
    assert [kind.value for kind in export.Kind] == list(export_rows.KINDS)
    assert [one.value for one in export.Format] == list(export_files.MEDIA_TYPES)
    assert [one.value for one in export.Delimiter] == list(export_files.DELIMITERS)
    assert [one.value for one in export.Decimals] == list(export_files.DECIMALS)


async def test_a_file_is_there_once_it_is_whole(
    reporting: Settings, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cli = command_line(reporting, monkeypatch)
    await keep(engine, *MESSAGES)
    file = tmp_path / "tenders.parquet"

    done = await cli("export", "tenders", "--store", "s2", "--format", "parquet", "--to-file", str(file))
    assert (done.exit_code, done.stderr) == (0, f"6 rows in {file}.\n")
    assert set(pq.read_table(file)["z_number"].to_pylist()) == {4, 5}

    shown = await cli("export", "closings", "--from", "2025-01-02", "--to", "2025-01-02", "--no-bom")
    assert shown.stdout.startswith("store_id,")
    assert len(shown.stdout.splitlines()) == 2
    assert shown.stderr == "1 rows.\n"
    assert len((await cli("export", "closings", "--profile", "p1", "--format", "jsonl")).stdout.splitlines()) == (
        sum(one["profile_id"] == "p1" for one in CLOSINGS)
    )

    # Others may read the next one as they may read this.
    file.chmod(0o600)
    assert (await cli("export", "tenders", "--format", "parquet", "--to-file", str(file))).exit_code == 0
    assert file.stat().st_mode & 0o777 == 0o600

    before = file.read_bytes()
    monkeypatch.setattr(export_files.ParquetFile, "end", lambda _: 1 / 0)
    broken = await cli("export", "closings", "--format", "parquet", "--to-file", str(file))
    assert broken.exit_code == 1
    assert [one.name for one in tmp_path.glob("tenders*")] == ["tenders.parquet"]
    assert file.read_bytes() == before


async def test_a_long_one_says_how_far_it_is(
    reporting: Settings, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    cli, shown = command_line(reporting, monkeypatch), list[tuple[str, int, int]]()

    @contextmanager
    def noted(label: str) -> Iterator[Callable[[int, int], None]]:
        yield lambda done, total: shown.append((label, done, total))

    monkeypatch.setattr(export, "progress_bar", noted)
    monkeypatch.setattr(export_rows, "PAGE_ROWS_MAX", 2)
    monkeypatch.setattr(export_rows, "CLOSINGS_PASSED_MAX", 2)
    await keep(engine, *MESSAGES)

    assert (await cli("export", "tenders")).exit_code == 0
    assert shown == [("tenders", 2, 5), ("tenders", 4, 5), ("tenders", 5, 5)]

    shown.clear()
    assert (await cli("export", "corrections")).exit_code == 0
    # However many looks that takes: what is counted is what there is of them.
    assert shown[-1] == ("corrections", 3, 3)
    assert [done for _, done, _ in shown] == sorted(done for _, done, _ in shown)


async def test_what_can_not_be_written_is_a_sentence(
    reporting: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cli = command_line(reporting, monkeypatch)

    nowhere = await cli("export", "closings", "--to-file", str(tmp_path / "no" / "file.csv"))
    assert (nowhere.exit_code, nowhere.stderr.split(" /")[0]) == (2, "There is no folder")

    def refused(*_: object) -> NoReturn:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as denied:
        denied.setattr(Path, "open", refused)
        closed = await cli("export", "closings", "--to-file", str(tmp_path / "file.csv"))
    assert (closed.exit_code, "file.csv.part can't be written" in closed.stderr) == (2, True)

    monkeypatch.setattr(export_files.importlib.util, "find_spec", lambda _: None)
    bare = await cli("export", "closings", "--format", "parquet", "--to-file", str(tmp_path / "file.parquet"))
    assert (bare.exit_code, "tillstream[parquet]" in bare.stderr) == (2, True)
    assert list(tmp_path.glob("file*")) == []
