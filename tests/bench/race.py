"""The ways side by side: each works off the same backlog, one after the other, and their answers are compared."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from deploy.embedded.stack import Stack
from services.platform.settings import Settings
from tests.bench import speed
from tests.bench.calm import Rest
from tests.bench.corner import BenchFailed, corner, in_postgres, prepare, tokens
from tests.bench.peers import PeerMissing, textbook
from tests.bench.speed import Speed
from tests.bench.traffic import Answers, Bar, publish
from tests.bench.ways import COMPILED, SOURCES_NAME, TOKENS_NAME, Way, ours
from tests.bench.workload import Workload


@dataclass(slots=True)
class Race:
    """What all rounds found."""

    speeds: list[Speed] = field(default_factory=list)
    compared: dict[str, int] = field(default_factory=dict)
    """How many answers of each peer were compared with ours, byte by byte."""
    left_out: dict[str, str] = field(default_factory=dict)
    """The ways that could not take part or be counted, and why."""


@dataclass(frozen=True, slots=True)
class Course:
    """One backlog and who works it off. Of the answers, one in `every` is compared whole; all are counted."""

    stack: Stack
    workload: Workload
    peers: Sequence[Way]
    every: int
    textbook_commands: int
    logs: Path
    bar: Bar
    rest: Rest


async def run_round(course: Course, name: str, race: Race) -> None:
    """One round over commands of its own: ours first, then every peer against it."""
    workload = course.workload
    async with corner(course.stack, name) as settings:
        tills, keep = workload.tills(), speed.sampled(course.every)
        await prepare(settings, tills, course.logs)
        ready = [peer for peer in course.peers if await _is_prepared(peer, settings, tills, race)]
        bar = course.bar(f"{name}: publish", len(workload))
        appended = await publish(settings, settings.topics.commands, workload.commands(), progress=bar, keep=keep)
        stores = {one.command_id: one.till[0] for one in workload.commands() if one.command_id in appended}
        reference = Answers()
        for way in (ours, *ready):
            await course.rest()
            try:
                measured, answers = await _measure(course, way, settings, name, keep)
                if way is ours:
                    reference = answers
                    # Else autovacuum would do it while the peers are measured.
                    await in_postgres(settings.database_url, "VACUUM (ANALYZE)")
                else:
                    compared = speed.compare(appended, stores, reference, answers)
                    race.compared[way.NAME] = race.compared.get(way.NAME, 0) + compared
            except BenchFailed as failed:
                if way is ours:
                    raise
                race.left_out[way.NAME] = str(failed)
            else:
                race.speeds.append(measured)


async def run_with_tokens(course: Course, name: str, race: Race) -> None:
    """Ours again, with every record signed by its register's token and every token verified."""
    await _run_again(course, name, race, TOKENS_NAME, "required")


async def run_from_sources(course: Course, name: str, race: Race) -> None:
    """Ours again, where it is compiled: as it is without."""
    if COMPILED:
        await _run_again(course, name, race, SOURCES_NAME, "off", TILL_COMPILED="no")


async def _run_again(course: Course, name: str, race: Race, way: str, auth: str, **environment: str) -> None:
    workload = course.workload
    async with corner(course.stack, name, auth=auth) as settings:
        tills = workload.tills()
        await prepare(settings, tills, course.logs)
        bar = course.bar(f"{name}: publish", len(workload))
        await publish(
            settings,
            settings.topics.commands,
            workload.commands(),
            tokens(settings, tills) if auth == "required" else None,
            bar,
            keep=nothing,
        )
        await course.rest()
        measured, _ = await speed.measure(
            way,
            ours.command_line(settings),
            settings,
            settings.topics.events,
            workload,
            course.logs / f"{name}.log",
            servers=course.stack.pids,
            keep=nothing,
            progress=course.bar(f"{name}: ours", len(workload)),
            **environment,
        )
        race.speeds.append(measured)


def nothing(_command_id: str) -> bool:
    """For runs whose answers are only counted."""
    return False


async def _is_prepared(peer: Way, settings: Settings, tills: list[tuple[str, str]], race: Race) -> bool:
    try:
        await peer.prepare(settings, tills)
    except PeerMissing as missing:
        race.left_out[peer.NAME] = str(missing)
        return False
    return True


async def _measure(
    course: Course, way: Way, settings: Settings, name: str, keep: Callable[[str], bool]
) -> tuple[Speed, Answers]:
    enough = min(course.textbook_commands, len(course.workload)) if way is textbook else len(course.workload)
    return await speed.measure(
        way.NAME,
        way.command_line(settings),
        settings,
        way.answers_topic(settings),
        course.workload,
        course.logs / f"{name}-{way.NAME.replace(' ', '-')}.log",
        servers=course.stack.pids,
        enough=enough,
        keep=keep,
        progress=course.bar(f"{name}: {way.NAME}", enough),
    )
