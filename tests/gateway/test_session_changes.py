"""What passes by on the events topic becomes lines for those who listen, and nothing else gets out."""

import json
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import orjson
import pytest

from services.gateway.commands import session_changes
from services.gateway.commands.session_changes import Listener, SessionChanges, line_of
from services.platform.http.event_stream import Vector

TOPIC: Final = "till.events.v1"
SESSION: Final = str(UUID(int=1))
SECRET: Final = "ZZ-secret"
GOLDEN: Final = [
    message
    for path in sorted((Path(__file__).parents[2] / "contracts" / "golden").glob("*.json"))
    if "command_kind" in (message := json.loads(path.read_text(encoding="utf-8")))
]
"""The golden messages that are answers."""
MEMBERS: Final = {"store_id", "profile_id", "session_id", "kind", "state", "sequence", "closing_id"}


@dataclass(frozen=True)
class Record:
    """A record of the events topic, as far as it is looked at."""

    value: bytes | None
    key: bytes | None = b"s1/p1"
    offset: int = 0
    partition: int = 0
    topic: str = TOPIC


class Looked(deque[Any]):
    """Records that count how many of them were looked at, from the newest back."""

    count = 0

    def __reversed__(self) -> Iterator[Any]:  # type: ignore[override]
        for record in super().__reversed__():
            self.count += 1
            yield record


def answer(number: int, store: str = "s1", **members: Any) -> Record:
    body = {
        "kind": "cash_moved",
        "store_id": store,
        "profile_id": "p1",
        "session_id": SESSION,
        "sequence": number,
        "amount_minor": 777_777,
        "actor": {"id": SECRET, "name": SECRET},
        "description": SECRET,
    } | members
    return Record(orjson.dumps(body), key=f"{store}/p1".encode(), offset=number - 1)


def followed(*records: Record) -> SessionChanges:
    changes = SessionChanges()
    changes.begin({(TOPIC, 0): 0, (TOPIC, 1): 0})
    for record in records:
        changes.take(record)
    return changes


def blocks(listener: Listener) -> list[tuple[str, Any]]:
    """The names and data of what waits."""
    waiting = []
    for line in listener.taken():
        fields = dict(part.split(": ", 1) for part in line.written.decode().strip().split("\n"))
        waiting.append((fields.get("event", ""), json.loads(fields["data"])))
    return waiting


def sequences(listener: Listener) -> list[int]:
    return [change["sequence"] for _, change in blocks(listener)]


@pytest.mark.parametrize("message", GOLDEN, ids=[message["kind"] for message in GOLDEN])
def test_of_every_answer_ids_and_states_alone_get_out(message: dict[str, Any]) -> None:
    key = f"{message['store_id']}/{message['profile_id']}".encode()

    line = line_of(Record(orjson.dumps(message), key), {(TOPIC, 0): 1})

    if message["kind"] in {"command_rejected", "command_parked"}:
        assert line is None
        return
    assert line is not None, message["kind"]
    change = json.loads(line.written.split(b"data: ")[1])
    assert set(change) == MEMBERS
    assert all(change[name] == message.get(name) for name in MEMBERS - {"state"})


@pytest.mark.parametrize(
    ("kind", "members", "state"),
    [
        ("session_opened", {}, "open"),
        ("session_suspended", {}, "suspended"),
        ("session_resumed", {}, "open"),
        ("closing_pending", {}, "pending"),
        ("count_requested", {}, "pending"),
        ("session_closed", {"closing_id": SESSION}, "closed"),
        ("closing_corrected", {"closing_id": SESSION, "correction_id": SESSION}, "closed"),
        ("order_recorded", {"closing_id": SESSION, "correction_id": SESSION}, "closed"),
        ("session_voided", {"closing_id": SESSION, "correction_id": SESSION}, "voided"),
        ("order_recorded", {}, None),
        ("session_amended", {}, None),
    ],
)
def test_a_line_says_the_state_where_the_answer_does(kind: str, members: dict[str, Any], state: str | None) -> None:
    line = line_of(answer(1, kind=kind, **members), {})

    assert line is not None
    assert json.loads(line.written.split(b"data: ")[1])["state"] == state
    assert SECRET.encode() not in line.written
    assert b"777" not in line.written


@pytest.mark.parametrize(
    "value",
    [
        None,
        b"",
        b"\xff",
        b"[]",
        b'"x"',
        b"{}",
        answer(1, kind=SECRET).value,
        answer(1, kind=["cash_moved"]).value,
        answer(1, session_id=SECRET).value,
        answer(1, session_id=7).value,
        answer(1, session_id=None).value,
        answer(1, closing_id=SECRET).value,
        answer(1, sequence=SECRET).value,
        answer(1, sequence=None).value,
        answer(1, sequence=None, session_id=None).value,
        answer(1, kind="profile_set", session_id=None).value,
        answer(1, kind="profile_set", session_id=SECRET, sequence=None).value,
        answer(1, store_id="s2").value,
        answer(1, profile_id=SECRET).value,
        answer(1, profile_id=None).value,
    ],
)
def test_what_is_no_answer_passes_without_a_word(value: bytes | None) -> None:
    changes = followed()
    listener, _ = changes.listen(None, None)

    changes.take(Record(value))
    changes.take(Record(value, key=None))

    assert listener.taken() == []


def test_a_key_that_is_no_till_passes_without_a_word() -> None:
    store = f"{SECRET} of nobody"
    changes = followed()
    listener, _ = changes.listen(None, None)

    changes.take(answer(1, store))

    assert listener.taken() == []


def test_each_hears_their_own_stores_and_a_line_is_written_once() -> None:
    changes = followed()
    ours, _ = changes.listen(["s1"], None)
    both, _ = changes.listen(["s1", "s2"], None)
    every, _ = changes.listen(None, None)

    for record in (answer(1), answer(2, "s2"), answer(3)):
        changes.take(record)
    first = [listener._lines[0].written for listener in (ours, both, every)]

    assert first[0] is first[1] is first[2]
    assert (sequences(ours), sequences(both), sequences(every)) == ([1, 3], [1, 2, 3], [1, 2, 3])


def test_who_comes_back_hears_what_passed_and_who_was_away_too_long_looks_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_changes, "RECENT_RECORDS_MAX", 4)
    changes = followed(*(answer(number, "s1" if number % 2 else "s2") for number in range(1, 11)))

    def heard(*at: int) -> list[tuple[str, Any]]:
        after: Vector = {(TOPIC, partition): offset for partition, offset in enumerate(at)}
        return blocks(changes.listen(["s1"], after)[0])

    assert [change["sequence"] for _, change in heard(6, 0)] == [7, 9]
    assert [change["sequence"] for _, change in heard(8, 0)] == [9]
    assert heard(10, 0) == []
    assert heard(5, 0) == [("reset", {})]
    assert blocks(changes.listen(["s1"], {("elsewhere", 0): 99})[0]) == [("reset", {})]


@pytest.mark.parametrize("ahead", [{(TOPIC, 0): 3}, {(TOPIC, 0): 2, (TOPIC, 1): 1}, {(TOPIC, 2): 1}])
def test_an_id_ahead_of_the_topic_is_of_one_that_was_made_anew_since(ahead: Vector) -> None:
    changes = followed(answer(1), answer(2))
    assert blocks(changes.listen(["s1"], {(TOPIC, 0): 2, (TOPIC, 1): 0})[0]) == []

    listener, at = changes.listen(["s1"], ahead)

    assert (blocks(listener), at) == ([("reset", {})], changes.at)
    changes.take(answer(3))
    assert sequences(listener) == [3]


def test_who_comes_back_passes_no_more_than_they_missed() -> None:
    changes = followed(*(answer(number) for number in range(1, 101)), replace(answer(1), partition=1))
    looked_at = Looked(changes._recent)
    changes._recent = looked_at

    assert sequences(changes.listen(["s1"], {(TOPIC, 0): 100, (TOPIC, 1): 1})[0]) == []
    assert looked_at.count <= 1
    assert sequences(changes.listen(["s1"], {(TOPIC, 0): 97, (TOPIC, 1): 0})[0]) == [98, 99, 100, 1]
    assert looked_at.count <= 6


def test_gaps_between_offsets_hide_nothing() -> None:
    changes = followed(*(replace(answer(number), offset=3 * number) for number in range(1, 6)))

    heard = [sequences(changes.listen(["s1"], {(TOPIC, 0): offset})[0]) for offset in range(6, 11)]

    assert heard == [[2, 3, 4, 5], [3, 4, 5], [3, 4, 5], [3, 4, 5], [4, 5]]


def test_bytes_bound_what_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_changes, "RECENT_BYTES_MAX", 3 * len(answer(1).value or b""))
    changes = followed(*(answer(number) for number in range(1, 8)))

    assert sequences(changes.listen(["s1"], {(TOPIC, 0): 4})[0]) == [5, 6, 7]
    assert blocks(changes.listen(["s1"], {(TOPIC, 0): 3})[0]) == [("reset", {})]


def test_more_than_a_queue_holds_is_not_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_changes, "QUEUE_LINES_MAX", 3)
    changes = followed(*(answer(number) for number in range(1, 5)))

    assert sequences(changes.listen(["s1"], {(TOPIC, 0): 1})[0]) == [2, 3, 4]
    assert blocks(changes.listen(["s1"], {(TOPIC, 0): 0})[0]) == [("reset", {})]


def test_who_takes_nothing_is_cut_off_and_nobody_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_changes, "QUEUE_LINES_MAX", 3)
    changes = followed()
    slow, _ = changes.listen(["s1"], None)
    quick, _ = changes.listen(["s1"], None)
    heard = []

    for number in range(1, 6):
        changes.take(answer(number))
        heard += sequences(quick)

    assert heard == [1, 2, 3, 4, 5]
    assert slow.taken() == []
    assert slow.last == b'event: cut_off\ndata: {"lines":3}\n\n'
    assert quick.last is None


def test_a_topic_that_is_followed_anew_asks_all_to_look_anew() -> None:
    changes = followed(answer(1))
    listener, _ = changes.listen(["s1"], None)
    changes.take(answer(2))

    changes.begin({(TOPIC, 0): 9})

    assert blocks(listener) == [("reset", {})]
    changes.take(answer(10))
    assert sequences(listener) == [10]


def test_who_has_left_costs_nothing() -> None:
    changes = followed()
    for stores in (["s1", "s2"], None):
        listener, _ = changes.listen(stores, None)
        changes.leave(listener)
        changes.leave(listener)

    changes.take(answer(1))

    assert listener.taken() == []
    assert (changes._of_store, changes._of_all) == ({}, set())
