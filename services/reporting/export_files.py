"""Rows as files: CSV for spreadsheets, JSON Lines, Parquet. Each is written part by part, and a part is forgotten.

What is exact stays exact: amounts with decimals are decimals in Parquet and texts in JSON, never binary fractions.
"""

import csv
import importlib.util
import re
from collections.abc import Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, Final

import orjson

from contracts.times import wire_time
from services.platform.errors import TillError
from services.platform.spreadsheets import MARK, harmless
from services.reporting.export_rows import Column

MEDIA_TYPES: Final = {
    "csv": "text/csv; charset=utf-8; header=present",
    "jsonl": "application/jsonl",
    "parquet": "application/vnd.apache.parquet",
}
"""The formats, and what each is called in a reply."""
DELIMITERS: Final = {"comma": ",", "semicolon": ";", "tab": "\t"}
DECIMALS: Final = {"point": ".", "comma": ","}
GROUP_ROWS: Final = 20_000
"""Rows of one group of a Parquet file: what is held of it in memory."""
DECIMAL_DIGITS: Final = (38, 4)
"""Of an amount in Parquet, all and behind the point: no currency has more than 4."""

_DIGITS: Final = re.compile(r"numeric\((\d+),(\d+)\)")

Rows = Sequence[tuple[Any, ...]]


class NoParquet(TillError):
    """What writes Parquet is not installed; the message says how it is."""


@dataclass(frozen=True, slots=True)
class Style:
    """How a file is written; all but `format` is about CSV."""

    format: str
    delimiter: str = "comma"
    mark: bool = True
    decimal: str = "point"


class CsvFile:
    """CSV as RFC 4180 has it, and harmless: its numbers are numbers, and its texts no formulas."""

    def __init__(self, columns: Sequence[Column], style: Style) -> None:
        self._columns = columns
        self._mark = style.mark
        self._delimiter = DELIMITERS[style.delimiter]
        self._decimal = DECIMALS[style.decimal]

    def begin(self) -> bytes:
        """The names of the columns."""
        return (MARK if self._mark else b"") + self._lines([[name for name, _ in self._columns]])

    def rows(self, rows: Rows) -> bytes:
        """A line for each."""
        if not rows:
            return b""
        cells = zip(*rows, strict=True)
        written = [self._column(column.type, values) for column, values in zip(self._columns, cells, strict=True)]
        return self._lines(zip(*written, strict=True))

    def end(self) -> bytes:
        """Nothing stands behind the last line."""
        return b""

    def _column(self, kind: str, values: Sequence[Any]) -> Sequence[Any]:
        if kind == "text":
            return [None if value is None else harmless(value, self._delimiter) for value in values]
        if kind == "timestamp with time zone":
            return [None if value is None else wire_time(value) for value in values]
        if kind == "boolean":
            return [None if value is None else str(value).lower() for value in values]
        if kind.startswith("numeric") and self._decimal != ".":
            return [None if value is None else value.replace(".", self._decimal) for value in values]
        return values

    def _lines(self, rows: Any) -> bytes:
        lines = StringIO()
        csv.writer(lines, delimiter=self._delimiter, lineterminator="\r\n").writerows(rows)
        return lines.getvalue().encode(errors="replace")


class JsonLinesFile:
    """An object a line; amounts with decimals are texts, as they are exact in no JSON number."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self._names = [name for name, _ in columns]

    def begin(self) -> bytes:
        """Nothing stands before the first line."""
        return b""

    def rows(self, rows: Rows) -> bytes:
        """A line for each."""
        return b"".join(orjson.dumps(dict(zip(self._names, row, strict=True)), option=_JSON) for row in rows)

    def end(self) -> bytes:
        """Nothing stands behind the last line."""
        return b""


_JSON: Final = orjson.OPT_APPEND_NEWLINE | orjson.OPT_UTC_Z


class ParquetFile:
    """Parquet, with decimals and with times that know their zone. Raises NoParquet where nothing can write it."""

    def __init__(self, columns: Sequence[Column]) -> None:
        if importlib.util.find_spec("pyarrow") is None:
            raise NoParquet("Parquet takes pyarrow, which is not installed here: pip install 'tillstream[parquet]'.")
        self._columns = columns

    def begin(self) -> bytes:
        """The file's first bytes."""
        # Some 50 MB of code that only who writes such a file pays for.
        import pyarrow as pa
        from pyarrow.parquet import ParquetWriter

        self._arrow = pa
        self._kinds = [_arrow_type(pa, kind) for _, kind in self._columns]
        names = [name for name, _ in self._columns]
        self._schema = pa.schema(list(zip(names, self._kinds, strict=True)))
        self._sink = _Sink()
        self._writer = ParquetWriter(pa.PythonFile(self._sink, mode="w"), self._schema, compression="zstd")
        self._waiting: list[Any] = []
        return self._sink.take()

    def rows(self, rows: Rows) -> bytes:
        """What is written once a group of rows is whole; mostly nothing."""
        if rows:
            cells = zip(*rows, strict=True)
            arrays = [self._array(values, kind) for values, kind in zip(cells, self._kinds, strict=True)]
            self._waiting.append(self._arrow.RecordBatch.from_arrays(arrays, schema=self._schema))
        return self._group() if sum(batch.num_rows for batch in self._waiting) >= GROUP_ROWS else b""

    def end(self) -> bytes:
        """The last group and the file's foot: without that it is no file."""
        last = self._group()
        self._writer.close()
        return last + self._sink.take()

    def _array(self, values: Sequence[Any], kind: Any) -> Any:
        if self._arrow.types.is_decimal(kind):
            return self._arrow.array(values, self._arrow.string()).cast(kind)
        return self._arrow.array(values, kind)

    def _group(self) -> bytes:
        if self._waiting:
            self._writer.write_table(self._arrow.Table.from_batches(self._waiting), row_group_size=2 * GROUP_ROWS)
            self._waiting.clear()
        return self._sink.take()


class _Sink:
    """What a writer of files takes for a file: what it has written is taken away at once."""

    def __init__(self) -> None:
        self.closed = False
        self._parts: list[bytes] = []
        self._length = 0

    def write(self, part: Any) -> int:
        self._parts.append(bytes(part))
        self._length += len(self._parts[-1])
        return len(self._parts[-1])

    def tell(self) -> int:
        return self._length

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.closed = True

    def take(self) -> bytes:
        parts, self._parts = self._parts, []
        return b"".join(parts)


File = CsvFile | JsonLinesFile | ParquetFile
"""`begin`, then `rows` as often as there are some, then `end`: the bytes of a file in their order."""


def new_file(columns: Sequence[Column], style: Style) -> File:
    """A file of this style, nothing of it written. Raises NoParquet."""
    if style.format == "csv":
        return CsvFile(columns, style)
    return JsonLinesFile(columns) if style.format == "jsonl" else ParquetFile(columns)


def _digits(kind: str) -> tuple[int, int]:
    digits = _DIGITS.fullmatch(kind)
    return DECIMAL_DIGITS if digits is None else (int(digits[1]), int(digits[2]))


def _arrow_type(arrow: Any, kind: str) -> Any:
    if kind.startswith("numeric"):
        return arrow.decimal128(*_digits(kind))
    return {
        "text": arrow.string(),
        "uuid": arrow.string(),
        "bigint": arrow.int64(),
        "boolean": arrow.bool_(),
        "date": arrow.date32(),
        "timestamp with time zone": arrow.timestamp("us", tz="UTC"),
    }[kind]
