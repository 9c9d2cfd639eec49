"""The commands of `till` that look at the ledger, prove it, and give back what it holds; `services.cli` lists them."""

import json
import shutil
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from services.cli.common import (
    Profile,
    Store,
    check_folder,
    on_ledger,
    progress_bar,
    read_settings,
    refuse,
    run_to_end,
    whole_file,
)

dead_letters = typer.Typer(no_args_is_help=True, help="What could not be read or applied, and was put aside.")

SENTENCES_MAX: Final = 20
"""So many letters that stay put aside are named: whoever may write to the commands topic may write a million."""


class Report(StrEnum):
    """The two reports of a till."""

    x = "x"
    z = "z"


def report(
    kind: Annotated[Report, typer.Argument(help="x: how an open session stands; z: how a session was closed.")],
    session: Annotated[UUID, typer.Argument(help="The session's id.")],
    *,
    store: Annotated[
        str | None, typer.Option(help="Its store, where several stores have a session of this id.")
    ] = None,
) -> None:
    """Print the X report of an open session, or the Z report of a closed one, as a slip. Nothing is changed by it.

    Both come from the same function; the Z report is the closing as it was frozen. Exit code 1 where the session has no
    such report.

    Example: [bold]till report x df44b988-3523-40a1-8e58-7c4306e7dd0e[/bold]
    """

    async def printed(engine: Any) -> list[str]:
        from services.sessions.tools.reports import slip

        return await slip(engine, kind.value, str(session), store, shutil.get_terminal_size().columns)

    typer.echo("\n".join(_on_ledger(printed)))


def rebuild(*, store: Store = None, profile: Profile = None) -> None:
    """Recompute every closing and correction from the journal and compare them with what is stored.

    Nothing is written. Exit code 1 and the first difference where there is one. `till verify` does this too, and looks
    at the chains as well.

    Example: [bold]till rebuild --store parrot[/bold]
    """
    from services.sessions.tools.verify import rebuild as recompute

    async def rebuilt(engine: Any) -> Any:
        with progress_bar("Sessions") as progress:
            return await recompute(engine, store=store, profile=profile, progress=progress)

    _needs_store(store, profile)
    seen = _on_ledger(rebuilt)
    typer.echo(
        f"Recomputed from {seen.commands} commands of {seen.sessions} sessions: {seen.closings} closings and "
        f"{seen.corrections} corrections, each as it is stored."
    )


def replay(
    *,
    store: Store = None,
    profile: Profile = None,
    to: Annotated[Path | None, typer.Option(help="Write to this file, one JSON object a line.")] = None,
    topic: Annotated[str | None, typer.Option(help="Another topic than the closings topic.")] = None,
) -> None:
    """Publish closings and corrections again from the ledger: same keys, same bytes, in the order of their chains.

    For readers that lost their tables after the topic was lost too, or for a topic of their own. Readers go by `ce_id`
    and take a second delivery for what it is. In a file, `value` is the record as text and `key` and `headers` are
    beside it.

    Example: [bold]till replay --store parrot --to closings.jsonl[/bold]
    """
    _needs_store(store, profile)
    if to is not None and topic is not None:
        refuse("Give --to or --topic, not both.")
    check_folder(to)
    settings = read_settings()
    name = topic or settings.topics.closings

    async def replayed(engine: Any) -> int:
        from services.sessions.tools.replay import published_again

        with progress_bar("Closings") as progress:
            async with aclosing(published_again(engine, name, store, profile, progress)) as pages:
                return await (_to_topic(settings, name, pages) if to is None else _to_file(to, pages))

    typer.echo(f"{_on_ledger(replayed)} records on {to or name}.")


async def _to_topic(settings: Any, name: str, pages: Any) -> int:
    from services.platform.kafka.topics import check_topics
    from services.sessions.worker.publisher import Publisher

    if name == settings.topics.closings:
        await check_topics(settings)
    publisher = Publisher(settings)
    try:
        written = 0
        async for page in pages:
            await publisher.publish(page)
            written += len(page)
        return written
    finally:
        await publisher.stop()


async def _to_file(path: Path, pages: Any) -> int:
    written = 0
    with whole_file(path) as file:
        async for page in pages:
            for publication in page:
                headers = {header: value.decode() for header, value in publication.headers}
                line = {"key": publication.key.decode(), "headers": headers, "value": publication.value.decode()}
                file.write(json.dumps(line, ensure_ascii=False).encode() + b"\n")
            written += len(page)
    return written


def verify(
    *,
    store: Store = None,
    profile: Profile = None,
    against_topic: Annotated[
        bool | None,
        typer.Option(
            "--against-topic/--no-topic",
            help="Compare with every record of the closings topic; left out, it does where Kafka can be reached.",
        ),
    ] = None,
    anchor: Annotated[
        Path | None, typer.Option(help="Compare with the heads noted in this file.", exists=True, dir_okay=False)
    ] = None,
    write_anchor: Annotated[
        Path | None, typer.Option(help="When all is right, note the present heads in this file.")
    ] = None,
) -> None:
    """Prove that the ledger adds up: every link and chain, and every figure recomputed from the journal.

    That finds accident. Whoever can write to the database can recompute its hashes: such malice, and a ledger that was
    restored and closed again what was closed before, shows against the closings topic, or against heads that were noted
    elsewhere (lines `store/profile z hash`). Without --against-topic a topic that can't be reached is said on standard
    error, and the exit code is that of the rest.

    Exit code 0 when all is right, 1 and `first bad: …` when not, 2 when it could not look.

    Example: [bold]till verify --anchor may.txt --write-anchor june.txt[/bold]
    """
    _needs_store(store, profile)
    check_folder(write_anchor)
    settings = read_settings()

    async def checked(engine: Any) -> str:
        from services.sessions.tools import external_proofs
        from services.sessions.tools.verify import verify as check

        heads = [] if anchor is None else external_proofs.read_anchor(anchor)
        with progress_bar("Sessions") as progress:
            seen = await check(engine, store=store, profile=profile, progress=progress)
        right = f"All is right: {seen.tills} tills, {seen.sessions} sessions, {seen.commands} commands, "
        words = [f"{right}{seen.closings} closings, {seen.corrections} corrections."]
        if anchor is not None:
            await external_proofs.check_anchor(engine, heads)
            words.append(f"As noted in {anchor}: {len(heads)} heads.")
        if against_topic is not False:
            words += await _compared(settings, engine, store, profile, must=against_topic is True)
        if write_anchor is not None:
            noted = await external_proofs.write_anchor(engine, write_anchor, store, profile)
            words.append(f"Noted in {write_anchor}: {noted} heads. Keep it where nobody who can change the ledger can.")
        return "\n".join(words)

    typer.echo(_on_ledger(checked))


async def _compared(settings: Any, engine: Any, store: str | None, profile: str | None, *, must: bool) -> list[str]:
    """What comparing with the closings topic has to say; `must`: that it can't be reached is an error."""
    from services.platform.kafka.read_topic import TopicUnread
    from services.platform.kafka.topics import TopicsWrong
    from services.sessions.tools import external_proofs

    try:
        with progress_bar("Records") as progress:
            count = await external_proofs.check_topic(settings, engine, store, profile, progress)
    except (TopicUnread, TopicsWrong, OSError) as error:
        if must:
            raise
        typer.echo(f"Not compared with {settings.topics.closings}: {error}", err=True)
        return []
    return [f"As on {settings.topics.closings}: {count} closings and corrections."]


def restored() -> None:
    """Say that you know of a restore, so that the workers go on.

    Workers of a ledger that is older than what was answered from it wait for this: they would decide again what was
    decided, without what the commands topic no longer holds. They go on within a second, and settings of tills come
    back from the topic, each at its place. Import only what is older than the topic keeps (7 days), and afterwards:
    an import waits for the workers. It holds up to where the commands topic ends now.

    Example: [bold]till restored[/bold]
    """
    settings = read_settings()

    async def vouched(engine: Any) -> str:
        from services.platform.kafka.read_topic import offsets_of
        from services.platform.kafka.topics import check_topics
        from services.sessions.ledger.frontier import restored_partitions, vouch

        topic = settings.topics.commands
        topic_id = (await check_topics(settings))[topic].topic_id
        begins, ends = await offsets_of(settings, topic)
        async with engine.begin() as tx:
            waiting = await restored_partitions(tx, topic_id)
            await vouch(tx, topic_id, begins, ends)
        lines = [
            f"{topic}/{partition}: on from {start}, up to {ends[partition]}" for partition, start in waiting.items()
        ]
        return "\n".join(lines or ["No worker waits for this. It is noted all the same."])

    typer.echo(_on_ledger(vouched))


@dead_letters.command("list")
def list_letters() -> None:
    """List all dead letters: place, time, command where it can be read, and what was wrong.

    Example: [bold]till dead-letters list[/bold]
    """
    count = _with_each_letter(lambda letter: typer.echo(_line(letter)), lambda _done, _total: None)
    typer.echo(f"{count} dead letters.", err=True)


@dead_letters.command("show")
def show_letter(
    position: Annotated[str, typer.Argument(metavar="place", help="partition/offset, as in the list.")],
    *,
    out: Annotated[Path | None, typer.Option(help="Write the record's bytes, as they came, to this file.")] = None,
) -> None:
    """Show one dead letter: its headers, and its value with what is no text escaped.

    Example: [bold]till dead-letters show 3/17 --out record.bin[/bold]
    """
    check_folder(out)
    letter = next(iter(_chosen([position])))
    typer.echo(f"came from   {letter.came_from}\nput aside   {_when(letter)}\nkey         {_text(letter.record.key)}")
    for name, value in letter.record.headers:
        typer.echo(f"header      {_text(name.encode())}: {_text(value)}")
    if out is not None:
        out.write_bytes(letter.record.value or b"")
    else:
        typer.echo(_text(letter.record.value))


@dead_letters.command("retry")
def retry_letters(
    positions: Annotated[
        list[str] | None, typer.Argument(metavar="places", help="partition/offset of each; none with --all.")
    ] = None,
    *,
    everything: Annotated[bool, typer.Option("--all", help="All that hold a readable command.")] = False,
) -> None:
    """Put commands on the commands topic once more, after what was wrong with them has been mended.

    They were answered `command_parked`, which claims nothing: now they are answered for good. One that was brought back
    before is only answered again. What can't be read stays where it is. What could not be decoded comes back from its
    place on the commands topic, while it is kept there, and only if its sender had the right to it.

    Example: [bold]till dead-letters retry 3/17[/bold]
    """
    from services.sessions.tools.dead_letters import NotSentAgain, bring_all_back, sent_again
    from services.sessions.worker.publisher import Publisher

    if everything == bool(positions):
        refuse("Name the letters to bring back, or give --all.")
    settings, stay = read_settings(), list[str]()
    letters, publisher = _chosen(positions) if positions else [], Publisher(settings)

    async def all_of_them() -> int:
        with progress_bar("Dead letters") as progress:
            return await bring_all_back(settings, progress, publisher.publish, stay.append)

    async def chosen() -> int:
        results = await sent_again(settings, letters)
        stay.extend(result.why for result in results if isinstance(result, NotSentAgain))
        if stay:
            refuse(stay[0])
        await publisher.publish([result for result in results if not isinstance(result, NotSentAgain)])
        return len(results)

    async def brought_back() -> int:
        try:
            return await (all_of_them() if everything else chosen())
        finally:
            await publisher.stop()

    count = _run(brought_back)
    for why in stay[:SENTENCES_MAX]:
        typer.echo(f"Not sent again: {why}", err=True)
    if len(stay) > SENTENCES_MAX:
        typer.echo(f"Not sent again: {len(stay) - SENTENCES_MAX} more.", err=True)
    typer.echo(f"Sent again: {count}. Their answers are on {settings.topics.events}.")


def _with_each_letter(work: Callable[[Any], None], progress: Callable[[int, int], None]) -> int:
    """Do it with one letter after the other; how many there are."""
    from services.sessions.tools.dead_letters import with_each_letter

    settings = read_settings()
    return int(_run(lambda: with_each_letter(settings, progress, work)))


def _chosen(positions: list[str]) -> list[Any]:
    """The letters at these positions. Leaves with exit code 2 where one is not there."""
    chosen: dict[str, Any] = {}

    def choose(letter: Any) -> None:
        if letter.position in positions:
            chosen[letter.position] = letter

    with progress_bar("Dead letters") as progress:
        _with_each_letter(choose, progress)
    missing = [position for position in positions if position not in chosen]
    if missing:
        refuse(f"There is no dead letter {missing[0]}; `till dead-letters list` shows them all.")
    return [chosen[position] for position in dict.fromkeys(positions)]


def _line(letter: Any) -> str:
    command = letter.command.command_id if letter.command else "unreadable"
    return f"{letter.position}  {_when(letter)}  {command:<36}  {_text(letter.header('till-error').encode())}"


def _when(letter: Any) -> str:
    from contracts.times import from_millis

    return from_millis(letter.record.timestamp)


def _text(value: bytes | None) -> str:
    """Bytes as they may be shown on a screen: control characters would move its cursor."""
    decoded = (value or b"").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in decoded)


def _on_ledger(work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Work with connections to the ledger, which are closed at the end."""
    return _run(lambda: on_ledger(work, "till-tools"))


def _run(work: Callable[[], Any]) -> Any:
    """Run to the end; what is wrong is one sentence and exit code 1 (the ledger) or 2 (could not look)."""
    from services.sessions.tools.recompute import LedgerMismatch
    from services.sessions.tools.reports import NoReport
    from services.sessions.worker.publisher import AnswerStuck, BrokerAway

    try:
        return run_to_end(work())
    except LedgerMismatch as bad:
        typer.echo(f"first bad: {bad}")
        raise typer.Exit(1) from bad
    except NoReport as none:
        typer.echo(str(none), err=True)
        raise typer.Exit(1) from none
    except (BrokerAway, AnswerStuck, ValueError) as error:
        refuse(str(error))


def _needs_store(store: str | None, profile: str | None) -> None:
    if profile is not None and store is None:
        refuse("--profile needs --store: profiles are named within their store.")
