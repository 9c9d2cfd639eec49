"""The commands of `till` that run a service or touch the ledger; `services.cli` puts them in its list."""

import asyncio
import os
import sys
from collections.abc import Callable, Coroutine
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

profiles = typer.Typer(no_args_is_help=True, help="The tills of the stores: their names, tenders and rules.")

ADDRESSES = ("TILL_KAFKA", "TILL_DATABASE_URL", "TILL_REDIS_URL")

Store = Annotated[str | None, typer.Option(help="Only this store.")]
Profile = Annotated[str | None, typer.Option(help="Only this profile; needs --store.")]


class Service(StrEnum):
    """The processes of a deployment."""

    sessions = "sessions"
    gateway = "gateway"
    reporting = "reporting"


class TokenRole(StrEnum):
    """What a token's bearer may do."""

    register = "register"
    cashier = "cashier"
    manager = "manager"
    admin = "admin"
    reader = "reader"


def run(service: Annotated[Service, typer.Argument(help="Which process to be.")]) -> None:
    """Run one service in the foreground until SIGTERM or Ctrl-C. Settings come from TILL_… variables.

    Start as many of each as you need: work is spread by Kafka partitions.

    Example: [bold]till run sessions[/bold]
    """
    from services.logs import set_up_logs

    settings = _settings()
    set_up_logs(settings.log_level, service.value)
    if service is Service.sessions:
        from services.sessions import main as sessions

        _run(sessions.run(settings), fast=True)
    elif service is Service.gateway:
        from services.gateway import main as gateway

        _run(gateway.run(settings), fast=True)
    else:
        from services.reporting import main as reporting

        _run(reporting.run(settings), fast=True)


def wait(
    service: Annotated[Service, typer.Argument(help="For which process.")],
    *,
    limit: Annotated[int, typer.Option(help="Seconds to wait at most.", min=0)] = 300,
) -> None:
    """Wait until tables and topics are as this version of a service needs them. Nothing is changed.

    Exit code 2 where they are not in time, with a sentence about what is missing.

    Example: [bold]till wait sessions --limit 60[/bold]
    """
    from services.waiting import NotReady
    from services.waiting import wait as waited

    settings = _settings()
    try:
        _run(waited(settings, service.value, limit, lambda reason: typer.echo(reason, err=True)))
    except NotReady as missing:
        typer.echo(f"Not ready after {limit} s. {missing}", err=True)
        raise typer.Exit(2) from missing


def migrate() -> None:
    """Create or bring up to date the tables of the ledger, the gateway and the reporting reader. Can be run twice.

    Where TILL_LEDGER_ROLE, TILL_GATEWAY_ROLE or TILL_REPORTING_ROLE is set, that role gets the rights that its service
    needs and no others; run this as the owner of the tables then.

    Example: [bold]till migrate[/bold]
    """
    from services.grants import grant
    from services.migrate import upgrade

    settings = _settings()

    async def all_of_them() -> list[str]:
        await upgrade(settings.database_url, "services.sessions.migrations")
        await upgrade(settings.database_url, "services.gateway.migrations")
        await upgrade(settings.reader_database_url, "services.reporting.migrations")
        return await grant(settings)

    roles = _run(all_of_them())
    rights = f" Rights were set for {', '.join(roles)}." if roles else ""
    typer.echo(f"The tables are up to date.{rights}")


@profiles.command("import")
def import_profiles(
    file: Annotated[Path, typer.Argument(help="UTF-8 CSV with a header.", exists=True)],
) -> None:
    """Insert or replace profiles from a CSV file: all rows or, when one is bad, none.

    Columns: store_id, profile_id, name, currency; and where wanted tenders, over_short_limit_minor, blind,
    idle_close_after_s, late_window_s, allow_negative_drawer, business_day_starts_at, own_provider, enabled,
    store_name, company_id.

    Example: [bold]till profiles import tills.csv[/bold]
    """
    from services.sessions.main import ledger_engine
    from services.sessions.profiles import BadRow, read_profiles
    from services.sessions.profiles import import_profiles as write

    try:
        rows = read_profiles(file)
    except BadRow as bad:
        typer.echo(f"{file}: {bad}. Nothing was imported.", err=True)
        raise typer.Exit(2) from bad

    async def imported() -> int:
        engine = ledger_engine(_settings().database_url)
        try:
            return await write(engine, rows)
        finally:
            await engine.dispose()

    typer.echo(_run(imported()))


def token(
    *,
    sub: Annotated[str, typer.Option(help="Who: the id of the register or person.")],
    role: Annotated[TokenRole, typer.Option(help="What they may do.")],
    store: Annotated[
        list[str],
        typer.Option(help="A store they may speak for; * is every store. Repeat for more."),
    ],
    ttl: Annotated[int, typer.Option(help="Seconds that it lives; for a register at most 86400.", min=1)] = 3_600,
) -> None:
    """Print one signed token, for the record header `authorization: Bearer <token>` or an HTTP request.

    Example: [bold]till token --sub caja-1 --role register --store parrot[/bold]
    """
    from services.signing_keys import ensure_key
    from services.tokens import mint

    settings = _settings()
    try:
        ensure_key(settings)
        typer.echo(mint(settings, sub=sub, role=role.value, stores=store, ttl_s=ttl))
    except (OSError, ValueError) as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


def _bar(label: str) -> Any:
    """A progress bar on standard error, silent where nobody watches; yields a function of (done, total)."""
    from contextlib import contextmanager

    from rich.console import Console
    from rich.progress import Progress

    @contextmanager
    def shown() -> Any:
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
            task = bars.add_task(label, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)

    return shown()


def _settings() -> Any:
    """The settings of the environment, or one sentence about what is wrong with them.

    Where no address is given, the embedded stack that runs here is meant.
    """
    from pydantic import ValidationError

    from deploy.embedded.stack import default_home, running
    from services.settings import Settings

    if not any(name in os.environ for name in ADDRESSES):
        stack = running(default_home())
        os.environ.update(stack.env() if stack else {})
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            typer.echo(f"TILL_{'.'.join(map(str, problem['loc'])).upper()}: {problem['msg']}", err=True)
        raise typer.Exit(2) from error


def _run(work: Coroutine[Any, Any, Any], *, fast: bool = False) -> Any:
    """Run to the end; what the outside world refuses is one sentence and exit code 2."""
    from sqlalchemy.exc import SQLAlchemyError

    from services.topics import TopicsWrong

    runner: Callable[[Any], Any] = asyncio.run
    if fast and sys.platform != "win32":
        import uvloop

        runner = uvloop.run
    try:
        return runner(work)
    except (TopicsWrong, ValueError) as wrong:
        typer.echo(str(wrong), err=True)
    except SQLAlchemyError as error:
        typer.echo(
            f"The database refused: {error.__cause__ or error}. Is TILL_DATABASE_URL right?",
            err=True,
        )
    except OSError as error:
        typer.echo(f"A server does not answer: {error}. Are the TILL_… addresses right?", err=True)
    raise typer.Exit(2)
