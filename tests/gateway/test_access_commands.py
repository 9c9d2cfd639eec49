"""The commands of `till` that say who may come in."""

import asyncio

import pytest
from click.testing import Result
from typer.testing import CliRunner

from services.cli.app import app
from services.platform import access_log
from services.platform.settings import Settings
from tests.gateway.door import Door


async def till(settings: Settings, *words: str, typed: str = "") -> Result:
    """The command line on this corner; in a thread, because it runs a loop of its own."""
    environment = {f"TILL_{k.upper()}": str(v) for k, v in settings.model_dump().items() if v is not None}
    return await asyncio.to_thread(CliRunner().invoke, app, words, typed, environment)


async def test_the_command_line_says_who_may_come_in(door: Door, settings: Settings) -> None:
    async def run(*words: str, typed: str = "") -> Result:
        return await till(settings, *words, typed=typed)

    eva = ("users", "add", "--store", "s1", "--id", "eva", "--role", "manager", "--profile", "p1", "--password-stdin")
    assert (await run(*eva, typed="first\n")).exit_code == 0
    assert (await door.sign_in("first", "eva")).status_code == 200
    assert (await run("users", "list")).stdout == "s1\tana\tcashier\tp1\tactive\ns1\teva\tmanager\tp1\tactive\n"
    assert (await run("users", "revoke", "--store", "s1", "--id", "eva")).exit_code == 0
    assert (await door.sign_in("first", "eva")).status_code == 401
    assert (await run("users", "list", "--store", "s1")).stdout.endswith("eva\tmanager\tp1\trevoked\n")
    assert (await run(*eva, typed="first\n")).exit_code == 0
    await door.log.read_to_end()
    assert (await door.by_token(await door.token(password="first", user="eva"))).status_code == 200
    revocations, unreadable = await access_log.read_now(settings)
    assert (revocations.revoked_in("eva"), unreadable) == (set(), [])

    key = (await run("keys", "add", "--company", "cafes", "--store", "s1")).stdout.strip()
    assert (await door.by_key(key)).json()["role"] == "manager"
    store, key_id, *_ = (await run("keys", "list")).stdout.split("\t")
    again = (await run("keys", "rotate", "--store", store, "--key", key_id, "--overlap", "0")).stdout.strip()
    assert [(await door.by_key(each)).status_code for each in (key, again)] == [401, 200]
    assert "5 seconds" in (await run("keys", "revoke", "--store", store, "--key", key_id)).stdout
    assert (await door.by_key(again)).status_code == 401

    before = (await run("token", "--sub", "m", "--role", "admin", "--store", "s1")).stdout.strip()
    assert (await run("signing-key", "rotate")).exit_code == 0
    after = (await run("token", "--sub", "m", "--role", "admin", "--store", "s1")).stdout.strip()
    assert [(await door.by_token(token)).status_code for token in (before, after)] == [200, 200]
    signing, retired = (await run("signing-key", "list")).stdout.splitlines()
    assert signing.endswith("\tsigns")
    assert (await run("signing-key", "remove", retired.split("\t")[0])).exit_code == 0
    door.access._verifier._check_at = 0
    assert [(await door.by_token(token)).status_code for token in (before, after)] == [401, 200]


@pytest.mark.parametrize(
    ("words", "typed", "sentence"),
    [
        (
            ("users", "add", "--store", "s1", "--id", "key:1", "--role", "admin", "--password-stdin"),
            "x",
            "begins neither",
        ),
        (("users", "add", "--store", "s1", "--id", "till-1", "--role", "admin", "--password-stdin"), "x", "nor with"),
        (("users", "add", "--store", "s1", "--id", "ana", "--role", "admin"), "x", "--password-stdin"),
        (("users", "add", "--store", "s1", "--id", "ana", "--role", "admin", "--password-stdin"), "", "1 to 1024"),
        (("users", "add", "--store", "*", "--id", "ana", "--role", "admin", "--password-stdin"), "x", "id of a store"),
        (("users", "add", "--store", "s1", "--id", "ana", "--role", "admin", "--bcrypt-hash-stdin"), "x", "no bcrypt"),
        (("profiles", "password", "--store", "s1", "--profile", "p9", "--password-stdin"), "x", "import it first"),
        (("keys", "revoke", "--store", "s1", "--key", "x"), "", "no key x"),
        (("keys", "rotate", "--store", "s1", "--key", "x"), "", "no key x"),
        (("signing-key", "remove", "x"), "", "private key"),
        (("signing-key", "remove", "-x"), "", "private key"),
    ],
    ids=lambda value: " ".join(value[:2]) if isinstance(value, tuple) else "",
)
async def test_what_the_command_line_refuses_is_said_in_a_sentence(
    settings: Settings, words: tuple[str, ...], typed: str, sentence: str
) -> None:
    done = await till(settings, *words, typed=typed)

    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "Traceback" not in done.stderr
