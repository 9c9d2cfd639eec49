"""Several tills of one or two stores on one topic: what their registers send, what the rules say, what must hold.

The stories of the sessions are kept here from the answers alone, so that the book can be compared with them.
"""

import json
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from hypothesis import strategies as st

from contracts.events import CLAIMLESS, claimless_event_id_of
from services.sessions.rules import decide
from services.sessions.rules.declared import Declared
from services.sessions.rules.model import HOLDING, BatchState, Outcome, Received
from services.sessions.rules.model import Till as TillRow
from services.sessions.rules.report import report
from services.sessions.worker.read_record import Parked, read
from tests.support import recount
from tests.support.chance import LATER, MINUTE_MS, OFTEN, ONCE, RARE, TENDERS, Chance
from tests.support.recount_float import Carried, counts_of, left_of, stories
from tests.support.settings_objects import hash_of
from tests.support.till import GENESIS, MORNING_MS, NOBODY, TOPIC, Body, Raw, profile

LATER_TOO = profile(tenders=(*TENDERS, *LATER)).tenders
KINDS = OFTEN * 3 + ONCE + RARE
seeds = st.integers(0, 2**32)
limits = st.sampled_from([None, None, 0, 10_000])


class Register(Chance):
    """The register of one till: the kind is asked for, all else is by chance. `mark` is in the ids that it makes."""

    def __init__(self, store: str, name: str, mark: int) -> None:
        super().__init__(0)
        self.store, self.name, self.mark = store, name, mark
        self.next_kind = ""

    def kind(self) -> str:
        return self.next_kind

    def write(self, kind: str, seed: int) -> bytes:
        """The next record; where no session is open, chance often makes it an opening."""
        self.dice = Random(seed)  # noqa: S311
        self.next_kind = "open_session" if not self.holds and self.dice.random() < 0.6 else kind
        body = json.loads(self.marked(self.record().decode()))
        body["store_id"] = self.store
        if body["profile_id"] == "p":
            body["profile_id"] = self.name
        return json.dumps(body).encode()

    def marked(self, text: str) -> str:
        """With this register's own ids."""
        return text.replace("0195e3a0-", f"0195e3a{self.mark}-")


@dataclass
class Story:
    """What was accepted of one session; `counted` holds what was counted last, tender by tender."""

    commands: list[Body] = field(default_factory=list)
    closing: Body | None = None
    counted: dict[str, Body] = field(default_factory=dict)
    corrections: list[Body] = field(default_factory=list)
    voided: bool = False
    carried: Carried = field(default_factory=Carried)
    tenders: list[Body] = field(default_factory=list)

    def figures(self, counted: Iterable[Body] | None) -> Body:
        opening, *commands = self.commands
        counts = None if counted is None else list(counted)
        left = {} if counted is None else left_of(counts_of(commands), self.tenders)
        return recount.figures(
            opening, commands, counts, "PARROT", self.tenders, carried=self.carried.amounts, left=left
        )


class TillsModel:
    """Two tills of the store `first`, one of the store `second` whose ids are those of the very first till."""

    def __init__(self, first: str = "s", second: str = "s2", partition: int = 0, **rules: Any) -> None:
        self.batch_state, self.partition = BatchState(), partition
        self.registers = [Register(first, "p", 1), Register(first, "q", 2), Register(second, "p", 1)]
        for register in self.registers:
            key = register.store, register.name
            till = profile(tenders=TENDERS, **rules)
            self.batch_state.tills[key] = TillRow(*key, till, None, 0, 0, GENESIS, 0, profile_hash=hash_of(till))
        self.reads: list[Received | Parked] = []
        self.outcomes: list[Outcome | None] = []
        self.first: dict[str, Outcome] = {}
        self.answered: dict[Any, bytes] = {}
        self.claims: dict[tuple[str, str], bytes] = {}
        self.stories: dict[tuple[str, str], Story] = {}
        self.logs: dict[tuple[str, str], list[tuple[Body, Body]]] = {}
        self.closings: dict[tuple[str, str], list[Body]] = {key: [] for key in self.batch_state.tills}

    def put(self, value: bytes, *, known: bool = True) -> Outcome | None:
        """Put a record on the topic; what it led to, None where nobody can be answered. `known`: has a good token."""
        offset = len(self.reads)
        raw = Raw(TOPIC, self.partition, offset, MORNING_MS + MINUTE_MS * offset, b"k", value)
        reading = read(raw, None if known else lambda *_: "missing")
        outcome = decide.answer(self.batch_state, reading) if isinstance(reading, Received) else None
        self.reads.append(reading)
        self.outcomes.append(outcome)
        if outcome is not None:
            self._note(outcome, json.loads(value), known=known)
        return outcome

    def send(self, till: int, kind: str, seed: int) -> None:
        """One command of a till's register."""
        self.put(self.registers[till].write(kind, seed))
        self._teach(self.registers[till])

    def _teach(self, register: Register) -> None:
        """Let a register know which of its sessions there are, and whether one is open."""
        register.sessions = [
            session_id
            for session_id in register.sessions
            if session_id == NOBODY or (register.store, register.marked(session_id)) in self.stories
        ]
        register.holds = self.batch_state.tills[register.store, register.name].open_session_id is not None

    def grow(self, till: int) -> None:
        """Let a till take more tenders from now on."""
        row = self.batch_state.tills[self.registers[till].store, self.registers[till].name]
        row.profile = replace(row.profile, tenders=LATER_TOO)

    def say_again(self, which: int) -> None:
        """A record of before, byte for byte."""
        if self.reads:
            self.put(self.value(which))

    def say_otherwise(self, which: int) -> None:
        """The id of a record of before under another body, the same one for every second try."""
        value = self.value(which) if self.reads else b"{}"
        if value.startswith(b"{"):
            body = json.loads(value)
            self.put(json.dumps(body | {"note": f"not as before {which % 2}"}).encode())

    def say_as_a_stranger(self, till: int, kind: str, seed: int) -> None:
        outcome = self.put(self.registers[till].write(kind, seed), known=False)
        assert outcome is not None
        assert outcome.reason == "unauthenticated"
        self._teach(self.registers[till])

    def say_nothing_readable(self) -> None:
        assert self.put(b"\xff") is None

    def value(self, which: int) -> bytes:
        reading = self.reads[which % len(self.reads)]
        raw = reading.raw if isinstance(reading, Received) else reading.record
        assert raw.value is not None
        return bytes(raw.value)

    def _note(self, outcome: Outcome, body: Body, *, known: bool) -> None:
        """Hold an answer against all answers before; an accepted command goes into its session's story."""
        answer = json.loads(outcome.value)
        self.first.setdefault(outcome.event_id, outcome)
        if answer.get("reason") in CLAIMLESS:
            # It belongs to the record: the id is as free as before, and nothing is remembered.
            record = outcome.record
            assert outcome.event_id == claimless_event_id_of(record.topic, record.partition, record.offset)
            assert not known or (body["store_id"], body["command_id"]) not in self.claims
            return
        same = (body["store_id"], json.dumps(body, sort_keys=True)) if known else len(self.reads)
        repeat = same in self.answered
        assert self.answered.setdefault(same, outcome.value) == outcome.value
        assert answer["command_id"] == body["command_id"]
        if known and answer.get("reason") != "command_id_reused":
            assert self.claims.setdefault((body["store_id"], body["command_id"]), outcome.value) == outcome.value
        assert not (repeat and (outcome.closing_value or outcome.correction_value or outcome.sequence))
        if "sequence" in answer and not repeat:
            self._tell(answer, body, outcome)

    def _tell(self, answer: Body, body: Body, outcome: Outcome) -> None:
        log = self.logs.setdefault((body["store_id"], body["profile_id"]), [])
        log.append((body, answer))
        story = self.stories.setdefault((body["store_id"], body["session_id"]), Story())
        if body["kind"] == "open_session":
            story.carried = stories(log)[answer["session_id"]].carried
            story.tenders = answer["tenders"]
        story.tenders += answer.get("tenders_added", ())
        story.commands.append(body)
        assert answer["sequence"] == outcome.sequence == len(story.commands)
        story.voided |= body["kind"] == "void_session"
        if body["kind"] == "close_session":
            story.counted = {}
        if body["kind"] in {"close_session", "recount"}:
            story.counted |= {entry["tender"]: entry for entry in body["counted"]}
        if outcome.correction_value is not None:
            story.corrections.append(json.loads(outcome.correction_value))
        if outcome.closing_value is not None:
            assert story.closing is None
            if body["kind"] == "force_close":
                story.counted = {}
            story.closing = json.loads(outcome.closing_value)
            self.closings[body["store_id"], body["profile_id"]].append(story.closing)
            check_closing(story, story.closing, uncounted=body["kind"] == "force_close")

    def check_tills(self) -> None:
        """At most one session holds a till; its closings are numbered and chained without a gap."""
        for key, till in self.batch_state.tills.items():
            mine = [s for s in self.batch_state.sessions.values() if (s.store_id, s.profile_id) == key]
            held = [session.session_id for session in mine if session.state in HOLDING]
            assert len(held) <= 1
            assert till.open_session_id == next(iter(held), None)
            numbers = [closing["z_number"] for closing in self.closings[key]]
            assert numbers == list(range(1, till.z_number + 1))
        assert len(self.batch_state.sessions) == len(self.stories)

    def check_sessions(self) -> None:
        """Running totals, closings and corrections are what an independent recount of the stories finds."""
        for key, story in self.stories.items():
            session = self.batch_state.sessions[key]
            assert session.sequence == len(story.commands)
            assert session.journal_hash == recount.journal_hash(story.commands)
            running = report(session.totals, session.opening.tenders, Declared(story.carried.amounts, {}, {}))
            assert running == story.figures(None)
            check_money(running["tenders"])
            if story.closing is not None:
                check_corrections(story, story.closing)
        assert [recount.closing_chain(closings) for closings in self.closings.values()] == [[]] * len(self.closings)


def check_closing(story: Story, closing: Body, *, uncounted: bool) -> None:
    """A new closing is what a recount of its session's commands finds."""
    again = story.figures(None if uncounted else story.counted.values())
    assert {name: closing[name] for name in again} == again
    assert (closing["carried_from"], closing["not_carried"]) == (story.carried.session_id, story.carried.not_carried)
    assert closing["journal_hash"] == recount.journal_hash(story.commands)
    assert closing["uncounted"] == uncounted
    check_money(closing["tenders"])


def check_money(tenders: Iterable[Body]) -> None:
    """Money in is money out and what must be in the drawer."""
    for row in tenders:
        if row["expected_minor"] is not None:
            moved = {kind: row["movements"][kind]["total_minor"] for kind in recount.MOVEMENTS}
            came = row["opening_minor"] + row["sales_minor"] + row["prepaid_minor"] + row["tips_minor"]
            came += sum(moved[k] for k in recount.INWARD)
            went = row["refunds_minor"] + sum(moved[k] for k in recount.OUTWARD)
            assert came == went + row["expected_minor"]


def check_corrections(story: Story, closing: Body) -> None:
    """A closing and its corrections, summed, are what all accepted commands and the last counts lead to."""
    sums = recount.flat({name: closing[name] for name in recount.FIGURES})
    for number, correction in enumerate(story.corrections, start=1):
        assert (correction["correction_number"], correction["closing_hash"]) == (number, closing["hash"])
        sums.update(recount.flat(correction["deltas"]))
    ledger: Counter[Any] = Counter() if story.voided else recount.flat(story.figures(story.counted.values()))
    assert {path: total for path, total in sums.items() if total} == dict(ledger)
