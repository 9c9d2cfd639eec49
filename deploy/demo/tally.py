"""What came back of the day: answers, closings and parked records, counted and compared. Pure."""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from contracts.closings import GENESIS_HASH, closing_hash
from deploy.demo.day import Entry
from deploy.demo.tape import STAFF_FIGURES

Body = dict[str, Any]


WORTH_TELLING = frozenset(
    {
        "closing_pending",
        "count_requested",
        "drawer_counted",
        "profile_set",
        "session_amended",
        "session_handed_over",
        "session_resumed",
        "session_suspended",
        "session_voided",
    }
)
"""Kinds of accepted answers of which a viewer hears the first; the others are seen in the closings."""


@dataclass(frozen=True, slots=True)
class News:
    """Something that a viewer should hear of.

    `kind` is closing, correction, parked, repeated, a reason, or `accepted` and an answer's kind.
    """

    kind: str
    body: Body


@dataclass(frozen=True, slots=True)
class Difference:
    """One thing in which a closing or a correction is not what it must be: a member, a `fault`, or it is not there."""

    name: str
    member: str | None = None
    shown: Any = None
    expected: Any = None
    fault: str = "is missing"

    @property
    def sentence(self) -> str:
        """The difference for people."""
        if self.member is not None:
            return f"{self.name}: {self.member} is {self.shown} and not {self.expected}."
        return f"{self.name}{':' if self.fault.startswith('its') else ''} {self.fault}."


@dataclass
class Tally:
    """Everything seen so far. Each method gives what a viewer should hear of, or None.

    `published` counts commands; `owed` are the answers still to come, by command id.
    """

    published: int = 0
    owed: Counter[str] = field(default_factory=Counter)
    answers: dict[str, bytes] = field(default_factory=dict)
    altered: set[str] = field(default_factory=set)
    accepted: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    repeated: int = 0
    closings: dict[str, Body] = field(default_factory=dict)
    corrections: dict[str, Body] = field(default_factory=dict)
    parked: dict[str, bytes] = field(default_factory=dict)
    closing_bytes: dict[str, bytes] = field(default_factory=dict)

    def publish(self, entry: Entry) -> None:
        """From now on an answer is owed to this record, unless it is no command."""
        if entry.command_id is not None:
            self.owe(entry.command_id)

    def owe(self, command_id: str) -> None:
        """From now on an answer is owed to this command."""
        self.owed[command_id] += 1
        self.published += 1

    def answer(self, ce_id: str, value: bytes) -> News | None:
        """An answer as it lay on the events topic; settings that nobody here asked for were made before the day."""
        body = json.loads(value)
        owed = self.owed[body["command_id"]]
        if body["kind"] == "profile_set" and not owed:
            return None
        self.owed[body["command_id"]] = max(0, owed - 1)
        first = self.answers.setdefault(ce_id, value)
        if first is not value:
            if first != value:
                self.altered.add(ce_id)
            # A delivery that nobody asked for again is Kafka's at-least-once, not a repeat.
            self.repeated += 1 if owed else 0
            return News("repeated", body)
        if body["kind"] == "command_rejected":
            self.refused[body["reason"]] += 1
            return News(body["reason"], body)
        self.accepted[body["kind"]] += 1
        return News(f"accepted {body['kind']}", body) if body["kind"] in WORTH_TELLING else None

    def closing(self, ce_id: str, value: bytes) -> News | None:
        """A closing or a correction as it lay on the closings topic."""
        if self.closing_bytes.setdefault(ce_id, value) != value:
            self.altered.add(ce_id)
        if ce_id in self.closings or ce_id in self.corrections:
            return None
        body = json.loads(value)
        if body["kind"] == "closing_correction":
            self.corrections[ce_id] = body
            return News("correction", body)
        self.closings[ce_id] = body
        return News("closing", body)

    def park(self, position: str, value: bytes, error: str) -> News | None:
        """A record on the dead-letter topic; `position` is where it lay on the commands topic."""
        if position in self.parked:
            return None
        self.parked[position] = value
        return News("parked", {"error": error, "place": position})

    def answered(self) -> int:
        """How many of the published commands have their answer."""
        return self.published - self.owed.total()

    def unanswered(self) -> list[str]:
        """The ids of the commands that still lack an answer."""
        return [command_id for command_id, owed in self.owed.items() if owed > 0]


def complete(tally: Tally, expected: Body) -> bool:
    """Whether nothing more is waited for."""
    return (
        tally.owed.total() == 0
        and len(tally.closings) >= len(expected["closings"])
        and len(tally.corrections) >= len(expected["corrections"])
        and len(tally.parked) >= expected["parked"]
    )


def faults(tally: Tally, expected: Body, day: list[Entry]) -> list[str]:
    """Everything that is not as it must be, each as a sentence; an empty list is a good day."""
    sentences = _differences("accepted", dict(tally.accepted), expected["accepted"])
    sentences += _differences("refused", dict(tally.refused), expected["refused"])
    if tally.repeated != expected["repeated"]:
        sentences.append(f"{tally.repeated} answers came again, not {expected['repeated']}.")
    if sorted(tally.parked.values()) != sorted(e.value for e in day if e.command_id is None):
        sentences.append("The parked records are not, byte for byte, those that were no commands.")
    sentences += [f"{ce_id} came twice with different bytes." for ce_id in sorted(tally.altered)]
    closings, corrections = tally.closings.values(), tally.corrections.values()
    unlike = closing_differences(closings, expected["closings"])
    unlike += correction_differences(corrections, closings, expected["corrections"])
    return sentences + [difference.sentence for difference in unlike]


def _differences(what: str, seen: dict[str, int], expected: dict[str, int]) -> list[str]:
    names = sorted(seen.keys() | expected.keys())
    return [
        f"{what} {name}: {seen.get(name, 0)} and not {expected.get(name, 0)}."
        for name in names
        if seen.get(name, 0) != expected.get(name, 0)
    ]


def closing_differences(closings: Iterable[Body], expected: list[Body]) -> list[Difference]:
    """How closings differ from what they must be; `expected` are each till's in the order of its Z numbers."""
    differences = []
    by_session = {closing["session_id"]: closing for closing in closings}
    missing = [row for row in expected if row["session_id"] not in by_session]
    differences += [Difference(f"The closing of session {row['session_id']}") for row in missing]
    heads: dict[tuple[str, str], str] = {}
    for row in expected:
        closing = by_session.pop(row["session_id"], None)
        if closing is None:
            continue
        name = f"{row['store_id']}/{row['profile_id']} Z {row['z_number']}"
        differences += _unlike(name, row, summary(closing))
        profile = (row["store_id"], row["profile_id"])
        if closing["prev_hash"] != heads.get(profile, GENESIS_HASH):
            differences.append(Difference(name, fault="its prev_hash is not the hash of the closing before it"))
        if closing["hash"] != closing_hash(closing):
            differences.append(Difference(name, fault="its hash is not that of its content"))
        heads[profile] = closing["hash"]
    return differences + [
        Difference(f"Session {session_id}", fault="should not have closed") for session_id in by_session
    ]


def correction_differences(
    corrections: Iterable[Body], closings: Iterable[Body], expected: list[Body]
) -> list[Difference]:
    """How corrections differ from what they must be: each is known by its session and its number there."""
    seen = {(correction["session_id"], correction["correction_number"]): correction for correction in corrections}
    hashes = {closing["closing_id"]: closing["hash"] for closing in closings}
    differences = []
    for row in expected:
        name = f"Correction {row['correction_number']} of session {row['session_id']}"
        correction = seen.pop((row["session_id"], row["correction_number"]), None)
        if correction is None:
            differences.append(Difference(name))
            continue
        differences += _unlike(name, row, correction_summary(correction))
        if hashes.get(correction["closing_id"]) != correction["closing_hash"]:
            differences.append(Difference(name, fault="its closing_hash is not the hash of its closing"))
    more = [Difference(f"Correction {number} of session {session}", fault="should not be") for session, number in seen]
    return differences + more


def _unlike(name: str, row: Body, shown: Body) -> list[Difference]:
    return [Difference(name, member, shown[member], row[member]) for member in row if shown[member] != row[member]]


def correction_summary(correction: Body) -> Body:
    """The members of `expected.json` as a correction states them."""
    same = ("store_id", "profile_id", "session_id", "correction_number", "correction", "needs_review")
    rows = correction["deltas"]["tenders"]
    return {name: correction[name] for name in same} | {
        "sales_minor": correction["deltas"]["sales"]["total_minor"],
        "over_short_minor": {row["tender"]: row["over_short_minor"] for row in rows if row["over_short_minor"]},
    }


def summary(closing: Body) -> Body:
    """The members of `expected.json` as a closing states them."""
    sales = closing["sales"]
    same = (
        *("store_id", "profile_id", "session_id", "z_number", "business_date", "time_zone", "clock_adjusted"),
        *("opened_at", "closed_at", "register_seq_gaps"),
    )
    to_pay = ("rounding_minor", "paid_before_minor", "unpaid_minor", "carried_over_minor")
    counted = [row for row in closing["tenders"] if row["counted_minor"] is not None]
    providers = {row["provider"]: row for row in sales["by_provider"]}
    return {name: closing[name] for name in same} | {
        "tenders": {row["tender"]: _tender(row) for row in counted},
        "cash_expected_minor": closing["cash_movements"]["expected_minor"],
        "sales_minor": sales["total_minor"],
        "orders": sales["count"],
        **{name: sales[name] for name in to_pay},
        "lowered_minor": sales["lowered"]["total_minor"],
        "by_provider": {
            name: {"total_minor": row["total_minor"], "count": row["count"]} for name, row in sorted(providers.items())
        },
        "canceled": sum(row["count"] for row in closing["cancellations"]),
        "taxes": {f"{row['name']} {row['rate']}": _without(row, "name", "rate") for row in closing["taxes"]},
        "staff": {row["id"]: {name: row[name] for name in STAFF_FIGURES} for row in closing["staff"]},
    }


def _tender(row: Body) -> Body:
    figures = (
        *("expected_minor", "counted_minor", "over_short_minor", "prepaid_minor"),
        *("left_minor", "opening_difference_minor"),
    )
    return {name: row[name] for name in figures} | {"change_given_minor": row["change_given"]["total_minor"]}


def _without(row: Body, *names: str) -> Body:
    return {name: value for name, value in row.items() if name not in names}
