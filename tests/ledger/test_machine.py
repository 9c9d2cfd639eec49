"""Three tills by chance in a real database: batches, restarts and races give the bytes that the rules alone give.

`pytest tests/rules/test_machine.py tests/ledger/test_machine.py --hypothesis-profile=thorough` plays 200 topics of 50
steps each here, 10,000 steps in all; one step is up to 20 records.
"""

import asyncio
import itertools
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.topics import topics
from services.platform.postgres.migrate import upgrade
from services.platform.settings import Settings
from services.sessions.ledger.engine import ledger_engine
from services.sessions.rules.model import Outcome, Received
from services.sessions.tools.verify import verify
from services.sessions.worker.apply import Applied, Batch, apply
from tests.ledger.ledger import MIGRATIONS, TOPIC_ID, Ledger, profile, publications_by_topic
from tests.support.thorough import is_thorough
from tests.support.tills_model import KINDS, TillsModel, limits, seeds

T = TypeVar("T")
Values = list[tuple[str, bytes | None]]

AT_LENGTH = settings(max_examples=200, stateful_step_count=50, deadline=None)
IN_SHORT = settings(max_examples=45, stateful_step_count=30, deadline=None, derandomize=True)

WAYS = ("send",) * 10 + ("say_again", "say_otherwise", "say_as_a_stranger", "say_nothing_readable")
records = st.lists(
    st.tuples(st.sampled_from(WAYS), st.integers(0, 2), st.sampled_from(KINDS), seeds), min_size=1, max_size=20
)
Messages = Sequence[tuple[str, int, str, int]]


class Killed(Exception):
    """Instead of a SIGKILL before the commit."""


@dataclass
class SharedDatabase:
    """One database for all machines: each has stores and a partition of its own there."""

    address: str
    partitions: Any


class Workers(RuleBasedStateMachine):
    """Workers on one partition, and beside them the rules in memory.

    Hypothesis knows no asynchronous rules: each machine has an event loop of its own.
    """

    def __init__(self, database: SharedDatabase) -> None:
        super().__init__()
        self.database, self.partition = database, next(database.partitions)
        self.stores = f"a{self.partition}", f"b{self.partition}"
        self.runner = asyncio.Runner()
        self.engine = ledger_engine(database.address)
        self.last = 0

    def wait(self, work: Coroutine[Any, Any, T]) -> T:
        return self.runner.run(work)

    @initialize(allow_negative_drawer=st.booleans(), over_short_limit_minor=limits)
    def begin(self, **rules: Any) -> None:
        self.model = TillsModel(*self.stores, self.partition, **rules)
        ledger = Ledger(self.engine)
        self.wait(ledger.import_profiles(*[profile(*key, **rules) for key in self.model.batch_state.tills]))
        self.wait(ledger.know(self.partition))

    @rule(messages=records)
    def apply_a_batch(self, messages: Messages) -> None:
        self.check(self.wait(self.apply(self.gather(messages))), fresh_from=self.last)

    @rule(till=st.integers(0, 2), messages=st.lists(st.tuples(st.sampled_from(KINDS), seeds), min_size=10, max_size=20))
    def apply_a_batch_of_one_till(self, till: int, messages: Sequence[tuple[str, int]]) -> None:
        """Sessions get long only where one register speaks for a while."""
        batch = self.gather([("send", till, kind, seed) for kind, seed in messages])
        self.check(self.wait(self.apply(batch)), fresh_from=self.last)

    @rule(messages=records, back=st.integers(1, 30))
    def apply_a_batch_that_is_half_known(self, messages: Messages, back: int) -> None:
        first = max(0, len(self.model.reads) - back)
        self.gather(messages)
        self.check(self.wait(self.apply(self.batch(first))), first=first, fresh_from=self.last)

    @rule(messages=records)
    def die_before_the_commit(self, messages: Messages) -> None:
        batch = self.gather(messages)
        with pytest.raises(Killed):
            self.wait(self.apply(batch, dies=True))
        self.check(self.wait(self.apply(batch)), fresh_from=self.last)

    @rule(messages=records)
    def race_for_a_batch(self, messages: Messages) -> None:
        """Two workers apply the same records at once: one decides, the other finds what was decided."""
        self.gather(messages)
        other = ledger_engine(self.database.address)

        async def both() -> tuple[Applied, Applied]:
            try:
                return await asyncio.gather(
                    self.apply(self.batch(self.last)), self.apply(self.batch(self.last), engine=other)
                )
            finally:
                await other.dispose()

        won, lost = sorted(self.wait(both()), key=lambda applied: len(applied.outcomes), reverse=True)
        self.check(won, fresh_from=self.last)
        self.check(lost)

    @rule()
    def read_the_last_batch_again(self) -> None:
        self.read_again(self.last, len(self.model.reads))

    @rule(size=st.integers(1, 20))
    def read_everything_again(self, size: int) -> None:
        end = len(self.model.reads)
        for first in range(0, end, size):
            self.read_again(first, min(first + size, end))

    @rule()
    def start_a_new_worker(self) -> None:
        self.wait(self.engine.dispose())
        self.engine = ledger_engine(self.database.address)

    @rule()
    def verify_the_ledger(self) -> None:
        """Nothing is wrong, and nothing is missing that the rules in memory have."""
        stories = self.model.stories
        for store in self.stores:
            mine = [story for (of, _), story in stories.items() if of == store]
            seen = self.wait(verify(self.engine, store=store, progress=lambda *_: None))
            assert (seen.sessions, seen.commands) == (len(mine), sum(len(story.commands) for story in mine))
            assert seen.closings == sum(story.closing is not None for story in mine)
            assert seen.corrections == sum(len(story.corrections) for story in mine)

    def teardown(self) -> None:
        try:
            if hasattr(self, "model"):
                self.model.check_tills()
                self.model.check_sessions()
                self.verify_the_ledger()
        finally:
            self.wait(self.engine.dispose())
            self.runner.close()

    def gather(self, messages: Messages) -> Batch:
        """Let the registers speak; what they say is the next batch."""
        self.last = len(self.model.reads)
        for what, till, kind, seed in messages:
            match what:
                case "say_again" | "say_otherwise":
                    getattr(self.model, what)(seed)
                case "say_nothing_readable":
                    self.model.say_nothing_readable()
                case _:
                    getattr(self.model, what)(till, kind, seed)
        return self.batch(self.last)

    def batch(self, first: int, end: int | None = None) -> Batch:
        """The records from `first` to `end`, as a worker reads them."""
        reads = [(self.partition, first + n, read) for n, read in enumerate(self.model.reads[first:end])]
        return Batch(topic_id=TOPIC_ID, reads=reads, answered={})

    async def apply(self, batch: Batch, *, engine: AsyncEngine | None = None, dies: bool = False) -> Applied:
        async def fault_point(_: str) -> None:
            if dies:
                raise Killed

        return await apply(engine or self.engine, topics(), batch, fault_point)

    def read_again(self, first: int, end: int) -> None:
        if first < end:
            self.check(self.wait(self.apply(self.batch(first, end))), first=first, end=end)

    def check(
        self, applied: Applied, *, first: int | None = None, end: int | None = None, fresh_from: int | None = None
    ) -> None:
        """What goes out is, byte for byte, what the rules in memory said; from `fresh_from` on it was decided now."""
        first = self.last if first is None else first
        end = len(self.model.reads) if end is None else end
        fresh_from = end if fresh_from is None else fresh_from
        decided = [outcome for outcome in self.model.outcomes[fresh_from:end] if outcome is not None]
        assert [outcome.value for outcome in applied.outcomes] == [outcome.value for outcome in decided]
        expected: Values = []
        for at in range(first, end):
            expected += self.expected(at, fresh=at >= fresh_from, out=expected)
        assert publications_by_topic(applied) == expected

    def expected(self, at: int, *, fresh: bool, out: Values) -> Values:
        """What goes out for one record, behind what is out already.

        Read again, a repeat comes with the closing or correction of its original, unless one before it did.
        """
        read, outcome = self.model.reads[at], self.model.outcomes[at]
        if outcome is None:
            assert not isinstance(read, Received)
            return [(topics().dead_letters, read.record.value)]
        original: Outcome = outcome if fresh else self.model.first[outcome.event_id]
        beside = [
            (topics().closings, value)
            for value in (original.closing_value, original.correction_value)
            if value is not None and (fresh or (topics().closings, value) not in out)
        ]
        return [*beside, (topics().events, outcome.value)]


@pytest.fixture
async def database(corner: Settings) -> SharedDatabase:
    await upgrade(corner.database_url, MIGRATIONS)
    return SharedDatabase(corner.database_url, itertools.count())


def test_the_database_gives_what_the_rules_give(database: SharedDatabase) -> None:
    run_state_machine_as_test(lambda: Workers(database), settings=AT_LENGTH if is_thorough() else IN_SHORT)
