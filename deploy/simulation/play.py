"""Plays a simulated chain's day against an installation, to its end or to Ctrl-C, and recounts it then."""

import asyncio
import signal
import time
from collections import deque
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import orjson
from aiokafka.errors import KafkaError
from rich.console import Console

from deploy.demo.register import Line
from deploy.demo.tally import Difference
from deploy.simulation import chain, screen
from deploy.simulation.chain import WHOLE, Plan, Till
from deploy.simulation.differences import StoreClosings, differences, is_complete
from deploy.simulation.lines import SILENCE_LIMIT_S, Answer, ServiceLine, Traffic, gateway_line, kafka_line
from deploy.simulation.reader import AT_ONCE_MAX, Api, closings_of
from deploy.simulation.recount import TillRecount
from deploy.simulation.speakers import CannotSimulate, Speakers
from deploy.simulation.till_day import TillDay
from services.platform.auth.tokens import API_AUDIENCE, COMMANDS_AUDIENCE, Audience
from services.platform.settings import Settings

GOOD, BAD, CANNOT = 0, 1, 2
"""Exit codes: all as it must be, something was not, the chain could not be played to its end."""
FOLLOWS_WITHIN_S: Final = 30.0
"""The reporting reader promises 5 s when it is healthy; a busy machine gets more."""
LOOK_AGAIN_S: Final = 0.5
OWED_MAX: Final = 2_000
"""So many answers of one till may be on their way by Kafka."""
SHOW_EVERY_S: Final = 0.25
HEARD_OF: Final = frozenset({"close_session", "approve_closing", "force_close"})
"""What may lead to something else: the till waits for the answer."""


@dataclass(frozen=True)
class Ways:
    """How the installation is reached."""

    settings: Settings
    gateway_url: str
    reporting_url: str
    kafka: bool = False
    token_file: Path | None = None
    manager_token_file: Path | None = None


class DayClock:
    """When something of the day is due. `stop` ends all waiting."""

    def __init__(self, plan: Plan, over_s: float) -> None:
        """The day is spread over `over_s` seconds from now on; by its clocks it ends when it ends."""
        self.stop = asyncio.Event()
        self.begins_at = datetime.now(UTC).replace(microsecond=0) - max(
            timedelta(), plan.day - timedelta(seconds=over_s)
        )
        self._pace = over_s / plan.day.total_seconds()
        self._begun_at = time.monotonic()

    async def reach(self, elapsed: timedelta) -> timedelta:
        """Wait until so much of the day is over, or it is cut short; how much of it is over then."""
        delay_s = self._begun_at + elapsed.total_seconds() * self._pace - time.monotonic()
        if delay_s > 0 and not self.stop.is_set():
            try:
                await asyncio.wait_for(self.stop.wait(), delay_s)
            except TimeoutError:
                return elapsed
        if not self._pace:
            return elapsed
        return min(elapsed, timedelta(seconds=(time.monotonic() - self._begun_at) / self._pace))


@dataclass
class Sent:
    """A command on its way. `first` is the answer to the same bytes where they are sent again."""

    line: Line
    answer: asyncio.Future[Answer]
    first: asyncio.Future[Answer] | None = None


@dataclass
class Playing:
    """One till at work: its day, what must come of it, and the answers that are on their way."""

    plan: Plan
    day: TillDay
    clock: DayClock
    service: ServiceLine
    traffic: Traffic
    recount: TillRecount = field(init=False)
    owed: deque[Sent] = field(default_factory=deque)

    def __post_init__(self) -> None:
        """Its clocks are set, and nothing is sent."""
        till = self.day.till
        self.recount = TillRecount(till.settings)
        self.day.set_clocks(self.clock.begins_at - self.day.begins_at)
        self._chance = self.plan.dice("traffic", till.store.number, till.number)

    async def work(self) -> None:
        """The whole day. Raises CannotSimulate, KafkaError."""
        cut_short = False
        while (due_at := self.day.due_at) is not None:
            elapsed = await self.clock.reach(due_at - self.day.begins_at)
            if self.clock.stop.is_set() and not cut_short:
                cut_short = True
                self.day.cut_short(self.day.begins_at + elapsed)
                continue
            line = self.day.advance()
            if line is not None:
                await self._send(line)
            if self.day.due_at is None:
                await self._take(wait=True)

    async def _send(self, line: Line) -> None:
        answer = await self.service.send(line)
        self.traffic.sent += 1
        self.owed.append(Sent(line, answer))
        if self._chance.below(WHOLE) < self.plan.duplicates_percent * WHOLE / 100:
            self.owed.append(Sent(line, await self.service.send(line), answer))
        body = line.value or {}
        await self._take(wait=body["kind"] in HEARD_OF or len(self.owed) > OWED_MAX)

    async def _take(self, *, wait: bool) -> None:
        """Take in the answers that are there, in the order of their commands; all of them with `wait`."""
        while self.owed and (wait or self.owed[0].answer.done()):
            sent = self.owed.popleft()
            body = sent.line.value or {}
            try:
                answer = await asyncio.wait_for(sent.answer, SILENCE_LIMIT_S)
            except TimeoutError:
                sentence = (
                    f"Command {body['command_id']} of {sent.line.key} has no answer after {SILENCE_LIMIT_S:.0f} s."
                )
                raise CannotSimulate(sentence) from None
            if sent.first is not None:
                self.traffic.repeated += 1
                if sent.first.result().value != answer.value:
                    self.recount.faults.append(f"Command {body['command_id']} got other bytes when it came again.")
                continue
            self.traffic.took(answer.seconds)
            reply = orjson.loads(answer.value)
            self.recount.take(body, reply)
            self.day.answered(body, reply["kind"], sent.line.sent_at)


async def simulate(plan: Plan, ways: Ways, over_s: float, console: Console) -> int:
    """Set the tills up, play the day over `over_s` seconds and recount it; the exit code."""
    try:
        async with AsyncExitStack() as opened:
            return await _simulate(plan, ways, over_s, console, opened)
    except (CannotSimulate, KafkaError) as error:
        screen.refuse(console, str(error) or repr(error))
        return CANNOT


async def _simulate(plan: Plan, ways: Ways, over_s: float, console: Console, opened: AsyncExitStack) -> int:
    audience: Audience = COMMANDS_AUDIENCE if ways.kafka else API_AUDIENCE
    speakers = Speakers(ways.settings, ways.token_file, ways.manager_token_file, audience)
    gateway, reporting = Api(ways.gateway_url, speakers), Api(ways.reporting_url, speakers)
    opened.push_async_callback(gateway.close)
    opened.push_async_callback(reporting.close)
    tills = list(chain.tills(plan))
    name = speakers.manager_name()
    await _set_up(gateway, plan, tills)
    screen.begin(console, plan, over_s, ways.gateway_url)
    traffic = Traffic()
    service: ServiceLine = await opened.enter_async_context(
        kafka_line(ways.settings, speakers) if ways.kafka else gateway_line(ways.gateway_url, speakers, traffic)
    )
    clock = DayClock(plan, over_s)
    manager = None if name is None else {"id": name}
    playing = [Playing(plan, TillDay(plan, till, manager), clock, service, traffic) for till in tills]
    begun_at = time.monotonic()
    with _cut_short_by_signals(clock, console):
        await _play(playing, traffic, console)
    seconds = time.monotonic() - begun_at
    shown, unlike = await _recounted(reporting, playing)
    faults = [fault for one in playing for fault in one.recount.faults]
    faults += [f"Session {session_id} has no closing." for one in playing for session_id in one.recount.unclosed()]
    screen.totals(console, shown, [one.recount for one in playing], traffic, seconds)
    screen.verdict(console, unlike, faults)
    return BAD if unlike or faults else GOOD


async def _set_up(gateway: Api, plan: Plan, tills: list[Till]) -> None:
    """Set the tills up as the simulation has them. Raises CannotSimulate where the stores were played before."""
    room = asyncio.Semaphore(AT_ONCE_MAX)

    async def set_up(till: Till) -> None:
        async with room:
            await gateway.set_till(till)

    for store in chain.stores(plan):
        page = await gateway.get(store.store_id, "/api/sessions", store=store.store_id, limit=1)
        if page["items"]:
            raise CannotSimulate(
                f"Store {store.store_id} has sessions already, and a day with their ids can't be played twice: "
                "name another --run."
            )
    await asyncio.gather(*map(set_up, tills))


@contextmanager
def _cut_short_by_signals(clock: DayClock, console: Console) -> Iterator[None]:
    """The first Ctrl-C closes the shops; the second ends the program, as ever."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        release()
        screen.note(console, "Closing the shops early, and recounting; another Ctrl-C leaves them open.")
        clock.stop.set()

    def release() -> None:
        for signal_number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signal_number)

    for signal_number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signal_number, stop)
    try:
        yield
    finally:
        release()


async def _play(playing: list[Playing], traffic: Traffic, console: Console) -> None:
    """All tills at once, until the last is closed. Raises CannotSimulate, KafkaError."""
    with screen.Progress(console) as progress:

        async def show() -> None:
            while True:
                days = [one.day for one in playing]
                progress.show(traffic, sum(day.elapsed for day in days) / len(days), sum(day.waiting for day in days))
                await asyncio.sleep(SHOW_EVERY_S)

        shown = asyncio.create_task(show())
        try:
            async with asyncio.TaskGroup() as group:
                for one in playing:
                    group.create_task(one.work())
        except* (CannotSimulate, KafkaError) as errors:
            raise errors.exceptions[0] from None
        finally:
            shown.cancel()
            await asyncio.gather(shown, return_exceptions=True)


async def _recounted(reporting: Api, playing: list[Playing]) -> tuple[list[StoreClosings], list[Difference]]:
    """What the reader has, and how it differs from the recount; the reader has a while to learn of the last closing."""
    until = time.monotonic() + FOLLOWS_WITHIN_S
    by_store: dict[str, list[TillRecount]] = {}
    for one in playing:
        by_store.setdefault(one.day.till.store.store_id, []).append(one.recount)
    shown, unlike = [], []
    for store_id, recounts in by_store.items():
        closings, complete = await closings_of(reporting, store_id), False
        while (different := differences(recounts, closings)) and not complete and time.monotonic() < until:
            # A look takes several requests: only one that began when all was there has seen all of it.
            complete = is_complete(recounts, closings)
            await asyncio.sleep(LOOK_AGAIN_S)
            closings = await closings_of(reporting, store_id)
        shown.append(closings)
        unlike += different
    return shown, unlike
