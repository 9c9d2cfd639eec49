"""Three tills by chance, step by step: whatever is sent, the books are right after every single command.

`pytest tests/rules/test_machine.py --hypothesis-profile=thorough` plays 1,000 topics of 100 steps each.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.support.thorough import is_thorough
from tests.support.tills_model import KINDS, TillsModel, limits, seeds

indexes = st.integers(0, 200)
tills = st.integers(0, 2)


class Rules(RuleBasedStateMachine):
    """The rules alone, with one book for the whole topic."""

    @initialize(allow_negative_drawer=st.booleans(), over_short_limit_minor=limits)
    def begin(self, *, allow_negative_drawer: bool, over_short_limit_minor: int | None) -> None:
        self.model = TillsModel(
            allow_negative_drawer=allow_negative_drawer, over_short_limit_minor=over_short_limit_minor
        )

    @rule(till=tills, kind=st.sampled_from(KINDS), seed=seeds)
    def send(self, till: int, kind: str, seed: int) -> None:
        self.model.send(till, kind, seed)

    @rule(till=tills, commands=st.lists(st.tuples(st.sampled_from(KINDS), seeds), min_size=5, max_size=10))
    def be_busy(self, till: int, commands: list[tuple[str, int]]) -> None:
        for kind, seed in commands:
            self.model.send(till, kind, seed)
            self.model.check_tills()

    @rule(till=tills)
    def let_a_till_take_more(self, till: int) -> None:
        self.model.grow(till)

    @rule(which=indexes)
    def send_again(self, which: int) -> None:
        self.model.say_again(which)

    @rule(which=indexes)
    def send_the_same_id_with_another_body(self, which: int) -> None:
        self.model.say_otherwise(which)

    @rule(till=tills, kind=st.sampled_from(KINDS), seed=seeds)
    def send_without_a_token(self, till: int, kind: str, seed: int) -> None:
        self.model.say_as_a_stranger(till, kind, seed)

    @rule()
    def send_what_nobody_can_read(self) -> None:
        self.model.say_nothing_readable()

    @rule()
    def count_everything_again(self) -> None:
        self.model.check_sessions()

    @invariant()
    def every_till_is_in_order(self) -> None:
        self.model.check_tills()

    def teardown(self) -> None:
        if hasattr(self, "model"):
            self.model.check_sessions()


TestRules = Rules.TestCase
TestRules.settings = (
    settings(max_examples=1_000, stateful_step_count=100, deadline=None)
    if is_thorough()
    else settings(max_examples=60, stateful_step_count=40, deadline=None, derandomize=True)
)
