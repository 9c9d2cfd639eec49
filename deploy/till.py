"""The command `till`: the services' commands, and those that start the servers beside them and play the demo day.

This is the only place where the two meet: `services` knows nothing of `deploy`. `python -m services.cli` has the
services' commands alone, for servers that TILL_… name; here they also find those of a stack that runs beside them.
"""

import os
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from services.cli import app as services_app
from services.cli.common import read_settings

app = typer.Typer(
    name="till",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="""Cash sessions as a stream: start the servers, run the services, check the ledger.

    A first look: [bold]till up[/bold], then [bold]eval "$(till env)"[/bold], and at the end
    [bold]till down[/bold].
    """,
)

Home = Annotated[
    Path | None,
    typer.Option(help="The folder of the stack's data; TILL_HOME, or else .tillstream here."),
]


def _percent(option: str, text: str) -> float:
    """A share that is written as 5% or 5."""
    return _number(option, text, text.removesuffix("%"), 100)


def _seconds(option: str, text: str) -> float:
    """A time that is written as 90s, 2m or 90."""
    number, factor = (text[:-1], 60) if text.endswith("m") else (text.removesuffix("s"), 1)
    return _number(option, text, number, 86_400 / factor) * factor


def _number(option: str, text: str, digits: str, most: float) -> float:
    try:
        number = float(digits)
    except ValueError:
        number = -1
    if not 0 <= number <= most:
        raise typer.BadParameter(f"{option} {text}: that is no number from 0 to {most:g}.")
    return number


@app.command()
def up(
    *,
    home: Home = None,
    no_services: Annotated[bool, typer.Option("--no-services", help="Start the servers alone.")] = False,
) -> None:
    """Start Kafka, PostgreSQL, Redis and the services in the background.

    Where TILL_KAFKA, TILL_DATABASE_URL or TILL_REDIS_URL is set, that server is used and no own
    one is started. A second `up` finds the running stack. The first start downloads Kafka.

    Examples: [bold]till up[/bold], [bold]till up --home /srv/till --no-services[/bold]
    """
    from deploy.embedded import stack

    services = () if no_services else ("sessions", "gateway", "reporting", "webhooks", "console")
    with _plain_errors(), _progress() as progress:
        addresses = stack.up(_home(home), services=services, progress=progress, servers=os.environ)
    typer.echo(f"Kafka       {addresses.kafka}")
    typer.echo(f"PostgreSQL  {_without_password(addresses.database_url)}")
    typer.echo(f"Redis       {addresses.redis_url}")
    if addresses.gateway_url:
        typer.echo(f"Gateway     {addresses.gateway_url}")
    if addresses.reporting_url:
        typer.echo(f"Reporting   {addresses.reporting_url}")
    if addresses.console_url:
        typer.echo(f"Console     {addresses.console_url}")
    typer.echo(f"Logs        {addresses.home / 'logs'}")
    typer.echo('Next: eval "$(till env)" sets these addresses in your shell; till down stops it all.')


@app.command()
def down(
    *,
    home: Home = None,
    delete_data: Annotated[
        bool, typer.Option("--delete-data", help="Then delete all that the stack has stored.")
    ] = False,
) -> None:
    """Stop the services, then the servers. The data stay, unless --delete-data is given.

    Example: [bold]till down[/bold]
    """
    from deploy.embedded import stack

    with _plain_errors():
        (stack.wipe if delete_data else stack.down)(_home(home))
    typer.echo("Nothing runs any more.")


@app.command()
def env(*, home: Home = None) -> None:
    """Print the addresses of the running stack as shell exports.

    Example: [bold]eval "$(till env)"[/bold]
    """
    from deploy.embedded import stack

    addresses = stack.running(_home(home))
    if addresses is None:
        typer.echo(f"Nothing runs in {_home(home)}: start it with `till up`.", err=True)
        raise typer.Exit(1)
    for name, value in addresses.env().items():
        typer.echo(f"export {name}={shlex.quote(value)}")


@app.command()
def demo(
    *,
    home: Home = None,
    keep: Annotated[
        bool, typer.Option("--keep", help="Have the console to watch it on, and leave all running at the end.")
    ] = False,
    running: Annotated[
        bool, typer.Option("--running", help="Start nothing: play on the servers and services that TILL_… name.")
    ] = False,
    over: Annotated[
        float | None,
        typer.Option(help="Seconds that the day is spread over, as fast as it goes for 0; 60 with --keep.", min=0),
    ] = None,
) -> None:
    """Play a trading day of several stores through the real stack and show what comes of it.

    With --running the ledger must be empty, and TILL_GATEWAY_URL and TILL_REPORTING_URL say where the two answer.

    With --keep the bakery opens again when the day is over, and whoever signs in to the console finds it at work.

    Examples: [bold]till demo[/bold], [bold]till demo --keep[/bold]
    """
    from deploy.demo import play

    if running:
        raise typer.Exit(play.on_running(read_settings(), over_s=over or 0))
    raise typer.Exit(play.demo(home, keep=keep, over_s=over))


@app.command()
def simulate(
    *,
    stores: Annotated[int, typer.Option(help="Stores of the chain: cafés, bakeries, …", min=1, max=1_000)] = 3,
    tills: Annotated[int, typer.Option(help="Tills of each store.", min=1, max=100)] = 2,
    orders_per_minute: Annotated[
        float, typer.Option(help="Orders of each till in a minute of its day; a busy café has 2.", min=0, max=10_000)
    ] = 2,
    minutes: Annotated[float, typer.Option(help="How long the shops are open.", min=0.01, max=1_440)] = 10,
    over: Annotated[
        float | None,
        typer.Option(
            help="Seconds that the day is spread over: as long as it is by itself, as fast as it goes for 0.", min=0
        ),
    ] = None,
    offline: Annotated[str, typer.Option(help="Share of the day that a line is down, as 5%.", metavar="SHARE")] = "0%",
    clock_skew: Annotated[str, typer.Option(help="How far a clock errs at most, as 90s or 2m.", metavar="TIME")] = "0s",
    duplicates: Annotated[
        str, typer.Option(help="Share of commands that are sent twice, as 2%.", metavar="SHARE")
    ] = "0%",
    seed: Annotated[int, typer.Option(help="The same seed gives the same day.")] = 1,
    run: Annotated[
        str,
        typer.Option(help="What the ids of the stores begin with: another for each run on one installation."),
    ] = "sim",
    kafka: Annotated[
        bool, typer.Option("--kafka", help="Publish on Kafka, and read the answers there: for load.")
    ] = False,
    gateway: Annotated[str | None, typer.Option(help="Where the gateway answers; TILL_GATEWAY_URL.")] = None,
    reporting: Annotated[
        str | None, typer.Option(help="Where the reporting reader answers; TILL_REPORTING_URL.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="A register's token of these stores, where the signing key is elsewhere.", exists=True, dir_okay=False
        ),
    ] = None,
    manager_token_file: Annotated[
        Path | None, typer.Option(help="A manager's token of these stores, likewise.", exists=True, dir_okay=False)
    ] = None,
) -> None:
    """Play the day of a chain of shops on an installation, and recount it against the closings.

    Tills sell, give change, refund and tip; drawers are off, forgotten, sent back to be counted again; lines go down,
    and what waited comes late; clocks err; answers get lost, and the same bytes come twice. At the end the figures are
    worked out anew from what was sent, without the services' code, and compared with what the reporting reader has.
    Exit code 1 and a table say where they differ, 2 that it could not be played. Ctrl-C closes the shops early and
    recounts.

    The stores are set up by the simulation and are its own: try it where ids that begin with --run harm nobody.

    Examples: [bold]till simulate[/bold], for the console: [bold]till simulate --minutes 480 --over 600 --offline 5%
    --clock-skew 90s --duplicates 2%[/bold], for load: [bold]till simulate --stores 20 --tills 5 --orders-per-minute 60
    --over 0 --kafka --run load1[/bold]
    """
    import asyncio

    from rich.console import Console

    from deploy.simulation.chain import Plan
    from deploy.simulation.play import Ways, simulate

    if not re.fullmatch(r"[A-Za-z0-9-]{1,32}", run):
        raise typer.BadParameter(f"--run {run}: at most 32 letters, digits and hyphens.")
    settings = read_settings()
    plan = Plan(
        stores,
        tills,
        orders_per_minute,
        minutes,
        offline_percent=_percent("--offline", offline),
        skew_s=_seconds("--clock-skew", clock_skew),
        duplicates_percent=_percent("--duplicates", duplicates),
        seed=seed,
        run=run,
    )
    ways = Ways(
        settings,
        gateway or settings.gateway_address,
        reporting or settings.reporting_address,
        kafka=kafka,
        token_file=token_file,
        manager_token_file=manager_token_file,
    )
    over_s = minutes * 60 if over is None else over
    raise typer.Exit(asyncio.run(simulate(plan, ways, over_s, Console())))


app.add_typer(services_app.app)


def _home(chosen: Path | None) -> Path:
    from deploy.embedded import stack

    return chosen.expanduser().resolve() if chosen else stack.default_home()


def _without_password(url: str) -> str:
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    return url if parts.password is None else url.replace(f":{parts.password}@", ":***@", 1)


@contextmanager
def _plain_errors() -> Iterator[None]:
    """Say in one sentence why the stack cannot do something, and leave with exit code 2."""
    from deploy.embedded.trouble import StackError

    try:
        yield
    except StackError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from error


@contextmanager
def _progress() -> Iterator[Callable[[str, float | None], None]]:
    """What `up` reports to: a line for each step, a bar for a download."""
    from rich.console import Console
    from rich.progress import Progress

    bars = Progress(console=Console(stderr=True), transient=True)
    download = bars.add_task("", total=1.0)

    def show(sentence: str, share: float | None) -> None:
        if share is None:
            if bars.live.is_started:
                bars.stop()
            bars.console.print(sentence, markup=False, highlight=False)
        else:
            bars.start()
            bars.update(download, description=sentence, completed=share)

    try:
        yield show
    finally:
        if bars.live.is_started:
            bars.stop()


def _addresses() -> Mapping[str, str]:
    """The addresses of the stack that runs here, as TILL_… variables; none where none runs."""
    from deploy.embedded.stack import default_home, running

    stack = running(default_home())
    return stack.env() if stack else {}


def main() -> None:
    """Run the command line of a desk."""
    services_app.main(app, _addresses)


if __name__ == "__main__":
    main()
