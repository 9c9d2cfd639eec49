"""Exports: files that DuckDB, pyarrow and spreadsheets read back as the closings are, of the caller's stores alone."""

import asyncio
import csv
import gc
import io
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import httpx
import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from prometheus_client import REGISTRY
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine

from contracts.money import CURRENCY_EXPONENTS
from services.platform.auth.store_scope import StoreScope
from services.platform.spreadsheets import MARK
from services.reporting import export_files, export_rows, exports
from services.reporting.access import Callers
from services.reporting.export_files import MEDIA_TYPES
from services.reporting.export_rows import KINDS, pages
from services.reporting.search import Selection
from tests.reporting.closing_messages import closing, value
from tests.reporting.closing_pages import Token, problem, z_numbers
from tests.reporting.many_closings import CLOSINGS, CORRECTIONS, EVIL, MESSAGES
from tests.reporting.reader import keep
from tests.support.waiting import eventually

ALL = ("s1", "s2")


async def export(client: httpx.AsyncClient, headers: dict[str, str], kind: str, **asked: str) -> bytes:
    reply = await client.get(f"/api/exports/{kind}", params=asked, headers=headers)
    assert reply.status_code == 200, reply.text
    return reply.content


async def rows(client: httpx.AsyncClient, headers: dict[str, str], kind: str, **asked: str) -> list[dict[str, Any]]:
    lines = await export(client, headers, kind, format="jsonl", **asked)
    return [orjson.loads(line) for line in lines.splitlines()]


def cells(file: bytes, **reading: Any) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(file.decode("utf-8-sig"), newline=""), strict=True, **reading))


def amount(minor: int, currency: str) -> Decimal:
    return Decimal(minor).scaleb(-CURRENCY_EXPONENTS[currency])


async def test_all_formats_say_the_same(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, tmp_path: Path
) -> None:
    await keep(engine, *MESSAGES)
    for kind in KINDS:
        files = {}
        for one in MEDIA_TYPES:
            files[one] = tmp_path / f"{kind}.{one}"
            files[one].write_bytes(await export(client, token(*ALL), kind, format=one))
        _say_the_same(files)


def _say_the_same(files: dict[str, Path]) -> None:
    table = pq.read_table(files["parquet"])
    lines = [orjson.loads(line) for line in files["jsonl"].read_bytes().splitlines()]
    sheet = cells(files["csv"].read_bytes())
    in_duckdb = {
        one: duckdb.sql(f"SELECT count(*) FROM {read}('{files[one]}')").fetchall()  # noqa: S608
        for one, read in (("csv", "read_csv"), ("jsonl", "read_json"), ("parquet", "read_parquet"))
    }

    assert table.num_rows == len(lines) == len(sheet) > 0
    assert in_duckdb == {one: [(len(lines),)] for one in MEDIA_TYPES}
    assert table.column_names == list(lines[0]) == list(sheet[0])
    assert all(pa.types.is_int64(one.type) for one in table.schema if one.name.endswith(("_minor", "_count")))
    for at, column in enumerate(table.schema):
        for in_parquet, line, row in zip(table[at].to_pylist(), lines, sheet, strict=True):
            in_json, cell = line[column.name], row[column.name]
            if in_parquet is None:
                assert (in_json, cell) == (None, "")
            elif pa.types.is_decimal(column.type):
                assert in_parquet == Decimal(in_json) == Decimal(cell)
                assert isinstance(in_json, str)
            elif pa.types.is_string(column.type):
                assert in_parquet == in_json == cell.replace("'", "") or in_parquet == in_json == cell
            elif pa.types.is_timestamp(column.type):
                assert column.type.tz == "UTC"
                assert in_parquet.isoformat() == in_json.replace("Z", "+00:00")
                assert cell.endswith("Z")
            else:
                assert str(in_parquet).lower() == str(in_json).lower() == cell


async def test_amounts_are_the_closings_in_every_currency(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, tmp_path: Path
) -> None:
    await keep(engine, *MESSAGES)
    file = tmp_path / "tenders.parquet"
    file.write_bytes(await export(client, token(*ALL), "tenders", format="parquet"))
    in_file = {
        (z, tender): (minor, sales, base, rate)
        for z, tender, minor, sales, base, rate in duckdb.sql(
            "SELECT z_number, tender, sales_minor, sales, base_sales, exchange_rate"  # noqa: S608
            f" FROM read_parquet('{file}')"
        ).fetchall()
    }

    assert in_file == {
        (message["z_number"], tender["tender"]): (
            tender["sales_minor"],
            amount(tender["sales_minor"], tender["currency"]),
            amount(tender["base"]["sales_minor"], message["currency"]),
            Decimal(tender["exchange_rate"]),
        )
        for message in CLOSINGS
        for tender in message["tenders"]
    }


async def test_a_spreadsheet_gets_no_formula_and_no_wrong_column(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token
) -> None:
    await keep(engine, *CLOSINGS)
    file = await export(client, token(*ALL), "closings")
    assert file.startswith(MARK)
    by_z = {row["z_number"]: row for row in cells(file)}

    assert by_z["1"]["opened_by_name"] == f"'{EVIL}"
    assert by_z["5"]["closing_note"] == "'\t'@SUM(1)"
    assert by_z["3"]["profile_name"] == 'Caja "2",\r\nbarra'
    # Amounts below 0 stay numbers.
    assert (by_z["1"]["over_short_minor"], by_z["1"]["over_short"]) == ("-150", "-1.50")
    assert by_z["5"]["sales"] == "-0.70"
    assert by_z["2"]["closed_at"] == "2025-01-02T16:00:00.000001Z"

    for asked, reading, start in (
        ({"delimiter": "semicolon", "decimal": "comma", "bom": "false"}, {"delimiter": ";"}, b"store_id;"),
        ({"delimiter": "tab"}, {"delimiter": "\t"}, MARK + b"store_id\t"),
    ):
        other = await export(client, token(*ALL), "closings", **asked)
        assert other.startswith(start)
        for one, row in zip(cells(other, **reading), by_z.values(), strict=False):
            assert one["z_number"] in by_z
            assert list(one) == list(row)
            point = one["sales"].replace(",", ".") if "decimal" in asked else one["sales"]
            assert point == by_z[one["z_number"]]["sales"]


def test_half_of_a_name_is_no_formula_where_another_sign_parts_cells() -> None:
    columns = [export_rows.Column("name", "text")]
    for delimiter in export_files.DELIMITERS:
        file = export_files.CsvFile(columns, export_files.Style("csv", delimiter, mark=False))
        for other in ";,|\t":
            line = file.rows([(f"Caja{other}=1+1",)]).decode()
            quoted = other == export_files.DELIMITERS[delimiter] == ","
            assert (f"{other}'=1+1" in line) is not quoted


async def test_pages_make_one_file_in_the_order_of_days(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_rows, "PAGE_ROWS_MAX", 2)
    monkeypatch.setattr(export_files, "GROUP_ROWS", 2)
    # Of some looks for corrections none of the closings has one.
    monkeypatch.setattr(export_rows, "CLOSINGS_PASSED_MAX", 2)
    await keep(engine, *MESSAGES, closing(9, store_id="s3"))

    order = sorted(
        CLOSINGS, key=lambda one: (one["business_date"], one["closed_at"], one["store_id"], one["closing_id"])
    )
    assert [row["z_number"] for row in await rows(client, token(*ALL), "closings")] == [
        one["z_number"] for one in order
    ]
    tenders = [(row["z_number"], row["tender"]) for row in await rows(client, token(*ALL), "tenders")]
    assert tenders == [(one["z_number"], name) for one in order for name in ("card", "cash", "rappi")]
    numbers = [row["correction_number"] for row in await rows(client, token(*ALL), "corrections")]
    assert sorted(numbers) == [one["correction_number"] for one in CORRECTIONS]
    assert numbers.index(1) + 1 == numbers.index(2)
    parquet = await export(client, token("*"), "staff", format="parquet")
    assert pq.read_table(io.BytesIO(parquet)).num_rows == 2 * len(CLOSINGS)


async def test_corrections_go_by_the_same_closings_once_however_many_pages_they_fill(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    await keep(engine, *MESSAGES)
    looks, last_passed = [], export_rows.last_passed
    monkeypatch.setattr(export_rows, "PAGE_ROWS_MAX", 1)
    monkeypatch.setattr(export_rows, "last_passed", lambda *asked: looks.append(asked) or last_passed(*asked))
    async with engine.connect() as tx:
        columns = await export_rows.columns_of(tx, "corrections")

    read = [page async for page in pages(engine, "corrections", columns, lambda: EVERYTHING)]

    assert sum(page.keys for page in read) == len(CORRECTIONS) > 1
    assert len(looks) == 1


async def test_a_page_ends_before_its_bytes(engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    await keep(engine, *CLOSINGS)
    monkeypatch.setattr(export_rows, "PAGE_BYTES_MAX", 2 * max(len(value(one)) for one in CLOSINGS))
    async with engine.connect() as tx:
        columns = await export_rows.columns_of(tx, "closings")
    read = pages(engine, "closings", columns, lambda: EVERYTHING)

    assert [page.keys async for page in read] == [2, 2, 1]


EVERYTHING = Selection(StoreScope(None), None, None, None, None)


FILTERS: list[dict[str, str]] = [
    {},
    {"profile": "p2"},
    {"person": "ben"},
    {"opened_by": "ana"},
    {"z_number": "4"},
    {"session_number": "5"},
    {"needs_review": "true"},
    {"over_short_above": "30", "currency": "MXN"},
    {"closed_from": "2025-01-02T16:00:00.000001Z", "closed_to": "2025-01-09T03:00:00Z"},
    {"from": "2025-01-02", "to": "2025-01-09"},
    {"from": "2025-01-02", "to": "2025-01-02"},
    {"store": "s2"},
]


async def test_an_export_has_what_the_list_shows(client: httpx.AsyncClient, engine: AsyncEngine, token: Token) -> None:
    await keep(engine, *MESSAGES)
    sizes = set()
    for asked in FILTERS:
        as_listed = {{"from": "business_from", "to": "business_to"}.get(name, name): asked[name] for name in asked}
        listed = set(z_numbers(await client.get("/api/closings", params=as_listed, headers=token(*ALL))))
        sizes.add(len(listed))
        for kind in ("closings", "tenders", "corrections"):
            exported = {row["z_number"] for row in await rows(client, token(*ALL), kind, **asked)}
            assert exported == ({1, 3} & listed if kind == "corrections" else listed), (asked, kind)
    assert sizes == {1, 2, 4, 5}


async def test_stores_are_walls(client: httpx.AsyncClient, engine: AsyncEngine, token: Token) -> None:
    await keep(engine, *MESSAGES)
    for kind in KINDS:
        assert {row["store_id"] for row in await rows(client, token("s1"), kind)} == {"s1"}
    assert {row["store_id"] for row in await rows(client, token("*"), "staff")} == {"s1", "s2"}
    assert {row["store_id"] for row in await rows(client, token("*"), "staff", store="s2")} == {"s2"}
    path = "/api/exports/closings"
    assert problem(await client.get(path, params={"store": "s2"}, headers=token("s1")))[0] == 403
    assert problem(await client.get(path))[0] == 401


BAD: dict[str, tuple[int, str]] = {
    "closings?from=2025-02-30": (400, "from"),
    "closings?to=x": (400, "to"),
    "closings?format=xlsx": (400, "format"),
    "closings?delimiter=;": (400, "delimiter"),
    "closings?bom=yes": (400, "bom"),
    "closings?decimal=.": (400, "decimal"),
    "closings?z_number=-1": (400, "z_number"),
    "closings?business_from=2025-01-01": (400, "This"),
    "sessions": (404, "There"),
}


async def test_a_bad_question_gets_a_sentence(client: httpx.AsyncClient, token: Token) -> None:
    for path, (status, word) in BAD.items():
        reply = await client.get(f"/api/exports/{path}", headers=token("s1"))
        assert (reply.status_code, problem(reply)[1].split()[0]) == (status, word)


async def test_nothing_to_export_is_a_whole_file(client: httpx.AsyncClient, token: Token) -> None:
    assert await rows(client, token("s1"), "closings") == []
    assert cells(await export(client, token("s1"), "closings")) == []
    table = pq.read_table(io.BytesIO(await export(client, token("s1"), "closings", format="parquet")))
    assert (table.num_rows, "sales" in table.column_names) == (0, True)


async def test_without_pyarrow_a_sentence_says_what_to_install(
    client: httpx.AsyncClient, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_files.importlib.util, "find_spec", lambda _: None)

    status, detail = problem(
        await client.get("/api/exports/closings", params={"format": "parquet"}, headers=token("s1"))
    )

    assert status == 501
    assert "tillstream[parquet]" in detail
    assert await export(client, token("s1"), "closings")


def ended(outcome: str) -> float:
    labels = {"kind": "closings", "format": "csv", "outcome": outcome}
    return REGISTRY.get_sample_value("till_reporting_exports_total", labels) or 0


@pytest.fixture
async def slow(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[httpx.Response, AsyncIterator[bytes], asyncio.Event]]:
    """An export of which one page was sent; the next is sent when the event is set."""
    go_on = asyncio.Event()
    monkeypatch.setattr(export_rows, "PAGE_ROWS_MAX", 1)
    parts = exports.Exports._parts

    async def paused(*args: Any) -> AsyncIterator[bytes]:
        read = parts(*args)
        yield await anext(read)
        await go_on.wait()
        async for part in read:
            yield part

    monkeypatch.setattr(exports.Exports, "_parts", paused)
    await keep(engine, *CLOSINGS)
    async with client.stream("GET", "/api/exports/closings", headers=token(*ALL, sub="slow")) as reply:
        body = reply.aiter_bytes()
        await anext(body)
        yield reply, body, go_on
        go_on.set()


Slow = tuple[httpx.Response, AsyncIterator[bytes], asyncio.Event]


async def test_who_takes_a_file_slowly_holds_nothing_of_the_database(slow: Slow, engine: AsyncEngine) -> None:
    _, body, go_on = slow
    async with engine.connect() as tx:
        held = await tx.execute(
            text(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
                " AND (xact_start IS NOT NULL OR backend_xmin IS NOT NULL) AND backend_type = 'client backend'"
            )
        )
        assert held.scalar_one() == 0
    whole = ended("whole")
    go_on.set()
    assert b"".join([part async for part in body]).count(b"\r\n") >= len(CLOSINGS) - 1

    async def counted() -> bool:
        return ended("whole") == whole + 1

    await eventually(counted)


@pytest.mark.parametrize("file_format", MEDIA_TYPES)
async def test_of_a_file_that_is_taken_slowly_a_page_and_a_group_are_in_memory(
    engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch, file_format: str
) -> None:
    monkeypatch.setattr(export_rows, "PAGE_ROWS_MAX", 1)
    monkeypatch.setattr(export_files, "GROUP_ROWS", 4)
    await keep(engine, *MESSAGES, *(closing(number) for number in range(10, 40)))
    files, read = list[Any](), 0

    def one_more(*asked: Any) -> Any:
        files.append(export_files.new_file(*asked))
        return files[-1]

    async def counted(*asked: Any) -> AsyncIterator[export_rows.Page]:
        nonlocal read
        async for page in pages(*asked):
            read += 1
            yield page

    monkeypatch.setattr(exports, "new_file", one_more)
    monkeypatch.setattr(exports, "pages", counted)
    reply: Any = await exports.Exports(engine).begin(
        "rita", "closings", export_files.Style(file_format), lambda: EVERYTHING
    )
    taken = 0
    async for _ in reply.body_iterator:
        taken += 1
        # No page is read before the one that it follows was taken, and of all before only rows of a group are left.
        assert read <= taken
        waiting = getattr(files[0], "_waiting", [])
        assert sum(batch.num_rows for batch in waiting) < export_files.GROUP_ROWS
        assert sum(isinstance(one, export_rows.Page) for one in gc.get_objects()) <= 1

    assert read == len(CLOSINGS) + 30 == taken - 1


async def test_a_place_is_taken_and_given_back(
    slow: Slow, client: httpx.AsyncClient, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, body, go_on = slow
    for limit, stores, who, whose in (
        ("EXPORTS_MAX", ["s1"], "other", "in this process"),
        ("EXPORTS_OF_SUBJECT_MAX", ALL, "slow", "of this subject"),
        ("EXPORTS_OF_STORE_MAX", ["s1"], "other", "of the store s1"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(exports, limit, 1)
            reply = await client.get("/api/exports/closings", headers=token(*stores, sub=who))
            assert problem(reply) == (503, f"1 exports {whose} are open already: close one, or try again.")
            assert reply.headers["retry-after"]
    monkeypatch.setattr(exports, "EXPORTS_MAX", 1)
    go_on.set()
    _ = [part async for part in body]

    async def free() -> bool:
        return (await client.get("/api/exports/taxes", headers=token("s1"))).status_code == 200

    await eventually(free)


async def test_so_many_pages_are_read_at_a_time_whatever_number_of_exports_runs(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = [token(f"s{number}", sub=f"rita {number}") for number in range(2 * exports.EXPORT_PAGES_MAX)]
    begun, take = list[str](), exports.Exports._take

    def noted(self: exports.Exports, subject: str, selection: Selection) -> Any:
        begun.append(subject)
        return take(self, subject, selection)

    async def all_have_begun() -> bool:
        return len(begun) == len(headers)

    async def so_many_wait() -> bool:
        assert engine.pool.checkedout() <= exports.EXPORT_PAGES_MAX
        return engine.pool.checkedout() == exports.EXPORT_PAGES_MAX

    monkeypatch.setattr(exports.Exports, "_take", noted)
    other = create_async_engine(engine.url)
    async with other.begin() as tx:
        await tx.execute(text("LOCK TABLE reporting.closings IN ACCESS EXCLUSIVE MODE"))
        asked = [asyncio.create_task(client.get("/api/exports/closings", headers=each)) for each in headers]
        await eventually(all_have_begun)
        # Each gives its connection back once, between the names of the columns and the rows.
        await eventually(so_many_wait)
    assert [(await each).status_code for each in asked] == [200] * len(headers)
    await other.dispose()


async def test_what_takes_too_long_is_cut_off_and_looks_so(
    client: httpx.AsyncClient, engine: AsyncEngine, token: Token, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export_rows, "PAGE_ROWS_MAX", 1)
    monkeypatch.setattr(exports, "EXPORT_S_MAX", 0.0)
    await keep(engine, *CLOSINGS)
    before = ended("cut_off")

    with pytest.raises(httpx.RemoteProtocolError):
        await client.get("/api/exports/closings", headers=token("s1"))

    assert ended("cut_off") == before + 1


async def test_a_token_that_ends_ends_its_export(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    _, body, go_on = slow

    def nobody(_: Callers, __: Any) -> Any:
        raise exports.HTTPException(401)

    monkeypatch.setattr(exports, "caller", nobody)
    go_on.set()
    with pytest.raises(httpx.RemoteProtocolError):
        _ = [part async for part in body]
