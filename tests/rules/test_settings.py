"""Laws of a till that is set anew at any moment: each command goes by what was in force at its place in the order."""

import json
from random import Random
from typing import Any, Final

from hypothesis import given
from hypothesis import strategies as st

from contracts.profiles import profile_hash
from tests.support import recount
from tests.support.chance import MINUTE_MS, TENDERS, logs
from tests.support.settings_objects import hash_of
from tests.support.thorough import examples
from tests.support.till import MORNING_MS, Body, Till, wire_time
from tests.support.tills_model import check_money

few = examples()

DEFAULTS: Final[Body] = {
    "tenders": None,
    "over_short_limit_minor": None,
    "blind": False,
    "idle_close_after_s": None,
    "late_window_s": 604_800,
    "allow_negative_drawer": True,
    "business_day_starts_at": "00:00",
    "own_provider": "STORE",
    "enabled": True,
    "store_name": "s",
    "company_id": None,
    "time_zone": None,
}
CHANGES: Final[tuple[Body, ...]] = (
    {"over_short_limit_minor": 0},
    {"over_short_limit_minor": 10_000},
    {"name": "Terraza"},
    {"tenders": list(TENDERS[:2])},
    {"enabled": False},
    {"late_window_s": 0},
    {"company_id": "cafes", "time_zone": "America/Mexico_City"},
    {"blind": True},
    {"currency": "EUR", "tenders": None},
    {},
    {"blind": None, "store_name": ""},
)


def changed(change: Body) -> Body:
    return {"name": "Caja 1", "currency": "MXN", "tenders": list(TENDERS)} | change


def set_anew(till: Till, change: Body, *, at_ms: int) -> Body:
    """Set the till; the answer."""
    body = till.body("set_profile", occurred_at=wire_time(at_ms), profile=changed(change))
    del body["session_id"]
    return till.send(body, at_ms=at_ms)


def play(records: list[bytes], seed: int) -> Till:
    """The records of a topic, and settings that somebody changes between them."""
    dice, till = Random(seed), Till(tenders=TENDERS, ids=10**9)  # noqa: S311
    for number, value in enumerate(records):
        at_ms = MORNING_MS + MINUTE_MS * number
        if dice.random() < 0.2:
            set_anew(till, dice.choice(CHANGES), at_ms=at_ms)
        till.send_bytes(value, at_ms=at_ms)
    return till


def versions_of(till: Till) -> list[tuple[int, str]]:
    """Version and hash in force after each record, counted anew from what was sent."""
    version, content, in_force = 1, hash_of(till.profile), []
    for outcome in till.outcomes:
        if outcome.kind == "profile_set":
            sent = json.loads(outcome.record.raw.value or b"")["profile"]
            filled = DEFAULTS | {name: value for name, value in sent.items() if value not in (None, "")}
            written = json.dumps(filled, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            again = recount.sha256_hex(written.encode())
            version, content = (version, content) if again == content else (version + 1, again)
        in_force.append((version, content))
    return in_force


changing = st.integers(0, 2**32)


@few
@given(logs, changing)
def test_versions_count_what_differs_and_every_answer_names_the_one_in_force(records: list[bytes], seed: int) -> None:
    till = play(records, seed)

    for outcome, (version, _) in zip(till.outcomes, versions_of(till), strict=True):
        answer = json.loads(outcome.value)
        if outcome.kind == "profile_set":
            assert (answer["version"], answer["session_id"], answer["sequence"]) == (version, None, None)
            assert "profile_version" not in answer
        elif outcome.sequence is not None:
            assert answer["profile_version"] == version
        elif outcome.kind == "command_rejected":
            assert "profile_version" not in answer
    row = till.batch_state.tills["s", "p"]
    assert [(row.profile_version, row.profile_hash)] == versions_of(till)[-1:]
    assert [change.version for change in till.batch_state.profile_changes] == list(range(2, row.profile_version + 1))
    assert all(change.hash == profile_hash(change.settings) for change in till.batch_state.profile_changes)


@few
@given(logs, changing)
def test_a_closing_states_what_was_in_force_when_it_was_asked_for(records: list[bytes], seed: int) -> None:
    till = play(records, seed)
    attempts: dict[str, tuple[int, str]] = {}
    limits = {change.version: change.settings["over_short_limit_minor"] for change in till.batch_state.profile_changes}

    for outcome, in_force in zip(till.outcomes, versions_of(till), strict=True):
        command: Any = outcome.record.command
        if outcome.sequence is not None and command.kind in {"close_session", "force_close"}:
            attempts[command.session_id] = in_force
        if outcome.closing is None:
            continue
        closing = outcome.closing
        assert (closing["profile_version"], closing["profile_hash"]) == attempts[closing["session_id"]]
        assert closing["limit_in_force_minor"] == limits.get(closing["profile_version"])
        check_money(closing["tenders"])


@few
@given(logs, changing)
def test_a_journal_is_linked_with_the_version_of_each_of_its_commands(records: list[bytes], seed: int) -> None:
    till = play(records, seed)
    bodies: dict[str, list[Body]] = {}
    versions: dict[str, list[int]] = {}

    for outcome, (version, _) in zip(till.outcomes, versions_of(till), strict=True):
        if outcome.sequence is None or outcome.record.command is None:
            continue
        session_id = str(outcome.record.command.session_id)
        bodies.setdefault(session_id, []).append(json.loads(outcome.record.raw.value or b""))
        versions.setdefault(session_id, []).append(version)
        again = recount.journal_hash(bodies[session_id], versions[session_id])
        assert outcome.link == again
        if outcome.closing is not None:
            assert outcome.closing["journal_hash"] == again


@few
@given(logs, changing)
def test_what_an_opening_froze_no_setting_changes(records: list[bytes], seed: int) -> None:
    till = play(records, seed)
    names = {1: "Caja 1"} | {change.version: change.settings["name"] for change in till.batch_state.profile_changes}
    zones = {change.version: change.settings["time_zone"] for change in till.batch_state.profile_changes}
    opened: dict[str, int] = {}

    for outcome in till.outcomes:
        if outcome.kind == "session_opened":
            answer = json.loads(outcome.value)
            opened[answer["session_id"]] = answer["profile_version"]
    for closing in till.closings:
        version = opened[closing["session_id"]]
        assert closing["profile_name"] == names[version]
        assert closing["time_zone"] == zones.get(version)
        assert closing["currency"] == "MXN" or version != 1
