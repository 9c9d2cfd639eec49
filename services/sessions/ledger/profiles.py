"""Master data as a file: profiles are read from CSV, all rows or none, and written as such a file."""

import csv
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TextIO

import orjson
from pydantic import TypeAdapter, ValidationError
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.jsontext import SAFE_INTEGER
from contracts.money import CURRENCY_EXPONENTS, is_one
from contracts.profiles import DAY_STARTS_AT, LATE_WINDOW_S, OWN_PROVIDER, SECONDS_MAX, profile_hash
from contracts.values import ID_TEXT, Tender, Tenders
from contracts.zones import ZONE_BYTES_MAX, ZONES
from services.platform.errors import TillError

REQUIRED: Final = ("store_id", "profile_id", "name", "currency")
COLUMNS: Final = (
    *REQUIRED,
    "tenders",
    "over_short_limit_minor",
    "blind",
    "idle_close_after_s",
    "late_window_s",
    "allow_negative_drawer",
    "business_day_starts_at",
    "own_provider",
    "enabled",
    "store_name",
    "company_id",
    "time_zone",
)
NAME_BYTES_MAX: Final = 128
WORD_BYTES_MAX: Final = 64

_TIME_OF_DAY: Final = re.compile(r"([01]\d|2[0-3]):[0-5]\d", re.ASCII)
_TENDERS: Final[TypeAdapter[tuple[Tender, ...]]] = TypeAdapter(Tenders)

EXPORT: Final = text(f"SELECT {', '.join(COLUMNS)} FROM profiles ORDER BY store_id, profile_id")  # noqa: S608 - constants
ProfileRow = dict[str, Any]
"""A profile with all its settings, defaults filled in; `tenders` as JSON text, an empty list where there are none."""


class BadRow(TillError, ValueError):
    """A row of the file can't be taken; `line` counts from 1, the header included."""

    def __init__(self, line: int, problem: str) -> None:
        super().__init__(f"line {line}: {problem}")
        self.line = line


def read_profiles(path: Path) -> list[ProfileRow]:
    """The profiles in a CSV file. Raises BadRow for the first row that can't be taken."""
    with path.open(encoding="utf-8-sig", newline="") as file:
        try:
            return list(_rows(csv.DictReader(file, strict=True)))
        except UnicodeDecodeError as error:
            raise BadRow(1, f"the file is not UTF-8 (byte {error.start})") from error


def row_hash(row: ProfileRow) -> str:
    """The hash of a row's settings, as `contracts.profiles` has it."""
    settings = {name: row[name] for name in COLUMNS if name not in ("store_id", "profile_id")}
    return profile_hash(settings | {"tenders": orjson.loads(row["tenders"]) or None})


async def write_file(tx: AsyncConnection, file: TextIO) -> int:
    """Write all profiles as a file that `read_profiles` takes; how many there are."""
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = list(await tx.execute(EXPORT))
    writer.writerows([_written(value) for value in row] for row in rows)
    return len(rows)


def _written(value: Any) -> str:
    match value:
        case None | []:
            return ""
        case bool():
            return "true" if value else "false"
        case list():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def _rows(reader: "csv.DictReader[str]") -> Iterator[dict[str, Any]]:
    try:
        header = reader.fieldnames or ()
    except csv.Error as error:
        raise BadRow(1, f"the header can't be read: {error}") from error
    if len(set(header)) != len(header):
        raise BadRow(1, "the header names a column twice")
    missing, unknown = set(REQUIRED) - set(header), set(header) - set(COLUMNS)
    if missing or unknown:
        named = f"without {', '.join(sorted(missing))}" if missing else f"with unknown {', '.join(sorted(unknown))}"
        raise BadRow(1, f"the header is {named}; columns are {', '.join(COLUMNS)}")
    seen: dict[tuple[str, str], int] = {}
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            raise BadRow(reader.line_num, f"not CSV: {error}") from error
        if row is None:
            return
        line = reader.line_num
        try:
            profile = _profile(row)
        except ValueError as error:
            raise BadRow(line, str(error)) from error
        key = (profile["store_id"], profile["profile_id"])
        if key in seen:
            raise BadRow(line, f"profile {key[1]} of store {key[0]} stands on line {seen[key]} already")
        seen[key] = line
        yield profile


def _profile(row: Mapping[str | None, Any]) -> dict[str, Any]:
    if None in row:
        raise ValueError("more fields than the header has columns")
    if any(value is None for value in row.values()):
        raise ValueError("fewer fields than the header has columns")
    values = {name: row.get(name) or "" for name in COLUMNS}
    currency = values["currency"]
    if currency not in CURRENCY_EXPONENTS:
        raise ValueError(f"ISO 4217 lists no currency {currency!r}")
    profile = {
        "store_id": _id(values, "store_id"),
        "profile_id": _id(values, "profile_id"),
        "name": _text(values, "name", NAME_BYTES_MAX),
        "currency": currency,
        "tenders": orjson.dumps(_tenders(values["tenders"], currency)).decode(),
        "over_short_limit_minor": _integer(values, "over_short_limit_minor", SAFE_INTEGER),
        "blind": _flag(values, "blind", default=False),
        "idle_close_after_s": _integer(values, "idle_close_after_s", SECONDS_MAX, least=1),
        "late_window_s": LATE_WINDOW_S,
        "allow_negative_drawer": _flag(values, "allow_negative_drawer", default=True),
        "business_day_starts_at": values["business_day_starts_at"] or DAY_STARTS_AT,
        "own_provider": _text(values, "own_provider", WORD_BYTES_MAX, default=OWN_PROVIDER),
        "enabled": _flag(values, "enabled", default=True),
        "store_name": _text(values, "store_name", NAME_BYTES_MAX, default=values["store_id"]),
        "company_id": _id(values, "company_id") if values["company_id"] else None,
        "time_zone": _zone(values),
    }
    late_window_s = _integer(values, "late_window_s", SECONDS_MAX)
    if late_window_s is not None:
        profile["late_window_s"] = late_window_s
    if not _TIME_OF_DAY.fullmatch(str(profile["business_day_starts_at"])):
        raise ValueError("business_day_starts_at is HH:MM")
    if profile["blind"] and not profile["allow_negative_drawer"]:
        raise ValueError("a blind profile must allow a negative drawer: the refusal would tell the expected figure")
    return profile


def _tenders(written: str, currency: str) -> list[dict[str, Any]]:
    """The tenders of a profile; none means cash in the profile's currency."""
    if not written:
        return []
    try:
        tenders = _TENDERS.validate_python(json.loads(written))
    except json.JSONDecodeError as error:
        raise ValueError(f"tenders is not JSON: {error.msg}") from error
    except RecursionError as error:
        raise ValueError("tenders is nested too deeply") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        path = ".".join(map(str, first["loc"])) or "tenders"
        raise ValueError(f"tenders: {path}: {first['msg'].removeprefix('Value error, ')}") from error
    for tender in tenders:
        if tender.currency == currency and not is_one(tender.exchange_rate):
            raise ValueError(f"tender {tender.id} is in the profile's own currency: its exchange_rate is 1")
    return [tender.model_dump() for tender in tenders]


def _id(values: Mapping[str, str], name: str) -> str:
    if not ID_TEXT.fullmatch(values[name]):
        raise ValueError(f"{name} is 1 to 64 of A-Z a-z 0-9 . _ : -")
    return values[name]


def _zone(values: Mapping[str, str]) -> str | None:
    name = values["time_zone"]
    if name and name not in ZONES:
        raise ValueError(f"time_zone {name[:ZONE_BYTES_MAX]!r} is no name of the tz database, as Europe/Lisbon is")
    return name or None


def _text(values: Mapping[str, str], name: str, longest: int, default: str = "") -> str:
    value = values[name] or default
    if not 1 <= len(value.encode()) <= longest or not value.isprintable():
        raise ValueError(f"{name} is 1 to {longest} bytes of printable text")
    return value


def _integer(values: Mapping[str, str], name: str, most: int, least: int = 0) -> int | None:
    written = values[name]
    if not written:
        return None
    if not (written.isascii() and written.isdigit() and len(written) <= 16 and least <= int(written) <= most):
        raise ValueError(f"{name} is a whole number from {least} to {most}, or empty")
    return int(written)


def _flag(values: Mapping[str, str], name: str, *, default: bool) -> bool:
    written = values[name]
    if written not in ("", "true", "false"):
        raise ValueError(f"{name} is true or false")
    return written == "true" if written else default
