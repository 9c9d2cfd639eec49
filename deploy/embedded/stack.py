"""Start, find and stop the embedded stack: what commands, tests and benchmarks use."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from deploy.embedded import jars, kafka, postgres
from deploy.embedded.process import kill_exactly, wait_gone
from deploy.embedded.state import (
    STATE,
    Plan,
    State,
    held,
    kill_leftovers,
    known_ports,
    load,
    supervised,
)
from deploy.embedded.supervisor import READY_LIMIT_S, STOP_LIMIT_S
from deploy.embedded.trouble import StackError, check_room, last_lines, make_home

__all__ = [
    "Stack",
    "StackError",
    "default_home",
    "down",
    "running",
    "start_server",
    "stop_server",
    "up",
    "wipe",
]

SERVERS = ("TILL_KAFKA", "TILL_DATABASE_URL", "TILL_REDIS_URL")
# Services are stopped before servers, and each may take its whole limit.
DOWN_LIMIT_S = 2 * STOP_LIMIT_S + 5

Progress = Callable[[str, float | None], None]


@dataclass(frozen=True)
class Stack:
    """The addresses and processes of a running stack, as they were when this was made."""

    home: Path
    kafka: str
    database_url: str
    redis_url: str
    gateway_url: str | None
    reporting_url: str | None
    pids: dict[str, int]
    console_url: str | None = None

    def env(self) -> dict[str, str]:
        """The settings by which services and commands find this stack."""
        settings = {
            "TILL_HOME": str(self.home),
            "TILL_KAFKA": self.kafka,
            "TILL_DATABASE_URL": self.database_url,
            "TILL_REDIS_URL": self.redis_url,
        }
        urls = {
            "TILL_GATEWAY_URL": self.gateway_url,
            "TILL_REPORTING_URL": self.reporting_url,
            "TILL_CONSOLE_URL": self.console_url,
        }
        return settings | {name: url for name, url in urls.items() if url}


def default_home() -> Path:
    """TILL_HOME, or `.tillstream` in the current folder."""
    return Path(os.environ.get("TILL_HOME") or ".tillstream").expanduser().resolve()


def running(home: Path) -> Stack | None:
    """The stack that runs in this home; None when none does, or it is still starting."""
    home = home.expanduser().resolve()
    state = load(home)
    return _stack(home, state) if state and state.ready and supervised(home) else None


def up(
    home: Path,
    *,
    services: Sequence[str] = ("sessions", "gateway", "reporting", "webhooks", "console"),
    progress: Progress | None = None,
    servers: Mapping[str, str] | None = None,
) -> Stack:
    """Start servers and services in the background, or find those that run in this home already.

    `servers` holds TILL_KAFKA, TILL_DATABASE_URL or TILL_REDIS_URL of servers to use instead of own
    ones. `progress` is called with a sentence and, in a download, the share done. With
    `services=()` there are only the servers, without tables and topics. When this process dies or
    is interrupted before all is up, everything is stopped again. Raises StackError.
    """
    progress = progress or (lambda _sentence, _share: None)
    home = home.expanduser().resolve()
    make_home(home)
    with held(home / "up.lock"):
        if stack := running(home):
            progress(f"The stack in {home} runs already.", None)
            return stack
        check_room(home)
        foreign = _foreign(home, servers or {})
        brings_kafka = "TILL_KAFKA" not in foreign
        plan = Plan(
            home=str(home),
            services=list(services),
            foreign=foreign,
            java=kafka.find_java() if brings_kafka else "",
            classes=jars.class_path(progress) if brings_kafka else "",
        )
        _supervise(home, plan, progress)
        state = load(home)
        if state is None:
            raise StackError(f"The stack ended at once: see {home / 'logs' / 'supervisor.log'}")
        return _stack(home, state)


def _foreign(home: Path, servers: Mapping[str, str]) -> dict[str, str]:
    """The addresses of servers that are not our own.

    `eval "$(till env)"` leaves our own addresses in a shell, where they outlive `till down`.
    """
    ours = tuple(f"@127.0.0.1:{port}" for port in known_ports(home).values())
    named = {name: servers[name] for name in SERVERS if servers.get(name)}
    hosts = {name: "@" + url.rpartition("@")[2].rpartition("//")[2] for name, url in named.items()}
    return {name: url for name, url in named.items() if not hosts[name].startswith(ours)}


def _stack(home: Path, state: State) -> Stack:
    pids = {name: pid for name, (pid, _) in state.processes.items()}
    servers = (state.kafka, state.database_url, state.redis_url)
    return Stack(home, *servers, state.gateway_url, state.reporting_url, pids, state.console_url)


def _supervise(home: Path, plan: Plan, progress: Progress) -> None:
    """Start a supervisor and follow its report until all is up; StackError when it gives up."""
    log = home / "logs" / "supervisor.log"
    command = [sys.executable, "-P", "-m", "deploy.embedded.supervisor"]
    with log.open("ab") as errors:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,
        )
    stdin, report = process.stdin, process.stdout
    if stdin is None or report is None:
        raise AssertionError("Both pipes were asked for.")
    with report:
        # Closing `stdin` is the sign for the supervisor to give up when it is not ready yet, and
        # reading on to the end of its report waits until it has stopped everything.
        try:
            with stdin:
                stdin.write(plan.line())
                stdin.flush()
                process.wait()
                answer = _follow(report, progress)
        except BaseException:
            report.read()
            raise
    if "ready" not in answer:
        raise StackError(answer.get("error") or f"The stack could not be started. {log}:\n{last_lines(log)}")


def _follow(report: IO[bytes], progress: Progress) -> dict[str, str]:
    """Pass the steps on; give the last line, or an empty one when there is none."""
    for line in report:
        message = json.loads(line)
        if "step" not in message:
            return dict(message)
        seconds = f" after {message['seconds']} s" if "seconds" in message else ""
        progress(f"{message['step']}{seconds}", None)
    return {}


def down(home: Path) -> None:
    """Stop services, then servers; does nothing when nothing runs. The data stay.

    Whatever does not stop within its limit is killed.
    """
    home = home.expanduser().resolve()
    state = load(home)
    if state is None:
        return
    supervisor = state.processes.get("supervisor")
    if supervisor is not None and supervised(home):
        kill_exactly(*supervisor, signal.SIGTERM)
        kill_exactly(*supervisor, signal.SIGCONT)
        if not wait_gone(*supervisor, DOWN_LIMIT_S):
            kill_exactly(*supervisor, signal.SIGKILL)
    # Nothing of it is left unless the supervisor was killed.
    kill_leftovers(state)
    if not supervised(home):
        (home / STATE).unlink(missing_ok=True)


def wipe(home: Path) -> None:
    """Stop the stack and delete all its data, also those of PostgreSQL outside `home`."""
    down(home)
    home = home.expanduser().resolve()
    for folder in (postgres.folder_of(home), home):
        if folder.exists():
            shutil.rmtree(folder)


def stop_server(stack: Stack, name: str) -> Stack:
    """Stop "kafka", "postgres" or "redis" in good order; the stack as it is then.

    To kill or freeze it instead, signal `stack.pids[name]`.
    """
    return _control(stack, "stop", name)


def start_server(stack: Stack, name: str) -> Stack:
    """Start a stopped or killed server again on its port and data, and wait until it is ready.

    Does nothing when it runs. A frozen one needs SIGCONT, not this.
    """
    return _control(stack, "start", name)


def _control(stack: Stack, verb: str, name: str) -> Stack:
    state = load(stack.home)
    if state is None or not supervised(stack.home):
        raise StackError(f"No stack runs in {stack.home}: start one with `till up`.")
    asked = {"secret": state.control_secret, "do": verb, "name": name}
    try:
        with socket.create_connection(("127.0.0.1", state.control_port), READY_LIMIT_S) as line:
            line.sendall(json.dumps(asked).encode() + b"\n")
            answer = json.loads(line.makefile("rb").readline())
    except (OSError, ValueError) as error:
        raise StackError(f"The supervisor of {stack.home} does not answer: `till down`, then `till up`.") from error
    if "error" in answer:
        raise StackError(answer["error"])
    now = load(stack.home)
    return _stack(stack.home, now or state)
