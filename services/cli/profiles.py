"""The commands of `till` that keep the tills of the stores."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from services.cli.common import on_ledger, read_settings, refuse, run_to_end

profiles = typer.Typer(no_args_is_help=True, help="The tills of the stores: their names, tenders and rules.")


@profiles.command("import")
def import_profiles(
    file: Annotated[Path, typer.Argument(help="UTF-8 CSV with a header.", exists=True)],
) -> None:
    """Set the tills of a CSV file, or none of them when a row is bad: a command for each that is set otherwise.

    The commands are published, signed as till-cli, and take their place between those of the tills; a sessions worker
    must be running. Prints the number of rows in the file. What is refused, or not answered within 60 s, is named on
    standard error, and the exit code is 1. The same import again sets only what differs.

    Columns: store_id, profile_id, name, currency; and where wanted tenders, over_short_limit_minor, blind,
    idle_close_after_s, late_window_s, allow_negative_drawer, business_day_starts_at, own_provider, enabled,
    store_name, company_id, time_zone.

    Example: [bold]till profiles import tills.csv[/bold]
    """
    from services.platform.auth.signing_keys import ensure_key
    from services.sessions.ledger.profiles import BadRow, read_profiles
    from services.sessions.tools.set_profiles import set_profiles
    from services.sessions.worker.publisher import AnswerStuck, BrokerAway

    try:
        rows = read_profiles(file)
    except BadRow as bad:
        refuse(f"{file}: {bad}. Nothing was imported.", bad)
    settings = read_settings()

    async def imported(engine: Any) -> list[str]:
        if settings.auth == "required":
            ensure_key(settings)
        return await set_profiles(settings, engine, rows)

    try:
        wrong = run_to_end(on_ledger(imported, "till-profiles"))
    except (BrokerAway, AnswerStuck) as error:
        refuse(str(error), error)
    for sentence in wrong:
        typer.echo(sentence, err=True)
    typer.echo(len(rows))
    if wrong:
        raise typer.Exit(1)


@profiles.command("export")
def export_profiles() -> None:
    """Write all tills with their settings as a CSV file, as `till profiles import` takes it, to standard output.

    Example: [bold]till profiles export > tills.csv[/bold]
    """
    from services.sessions.ledger.profiles import write_file

    async def exported(engine: Any) -> int:
        async with engine.connect() as tx:
            return await write_file(tx, sys.stdout)

    count = run_to_end(on_ledger(exported, "till-profiles"))
    typer.echo(f"{count} tills.", err=True)
