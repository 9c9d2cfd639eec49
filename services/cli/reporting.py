"""The commands of `till` about the tables of the reporting reader; `services.cli` lists them."""

from typing import Annotated, Any, Final

import typer

from services.cli.common import read_settings, run_to_end

reporting = typer.Typer(no_args_is_help=True, help="Look after the tables of the reporting reader.")

SHOWN_MAX: Final = 20
"""Differences that are shown: whoever has more wants to know how many, and of what kind the first are."""


@reporting.callback()
def _several() -> None:
    """So that the one command there is keeps its name."""


@reporting.command()
def rebuild(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only read and compare; the tables stay as they are.")] = False,
    despite: Annotated[
        bool,
        typer.Option(
            "--despite-differences",
            help="Swap even where rows differ: the topic's word counts then, and the tables of before are kept in the "
            "schema reporting_before until the next time.",
        ),
    ] = False,
) -> None:
    """Read the closings topic anew into fresh tables, say whether they are what is stored, and swap them in.

    Everything runs on meanwhile: the reader takes closings in, requests, streams and exports are answered. At the end
    the reader waits for some seconds, and requests for less than one. The fresh tables end where the stored ones do, so
    cursors of /api/changes and ids of streams stay what they were, and so does when each record was learnt of. What the
    topic no longer holds, or came from another topic, is carried over. Indexes, rights and views stay; dead rows don't.

    It takes about as long as the reader took to read all of it, and as much disk again. Run it with the rights of
    `till migrate`. What was interrupted has changed nothing: run it again.

    Exit code 0 where all is byte-equal, 1 and the differences where rows differ, 2 when it could not be done.

    Example: [bold]till reporting rebuild --check[/bold]
    """
    from services.reporting.fresh_tables import BEFORE, NotSwapped
    from services.reporting.rebuild import rebuild as rebuilt

    settings = read_settings()
    with _shown() as progress:
        try:
            seen = run_to_end(rebuilt(settings, progress, swap=not check, despite=despite), fast=True)
        except NotSwapped as why:
            typer.echo(f"Nothing was changed. {why}", err=True)
            raise typer.Exit(2) from None
    carried = f", {seen.carried} of all rows carried over" if seen.carried else ""
    read = f"{seen.closings} closings and {seen.corrections} corrections of {settings.closings}{carried}"
    swapped = "The fresh tables are in place." if seen.swapped else "The tables stay as they were."
    if not seen.differences:
        typer.echo(f"Byte-equal to what is stored: {read}. {swapped}")
        return
    for one in seen.differences[:SHOWN_MAX]:
        typer.echo(f"{settings.closings}/{one.partition}/{one.offset}  {one.table}  {one.row}  {one.what}")
    if len(seen.differences) > SHOWN_MAX:
        typer.echo(f"… and {len(seen.differences) - SHOWN_MAX} more.")
    others = f" Those of before are in the schema {BEFORE}." if seen.swapped else ""
    typer.echo(f"{len(seen.differences)} rows differ: {read}. {swapped}{others}")
    raise typer.Exit(1)


def _shown() -> Any:
    """One bar on standard error for each kind of work, with counts and a clock, silent where nobody watches."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()

    @contextmanager
    def shown() -> Any:
        console, tasks = Console(stderr=True), dict[str, Any]()
        with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:

            def notice(label: str, done: int, total: int) -> None:
                if label not in tasks:
                    tasks[label] = bars.add_task(label, total=total)
                bars.update(tasks[label], completed=done, total=total)

            yield notice

    return shown()
