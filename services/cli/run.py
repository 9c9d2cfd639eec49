"""The commands of `till` that run a service, and bring what it needs up to date."""

from enum import StrEnum
from typing import Annotated

import typer

from services.cli.common import read_settings, run_to_end


class Service(StrEnum):
    """The processes of a deployment."""

    sessions = "sessions"
    gateway = "gateway"
    reporting = "reporting"
    webhooks = "webhooks"
    console = "console"
    register = "register"


class Waiting(StrEnum):
    """Those that stand on tables and topics."""

    sessions = "sessions"
    gateway = "gateway"
    reporting = "reporting"
    webhooks = "webhooks"


def run(service: Annotated[Service, typer.Argument(help="Which process to be.")]) -> None:
    """Run one service in the foreground until SIGTERM or Ctrl-C. Settings come from TILL_… variables.

    Start as many of each as you need: work is spread by Kafka partitions, and that of webhooks by leases. `register` is
    what runs in a shop, one for each outbox, and is set up by TILL_REGISTER_… variables alone.

    Example: [bold]till run sessions[/bold]
    """
    if service is Service.register:
        # It knows the service by its address alone: of the settings of the servers there are none in a shop.
        from services.register.main import start

        raise typer.Exit(start())

    from services.platform.logs import set_up_logs

    settings = read_settings()
    set_up_logs(settings.log_level, service.value)
    if service is Service.sessions:
        from services.sessions.worker import main as sessions

        run_to_end(sessions.run(settings), fast=True)
    elif service is Service.gateway:
        from services.gateway import main as gateway

        run_to_end(gateway.run(settings), fast=True)
    elif service is Service.console:
        from services.console import main as console

        run_to_end(console.run(settings), fast=True)
    elif service is Service.webhooks:
        from services.reporting.webhooks import main as webhooks

        run_to_end(webhooks.run(settings), fast=True)
    else:
        from services.reporting import main as reporting

        run_to_end(reporting.run(settings), fast=True)


def wait(
    service: Annotated[Waiting, typer.Argument(help="For which process.")],
    *,
    limit: Annotated[int, typer.Option(help="Seconds to wait at most.", min=0)] = 300,
) -> None:
    """Wait until tables and topics are as this version of a service needs them. Nothing is changed.

    Exit code 2 where they are not in time, with a sentence about what is missing.

    Example: [bold]till wait sessions --limit 60[/bold]
    """
    from services.operations.wait import NotReady
    from services.operations.wait import wait as waited

    settings = read_settings()
    try:
        run_to_end(waited(settings, service.value, limit, lambda reason: typer.echo(reason, err=True)))
    except NotReady as missing:
        typer.echo(f"Not ready after {limit} s. {missing}", err=True)
        raise typer.Exit(2) from missing


def migrate() -> None:
    """Create or bring up to date the tables of the ledger, the gateway and the reporting reader. Can be run twice.

    Where TILL_LEDGER_ROLE, TILL_GATEWAY_ROLE, TILL_REPORTING_ROLE or TILL_WEBHOOKS_ROLE is set, that role gets the
    rights that its service needs and no others; run this as the owner of the tables then. Where the version before kept
    revocations in a table, they are put on the access topic first: Kafka must be there then, and take them.

    Example: [bold]till migrate[/bold]
    """
    from services.operations.database_grants import grant
    from services.operations.revocations import put_on_topic
    from services.platform.postgres.migrate import upgrade

    settings = read_settings()

    async def all_of_them() -> list[str]:
        moved = await put_on_topic(settings)
        if moved:
            typer.echo(f"Revocations put on the access topic: {moved}.")
        await upgrade(settings.database_url, "services.sessions.migrations")
        await upgrade(settings.database_url, "services.gateway.migrations")
        await upgrade(settings.reader_database_url, "services.reporting.migrations")
        return await grant(settings)

    roles = run_to_end(all_of_them())
    rights = f" Rights were set for {', '.join(roles)}." if roles else ""
    typer.echo(f"The tables are up to date.{rights}")
