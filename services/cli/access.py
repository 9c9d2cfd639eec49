"""The commands of `till` that say who may come in: users, passwords of profiles, API keys, and the signing key."""

import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from typing import Annotated, Any

import typer

from services.cli.common import Store as AnyStore
from services.cli.common import on_ledger, read_settings, refuse, run_to_end
from services.cli.profiles import profiles

users = typer.Typer(no_args_is_help=True, help="The people of a store, and who of them may come in no more.")
keys = typer.Typer(no_args_is_help=True, help="API keys: each names a company and one of its stores.")
signing_key = typer.Typer(no_args_is_help=True, help="The key that tokens are signed with.")

PASSWORD_LINE_MAX = 4_096


class TokenRole(StrEnum):
    """What a token's bearer may do."""

    register = "register"
    cashier = "cashier"
    manager = "manager"
    admin = "admin"
    reader = "reader"


class TokenAudience(StrEnum):
    """What a token is good for."""

    commands = "commands"
    api = "api"


class KeyRole(StrEnum):
    """What an API key may do."""

    register = "register"
    manager = "manager"


Store = Annotated[str, typer.Option(help="The store.")]
PasswordStdin = Annotated[
    bool, typer.Option("--password-stdin", help="Read the password from standard input: nobody else sees it.")
]
BcryptStdin = Annotated[
    bool,
    typer.Option(
        "--bcrypt-hash-stdin", help="Read a bcrypt hash of another system; it is replaced when it is first used."
    ),
]


@users.command("add")
def add_user(
    *,
    store: Store,
    user: Annotated[str, typer.Option("--id", help="Who; their commands name this id as actor.")],
    role: Annotated[TokenRole, typer.Option(help="What they may do.")],
    profile: Annotated[str | None, typer.Option(help="The till that they work at.")] = None,
    password_stdin: PasswordStdin = False,
    bcrypt_hash_stdin: BcryptStdin = False,
) -> None:
    """Add a user, or replace one: their role, till and password. Who was revoked may come in again.

    Their commands count from what is sent 5 s from now on. Tokens that were issued before stay as they are until they
    expire; `till users revoke` ends them.

    Example: [bold]till users add --store parrot --id ana --role cashier --profile caja-1 --password-stdin < file[/bold]
    """
    from services.gateway.access import users as rows
    from services.platform import access_log
    from services.platform.auth.claims import EVERY_STORE, RESERVED_PREFIXES

    _check_id("store", store)
    _check_subject(user)
    if user.startswith(RESERVED_PREFIXES):
        refuse("A user's id begins neither with key:, as those of API keys, nor with till-, as those of the service.")
    if profile is not None:
        _check_id("profile", profile)
    stored = _read_password(password=password_stdin, bcrypt_hash=bcrypt_hash_stdin)

    async def work(tx: Any) -> None:
        await rows.add(tx, rows.User(store, user, role.value, profile), stored)

    _in_ledger(work)
    run_to_end(access_log.restore(read_settings(), user, [store, EVERY_STORE]))
    typer.echo(f"{user} of {store} is {role.value} from now on.")


@users.command("revoke")
def revoke_user(
    *,
    user: Annotated[str, typer.Option("--id", help="Whose password and tokens end; also the sub of a register.")],
    store: Annotated[str, typer.Option(help="In which store; * is every store.")] = "*",
) -> None:
    """End a user's password, and every token of theirs, within 5 s. What they did before stays.

    HTTP refuses them, and streams of theirs end, as soon as a process hears of it; of what is sent to Kafka nothing
    counts that arrives 5 s or more after the revocation.

    Example: [bold]till users revoke --store parrot --id ana[/bold]
    """
    from services.gateway.access import users as rows

    if store != "*":
        _check_id("store", store)
    _check_subject(user)
    _in_ledger(lambda tx: rows.revoke(tx, store, user, _on_access_topic()))
    where = "to any store" if store == "*" else f"to {store}"
    typer.echo(f"Nothing that {user} sends {where} counts any more, 5 seconds from now at the latest.")


@users.command("list")
def list_users(*, store: AnyStore = None) -> None:
    """List the users: store, id, role, till, and whether they are revoked; separated by tabs.

    Example: [bold]till users list --store parrot[/bold]
    """
    from services.gateway.access import users as rows

    for user, revoked in _in_ledger(lambda tx: rows.listed(tx, store)):
        state = "revoked" if revoked else "active"
        typer.echo(f"{user.store_id}\t{user.user_id}\t{user.role}\t{user.profile_id or '-'}\t{state}")


@users.command("revoked")
def list_revoked() -> None:
    """List whose tokens count no longer, registers and API keys too: store (* is every store) and id, with a tab.

    Example: [bold]till users revoked[/bold]
    """
    from services.platform import access_log

    revocations, unreadable = run_to_end(access_log.read_now(read_settings()))
    for store, subject in revocations.in_force():
        typer.echo(f"{store}\t{subject}")
    for offset, why in unreadable:
        typer.echo(f"Record {offset} of the access topic can't be read: {why}", err=True)


@profiles.command("password")
def profile_password(
    *,
    store: Store,
    profile: Annotated[str, typer.Option(help="The till.")],
    password_stdin: PasswordStdin = False,
    bcrypt_hash_stdin: BcryptStdin = False,
) -> None:
    """Set the password that opens a till.

    Example: [bold]till profiles password --store parrot --profile caja-1 --password-stdin < file[/bold]
    """
    from services.gateway.access import users as rows

    _check_id("store", store)
    _check_id("profile", profile)
    stored = _read_password(password=password_stdin, bcrypt_hash=bcrypt_hash_stdin)
    if not _in_ledger(lambda tx: rows.set_profile_password(tx, store, profile, stored)):
        refuse(f"There is no till {profile} in {store}: import it first, with `till profiles import`.")
    typer.echo(f"{profile} of {store} has a new password.")


@keys.command("add")
def add_key(
    *,
    company: Annotated[str, typer.Option(help="The company that the key belongs to.")],
    store: Store,
    role: Annotated[
        KeyRole, typer.Option(help="What it may do; only a manager's recounts and voids.")
    ] = KeyRole.manager,
) -> None:
    """Print a new API key. It is shown this once: only a hash of it is kept. Its id goes to standard error.

    Example: [bold]till keys add --company cafes --store parrot[/bold]
    """
    from services.gateway.access import api_keys as rows

    _check_id("store", store)
    _check_id("company", company)
    key, secret = _in_ledger(lambda tx: rows.add(tx, company, store, role.value))
    typer.echo(f"{key.key_id} of {company} for {store}, as {role.value}:", err=True)
    typer.echo(secret)


@keys.command("rotate")
def rotate_key(
    *,
    store: Store,
    key: Annotated[str, typer.Option(help="The key's id, as `till keys list` shows it.")],
    overlap: Annotated[
        int, typer.Option(help="Seconds that the old secret counts beside the new one.", min=0)
    ] = 86_400,
) -> None:
    """Print a new secret for a key that keeps its id. The old one counts on for a day, or as --overlap says.

    Example: [bold]till keys rotate --store parrot --key 4f1c2ab90d3e --overlap 3600[/bold]
    """
    from services.gateway.access import api_keys as rows

    secret = _in_ledger(lambda tx: rows.rotate(tx, store, key, overlap))
    if secret is None:
        refuse(f"There is no key {key} in {store}.")
    typer.echo(secret)


@keys.command("revoke")
def revoke_key(
    *, store: Store, key: Annotated[str, typer.Option(help="The key's id, as `till keys list` shows it.")]
) -> None:
    """End a key, and the tokens that were signed for it: within 5 s.

    Example: [bold]till keys revoke --store parrot --key 4f1c2ab90d3e[/bold]
    """
    from services.gateway.access import api_keys as rows

    if not _in_ledger(lambda tx: rows.revoke(tx, store, key, _on_access_topic())):
        refuse(f"There is no key {key} in {store}.")
    typer.echo(f"The key {key} of {store} opens nothing any more, 5 seconds from now at the latest.")


@keys.command("list")
def list_keys(*, store: AnyStore = None) -> None:
    """List the keys: store, id, company, role, and whether they are revoked; separated by tabs.

    Example: [bold]till keys list[/bold]
    """
    from services.gateway.access import api_keys as rows

    for key in _in_ledger(lambda tx: rows.listed(tx, store)):
        state = "revoked" if key.revoked else "active"
        typer.echo(f"{key.store_id}\t{key.key_id}\t{key.company_id}\t{key.role}\t{state}")


@signing_key.command("create")
def create_signing_key() -> None:
    """Make the key that signs, and the JWKS file that services verify with, where there is neither. Can be run twice.

    Example: [bold]till signing-key create[/bold]
    """
    from services.platform.auth.signing_keys import ensure_key

    _or_sentence(lambda: ensure_key(read_settings()))
    typer.echo("There is a key to sign with.")


@signing_key.command("rotate")
def rotate_signing_key(
    *,
    wait: Annotated[
        int, typer.Option(help="Seconds between showing the new key to the services and signing with it.", min=0)
    ] = 0,
) -> None:
    """Sign with a new key from now on, without a restart. Tokens of the old one count until they expire.

    Services that read the same JWKS file know the new key at once. Where the file is copied to them, --wait as long
    as a copy takes.

    Example: [bold]till signing-key rotate --wait 90[/bold]
    """
    from services.platform.auth.signing_keys import rotate

    typer.echo(f"Tokens are signed with {_or_sentence(lambda: rotate(read_settings(), wait_s=wait))} from now on.")


@signing_key.command("list")
def list_signing_keys() -> None:
    """List the keys whose tokens count: name, and since when it signs no more; separated by tabs.

    Example: [bold]till signing-key list[/bold]
    """
    from services.platform.auth.signing_keys import listed

    for key in _or_sentence(lambda: listed(read_settings())):
        retired = key.retired_at and datetime.fromtimestamp(key.retired_at, UTC).strftime("retired %Y-%m-%dT%H:%M:%SZ")
        typer.echo(f"{key.kid}\t{retired or 'signs'}")


# One name in 64 begins with a hyphen.
@signing_key.command("remove", context_settings={"ignore_unknown_options": True})
def remove_signing_key(kid: Annotated[str, typer.Argument(help="The key's name.")]) -> None:
    """Forget a retired key at once, as when it was stolen: no token that it signed counts any more.

    Example: [bold]till signing-key remove NAME[/bold]
    """
    from services.platform.auth.signing_keys import remove

    _or_sentence(lambda: remove(read_settings(), kid))
    typer.echo("No token of that key counts any more.")


def token(
    *,
    sub: Annotated[str, typer.Option(help="Who: the id of the register or person.")],
    role: Annotated[TokenRole, typer.Option(help="What they may do.")],
    store: Annotated[
        list[str],
        typer.Option(help="A store they may speak for; * is every store. Repeat for more."),
    ],
    ttl: Annotated[int, typer.Option(help="Seconds that it lives; for a register at most 86400.", min=1)] = 3_600,
    audience: Annotated[
        list[TokenAudience] | None,
        typer.Option(help="What it is good for: the commands topic or the HTTP APIs. Repeat for both, as without."),
    ] = None,
) -> None:
    """Print one signed token, for the record header `authorization: Bearer <token>` or an HTTP request.

    A register that publishes on Kafka is best given --audience commands: whoever can read the commands topic reads
    its tokens, and such a one opens no list and no closing.

    Example: [bold]till token --sub caja-1 --role register --store parrot --audience commands[/bold]
    """
    from services.platform.auth.signing_keys import ensure_key
    from services.platform.auth.tokens import API_AUDIENCE, COMMANDS_AUDIENCE, Audience, mint

    named: dict[TokenAudience, Audience] = {
        TokenAudience.commands: COMMANDS_AUDIENCE,
        TokenAudience.api: API_AUDIENCE,
    }
    audiences = [named[each] for each in audience or TokenAudience]

    settings = read_settings()
    try:
        ensure_key(settings)
        typer.echo(mint(settings, sub=sub, role=role.value, stores=store, ttl_s=ttl, audiences=audiences))
    except (OSError, ValueError) as error:
        refuse(str(error), error)


def _on_access_topic() -> Any:
    """Puts records on the access topic of the settings."""
    from services.platform import access_log

    return partial(access_log.publish, read_settings())


def _check_subject(subject: str) -> None:
    from contracts.access import SUBJECT_BYTES_MAX

    if not 1 <= len(subject.encode("utf-8", "surrogateescape")) <= SUBJECT_BYTES_MAX or "\0" in subject:
        refuse(f"The id of a user has 1 to {SUBJECT_BYTES_MAX} bytes.")


def _in_ledger(work: Callable[[Any], Awaitable[Any]]) -> Any:
    """Do it in one transaction."""

    async def transaction(engine: Any) -> Any:
        async with engine.begin() as tx:
            return await work(tx)

    return run_to_end(on_ledger(transaction, "till-access"))


def _read_password(*, password: bool, bcrypt_hash: bool) -> str:
    """How the password on standard input is to be kept. A password on the command line would be seen by others."""
    from services.gateway.access.passwords import hash_password, read_bcrypt_hash

    if password == bcrypt_hash:
        refuse("Say where the password comes from: --password-stdin or --bcrypt-hash-stdin.")
    line = sys.stdin.buffer.read(PASSWORD_LINE_MAX).removesuffix(b"\n").removesuffix(b"\r")
    try:
        words = line.decode()
    except UnicodeDecodeError:
        refuse("The password on standard input is no UTF-8.")
    return str(_or_sentence(lambda: (hash_password if password else read_bcrypt_hash)(words)))


def _or_sentence(work: Callable[[], Any]) -> Any:
    try:
        return work()
    except (OSError, ValueError) as error:
        refuse(str(error))


def _check_id(what: str, value: str) -> None:
    from contracts.values import ID_TEXT

    if not ID_TEXT.fullmatch(value):
        refuse(f"The id of a {what} has 1 to 64 of the characters A-Z a-z 0-9 . _ : -")
