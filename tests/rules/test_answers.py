"""Ids and answers: the same command again, another body under its id, other stores, other profiles, broken fields."""

import dataclasses
import json
from typing import Any, get_args
from uuid import NAMESPACE_URL, uuid5

import pytest

from contracts.events import CLAIMLESS, Reason, claimless_event_id_of, event_id_of
from services.platform.auth.claims import Flaw
from services.sessions.rules.answers import FLAWS, MESSAGES
from tests.support import recount
from tests.support.till import LUCIA, MORNING_MS, NOBODY, TOPIC, Body, Till, amounts


@pytest.fixture
def till() -> Till:
    till = Till()
    till.open({"cash": 1_000})
    return till


def state(till: Till) -> Any:
    """All that the till's books hold, as one text."""
    rows = [
        till.batch_state.tills,
        till.batch_state.sessions,
        till.batch_state.orders,
        till.batch_state.movements,
        sorted(till.batch_state.voided),
    ]
    return repr(rows)


def test_the_answer_says_what_the_command_set_and_can_be_known_beforehand(till: Till) -> None:
    command_id = "0195E3A0-AAAA-7000-8000-00000000000A"
    answer = till.move(
        "pay_in", 5, command_id=command_id, description="Cambio", occurred_at="2026-03-02T01:59:00-06:00"
    )
    assert answer == {
        "kind": "cash_moved",
        "event_id": str(uuid5(NAMESPACE_URL, f"till:s/{command_id.lower()}")),
        "command_id": command_id.lower(),
        "command_kind": "move_cash",
        "store_id": "s",
        "profile_id": "p",
        "session_id": till.session_id,
        "sequence": 2,
        "profile_version": 1,
        "occurred_at": "2026-03-02T07:59:00.000000Z",
        "received_at": "2026-03-02T08:00:01.000000Z",
        "actor": LUCIA,
        "movement": "pay_in",
        "amount_minor": 5,
        "tender": "cash",
        "category": "change",
        "description": "Cambio",
    }


def test_the_same_value_written_differently_gets_the_first_answer_byte_for_byte(till: Till) -> None:
    body = till.body("move_cash", movement="pay_in", amount_minor=5, category="Ü")
    till.send(body)
    before = state(till)
    again = json.dumps(dict(reversed(body.items())), indent=3, ensure_ascii=True)
    till.send_bytes(again.encode(), at_ms=MORNING_MS + 10**9)
    first, second = till.outcomes[-2:]
    assert (second.value, second.event_id, second.stored_in) == (first.value, first.event_id, "nothing")
    assert state(till) == before


def test_a_refusal_is_remembered_too_though_its_reason_is_gone(till: Till) -> None:
    body = till.body("resume_session")
    assert till.send(body)["reason"] == "session_not_suspended"
    till.says("suspend_session")
    assert till.send(body)["reason"] == "session_not_suspended"
    assert till.outcomes[-1].value == till.outcomes[-3].value


UNKNOWN_MOVEMENT = "0195e3a0-aaaa-7000-8000-00000000000a"
UNKNOWN_SESSION = "0195e3a0-aaaa-7000-8000-00000000000b"


def _set_up(till: Till) -> None:
    row = till.batch_state.tills[till.store, till.name]
    till.batch_state.tills[till.store, "later"] = dataclasses.replace(row, profile_id="later", open_session_id=None)


MISSING: list[tuple[str, Body, Any]] = [
    (
        "profile_unknown",
        {
            "kind": "open_session",
            "profile_id": "later",
            "session_id": UNKNOWN_SESSION,
            "currency": "MXN",
            "opening": [],
        },
        _set_up,
    ),
    (
        "session_unknown",
        {"kind": "amend_session", "session_id": UNKNOWN_SESSION, "note": "x"},
        lambda till: (till.closed({"cash": 1_000}), till.open(session_id=UNKNOWN_SESSION)),
    ),
    (
        "movement_unknown",
        {"kind": "void_movement", "movement_id": UNKNOWN_MOVEMENT, "reason": "typo"},
        lambda till: till.move("pay_in", 5, command_id=UNKNOWN_MOVEMENT),
    ),
]


@pytest.mark.parametrize(("reason", "members", "come"), MISSING, ids=[reason for reason, _, _ in MISSING])
def test_what_was_missing_may_come_and_the_same_command_is_decided_afresh(
    till: Till, reason: str, members: Body, come: Any
) -> None:
    body = till.body(members["kind"], **{name: value for name, value in members.items() if name != "kind"})
    first, second = till.send(body), till.send(body)
    assert first["reason"] == second["reason"] == reason
    assert first["event_id"] != second["event_id"]
    assert [outcome.stored_in for outcome in till.outcomes[-2:]] == ["position", "position"]
    assert till.send(body | {"occurred_at": "2026-03-02T06:00:00Z"})["reason"] == reason
    come(till)
    accepted = till.send(body)
    assert accepted["kind"] != "command_rejected"
    assert accepted["event_id"] == event_id_of(till.store, body["command_id"])
    assert till.send(body) == accepted
    assert till.send(body | {"actor": {"id": "eva"}})["reason"] == "command_id_reused"


def test_a_refused_means_of_payment_claims_nothing(till: Till) -> None:
    body = till.body("move_cash", movement="pay_in", amount_minor=5, category="x", tender="gold")
    refused = till.send(body)
    outcome = till.outcomes[-1]
    assert (refused["reason"], outcome.stored_in) == ("tender_unknown", "position")
    record = outcome.record
    assert refused["event_id"] == claimless_event_id_of(record.topic, record.partition, record.offset)
    assert till.send(body | {"tender": "cash"})["kind"] == "cash_moved"


@pytest.mark.parametrize("reason", sorted(CLAIMLESS))
def test_the_message_of_a_refusal_that_claims_nothing_says_what_to_wait_for(reason: Reason) -> None:
    assert " send it again" in MESSAGES[reason].lower()


def test_a_malformed_command_claims_its_id(till: Till) -> None:
    body = till.body("move_cash", movement="pay_in", amount_minor="5", category="x")
    assert till.send(body)["reason"] == "malformed"
    assert till.send(body | {"amount_minor": 5})["reason"] == "command_id_reused"


def test_a_closing_comes_again_only_as_an_answer_to_be_published_again(till: Till) -> None:
    body = till.body("close_session", counted=amounts({"cash": 1_000}))
    first = till.send(body)
    assert till.send(body) == first
    assert len(till.closings) == 1


def test_another_body_under_the_id_is_reused_and_stable(till: Till) -> None:
    body = till.body("move_cash", movement="pay_in", amount_minor=5, category="x")
    first = till.send(body)
    other = body | {"amount_minor": 6, "actor": {"id": "eva"}, "occurred_at": "2026-03-02T07:00:00Z"}
    digest = recount.body_hash(other)
    before = state(till)
    refused = till.send(other)
    assert (refused["reason"], refused["actor"]["id"]) == ("command_id_reused", "eva")
    assert refused["occurred_at"] == "2026-03-02T07:00:00.000000Z"
    assert refused["event_id"] == str(uuid5(NAMESPACE_URL, f"till:s/{body['command_id']}/{digest}"))
    assert till.send(other) == refused
    third = till.send(other | {"amount_minor": 7})
    assert (third["reason"], third["event_id"] != refused["event_id"]) == ("command_id_reused", True)
    assert till.send(body) == first
    assert [outcome.stored_in for outcome in till.outcomes[-4:]] == ["reused", "nothing", "reused", "nothing"]
    assert state(till) == before


def test_a_reused_id_echoes_the_kind_and_session_that_came(till: Till) -> None:
    used = till.move("pay_in", 5)["command_id"]
    refused = till.says("void_session", command_id=used, session_id=NOBODY, reason="x")
    assert (refused["command_kind"], refused["session_id"]) == ("void_session", NOBODY)
    refused = till.says("dance", command_id=used, session_id="?", actor=7, occurred_at="yesterday")
    assert refused["reason"] == "command_id_reused"
    assert [refused[name] for name in ("command_kind", "session_id", "actor", "occurred_at")] == [None] * 4


def test_two_stores_use_the_same_ids_and_neither_notices(till: Till) -> None:
    other = Till("another", beside=till)
    body = till.body("move_cash", movement="pay_in", amount_minor=5, category="x")
    opened = other.open(session_id=till.session_id)
    assert opened["kind"] == "session_opened"
    first, second = till.send(body), other.send(body | {"store_id": "another", "amount_minor": 9})
    assert (first["kind"], second["kind"]) == ("cash_moved", "cash_moved")
    assert first["event_id"] != second["event_id"]
    till.order("A", {"cash": 1}, revision=5)
    assert other.order("A", {"cash": 2}, revision=0)["kind"] == "order_recorded"
    assert till.void(body["command_id"])["kind"] == "movement_voided"
    closing = other.closed({"cash": 0})
    assert (closing["store_id"], closing["z_number"], closing["cash_movements"]["deposits_minor"]) == ("another", 1, 9)


def test_a_session_belongs_to_the_profile_that_opened_it(till: Till) -> None:
    other = Till(name="p2", beside=till)
    other.session_id = till.session_id
    for answer in (
        other.move("pay_in", 5, register_seq=77),
        other.order("A", {"cash": 5}),
        other.close({"cash": 0}),
        other.void(NOBODY),
    ):
        assert answer["reason"] == "session_unknown"
    closing = till.closed({"cash": 0})
    assert closing["last_register_seq"] is None
    assert other.move("pay_in", 5)["reason"] == "session_unknown", "closed or not, it is another profile's"


def test_a_movement_of_another_session_cannot_be_voided(till: Till) -> None:
    paid_in = till.move("pay_in", 5)["command_id"]
    order_id = till.order("A", {"cash": 5})["command_id"]
    assert till.void(order_id)["reason"] == "movement_unknown"
    other = Till(name="p2", beside=till)
    other.open()
    assert other.void(paid_in)["reason"] == "movement_unknown"
    till.closed({"cash": 0})
    till.open()
    assert till.void(paid_in)["reason"] == "movement_unknown"


def test_a_void_cannot_be_voided(till: Till) -> None:
    voided = till.void(till.move("pay_in", 5)["command_id"])
    assert till.void(voided["command_id"])["reason"] == "movement_unknown"


BROKEN: list[tuple[str, Any, list[str]]] = [
    ("kind", "dance", ["command_kind"]),
    ("kind", 7, ["command_kind"]),
    ("session_id", "12", ["session_id"]),
    ("session_id", None, ["session_id"]),
    ("occurred_at", "2026-03-02", ["occurred_at"]),
    ("occurred_at", 1_772_438_400, ["occurred_at"]),
    ("actor", {"name": "without an id"}, ["actor"]),
    ("actor", "lucia", ["actor"]),
    ("register_seq", -1, []),
    ("amount_minor", 5.5, []),
    ("amount_minor", True, []),
    ("amount_minor", 10**15 + 1, []),
]


@pytest.mark.parametrize(("member", "value", "nulls"), BROKEN)
def test_fields_that_cannot_be_read_are_null_in_the_refusal(till: Till, member: str, value: Any, nulls: Any) -> None:
    body = till.body("move_cash", movement="pay_in", amount_minor=5, category="x") | {member: value}
    answer = till.send(body)
    assert answer["reason"] == "malformed"
    assert [error["field"].split(".")[0] for error in answer["errors"]] == [member]
    echoed = ("command_kind", "session_id", "occurred_at", "actor")
    assert [name for name in echoed if answer[name] is None] == nulls


def test_a_refused_body_keeps_the_digits_that_came(till: Till) -> None:
    used = till.move("pay_in", 5)["command_id"]
    written = json.dumps(till.body("move_cash", command_id=used, movement="pay_in", amount_minor=0, category="x"))
    ids = set()
    for number in ("1.0", "1.00", "1", "1e0", "100000000000000000000000", "1" * 50):
        answer = till.send_bytes(written.replace('"amount_minor": 0', f'"amount_minor": {number}').encode())
        assert answer["reason"] == "command_id_reused"
        ids.add(answer["event_id"])
    assert len(ids) == 6


def test_an_answer_that_claims_nothing_is_named_by_its_place_and_the_id_stays_free(till: Till) -> None:
    body = till.body("move_cash", movement="pay_in", amount_minor=5, category="x")
    for _ in range(2):
        answer = till.send(body, verify=lambda *_: "missing")
        outcome = till.outcomes[-1]
        position = f"till:{TOPIC}/0/{outcome.record.offset}"
        assert (answer["reason"], answer["event_id"]) == ("unauthenticated", str(uuid5(NAMESPACE_URL, position)))
        assert outcome.stored_in == "position"
    assert till.send(body)["sequence"] == 2
    answer = till.send(body, verify=lambda *_: "missing")
    assert answer["reason"] == "unauthenticated", "without a good token not even an old answer is given"


def test_a_refusal_without_a_token_that_counts_says_what_is_wrong_with_it(till: Till) -> None:
    body = till.body("move_cash", movement="pay_in", amount_minor=5, category="x")
    flaws = {flaw: till.send(body, verify=lambda *_, flaw=flaw: flaw) for flaw in FLAWS}
    assert {answer["reason"] for answer in flaws.values()} == {"unauthenticated"}
    assert {flaw: answer["message"] for flaw, answer in flaws.items()} == FLAWS
    assert FLAWS.keys() == set(get_args(Flaw))
    assert len(set(FLAWS.values())) == len(FLAWS)


def test_a_disabled_profile_only_opens_no_session(till: Till) -> None:
    row = till.batch_state.tills["s", "p"]
    row.profile = dataclasses.replace(row.profile, enabled=False)
    assert till.move("pay_in", 5)["kind"] == "cash_moved"
    assert till.order("A", {"cash": 5})["kind"] == "order_recorded"
    assert till.close({"cash": 0})["kind"] == "session_closed"
    assert till.open()["reason"] == "profile_disabled"


def test_every_refusal_has_the_fields_of_an_answer_without_a_sequence(till: Till) -> None:
    answer = till.move("pay_out", 0)
    assert list(answer) == [
        "kind",
        "event_id",
        "command_id",
        "command_kind",
        "store_id",
        "profile_id",
        "session_id",
        "occurred_at",
        "received_at",
        "actor",
        "reason",
        "message",
    ]


def test_a_second_opening_names_the_session_that_is_open(till: Till) -> None:
    held = till.session_id
    answer = till.open()
    assert (answer["reason"], answer["open_session_id"]) == ("session_already_open", held)
    other = Till(name="p2", beside=till)
    answer = other.open(session_id=held)
    assert (answer["reason"], answer["open_session_id"]) == ("session_already_open", held)
    till.session_id = held
    till.closed({"cash": 0})
    for again in (till, other):
        assert again.open(session_id=held)["reason"] == "session_closed"
    assert till.open()["kind"] == "session_opened"
