"""`till demo`: a trading day through the real stack, from nothing to the verified ledger."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.text import Text

from deploy.demo import morning, over_http, report, screen, stream
from deploy.demo.day import PROFILES, read_day, read_expected
from deploy.demo.over_http import Visit
from deploy.demo.tally import Tally, faults
from deploy.embedded.stack import Stack, StackError, default_home, down, running, up, wipe
from services.platform.auth import signing_keys, tokens
from services.platform.settings import Settings

COMMAND_LIMIT_S = 300
GOOD, BAD, CANNOT, INTERRUPTED = 0, 1, 2, 130
"""Exit codes: all as it must be, something was not, the demo could not be played, Ctrl-C."""
KEPT_SETTINGS = frozenset({"TILL_HOME", "TILL_CACHE"})
WATCHED_S: Final = 60.0
"""How long a day takes that somebody may watch on the console: forty sales a second say nothing."""
PASSWORD_BYTES: Final = 9
"""Twelve characters: the demo's passwords are typed by hand, and its servers listen on this machine alone."""
PEOPLE: Final = (("claire", "manager", None), ("adele", "admin", None), ("ines", "cashier", "caisse-2"))
"""Who may sign in to the console at the bakery, as what, and at which till they work."""
MORNING_TOKEN_S: Final = 600


def demo(home: Path | None = None, *, keep: bool = False, over_s: float | None = None) -> int:
    """Play the day and audit it; 0 only if everything came out as it must.

    Without `home` the stack lives in a folder of its own that is deleted at the end, unless something was wrong. With
    `keep` the console is there to watch, a morning follows the day, and all stays up; the last lines say how to look at
    it and how to stop it. The day is spread over `over_s` seconds; where they are None, over WATCHED_S if it is kept.
    """
    console = Console()
    folder = _fresh_home() if home is None else home.expanduser().resolve()
    if running(folder) is not None:
        _print_unbroken(console, f"A stack runs in {folder}: stop it with `till down`, or leave --home out.")
        return CANNOT
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    code, stack, over_s = CANNOT, None, over_s if over_s is not None else WATCHED_S if keep else 0
    password = secrets.token_urlsafe(PASSWORD_BYTES) if keep else ""
    try:
        stack = _own_stack(console, folder)
        code = _play(console, stack, over_s, password)
        if keep and not _morning(console, stack):
            code = BAD
    except StackError as error:
        console.print(Text(str(error), style="red"))
    except KeyboardInterrupt:
        code = INTERRUPTED
    finally:
        with _undisturbed():
            if keep and stack is not None and code in {GOOD, BAD}:
                _say_how_to_look(console, stack, password)
            else:
                _leave(console, folder, code, mine=home is None)
        signal.signal(signal.SIGTERM, before)
    return code


def on_running(settings: Settings, *, over_s: float = 0) -> int:
    """Play the day through servers and services that run already; 0 as above."""
    console = Console()
    try:
        return _play(console, _stack_of(settings), over_s)
    except StackError as error:
        console.print(Text(str(error), style="red"))
        return CANNOT


def _stack_of(settings: Settings) -> Stack:
    urls = (os.environ.get("TILL_GATEWAY_URL"), os.environ.get("TILL_REPORTING_URL"))
    if not all(urls):
        raise StackError("Say where gateway and reporting reader answer: TILL_GATEWAY_URL and TILL_REPORTING_URL.")
    return Stack(settings.home, settings.kafka, settings.database_url, settings.redis_url, *urls, pids={})


def _leave(console: Console, home: Path, code: int, *, mine: bool) -> None:
    """Stop all and tidy up."""
    console.print("Stopping the services and the servers.")
    if mine and code != BAD:
        wipe(home)
    else:
        down(home)
        _print_unbroken(console, f"Data and logs are kept in {home}.")


def _say_how_to_look(console: Console, stack: Stack, password: str) -> None:
    """What stays up, how to sign in to it, and how to stop it."""
    till = "till" if shutil.which("till") else Path(sys.executable).with_name("till")
    _print_unbroken(console, "")
    _say_sign_in(console, stack, password)
    _print_unbroken(console, f'All stays up. For till and curl:  eval "$({till} env --home {stack.home})"')
    _print_unbroken(console, f"Stop it and delete its data:      {till} down --delete-data --home {stack.home}")


def _say_sign_in(console: Console, stack: Stack, password: str) -> None:
    people = ", ".join(f"{user} ({role})" for user, role, _ in PEOPLE)
    _print_unbroken(console, f"The console:  {stack.console_url}")
    _print_unbroken(console, f"Sign in:      store {morning.STORE_ID}, user {people}, password {password}")


def _print_unbroken(console: Console, sentence: str) -> None:
    """Print without breaking lines: what names a folder is there to be copied."""
    console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def _forget_other_deployments() -> None:
    """The shell may hold addresses and settings of another stack; none may reach this one."""
    for name in [name for name in os.environ if name.startswith("TILL_")]:
        if name not in KEPT_SETTINGS:
            del os.environ[name]


def _make_token_key(home: Path) -> None:
    """The demo signs the registers' tokens, and the services ask for its public key at their start."""
    try:
        signing_keys.ensure_key(Settings(home=home))
    except (OSError, ValueError) as error:
        raise StackError(f"There is no key to sign tokens with: {error}") from error


def _fresh_home() -> Path:
    base = default_home()
    base.mkdir(parents=True, exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="demo-", dir=base))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """A second Ctrl-C must not leave half a stack behind; stopping has limits of its own."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _own_stack(console: Console, home: Path) -> Stack:
    screen.phase(
        console,
        "1  Servers and services",
        "Apache Kafka, PostgreSQL and a Redis start here, in a folder of their own; then the "
        "sessions service, the gateway and the reporting reader.",
    )
    _forget_other_deployments()
    _make_token_key(home)
    return up(home, progress=lambda sentence, share: _show_progress(console, sentence, share), servers={})


def _play(console: Console, stack: Stack, over_s: float, console_password: str = "") -> int:
    day, expected = read_day(), read_expected()
    settings = _settings(stack)
    screen.phase(
        console,
        "2  Five shops",
        "A profile is a till as somebody set it up: currency, tenders, limits. They come from a "
        "file as commands, so the log says who set what when; it prints how many it took.",
    )
    _till(console, stack, "profiles", "import", str(PROFILES))
    password = _cashier(console, stack)
    if console_password:
        _people(console, stack, console_password)
    visits: list[Visit] = []

    def at_the_gateway(tally: Tally) -> dict[str, Any]:
        visits.append(_visit(console, stack, password, tally))
        return visits[0].expect_more(expected)

    async def the_day() -> tuple[Tally, float]:
        # Said from within the loop: who sees it and interrupts must not meet a loop that is only being made.
        screen.phase(
            console,
            "3  The day",
            f"{len(day):,} records of New Year's Day 2025 go to Kafka as the registers sent them: "
            "sales, tabs, floats, safe drops, tips, mistakes. Every command gets one answer; every close "
            "gets one closing, shown here as it arrives.",
        )
        return await stream.play(console, settings, day, expected, at_the_gateway, over_s)

    tally, seconds = asyncio.run(the_day())
    problems = [fault for visit in visits for fault in visit.faults]
    expected = visits[0].expect_more(expected) if visits else expected
    problems += silence(tally, stream.SILENCE_LIMIT_S) or faults(tally, expected, day)
    screen.phase(console, "5  The day in numbers", "What was published, and what came of it.")
    console.print(screen.totals_view(tally, len(day), seconds, over_s))
    problems += _audit(console, stack, settings)
    return _verdict(console, problems)


def _cashier(console: Console, stack: Stack) -> str:
    """Set up the one person who signs in by name; gives her password, which nobody else learns."""
    password = secrets.token_urlsafe(16)
    till = ("--store", over_http.STORE_ID, "--profile", over_http.PROFILE_ID)
    who = ("--id", over_http.USER_ID, "--role", "cashier")
    _till(console, stack, "users", "add", *till, *who, "--password-stdin", typed=password)
    return password


def _people(console: Console, stack: Stack, password: str) -> None:
    """Set up who may look in by the console, and say so before there is something to see."""
    for user, role, profile_id in PEOPLE:
        till = ("--profile", profile_id) if profile_id else ()
        who = ("--store", morning.STORE_ID, "--id", user, "--role", role, *till)
        _till(console, stack, "users", "add", *who, "--password-stdin", typed=password)
    console.print(Text("\nWho would rather watch the tills than this may sign in now:"))
    _say_sign_in(console, stack, password)


def _morning(console: Console, stack: Stack) -> bool:
    """What goes on at the bakery when somebody looks in; whether it came out as it must. Raises StackError."""
    screen.phase(
        console,
        "8  The next morning",
        "The bakery has opened again: three more tills, a drawer that waits for a manager, rain on the market.",
    )
    _till(console, stack, "profiles", "import", str(morning.TILLS))
    left = {
        closing["profile_id"]: closing["tenders"].get("cash", {}).get("left_minor")
        for closing in read_expected()["closings"]
        if closing["store_id"] == morning.STORE_ID
    }
    token = tokens.mint(
        _settings(stack), sub="registers", role="register", stores=[morning.STORE_ID], ttl_s=MORNING_TOKEN_S
    )
    try:
        sent = morning.send(stack.gateway_url or "", token, morning.morning(datetime.now(UTC), left))
    except (morning.NotTaken, OSError, ValueError) as error:
        console.print(Text(f"The morning did not begin as it should: {error}", style="red"))
        return False
    console.print(Text(f"  {sent} commands by HTTP, each answered as it must be."))
    return True


def _visit(console: Console, stack: Stack, password: str, tally: Tally) -> Visit:
    """A shift over HTTP, on the same topics and under the same eyes as the day."""
    screen.phase(
        console,
        "4  A till that speaks HTTP",
        "The gateway publishes what it is asked to the same topic and replies with the answer that comes back.",
    )
    visit = Visit(stack.gateway_url or "", password, tally, lambda sentence: console.print(Text(f"  {sentence}")))
    visit.work()
    console.print()
    return visit


def _audit(console: Console, stack: Stack, settings: Settings) -> list[str]:
    """Ask the two that know nothing of this program: the reporting reader and `till verify`."""
    screen.phase(
        console,
        "6  What another team sees",
        "The reporting reader follows the closings topic alone and never looks into the ledger. "
        "GET /v1/cashier-sessions/ for the Parrot Cafe:",
    )
    page, problems = report.parrot_day(settings, stack.reporting_url)
    if page is not None:
        console.print(screen.parrot_view(page))
    screen.phase(
        console,
        "7  The proof",
        "Each closing carries the hash of the one before it and of its session's journal. "
        "`till verify` recomputes them all:",
    )
    if _till(console, stack, "verify", must=False):
        problems.append("`till verify` did not find the ledger in order.")
    return problems


def _settings(stack: Stack) -> Settings:
    return Settings(
        home=stack.home,
        kafka=stack.kafka,
        database_url=stack.database_url,
        redis_url=stack.redis_url,
    )


def _show_progress(console: Console, sentence: str, share: float | None) -> None:
    """A line for every step; of a download only the beginning, for it has no end in a pipe."""
    if share is None or share == 0:
        console.print(Text(f"  {sentence}", style="dim"))


def _till(console: Console, stack: Stack, *command: str, must: bool = True, typed: str = "") -> int:
    """Run a `till` command as a person would, and show what it says; `typed` is its standard input.

    Raises StackError when it fails and `must` succeed.
    """
    ran = subprocess.run(
        [sys.executable, "-m", "deploy.till", *command],
        env=os.environ | stack.env(),
        input=typed,
        capture_output=True,
        text=True,
        timeout=COMMAND_LIMIT_S,
        check=False,
    )
    shown = " ".join(Path(word).name if "/" in word else word for word in command)
    console.print(Text(f"  $ till {shown}", style="bold"))
    for line in (ran.stdout + ran.stderr).splitlines():
        console.print(Text(f"  {line}"))
    if must and ran.returncode:
        raise StackError(f"`till {shown}` ended with code {ran.returncode}.")
    return ran.returncode


def silence(tally: Tally, limit_s: float) -> list[str]:
    """The sentence for commands without an answer."""
    missing = tally.unanswered()
    if not missing:
        return []
    named = ", ".join(missing[:10]) + (" and more" if len(missing) > 10 else "")
    return [f"{len(missing)} commands had no answer after {limit_s:.0f} s of silence: {named}."]


def _verdict(console: Console, problems: list[str]) -> int:
    console.print()
    if problems:
        console.print(Text("Not everything is as it must be:", style="bold red"))
        for sentence in problems:
            console.print(Text(f"  {sentence}", style="red"))
        return BAD
    console.print(
        Text(
            "Every command was answered, every figure is the one that was worked out beforehand without "
            "the service, and every chain holds.",
            style="bold green",
        )
    )
    return GOOD
