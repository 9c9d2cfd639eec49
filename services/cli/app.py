"""The command line `till`. Commands import what they need when they run: `--help` is quick."""

import sys
from pathlib import Path
from typing import Annotated

import typer

from services.cli import access, doctor, export, kafka, ledger, profiles, reporting, run, webhooks
from services.cli.common import Addresses

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="""Cash sessions as a stream: run the services and check the ledger, on the servers that TILL_… name.""",
)


@app.command()
def schema(
    *,
    check: Annotated[bool, typer.Option("--check", help="Only say what is stale; exit 1 if any is.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write to this folder instead of contracts/.")] = None,
) -> None:
    """Write the JSON Schemas and the AsyncAPI document from the models in contracts/.

    Example: [bold]till schema --check[/bold]
    """
    from contracts.export import HERE, stale
    from contracts.export import export as write

    folder = out or HERE
    if not check:
        write(folder)
        return
    old = stale(folder)
    for name in old:
        typer.echo(f"stale: {name}; run `till schema`", err=True)
    raise typer.Exit(1 if old else 0)


app.command()(run.run)
app.command()(run.wait)
app.command()(run.migrate)
app.command()(kafka.topics)
app.command()(kafka.principals)
app.add_typer(profiles.profiles, name="profiles")
app.add_typer(access.users, name="users")
app.add_typer(access.keys, name="keys")
app.add_typer(access.signing_key, name="signing-key")
app.command()(access.token)
app.command()(doctor.doctor)
app.command()(ledger.verify)
app.command()(ledger.restored)
app.command()(ledger.report)
app.command()(ledger.rebuild)
app.command()(ledger.replay)
app.command()(export.export)
app.add_typer(webhooks.webhooks, name="webhooks")
app.add_typer(reporting.reporting, name="reporting")
app.add_typer(ledger.dead_letters, name="dead-letters")


def main(commands: typer.Typer = app, addresses: Addresses | None = None) -> None:
    """Run the command line; an interrupt ends it without a traceback.

    `addresses` tells where the servers are, as TILL_… variables; it is asked where the environment names none.
    """
    try:
        commands(obj=addresses)
    except KeyboardInterrupt:
        sys.exit(130)
