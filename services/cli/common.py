"""What the commands of `till` share: settings, progress, and one sentence for whatever goes wrong."""

import asyncio
import os
import stat
import sys
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final, NoReturn

import click
import typer

ADDRESSES: Final = ("TILL_KAFKA", "TILL_DATABASE_URL", "TILL_REDIS_URL")
Addresses = Callable[[], Mapping[str, str]]
"""Where the servers are, as TILL_… variables."""

Store = Annotated[str | None, typer.Option(help="Only this store.")]
Profile = Annotated[str | None, typer.Option(help="Only this profile; needs --store.")]


def progress_bar(label: str) -> Any:
    """A progress bar on standard error, silent where nobody watches; yields a function of (done, total)."""
    from rich.console import Console
    from rich.progress import Progress

    @contextmanager
    def shown() -> Any:
        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bars:
            task = bars.add_task(label, total=None)
            yield lambda done, total: bars.update(task, completed=done, total=total)

    return shown()


def read_settings() -> Any:
    """The settings of the environment, or one sentence about what is wrong with them.

    Where it names no server, whoever made the command line is asked for addresses; see `services.cli.app.main`.
    """
    from pydantic import ValidationError

    from services.platform.settings import Settings

    if not any(name in os.environ for name in ADDRESSES):
        look_up: Addresses | None = click.get_current_context().obj
        os.environ.update(look_up() if look_up else {})
    try:
        return Settings()
    except ValidationError as error:
        for problem in error.errors(include_url=False, include_input=False):
            typer.echo(f"TILL_{'.'.join(map(str, problem['loc'])).upper()}: {problem['msg']}", err=True)
        raise typer.Exit(2) from error


def run_to_end(work: Coroutine[Any, Any, Any], *, fast: bool = False) -> Any:
    """Run to the end; what the outside world refuses is one sentence and exit code 2."""
    from sqlalchemy.exc import SQLAlchemyError

    from services.platform.kafka.read_topic import TopicUnread
    from services.platform.kafka.topics import TopicsWrong

    runner: Callable[[Any], Any] = asyncio.run
    if fast and sys.platform != "win32":
        import uvloop

        runner = uvloop.run
    try:
        return runner(work)
    except (TopicsWrong, TopicUnread, ValueError) as wrong:
        typer.echo(str(wrong), err=True)
    except SQLAlchemyError as error:
        typer.echo(
            f"The database refused: {error.__cause__ or error}. Is TILL_DATABASE_URL right?",
            err=True,
        )
    except OSError as error:
        typer.echo(f"A server does not answer: {error}. Are the TILL_… addresses right?", err=True)
    raise typer.Exit(2)


def on_ledger(work: Callable[[Any], Awaitable[Any]], name: str) -> Coroutine[Any, Any, Any]:
    """`work` with connections to the ledger, which the database knows by `name`; they are closed at its end."""
    from services.platform.postgres.engine import open_tool_engine

    async def worked() -> Any:
        engine = open_tool_engine(read_settings().database_url, name=name)
        try:
            return await work(engine)
        finally:
            await engine.dispose()

    return worked()


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Where to write to; what is not written to its end leaves no file by this name, and the one before as it was.

    Who may read and write the one before may do so with the new one.
    """
    check_folder(path)
    if path.is_symlink() or (path.exists() and not path.is_file()):
        # A pipe, or /dev/stdout, wherever it leads: nothing may stand in its place.
        with path.open("wb") as file:
            yield file
        return
    part = path.with_name(f"{path.name}.part")
    try:
        file = part.open("wb")
    except PermissionError as error:
        refuse(
            f"{part} can't be written, which takes the place of {path.name} once it is whole: {error.strerror}.", error
        )
    try:
        with file:
            if path.exists():
                part.chmod(stat.S_IMODE(path.stat().st_mode))
            yield file
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def check_folder(path: Path | None) -> None:
    """Refuse a file that has no folder to be written in."""
    if path is not None and not path.absolute().parent.is_dir():
        refuse(f"There is no folder {path.absolute().parent} to write {path.name} in.")


def refuse(sentence: str, error: Exception | None = None) -> NoReturn:
    """Say why on standard error, and end with exit code 2."""
    typer.echo(sentence, err=True)
    raise typer.Exit(2) from error
