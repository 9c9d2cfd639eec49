"""`till doctor`."""

from typing import Final

import typer

from services.cli.common import read_settings, run_to_end

MARKS: Final = {"well": "well", "look": "LOOK", "bad": "BAD ", "away": "AWAY"}


def doctor() -> None:
    """Look at servers, topics, tables, frontier, dead letters and clocks, and say in sentences how they stand.

    Exit code 0 when nothing is wrong (LOOK is for your information), 1 when something is BAD, 2 when something is AWAY
    and could not be looked at. Nothing is changed, but for a topic of one moment that asks the broker for its time.

    Example: [bold]till doctor[/bold]
    """
    from services.operations.doctor import examine

    async def examined() -> set[str]:
        verdicts = set[str]()
        async for finding in examine(read_settings()):
            typer.echo(f"{MARKS[finding.verdict]}  {finding.sentence}")
            verdicts.add(finding.verdict)
        return verdicts

    verdicts = run_to_end(examined())
    if "away" in verdicts:
        raise typer.Exit(2)
    if "bad" in verdicts:
        raise typer.Exit(1)
