"""The commands of `till` that keep the tills of the stores."""

from pathlib import Path
from typing import Annotated

import typer

from services.cli.common import on_ledger, run_to_end

profiles = typer.Typer(no_args_is_help=True, help="The tills of the stores: their names, tenders and rules.")


@profiles.command("import")
def import_profiles(
    file: Annotated[Path, typer.Argument(help="UTF-8 CSV with a header.", exists=True)],
) -> None:
    """Insert or replace profiles from a CSV file: all rows or, when one is bad, none.

    Columns: store_id, profile_id, name, currency; and where wanted tenders, over_short_limit_minor, blind,
    idle_close_after_s, late_window_s, allow_negative_drawer, business_day_starts_at, own_provider, enabled,
    store_name, company_id, time_zone.

    Example: [bold]till profiles import tills.csv[/bold]
    """
    from services.sessions.ledger.engine import ledger_engine
    from services.sessions.ledger.profiles import BadRow, read_profiles
    from services.sessions.ledger.profiles import import_profiles as write

    try:
        rows = read_profiles(file)
    except BadRow as bad:
        typer.echo(f"{file}: {bad}. Nothing was imported.", err=True)
        raise typer.Exit(2) from bad

    typer.echo(run_to_end(on_ledger(lambda engine: write(engine, rows), ledger_engine)))
