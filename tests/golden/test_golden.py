"""Every golden case, by the rules alone, by the ledger, and by a second count that shares no line with the service."""

import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.closings import Figures
from contracts.commands import COMMANDS
from contracts.events import Reason
from contracts.topics import topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.engine import ledger_engine
from services.sessions.ledger.frontier import know_partition
from services.sessions.rules import decide
from services.sessions.rules.model import Received
from services.sessions.tools.verify import verify
from services.sessions.worker.apply import Batch, apply
from services.sessions.worker.consumer import no_fault_point
from tests.support import recount, recount_times
from tests.support.golden_cases import NAMES, Body, Case, load
from tests.support.profiles import import_profiles
from tests.support.recount_float import Story, counts_of, left_of, stories

TOPICS = topics()
Session = tuple[str, str]


@pytest.fixture(params=NAMES)
def case(request: pytest.FixtureRequest, tmp_path: Path) -> Case:
    return load(request.param, tmp_path)


def test_the_rules_give_these_answers_and_closings(case: Case) -> None:
    batch_state = case.batch_state()
    outcomes = [decide.answer(batch_state, taken) if isinstance(taken, Received) else None for taken in case.reads()]
    answers = [outcome.value if outcome else None for outcome in outcomes]
    values = [value for o in outcomes if o for value in (o.closing_value, o.correction_value)]
    closings = [value for value in values if value is not None]

    assert len(case.content["records"]) == len(case.content["answers"])
    for number, (came, expected) in enumerate(zip(answers, case.answers, strict=True)):
        assert shown(came) == shown(expected), f"record {number}"
        assert came == expected, f"record {number}: the same members in another order"
    assert list(map(shown, closings)) == list(map(shown, case.closings))
    assert closings == case.closings


def shown(value: bytes | None) -> Any:
    return None if value is None else json.loads(value)


@pytest.fixture
async def ledger(corner: Settings) -> AsyncIterator[AsyncEngine]:
    """Empty tables."""
    await upgrade(corner.database_url, "services.sessions.migrations")
    engine = ledger_engine(corner.database_url)
    yield engine
    await engine.dispose()


@pytest.mark.parametrize("at_once", [1, 1_000], ids=["one by one", "all at once"])
async def test_the_ledger_gives_the_same_bytes_and_proves_right(
    ledger: AsyncEngine, tmp_path: Path, at_once: int
) -> None:
    for name in NAMES:
        case = load(name, tmp_path)
        await import_profiles(ledger, case.profiles)
        async with ledger.begin() as tx:
            await know_partition(tx, name, 0, 0)

        assert await played(ledger, case, at_once) == (case.answers, case.closings), name
        answers, closings = await played(ledger, case, 1_000)
        assert (answers, set(closings)) == (case.answers, set(case.closings)), f"{name}, read again"
    await verify(ledger, progress=lambda _done, _total: None)


async def played(ledger: AsyncEngine, case: Case, at_once: int) -> tuple[list[bytes | None], list[bytes]]:
    """What goes out for the case's records: its answers by record and its closings, in their order."""
    answers: dict[int, bytes | None] = dict.fromkeys(range(len(case.content["records"])))
    closings = []
    reads = [(0, offset, taken) for offset, taken in enumerate(case.reads())]
    for start in range(0, len(reads), at_once):
        batch = reads[start : start + at_once]
        applied = await apply(ledger, TOPICS, Batch(case.name, batch, {}), no_fault_point)
        events = iter([p.value for p in applied.publications if p.topic == TOPICS.events])
        answers |= {offset: next(events) for _, offset, taken in batch if isinstance(taken, Received)}
        closings += [p.value for p in applied.publications if p.topic == TOPICS.closings and p.value is not None]
    return list(answers.values()), closings


def test_a_second_count_comes_to_the_same_closings(case: Case) -> None:
    commands = journals(case)
    for closing in case.content["closings"]:
        if closing["kind"] != "closing":
            continue
        accepted = commands[session_of(closing)][: closed_after(case, closing)]
        counted = None if closing["uncounted"] else last_count(accepted)
        story = stories_of(case)[session_of(closing)]
        carried = story.carried

        assert (closing["carried_from"], closing["not_carried"]) == (carried.session_id, carried.not_carried)
        figures = counted_again(accepted, counted, rule_of(case, closing), story)
        assert {name: closing[name] for name in Figures.model_fields} == figures
        versions = versions_of(case, session_of(closing))
        assert recount.journal_hash(accepted, versions) == closing["journal_hash"]
        assert closing["profile_version"] in versions


def test_a_second_reading_of_the_clocks_comes_to_the_same_times_and_dates(case: Case) -> None:
    for closing in (message for message in case.content["closings"] if message["kind"] == "closing"):
        accepted = accepted_of(case, session_of(closing))[: closed_after(case, closing)]
        clocks = recount_times.times([(body, answer["received_at"], answer["kind"]) for body, answer in accepted])
        (opening, opened), rule = accepted[0], rule_of(case, closing)
        zone, starts_at = rule.get("time_zone") or None, rule.get("business_day_starts_at") or "00:00"

        assert {name: closing[name] for name in clocks} == clocks
        assert closing["time_zone"] == zone
        day = recount_times.business_date(opening, opened["received_at"], zone, starts_at)
        assert closing["business_date"] == opened["business_date"] == day


def test_closing_and_corrections_are_what_all_accepted_commands_add_up_to(case: Case) -> None:
    commands = journals(case)
    sums: dict[Session, Counter[Any]] = defaultdict(Counter)
    for record in case.content["closings"]:
        part = record if record["kind"] == "closing" else record["deltas"]
        for name in Figures.model_fields:
            sums[session_of(record)].update(dict(leaves(part[name], (name,))))
    for closing in (message for message in case.content["closings"] if message["kind"] == "closing"):
        accepted = commands[session_of(closing)]
        story = stories_of(case)[session_of(closing)]
        figures = counted_again(accepted, latest_counts(closing, accepted), rule_of(case, closing), story)
        voided = any(command["kind"] == "void_session" for command in accepted)

        totals = {path: amount for path, amount in sums[session_of(closing)].items() if amount}
        assert totals == ({} if voided else {p: a for name in figures for p, a in leaves(figures[name], (name,)) if a})


def test_closings_form_a_chain_for_each_till(case: Case) -> None:
    chains: dict[tuple[str, str], list[Body]] = defaultdict(list)
    for closing in case.content["closings"]:
        if closing["kind"] == "closing":
            chains[closing["store_id"], closing["profile_id"]].append(closing)

    assert {till: recount.closing_chain(chain) for till, chain in chains.items()} == {till: [] for till in chains}


def test_every_kind_reason_and_correction_has_a_case(tmp_path: Path) -> None:
    cases = [load(name, tmp_path).content for name in NAMES]
    answers = [answer for case in cases for answer in case["answers"] if answer]
    closings = [closing for case in cases for closing in case["closings"]]

    assert {a["command_kind"] for a in answers if a["kind"] != "command_rejected"} == set(COMMANDS)
    assert {a["reason"] for a in answers if a["kind"] == "command_rejected"} == set(get_args(Reason))
    assert {c["correction"] for c in closings if c["kind"] != "closing"} == {
        "late_movement",
        "late_order",
        "late_void",
        "recount",
        "session_voided",
    }
    assert {c["origin"] for c in closings if c["kind"] == "closing"} == {"register", "manager", "idle"}
    assert len({row["store_id"] for case in cases for row in case["profiles"]}) >= len(cases), "a store for each case"


def session_of(message: Body) -> Session:
    return message["store_id"], message["session_id"]


def rule_of(case: Case, closing: Body) -> Body:
    """The row of its till; none where the case itself sets the till up."""
    tills = {(row["store_id"], row["profile_id"]): row for row in case.content["profiles"]}
    return tills.get((closing["store_id"], closing["profile_id"]), {})


def accepted_of(case: Case, session: Session) -> list[tuple[Body, Body]]:
    """The accepted bodies of a session with their answers in their order, each once."""
    by_sequence: dict[int, tuple[Body, Body]] = {}
    for body, answer in bodies_with_answers(case):
        if answer.get("sequence") is not None and session_of(answer) == session:
            by_sequence.setdefault(answer["sequence"], (body, answer))
    return [by_sequence[sequence] for sequence in sorted(by_sequence)]


def bodies_with_answers(case: Case) -> Iterator[tuple[Body, Body]]:
    """Every body that could be read with its answer."""
    for record, answer in zip(case.content["records"], case.content["answers"], strict=True):
        if answer:
            yield record["value"] if "value" in record else json.loads(record["raw"]), answer


def journals(case: Case) -> dict[Session, list[Body]]:
    """The accepted bodies of each session in their order, each once."""
    sessions = {session_of(answer) for _, answer in bodies_with_answers(case) if answer.get("sequence") is not None}
    return {session: [body for body, _ in accepted_of(case, session)] for session in sessions}


def versions_of(case: Case, session: Session) -> list[int]:
    """The versions of its profile by which a session's commands were applied, in their order."""
    return [answer["profile_version"] for _, answer in accepted_of(case, session)]


def closed_after(case: Case, closing: Body) -> int:
    """How many commands its session had accepted when the closing was made."""
    answers = [a for a in case.content["answers"] if a and a["kind"] == "session_closed"]
    return int(next(a["sequence"] for a in answers if a["closing_id"] == closing["closing_id"]))


def last_count(accepted: list[Body]) -> list[Body]:
    counted: list[Body] = [body for body in accepted if body["kind"] == "close_session"][-1]["counted"]
    return counted


def latest_counts(closing: Body, accepted: list[Body]) -> list[Body] | None:
    """What counts now: the count of the close, then those of all recounts."""
    counted = {} if closing["uncounted"] else {row["tender"]: row for row in last_count(accepted)}
    for body in accepted:
        counted |= {row["tender"]: row for row in body["counted"]} if body["kind"] == "recount" else {}
    return list(counted.values()) or None


def stories_of(case: Case) -> dict[Session, Story]:
    """Each session's story: what it found of the one before it at its till, and all tenders that it came to have."""
    logs: dict[Session, dict[str, tuple[Body, Body]]] = defaultdict(dict)
    for body, answer in bodies_with_answers(case):
        if "sequence" in answer:
            logs[answer["store_id"], answer["profile_id"]].setdefault(answer["event_id"], (body, answer))
    return {
        (store, session): story for (store, _), log in logs.items() for session, story in stories(log.values()).items()
    }


def counted_again(accepted: list[Body], counted: list[Body] | None, rule: Body, story: Story) -> Body:
    own, tenders = rule.get("own_provider") or "STORE", story.tenders
    left = left_of(counts_of(accepted), tenders)
    return recount.figures(accepted[0], accepted[1:], counted, own, tenders, carried=story.carried.amounts, left=left)


def leaves(part: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], int]]:
    """Every figure by its place; a row's place is what it is called."""
    if isinstance(part, dict):
        for name, value in part.items():
            yield from leaves(value, (*path, name))
    elif isinstance(part, list):
        for row in part:
            names = ("id",) if "id" in row else ("tender", "provider", "order_type", "name", "rate")
            yield from leaves(row, (*path, *(row[name] for name in names if name in row)))
    elif isinstance(part, int):
        yield path, part


def test_the_published_day_comes_out_as_it_is_printed(tmp_path: Path) -> None:
    (closing,) = load("published-day", tmp_path).content["closings"]
    side = ("gross_minor", "discounts_minor", "service_charges_minor", "total_minor", "net_minor")
    drawers = {row["tender"]: row for row in closing["tenders"] if row["type"] != "third_party"}
    sold = {row["tender"]: (row["total_minor"], row["count"]) for row in closing["sales"]["by_tender"]}
    orders = {row.pop("provider"): tuple(row.values()) for row in closing["orders"]}

    assert (closing["session_id"], closing["session_number"]) == ("df44b988-3523-40a1-8e58-7c4306e7dd0e", "308")
    assert (closing["opened_at"][:19], closing["closed_at"][:19]) == ("2025-01-01T15:46:52", "2025-01-02T02:13:05")
    assert list(closing["cash_movements"].values()) == [0, 0, 0, 336_400, 340_200, 3_800, None]
    assert {name: (row["expected_minor"], row["over_short_minor"]) for name, row in drawers.items()} == {
        "cash": (336_400, 3_800),
        "debit": (198_100, -15_200),
        "credit": (72_600, 15_200),
    }
    assert closing["sales"]["total_minor"] == 704_160
    assert {row["provider"]: row["total_minor"] for row in closing["sales"]["by_provider"]} == {
        "PARROT": 607_100,
        "UBER_EATS": 46_800,
        "RAPPI": 45_640,
        "DIDI_FOOD": 4_620,
    }
    assert sold | {"UBER_EATS": (46_800, 3), "RAPPI": (45_640, 4), "DIDI_FOOD": (4_620, 1)} == sold
    assert [sold[name][0] for name in ("cash", "debit", "credit")] == [336_400, 198_100, 72_600]
    assert [closing["summary"]["store"][name] for name in side] == [631_200, 24_100, 0, 607_100, 523_362]
    assert [closing["summary"]["providers"][name] for name in side] == [112_000, 14_940, 0, 97_060, 83_672]
    assert orders.pop("PARROT")[0] == 0
    assert orders == {"UBER_EATS": (0, 2, 1, 0, 0, 0), "RAPPI": (0, 4, 0, 0, 0, 0), "DIDI_FOOD": (0, 1, 0, 0, 0, 0)}
    assert sum(row["finished"] for row in closing["orders"]) == 106
    assert {(row["name"], row["total_minor"], row["count"]) for row in closing["discounts"]} == {
        ("Point of sale", 24_100, 2),
        ("Rappi", 6_960, 2),
        ("DiDi Food", 7_980, 1),
    }
    assert closing["cancellations"] == closing["service_charges"] == closing["tips"] == closing["refunds"] == []
