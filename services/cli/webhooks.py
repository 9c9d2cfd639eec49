"""The commands of `till` that say where closings are pushed to, and what became of it."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Annotated, Any, Final
from uuid import UUID

import typer

from services.cli.common import read_settings, run_to_end

webhooks = typer.Typer(no_args_is_help=True, help="Where closings and corrections are pushed to over HTTP.")

TYPES: Final = "closing,closing_correction"
"""The words of services.reporting, which is not imported for `--help`; a test compares them."""
EVERY_STORE: Final = "*"
BEGINNING: Final = "beginning"
SHOWN_MAX: Final = 1_000
PATH_CHARACTERS_SHOWN: Final = 8
"""Of a URL's path: many receivers have their secret in it."""

Id = Annotated[UUID, typer.Argument(help="The webhook, as `till webhooks list` shows it.")]
From = Annotated[
    str, typer.Option("--from", help="now, beginning, or a cursor: next of /api/changes, or the id of an event.")
]


@webhooks.command("add")
def add(
    *,
    store: Annotated[list[str], typer.Option(help="Whose closings; may be repeated, * is every store.")],
    url: Annotated[str, typer.Option(help="Where to: https://… ; TILL_WEBHOOKS_PRIVATE_NETWORKS allows others.")],
    types: Annotated[str, typer.Option(help="Which messages, with commas between them.")] = TYPES,
    start: From = "now",
) -> None:
    """Push the closings of these stores to a receiver from now on, or from a cursor.

    Prints the webhook's id, and the secret that its messages are signed with: once, keep it. What the receiver has to
    do is in docs/webhooks.md.

    Example: [bold]till webhooks add --store parrot --url https://books.example/till[/bold]
    """
    from contracts.values import ID_TEXT
    from services.reporting.webhooks import endpoints
    from services.reporting.webhooks.addresses import read_url
    from services.reporting.webhooks.signing import new_secret, shown

    wrong = [one for one in store if one != EVERY_STORE and not ID_TEXT.fullmatch(one)]
    if wrong:
        raise typer.BadParameter(f"{wrong[0]!r} is no store.", param_hint="--store")
    chosen = _chosen(types)
    stores = None if EVERY_STORE in store else sorted(set(store))
    secret = new_secret()

    async def work(tx: Any) -> UUID:
        read_url(url, read_settings().private_networks)
        return await endpoints.add(tx, url, stores, chosen, await _cursor(tx, start), secret)

    typer.echo(f"{_on_reader(work)}\t{shown(secret)}")


@webhooks.command("list")
def list_webhooks() -> None:
    """List the webhooks: id, state, stores, types, URL, records still to come, secrets, cursor, and what holds it.

    Separated by tabs. Of the URL's path a few characters are shown, for it may hold a secret, as its query may.
    Records still to come are those from its cursor on, of other stores too, until it has passed them by. The cursor is
    one that --from takes. That of one that is `ahead` lies beyond what was read.

    Example: [bold]till webhooks list[/bold]
    """
    from urllib.parse import urlsplit

    from services.platform.http.event_stream import write_id
    from services.reporting.webhooks import endpoints

    for one in _on_reader(endpoints.listed):
        state = "paused" if one.paused_because else "failing" if one.tries else "ahead" if one.is_ahead else "active"
        held = one.paused_because or ""
        if state == "failing":
            held = f"{one.failing_because} Since {one.failing_since:%Y-%m-%dT%H:%M:%SZ}, {one.tries} tries."
        if state == "ahead":
            held = "Its cursor is beyond what was read of the topic: nothing is sent before that. Replay it."
        to = urlsplit(one.url)
        is_longer = to.query or len(to.path) > PATH_CHARACTERS_SHOWN
        url = f"{to.scheme}://{to.netloc}{to.path[:PATH_CHARACTERS_SHOWN]}{'…' if is_longer else ''}"
        stores = EVERY_STORE if one.stores is None else ",".join(one.stores)
        cursor = write_id(one.cursor).decode() if one.cursor else BEGINNING
        shown = (one.webhook_id, state, stores, ",".join(one.types), url, one.behind, one.secrets, cursor)
        typer.echo("\t".join(map(str, (*shown, held))))


@webhooks.command("change")
def change(
    webhook: Id,
    *,
    url: Annotated[str | None, typer.Option(help="Where to from now on.")] = None,
    types: Annotated[str | None, typer.Option(help="Which messages from its cursor on, with commas.")] = None,
) -> None:
    """Push to another address, or other types of messages, from where it stands, signed as before.

    At another address it goes on at once, also where it was paused. What was under way may come to both.

    Example: [bold]till webhooks change 3f2c… --url https://new.books.example/till[/bold]
    """
    from services.reporting.webhooks import endpoints
    from services.reporting.webhooks.addresses import read_url

    if url is None and types is None:
        raise typer.BadParameter("say what changes: --url, --types, or both.", param_hint="change")
    chosen = None if types is None else _chosen(types)

    async def work(tx: Any) -> None:
        if url is not None:
            read_url(url, read_settings().private_networks)
        await endpoints.change(tx, webhook, url=url, types=chosen)

    _on_reader(work)
    typer.echo(f"The webhook {webhook} is changed.")


@webhooks.command("remove")
def remove(webhook: Id) -> None:
    """Push nothing to this receiver any more, and forget its secrets and deliveries.

    Example: [bold]till webhooks remove 3f2c…[/bold]
    """
    from services.reporting.webhooks import endpoints

    _on_reader(partial(endpoints.remove, webhook_id=webhook))
    typer.echo(f"The webhook {webhook} is gone.")


@webhooks.command("rotate")
def rotate(
    webhook: Id,
    *,
    overlap_h: Annotated[
        float, typer.Option(help="Hours that the old secret signs beside the new.", min=0, max=720)
    ] = 24,
) -> None:
    """Sign by a new secret, which is printed once; until the overlap ends messages bear both signatures.

    Give the receiver the new secret within that time. Receivers take a message of which one signature is theirs.

    Example: [bold]till webhooks rotate 3f2c… --overlap-h 48[/bold]
    """
    from services.reporting.webhooks import endpoints
    from services.reporting.webhooks.signing import new_secret, shown

    secret = new_secret()
    overlap = timedelta(hours=overlap_h)
    _on_reader(lambda tx: endpoints.rotate(tx, webhook, secret, overlap))
    typer.echo(shown(secret))


@webhooks.command("resume")
def resume(
    webhook: Id,
    *,
    without: Annotated[str | None, typer.Option(help="The id of the failing message, to pass it by for good.")] = None,
) -> None:
    """Go on at once from where a paused or failing webhook stands; nothing was lost meanwhile.

    Example: [bold]till webhooks resume 3f2c…[/bold]
    """
    from services.reporting.webhooks import endpoints

    _on_reader(lambda tx: endpoints.resume(tx, webhook, without=without))
    typer.echo(f"The webhook {webhook} goes on.")


@webhooks.command("replay")
def replay(webhook: Id, *, start: From) -> None:
    """Send again all that was published since a cursor, in its order, and go on; also from now on, without the rest.

    Example: [bold]till webhooks replay 3f2c… --from beginning[/bold]
    """
    from services.reporting.webhooks import endpoints

    async def work(tx: Any) -> None:
        await endpoints.replay(tx, webhook, await _cursor(tx, start))

    _on_reader(work)
    typer.echo(f"The webhook {webhook} goes on from there.")


@webhooks.command("test")
def send_test(webhook: Id) -> None:
    """Send a signed message of the type `test`, once, and show what the receiver answers; exit code 1 unless it is 2xx.

    It goes from here, by this machine's network and settings, also to a paused one, and is none of its deliveries.

    Example: [bold]till webhooks test 3f2c…[/bold]
    """
    from services.reporting.webhooks import deliver, endpoints
    from services.reporting.webhooks.messages import trial

    def clock() -> datetime:
        return datetime.now(UTC)

    async def work(tx: Any) -> tuple[str, list[bytes]]:
        return await endpoints.url_of(tx, webhook), await endpoints.valid_secrets(tx, webhook)

    url, secrets = _on_reader(work)
    private = read_settings().private_networks
    tried = run_to_end(deliver.send_once(url, trial(webhook, clock()), secrets, private, clock))
    shown = (tried.message.id, tried.status or "-", round(tried.took_s * 1_000), tried.problem or "taken")
    typer.echo("\t".join(map(str, shown)))
    raise typer.Exit(0 if tried.problem is None else 1)


@webhooks.command("deliveries")
def deliveries(
    webhook: Id,
    *,
    limit: Annotated[int, typer.Option(help="How many.", min=1, max=SHOWN_MAX)] = 50,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that were not taken.")] = False,
) -> None:
    """Show the latest tries, the newest first: number, time, message, type, store, till, status, milliseconds, problem.

    Separated by tabs. Of each webhook the latest 10,000 are kept.

    Example: [bold]till webhooks deliveries 3f2c… --failed[/bold]
    """
    from services.reporting.webhooks import endpoints

    for one in _on_reader(lambda tx: endpoints.deliveries(tx, webhook, limit, failed=failed)):
        at = f"{one.sent_at:%Y-%m-%dT%H:%M:%S.%fZ}"
        shown = (one.number, at, one.message_id, one.type, one.store_id, one.profile_id, one.status or "-", one.took_ms)
        typer.echo("\t".join(map(str, (*shown, one.problem or "taken"))))


def _chosen(types: str) -> list[str]:
    chosen = set(types.split(","))
    if not chosen <= set(TYPES.split(",")):
        raise typer.BadParameter(f"choose of {TYPES}.", param_hint="--types")
    return sorted(chosen)


async def _cursor(tx: Any, start: str) -> Any:
    """The cursor that is meant. Raises ValueError with a sentence."""
    from fastapi import HTTPException

    from services.platform.http.event_stream import read_id
    from services.reporting import search

    if start == BEGINNING:
        return {}
    now = {(row.topic, row.partition): row.next_offset for row in await tx.execute(search.REACHED)}
    if start == "now":
        return now
    try:
        at = read_id(start, "--from")
    except HTTPException:
        raise ValueError(
            "--from is now, beginning, or a cursor: next of /api/changes, or the id of an event."
        ) from None
    if not {topic for topic, _ in at} <= {topic for topic, _ in now}:
        raise ValueError("--from is a cursor of another topic.")
    return at


def _on_reader(work: Callable[[Any], Awaitable[Any]]) -> Any:
    """What `work` gives in one transaction of the reporting reader's database."""
    from services.platform.postgres.engine import open_tool_engine

    async def worked() -> Any:
        engine = open_tool_engine(read_settings().reader_database_url, "till-webhooks-cli")
        try:
            async with engine.begin() as tx:
                return await work(tx)
        finally:
            await engine.dispose()

    return run_to_end(worked())
