"""The command of `till` that writes closings to files, from the reporting reader's database."""

import sys
from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import typer

from services.cli.common import progress_bar, read_settings, refuse, run_to_end, whole_file

STANDARD_OUTPUT: Final = Path("-")
PAGE_TIME_LIMIT: Final = "60s"
"""What one page may take in the database: somebody watches, and nobody else waits for it."""

# The words of services.reporting, which is not imported for `--help`; a test compares them.
Kind = StrEnum(
    "Kind",
    [
        "closings",
        "closings_now",
        "tenders",
        "tenders_now",
        "taxes",
        "taxes_now",
        "staff",
        "staff_now",
        "orders",
        "discounts",
        "service_charges",
        "corrections",
    ],
)
Format = StrEnum("Format", ["csv", "jsonl", "parquet"])
Delimiter = StrEnum("Delimiter", ["comma", "semicolon", "tab"])
Decimals = StrEnum("Decimals", ["point", "comma"])

_DAYS: Final = ["%Y-%m-%d"]


def export(
    kind: Annotated[Kind, typer.Argument(help="What the rows are of; docs/analysts.md has their columns.")],
    *,
    first: Annotated[datetime | None, typer.Option("--from", formats=_DAYS, help="The first business date.")] = None,
    last: Annotated[datetime | None, typer.Option("--to", formats=_DAYS, help="The last one.")] = None,
    store: Annotated[list[str] | None, typer.Option(help="Only this store; may be repeated.")] = None,
    profile: Annotated[str | None, typer.Option(help="Only this profile.")] = None,
    file_format: Annotated[Format, typer.Option("--format", help="What the file is.")] = Format.csv,
    delimiter: Annotated[Delimiter, typer.Option(help="What parts cells of CSV.")] = Delimiter.comma,
    bom: Annotated[bool, typer.Option(help="Begin CSV with the mark by which spreadsheets know UTF-8.")] = True,
    decimal: Annotated[Decimals, typer.Option(help="What parts decimals in CSV.")] = Decimals.point,
    to_file: Annotated[
        Path, typer.Option("--to-file", help="The file, there once it is whole; - is standard output.")
    ] = STANDARD_OUTPUT,
) -> None:
    """Write closings, or what stands in them, to a file: for spreadsheets, databases, and whoever counts.

    It reads the reporting reader's database page by page, and holds nothing there between two pages. Who has a token
    and no database asks the reader over HTTP, at /api/exports.

    Example: [bold]till export tenders --from 2026-01-01 --to 2026-01-31 --format parquet --to-file jan.parquet[/bold]
    """
    from services.platform.auth.store_scope import StoreScope
    from services.reporting.export_files import NoParquet, Style
    from services.reporting.search import Selection

    selection = Selection(
        StoreScope(store or None),
        profile,
        business_date=None,
        closed_from=None,
        closed_to=None,
        business_from=None if first is None else first.date(),
        business_to=None if last is None else last.date(),
    )
    style = Style(file_format.value, delimiter.value, bom, decimal.value)
    try:
        with _opened(to_file) as file:
            rows = run_to_end(_write(kind.value, selection, style, file))
    except NoParquet as missing:
        refuse(str(missing), missing)
    except BrokenPipeError:
        raise typer.Exit(1) from None
    typer.echo(f"{rows} rows{'' if to_file == STANDARD_OUTPUT else f' in {to_file}'}.", err=True)


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    if path == STANDARD_OUTPUT:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    with whole_file(path) as file:
        yield file


async def _write(kind: str, selection: Any, style: Any, file: BinaryIO) -> int:
    """The file, and how many rows it has."""
    from services.platform.postgres.engine import open_engine
    from services.reporting.export_files import new_file
    from services.reporting.export_rows import columns_of, count, pages

    limits = {"statement_timeout": PAGE_TIME_LIMIT, "plan_cache_mode": "force_custom_plan", "jit": "off"}
    engine = open_engine(
        read_settings().reader_database_url, "till-export", connections=1, limits=limits, command_timeout_s=None
    )
    try:
        async with engine.connect() as tx:
            columns, total = await columns_of(tx, kind), await count(tx, kind, selection)
        rows, done, written = new_file(columns, style), 0, 0
        with progress_bar(kind) as progress:
            file.write(rows.begin())
            async with aclosing(pages(engine, kind, columns, lambda: selection)) as read:
                async for page in read:
                    file.write(rows.rows(page.rows))
                    done, written = done + page.keys, written + len(page.rows)
                    progress(done, max(done, total))
            file.write(rows.end())
    finally:
        await engine.dispose()
    return written
