"""The parent of every server and service of one stack, running detached in the background.

`up` starts it with a plan on its standard input, which stays open until `up` ends. When that input
ends before all is up, whoever wanted the stack is gone: everything is stopped again. So a stack is
either whole and in the state file, or not there.
"""

import asyncio
import contextlib
import json
import os
import secrets
import signal
import sys
import time
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import IO

from deploy.embedded import kafka, postgres, redis
from deploy.embedded.process import Program, spawn, started, stop
from deploy.embedded.state import STATE, Plan, State, hold_lock, kill_leftovers, load, ports, save
from deploy.embedded.trouble import StackError, is_free, last_lines

SERVERS = {"kafka", "postgres", "redis"}
READY_LIMIT_S = 90.0
STOP_LIMIT_S = 20.0
GIVE_UP_LIMIT_S = 3.0
ASK_AGAIN_AFTER_S = 0.05
ANSWER_LIMIT_S = 5.0
RESTARTS = 5
RESTARTS_WITHIN_S = 60.0
FIRST_RESTART_AFTER_S = 0.5


def write_log(message: str) -> None:
    """Write a line to the log of the supervisor, which is its standard error."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    sys.stderr.write(f"{stamp} {message}\n")
    sys.stderr.flush()


class Supervisor:
    """Holds the children of one stack and the state file that tells of them."""

    def __init__(self, plan: Plan, report: IO[str]) -> None:
        """`report` goes to `up`: one JSON object per line."""
        self.plan = plan
        self.home = Path(plan.home)
        self.logs = self.home / "logs"
        self.report = report
        self.programs: dict[str, Program] = {}
        self.children: dict[str, asyncio.subprocess.Process] = {}
        self.keepers: list[asyncio.Task[None]] = []
        self.stopping = False
        self.state = State("", "", "", None, 0, secrets.token_urlsafe(16))

    def send_report(self, **fields: object) -> None:
        """Report to `up`. That nobody reads any more is found at the standard input instead."""
        with contextlib.suppress(OSError):
            self.report.write(json.dumps(fields) + "\n")
            self.report.flush()

    def save(self) -> None:
        """Put all that runs now into the state file."""
        running = {"supervisor": os.getpid()}
        running |= {name: c.pid for name, c in self.children.items() if c.returncode is None}
        begun = {name: (pid, started(pid)) for name, pid in running.items()}
        self.state.processes = {n: (pid, at) for n, (pid, at) in begun.items() if at is not None}
        save(self.home, self.state)

    async def start(self) -> None:
        """Start all servers at once, then prepare them, then the services."""
        for name in kill_leftovers(load(self.home)):
            write_log(f"{name} was left over from an earlier stack and was killed")
        control = await asyncio.start_server(self.on_request, "127.0.0.1", 0)
        self.state.control_port = control.sockets[0].getsockname()[1]
        numbers = ports(self.home, ["kafka", "controller", "postgres", "redis"])
        foreign = self.plan.foreign
        self.state.kafka = foreign.get("TILL_KAFKA", f"127.0.0.1:{numbers['kafka']}")
        self.state.redis_url = foreign.get("TILL_REDIS_URL", f"redis://127.0.0.1:{numbers['redis']}/0")
        self.state.database_url = foreign.get("TILL_DATABASE_URL", "")
        async with asyncio.TaskGroup() as group:
            if "TILL_KAFKA" not in foreign:
                group.create_task(self.start_kafka(numbers["kafka"], numbers["controller"]))
            if "TILL_DATABASE_URL" not in foreign:
                group.create_task(self.start_postgres(numbers["postgres"]))
            if "TILL_REDIS_URL" not in foreign:
                group.create_task(self.start_program(redis.program(self.home, numbers["redis"])))
        if self.plan.services:
            await self.start_services()
        self.state.ready = True
        self.save()

    async def start_kafka(self, port: int, controller: int) -> None:
        """Format if need be and start the broker."""
        plan = self.plan
        await kafka.prepare(self.home, plan.java, plan.classes, self.run_tool)
        await self.start_program(kafka.program(self.home, plan.java, plan.classes, port, controller))

    async def start_postgres(self, port: int) -> None:
        """Make the cluster if need be and start the server."""
        password = await postgres.prepare(self.home, self.run_tool)
        folder = postgres.folder_of(self.home)
        if folder.parent != self.home:
            write_log(f"PostgreSQL does not run as root and nobody cannot reach {self.home}: see {folder}")
        self.state.database_url = (
            f"postgresql+asyncpg://{postgres.ROLE}:{password}@127.0.0.1:{port}/{postgres.DATABASE}"
        )
        await self.start_program(postgres.program(self.home, port, password))

    async def start_services(self) -> None:
        """Make tables and topics, then start the services and keep them running."""
        names = worker_names(self.plan.services)
        numbers = ports(self.home, list(names))
        if "gateway" in names:
            self.state.gateway_url = f"http://127.0.0.1:{numbers['gateway']}"
        if "reporting" in names:
            self.state.reporting_url = f"http://127.0.0.1:{numbers['reporting']}"
        if "console" in names:
            self.state.console_url = f"http://127.0.0.1:{numbers['console']}"
        async with asyncio.TaskGroup() as group:
            for command in ("migrate", "topics"):
                group.create_task(self.run_command(command))
        async with asyncio.TaskGroup() as group:
            for name, service in names.items():
                group.create_task(self.start_service(name, service, numbers[name]))

    async def run_command(self, command: str) -> None:
        """Run a command of `till` that services need to be done before they start."""
        await self.run_tool(command, [sys.executable, "-P", "-m", "services.cli", command])
        self.send_report(step=f"till {command} is done")

    async def start_service(self, name: str, service: str, port: int) -> None:
        """Start one worker, wait until it says that it is ready, and keep it running from then."""
        program = Program(
            name,
            [sys.executable, "-P", "-m", "services.cli", "run", service],
            ready=partial(is_ready, port),
            # Over plain http not every browser keeps a cookie that is for https alone.
            env={f"TILL_{service.upper()}_HTTP": f"127.0.0.1:{port}", "TILL_CONSOLE_HTTPS": "false"},
            port=port,
        )
        await self.start_program(program)
        self.keepers.append(asyncio.create_task(self.keep(program)))

    async def start_program(self, program: Program) -> None:
        """Start one child and wait until it is ready; StackError with the end of its log if not."""
        begun = time.monotonic()
        self.programs[program.name] = program
        if program.before is not None:
            await program.before()
        if program.port is not None and not is_free(program.port):
            raise StackError(
                f"Another program has taken port {program.port} of {program.name}: stop it, "
                "or `till down` and then `till up`, which takes another port."
            )
        child = await self.spawn(program)
        while not await program.ready():
            if child.returncode is not None:
                raise self.failed(program.name, f"ended at once with code {child.returncode}")
            if time.monotonic() - begun > READY_LIMIT_S:
                raise self.failed(program.name, f"was not ready after {READY_LIMIT_S:.0f} s")
            await asyncio.sleep(ASK_AGAIN_AFTER_S)
        if child.returncode is not None:
            raise self.failed(program.name, "ended, and another program answers on its port")
        seconds = time.monotonic() - begun
        write_log(f"{program.name} is ready after {seconds:.1f} s, process {child.pid}")
        self.send_report(step=f"{program.name} is up", seconds=round(seconds, 1))

    async def spawn(self, program: Program) -> asyncio.subprocess.Process:
        """Start a child in the stack's environment and write it down."""
        if self.stopping:
            raise StackError("The stack is being stopped.")
        own = {k: v for k, v in self.addresses().items() if v}
        whole = Program(**{**vars(program), "env": {**own, **program.env}})
        child = await spawn(whole, self.logs / f"{program.name}.log")
        self.children[program.name] = child
        self.save()
        return child

    def addresses(self) -> dict[str, str]:
        """What services need to find the servers and each other."""
        return {
            "TILL_HOME": str(self.home),
            "TILL_KAFKA": self.state.kafka,
            "TILL_DATABASE_URL": self.state.database_url,
            "TILL_REDIS_URL": self.state.redis_url,
            "TILL_GATEWAY_URL": self.state.gateway_url or "",
            "TILL_REPORTING_URL": self.state.reporting_url or "",
        }

    async def run_tool(
        self, name: str, argv: list[str], *, user: str | None = None, folder: Path | None = None
    ) -> None:
        """Run a tool to its end; StackError with the end of its log when it fails."""
        tool = Program(name, argv, ready=is_up, user=user, folder=folder)
        child = await self.spawn(tool)
        if await child.wait():
            raise self.failed(name, f"ended with code {child.returncode}")

    def failed(self, name: str, how: str) -> StackError:
        """The error for a child that did not do what it should."""
        log = self.logs / f"{name}.log"
        return StackError(f"{name} {how}. The end of {log}:\n{last_lines(log)}")

    async def keep(self, program: Program) -> None:
        """Start a service again when it ends, but not for ever: then say so and leave it."""
        ends: deque[float] = deque(maxlen=RESTARTS)
        while not self.stopping:
            code = await self.children[program.name].wait()
            if self.stopping:
                return
            now = time.monotonic()
            if len(ends) == RESTARTS and now - ends[0] < RESTARTS_WITHIN_S:
                write_log(
                    f"{program.name} ended {RESTARTS + 1} times within {RESTARTS_WITHIN_S:.0f} s "
                    f"and is left alone. Its log: {self.logs / f'{program.name}.log'}"
                )
                self.save()
                return
            recent = sum(now - end < RESTARTS_WITHIN_S for end in ends)
            ends.append(now)
            pause = FIRST_RESTART_AFTER_S * 2**recent
            write_log(f"{program.name} ended with code {code}; it starts again in {pause:.1f} s")
            await asyncio.sleep(pause)
            await self.spawn(program)

    async def stop_all(self, limit_s: float) -> None:
        """Stop services first, then servers; kill what does not stop within the limit."""
        self.stopping = True
        for keeper in self.keepers:
            keeper.cancel()
        for names in (self.children.keys() - SERVERS, self.children.keys() & SERVERS):
            await asyncio.gather(*(self.stop_one(name, limit_s) for name in names))

    async def stop_one(self, name: str, limit_s: float) -> None:
        """Stop one child by the signal that it understands."""
        program = self.programs.get(name)
        which = program.stop_signal if program else signal.SIGTERM
        if not await stop(self.children[name], which, limit_s):
            write_log(f"{name} did not stop within {limit_s:.0f} s and was killed")

    async def on_request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Stop or start one server for a test; one JSON object in, one out."""
        try:
            asked = json.loads(await reader.readline())
            if not secrets.compare_digest(asked["secret"], self.state.control_secret):
                raise StackError("Wrong secret.")
            await self.obey(asked["do"], asked["name"])
            answer = {}
        except StackError as error:
            answer = {"error": str(error)}
        except (ValueError, KeyError, TypeError) as error:
            answer = {"error": f"A request that cannot be read: {error!r}"}
        writer.write(json.dumps(answer).encode() + b"\n")
        writer.close()

    async def obey(self, verb: str, name: str) -> None:
        """Stop or start the server of this name and write the state file."""
        program, child = self.programs.get(name), self.children.get(name)
        if program is None or child is None or name not in SERVERS:
            raise StackError(f"{name!r} is no server that this stack started.")
        if verb == "stop":
            await self.stop_one(name, STOP_LIMIT_S)
        elif verb == "start":
            # One that was killed just now may not have been seen to end yet.
            if child.returncode is None and not await program.ready():
                await self.wait_end(name)
            if child.returncode is not None:
                await self.start_program(program)
        else:
            raise StackError(f"{verb!r} is neither stop nor start.")
        self.save()

    async def wait_end(self, name: str) -> None:
        """Wait for the end of a child that does not answer; StackError when it lives on."""
        try:
            await asyncio.wait_for(self.children[name].wait(), STOP_LIMIT_S)
        except TimeoutError:
            raise StackError(f"{name} runs but does not answer: is it frozen? Stop it before you start it.") from None


async def is_up() -> bool:
    """For a program that is ready as soon as it runs."""
    return True


async def is_ready(port: int) -> bool:
    """Whether the service on this port says that it is ready."""
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /health/ready HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
            status = (await reader.readline()).split()
            writer.close()
    except (OSError, TimeoutError):
        return False
    return status[1:2] == [b"200"]


def worker_names(services: list[str]) -> dict[str, str]:
    """A name for each worker, with its service: the second worker of one is `sessions-2`."""
    seen: Counter[str] = Counter()
    names: dict[str, str] = {}
    for service in services:
        seen[service] += 1
        names[service if seen[service] == 1 else f"{service}-{seen[service]}"] = service
    return names


async def input_ended() -> None:
    """Return when the process that called `up` has closed its end of our standard input."""
    reader = asyncio.StreamReader()
    protocol = asyncio.StreamReaderProtocol(reader)
    await asyncio.get_running_loop().connect_read_pipe(lambda: protocol, sys.stdin)
    await reader.read()


async def supervise(supervisor: Supervisor) -> int:
    """Bring the stack up and stay until SIGTERM; the exit code of the process."""
    loop, asked_to_stop = asyncio.get_running_loop(), asyncio.Event()
    for which in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(which, asked_to_stop.set)
    start = asyncio.create_task(supervisor.start())
    stop_asked = asyncio.create_task(asked_to_stop.wait())
    alone = asyncio.create_task(input_ended())
    await asyncio.wait({start, stop_asked, alone}, return_when=asyncio.FIRST_COMPLETED)
    if not start.done() or start.exception():
        supervisor.stopping = True
        start.cancel()
        (error,) = await asyncio.gather(start, return_exceptions=True)
        await supervisor.stop_all(GIVE_UP_LIMIT_S)
        (supervisor.home / STATE).unlink(missing_ok=True)
        reason = explain(error)
        write_log(f"Gave up: {reason}")
        supervisor.send_report(error=reason)
        return 1
    supervisor.send_report(ready=True)
    let_go(supervisor.report)
    await stop_asked
    write_log("Stopping")
    await supervisor.stop_all(STOP_LIMIT_S)
    (supervisor.home / STATE).unlink(missing_ok=True)
    write_log("Stopped")
    return 0


def explain(error: BaseException | None) -> str:
    """The sentence for whoever called `up`."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    if isinstance(error, StackError):
        return str(error)
    if isinstance(error, asyncio.CancelledError):
        return "The command that started the stack has gone, or the stack was stopped."
    return f"{type(error).__name__}: {error}"


def let_go(report: IO[str]) -> None:
    """End the report, so that whoever reads it sees that no more will come."""
    nowhere = os.open(os.devnull, os.O_RDWR)
    os.dup2(nowhere, report.fileno())
    os.close(nowhere)


def main(leave_parent: Callable[[], int] = os.fork) -> None:
    """Read the plan, detach, supervise."""
    plan = Plan(**json.loads(sys.stdin.readline()))
    # The child of a long-lived caller would stay a zombie after its end; a grandchild does not.
    if leave_parent():
        os._exit(0)
    supervisor = Supervisor(plan, sys.stdout)
    try:
        lock = hold_lock(supervisor.home)
    except StackError as error:
        supervisor.send_report(error=str(error))
        sys.exit(1)
    with lock:
        sys.exit(asyncio.run(supervise(supervisor)))


if __name__ == "__main__":
    main()
