"""What a run found, as tables for people."""

from collections.abc import Sequence
from typing import Final

from rich.console import Console
from rich.table import Table

from tests.bench.closing import Closings
from tests.bench.console import Figures
from tests.bench.exports import Exported
from tests.bench.gateway import Passage
from tests.bench.ingest import Ingest
from tests.bench.latency import Latency
from tests.bench.limits import Limits
from tests.bench.listing import Listed
from tests.bench.neighbours import Neighbours
from tests.bench.pace import Paces
from tests.bench.peers import textbook
from tests.bench.race import Race
from tests.bench.report import Report
from tests.bench.stages import BESIDE
from tests.bench.summary import Summary, summaries
from tests.bench.tables_of_closings import show_pushes, show_rebuilt
from tests.bench.tables_of_growth import show_scales
from tests.bench.tables_of_registers import show_registers

BAR_WIDTH: Final = 24
COMPARABLE_COMMANDS: Final = 100_000
CLOSE_GOAL: Final = 1.5
"""A close of the larger session may take this many times as long: it depends on the tenders, not on the orders."""
GATEWAY_GOAL: Final = 3.0
"""The gateway's slowest hundredth may take this many times as long as Kafka's own."""

NEIGHBOUR_GOAL: Final = 10.0
"""A store's slowest hundredth may take this many times as long while somebody else attacks."""
NEIGHBOUR_GOAL_MS: Final = 1_000
NEIGHBOUR_MEMORY_MIB: Final = 512
"""No attack may make a process larger: it is what a container of `docker-compose.yml` may have."""
NEIGHBOUR_EXACT_MS: Final = 10
"""Below so many milliseconds a figure of theirs has a decimal."""

INGEST_GOAL: Final = 5_000
"""Closings that a reader takes in a second, on a calm machine of two cores."""

STAGE_MEANINGS: Final = {
    "fetch": "Kafka's records, FastStream; beside the other stages",
    "read": "JSON, schema, token, hash",
    "lock": "Redis",
    "frontier": "begin; lock and move it",
    "load": "tills, sessions, known answers",
    "decide": "rules, figures, hashes, answers",
    "save": "sessions, tills, journal, closings",
    "commit": "of the transaction",
    "records": "letters, what was answered before",
    "publish": "until all is acknowledged",
    "offsets": "committed to Kafka; beside the other stages",
    "rest": "the journal's rows, headers, everything else",
}


def missed_goals(report: Report) -> bool:
    """Whether a goal was missed that no run may miss: what a store may notice of those who attack beside it."""
    neighbours = report.neighbours
    return neighbours is not None and any(neighbour_misses(neighbours, way) for way in neighbours.calm)


def show(report: Report, console: Console) -> None:
    """All tables for which there are figures."""
    for race, title in ((report.race, "Speed: a backlog of small commands, one worker"), (report.million, "A million")):
        if race is not None and race.speeds:
            _show_race(race, title, console)
    if report.paces is not None:
        _show_paces(report.paces, console)
    show_scales(report.scales, console)
    if report.limits is not None:
        _show_limits(report.limits, console)
    if report.passage is not None:
        _show_passage(report.passage, console)
    if report.neighbours is not None:
        _show_neighbours(report.neighbours, console)
    _show_lists(report.lists, "A page of sessions, from the call to what is in memory", console)
    _show_lists(report.closing_pages, "A page of closings over HTTP, in two days that hold all of them", console)
    _show_exports(report.exports, console)
    _show_ingest(report.ingest, console)
    show_rebuilt(report.rebuilt, console)
    show_pushes(report.pushes, console)
    _show_lists(report.analysts, "What analysts ask, from the call to the last row", console)
    _show_console(report.console, console)
    show_registers(report.registers, console)
    if report.closings:
        _show_closings(report.closings, console)
    if report.stages:
        console.print(_stages(report.stages["us"]))
    _show_machine(report, console)
    for part, why in report.failures.items():
        console.print(f"[red]{part} can't be counted:[/red] {why}")


def _show_race(race: Race, title: str, console: Console) -> None:
    ranking = sorted(summaries(race.speeds), key=lambda one: -one.per_s)
    console.print(_speeds(ranking, title))
    _say(
        console,
        "Medians of all rounds, and their range. The clock runs from the end of a batch after the warm-up (a fifth of "
        "the commands, at most 40,000) to the last answer's append time. "
        + "; ".join(f"{count:,} answers of {way}" for way, count in race.compared.items())
        + " were compared with ours: key, value and headers are equal byte for byte. `Others`: cores that programs "
        "outside the bench had meanwhile. Besides, ours keeps a hash-chained journal in SQL and publishes a closing "
        "for every session; the peers need not.",
    )
    if min(one.commands for one in ranking if one.way != textbook.NAME) < COMPARABLE_COMMANDS:
        _say(console, "So few commands show that all runs, not who is faster: Java's compilers are still at work.")
    for way, why in race.left_out.items():
        console.print(f"[yellow]{way} is left out:[/yellow] {why}")
    console.print(_efficiency(ranking))
    _say(
        console,
        "All processes of a tree, from the end of the warm-up on. WAL is the whole write-ahead log of PostgreSQL.",
    )


def _speeds(ranking: Sequence[Summary], title: str) -> Table:
    columns = ("way", "commands", "rounds", "commands/s", "range", "× textbook", "repeats", "memory", "others")
    table = _table(title, *columns)
    slowest = next((one.per_s for one in ranking if one.way == textbook.NAME), None)
    for one in ranking:
        low, high = one.per_s_range
        table.add_row(
            one.way,
            f"{one.commands:,}",
            str(one.rounds),
            f"{one.per_s:,.0f}",
            f"{low:,.0f} - {high:,.0f}" if one.rounds > 1 else "",
            f"{one.per_s / slowest:.1f}" if slowest else "",
            f"{one.repeats:,}",
            f"{one.rss_peak_mib:,.0f} MiB",
            f"{one.other_cores:.2f}",
        )
    return table


def _efficiency(ranking: Sequence[Summary]) -> Table:
    trees = ("worker", "kafka", "postgres", "redis", "all")
    columns = (*(f"{tree} CPU" for tree in trees), "WAL", "answers", "other topics")
    table = _table("What a million commands cost: CPU seconds; bytes per command", "way", *columns)
    for one in ranking:
        sizes = (one.wal_bytes, one.answers_bytes, one.other_log_bytes)
        cells = [f"{one.cpu_us[tree]:,.1f} s" if tree in one.cpu_us else "" for tree in trees]
        table.add_row(one.way, *cells, *(f"{size:,.0f} B" for size in sizes))
    return table


def _show_paces(paces: Paces, console: Console) -> None:
    for per_s in sorted({one.per_s for one in paces.latencies}):
        console.print(
            _times(
                f"Latency: an open loop of {per_s:,} commands/s",
                [one for one in paces.latencies if one.per_s == per_s],
            )
        )
    for way, per_s in paces.not_held.items():
        _say(console, f"{way} does not hold {per_s:,} commands/s with one worker.")
    for way, why in paces.left_out.items():
        console.print(f"[yellow]{way} is left out:[/yellow] {why}")
    _say(
        console, "A command's time begins when it was due and ends in a consumer's hands that reads what is committed."
    )


def _times(title: str, latencies: Sequence[Latency]) -> Table:
    table = _table(title, "way", "commands", "p50", "p99", "p99.9", "longest")
    for one in latencies:
        figures = (f"{value:,.1f} ms" for value in (one.p50_ms, one.p99_ms, one.p999_ms, one.max_ms))
        table.add_row(one.way, f"{one.commands:,}", *figures)
    return table


def _show_limits(limits: Limits, console: Console) -> None:
    table = _table("Ours beside what its parts do alone", "what", "commands/s", "CPU each", "ours reaches")
    for part in limits.parts:
        cpu = "" if part.cpu_us is None else f"{part.cpu_us:,.1f} µs"
        table.add_row(part.what, f"{part.per_s:,.0f}", cpu, f"{limits.ours.per_s / part.per_s:.1%}")
    table.add_row("ours", f"{limits.ours.per_s:,.0f}", f"{limits.ours.cpu_us['worker']:,.1f} µs", "")
    console.print(table)


def _show_passage(passage: Passage, console: Console) -> None:
    kafka, gateway = passage.kafka, passage.gateway
    rate = gateway.per_s
    console.print(_times(f"Gateway: command to answer, an open loop of {rate} commands/s", [kafka, gateway]))
    _say(
        console,
        f"p99 by the gateway is {gateway.p99_ms / kafka.p99_ms:.2f} times that on Kafka (goal: at most "
        f"{GATEWAY_GOAL:g}). One worker, one gateway process, a kept connection for every till, tokens verified by "
        f"both. The gateway took {passage.gateway_cpu_us:,.0f} µs CPU per request; the client "
        f"{passage.client_share:.0%} of a core.",
    )


def _show_neighbours(neighbours: Neighbours, console: Console) -> None:
    for way, calm in neighbours.calm.items():
        table = _table(f"Neighbours: a store's {calm.per_s} commands/s {way} while somebody attacks", "attack")
        for name in ("p50", "p99", "× calm", "longest", "worked off", "worker", "gateway"):
            table.add_column(name, justify="right")
        table.add_row("nobody", *_milliseconds(calm), "", f"{calm.max_ms:,.0f} ms")
        for one in neighbours.beside[way]:
            left = (f"{one.settled_s:,.0f} s", *map(_memory, one.memory_mib.values()))
            if one.steady is None:
                table.add_row(one.meaning, "", "", "[red]not held[/red]", "", *left)
                continue
            times = f"{one.steady.p99_ms / calm.p99_ms:,.1f}", f"{one.steady.max_ms:,.0f} ms"
            table.add_row(one.meaning, *_milliseconds(one.steady), *times, *left)
        console.print(table)
        # As docs/speed.md has it.
        console.print("\n".join(neighbour_rows(neighbours, way)), highlight=False, markup=False, soft_wrap=True)
        for one in neighbours.beside[way]:
            if one.failed:
                console.print(f"[red]{one.attack}:[/red] {one.failed}", highlight=False)
        if misses := neighbour_misses(neighbours, way):
            console.print(f"[red]Missed {way}:[/red] {'; '.join(misses)}.", highlight=False, soft_wrap=True)
    _say(
        console,
        f"Goal: a p99 of at most {NEIGHBOUR_GOAL:g} times the calm one and below {NEIGHBOUR_GOAL_MS:,} ms, and at most "
        f"{NEIGHBOUR_MEMORY_MIB} MiB a process, which is the most that it had meanwhile. `Worked off`: from the "
        "store's last answer until nothing of the attack was left on the topic. All that was answered is in the "
        "ledger, and the ledger proves right. Who attacks on Kafka has the quota of a "
        "register's principal. Attackers, servers, services and the bench share the cores.",
    )


def neighbour_misses(neighbours: Neighbours, way: str) -> list[str]:
    """Of one way the attacks beside which the goal was missed, each with what it was that was missed."""
    calm = neighbours.calm[way]
    misses = []
    for one in neighbours.beside[way]:
        what = []
        if one.steady is None:
            what.append("not held")
        else:
            times = one.steady.p99_ms / calm.p99_ms
            what += [f"p99 {times:,.1f} times the calm one"] if times > NEIGHBOUR_GOAL else []
            what += [f"p99 {one.steady.p99_ms:,.0f} ms"] if one.steady.p99_ms >= NEIGHBOUR_GOAL_MS else []
        large = {name: mib for name, mib in one.memory_mib.items() if mib > NEIGHBOUR_MEMORY_MIB}
        what += [f"{name} {mib:,.0f} MiB" for name, mib in large.items()]
        if what:
            misses.append(f"{one.attack} ({', '.join(what)})")
    return misses


def neighbour_rows(neighbours: Neighbours, way: str) -> list[str]:
    """The table of one way in Markdown; where the store's commands were not answered in time, no figures."""
    calm = neighbours.calm[way]
    process = "worker" if way == "on Kafka" else "gateway"
    rows = [("nobody", *_rounded(calm.p50_ms, calm.p99_ms), "", *_rounded(calm.max_ms), "")]
    for one in neighbours.beside[way]:
        meaning = one.meaning.removesuffix(".")
        if one.steady is None:
            rows.append((meaning, "", "", "not held", "", ""))
            continue
        times = f"{one.steady.p99_ms / calm.p99_ms:,.1f}"
        memory = f"{one.memory_mib[process]:,.0f} MiB"
        rows.append(
            (meaning, *_rounded(one.steady.p50_ms, one.steady.p99_ms), times, *_rounded(one.steady.max_ms), memory)
        )
    head = [(way, "p50", "p99", "× calm", "longest", process), ("---",) * 6]
    return [f"| {' | '.join(row)} |" for row in (*head, *rows)]


def _memory(mib: float) -> str:
    return f"{mib:,.0f} MiB" if mib <= NEIGHBOUR_MEMORY_MIB else f"[red]{mib:,.0f} MiB[/red]"


def _rounded(*values: float) -> list[str]:
    return [f"{value:,.1f} ms" if value < NEIGHBOUR_EXACT_MS else f"{value:,.0f} ms" for value in values]


def _milliseconds(one: Latency) -> tuple[str, str]:
    return f"{one.p50_ms:,.1f} ms", f"{one.p99_ms:,.1f} ms"


def _show_lists(lists: list[Listed], title: str, console: Console) -> None:
    if not lists:
        return
    table = _table(title, "list", "page", "rows", "p50", "p99")
    for one in lists:
        table.add_row(one.filters, one.page, str(one.rows), f"{one.median_ms:,.1f} ms", f"{one.p99_ms:,.1f} ms")
    console.print(table)


def _show_exports(exports: list[Exported], console: Console) -> None:
    if not exports:
        return
    names = ("file", "closings", "rows", "size", "time", "closings/s", "rows/s", "own CPU", "memory")
    table = _table("Closings as files by `till export`, read back by DuckDB", *names)
    for one in exports:
        table.add_row(
            f"{one.kind}, {one.format}",
            *(f"{number:,}" for number in (one.closings, one.rows)),
            f"{one.file_bytes / 2**20:,.0f} MiB",
            f"{one.seconds:,.0f} s",
            *(f"{number / one.seconds:,.0f}" for number in (one.closings, one.rows)),
            f"{one.cpu_s:,.0f} s",
            f"{one.rss_peak_mib:,.0f} MiB",
        )
    console.print(table)
    _say(console, "Memory is the most that the process had. Sums, types and ends of time are in each file as in SQL.")


def _show_ingest(ingest: Ingest | None, console: Console) -> None:
    if ingest is None:
        return
    table = _table("A backlog of closings, taken in by one reporting reader", "closings", "bytes", "closings/s")
    for name in ("reader CPU", "PostgreSQL CPU", "Kafka CPU", "others", "memory"):
        table.add_column(name, justify="right")
    cpu = (f"{ingest.cpu_us.get(name, 0):,.0f} µs" for name in ("worker", "postgres", "kafka", "others"))
    table.add_row(
        f"{ingest.closings:,}",
        f"{ingest.bytes_each:,}",
        f"{ingest.per_s:,.0f}",
        *cpu,
        f"{ingest.rss_peak_mib:,.0f} MiB",
    )
    console.print(table)
    _say(console, f"CPU is for one closing. Goal: {INGEST_GOAL:,} closings/s.")


def _show_console(figures: Figures | None, console: Console) -> None:
    if figures is None:
        return
    table = _table("A page of the console, for a manager of a store of 50 tills", "page", "size", "p50", "p99")
    for one in figures.pages:
        table.add_row(one.filters, one.page, f"{one.median_ms:,.0f} ms", f"{one.p99_ms:,.0f} ms")
    console.print(table)
    names = ("live pages", "shops", "first", "p50", "last", "console CPU", "gateway CPU", "console", "bench")
    table = _table(
        "From the answer to a sale on Kafka to the live pages of its shop, a sale in every shop at once", *names
    )
    for live in figures.live:
        table.add_row(
            f"{live.pages:,}",
            str(live.shops),
            *(f"{value:,.0f} ms" for value in (live.first_ms, live.p50_ms, live.last_ms)),
            *(f"{value:,.1f} ms" for value in (live.console_cpu_ms, live.gateway_cpu_ms)),
            f"{live.console_mib:,.0f} MiB",
            f"{live.client_share:.2f} cores",
        )
    console.print(table)
    _say(console, "CPU is for one page and one sale. Every page is somebody else's. Medians of ten sales.")


def _show_closings(closings: list[Closings], console: Console) -> None:
    table = _table("Closing a session, command to answer", "orders", "closings", "median", "middle half")
    for one in closings:
        low, high = one.quartiles_ms
        table.add_row(f"{one.orders:,}", str(one.closings), f"{one.median_ms:,.1f} ms", f"{low:,.1f} - {high:,.1f} ms")
    few, many = closings
    console.print(table)
    _say(
        console,
        f"The larger one takes {many.median_ms / few.median_ms:.2f} times as long (goal: at most {CLOSE_GOAL:g}). Both "
        "sessions came in through the topic, each with the same 3 tenders and 3 providers. After each closing the rows "
        "that it wrote were taken back by SQL, so that the same session was closed again; the two took turns.",
    )


def _stages(spent: dict[str, float]) -> Table:
    total = sum(us for stage, us in spent.items() if stage not in BESIDE)
    table = Table(title=f"Ours, µs per command by stage ({total:,.0f} in all, clocks included)", title_justify="left")
    table.add_column("stage")
    table.add_column("µs", justify="right")
    table.add_column("share")
    table.add_column("what")
    for stage, us in spent.items():
        bar = "█" * round(BAR_WIDTH * us / max(spent.values()))
        table.add_row(stage, f"{us:,.1f}", bar, STAGE_MEANINGS[stage])
    return table


def _show_machine(report: Report, console: Console) -> None:
    machine = report.machine
    _say(
        console,
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gib']} GiB, {machine['system']}; load at "
        f"the start {machine['load_1min']}. {machine['stack']}. The run took {report.seconds / 60:.1f} minutes.\n"
        + ", ".join(f"{name} {number}" for name, number in report.versions.items()),
    )


def _say(console: Console, sentence: str) -> None:
    console.print(sentence, style="dim", highlight=False)


def _table(title: str, first: str, *others: str) -> Table:
    table = Table(title=title, title_justify="left")
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table
