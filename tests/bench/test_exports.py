"""Files of the bench: nothing is counted that DuckDB does not find in them as SQL has it."""

from pathlib import Path
from typing import Any

import pytest

from services.platform.settings import Settings
from tests.bench import exports
from tests.bench.corner import BenchFailed


async def test_every_file_is_read_back_and_adds_up(
    corner: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    progress = list[int]()
    done = await exports.measure(corner, 300, tmp_path, progress.append)

    assert [(one.kind, one.format) for one in done] == list(exports.FILES)
    assert [one.rows for one in done] == [300, 300, 300, 1_400]
    assert all(one.rss_peak_mib > 0 and one.file_bytes > 0 for one in done)
    assert progress[-1] == 300
    assert not [file for file in tmp_path.iterdir() if file.suffix != ".log"]

    async def more(*_: Any) -> list[tuple[Any, ...]]:
        return []

    monkeypatch.setattr(exports, "_in_sql", more)
    monkeypatch.setattr(exports.closings_list, "fill", more)
    with pytest.raises(BenchFailed, match="closings as csv add up to"):
        await exports.measure(corner, 300, tmp_path, progress.append)
