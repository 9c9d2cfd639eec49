"""Laws that hold whatever registers send: right things and broken ones, late, twice and in any order."""

import itertools
import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from contracts.events import CLAIMLESS
from services.sessions.ledger import encoding
from tests.support import recount, recount_float, recount_times
from tests.support.chance import LATER, MINUTE_MS, TENDERS, logs, rules
from tests.support.independent import Commands, in_two_orders
from tests.support.thorough import examples
from tests.support.till import MORNING_MS, Body, Till, amounts
from tests.support.till import profile as profile_of
from tests.support.tills_model import check_money

few = examples()


class GrowingTill(Till):
    """A till that takes the tenders of LATER, too, from the record of number `later_from` on."""

    def __init__(self, *, later_from: int | None, **rules: Any) -> None:
        super().__init__(**rules)
        self.later_from = later_from
        self.grown = profile_of(**{**rules, "tenders": (*TENDERS, *LATER)})

    def grow_by(self, number: int) -> None:
        if self.later_from is not None and number >= self.later_from:
            self.batch_state.tills[self.store, self.name].profile = self.grown

    def put(self, number: int, value: bytes) -> Body:
        """Put a record on the topic at its minute; its answer."""
        self.grow_by(number)
        return self.send_bytes(value, at_ms=MORNING_MS + MINUTE_MS * number)


def play(records: Sequence[bytes], profile: Body) -> Till:
    till = GrowingTill(**profile)
    for number, value in enumerate(records):
        till.put(number, value)
    return till


def answers(till: Till) -> list[Body]:
    return [json.loads(outcome.value) for outcome in till.outcomes]


def state(till: Till, *, registers: bool = True) -> Any:
    """All that the books hold; the register's numbers aside, where they do not matter."""
    sessions = {
        key: (
            (session.state, session.sequence, session.journal_hash, session.next_opened_at),
            (
                encoding.opening_row(session.opening),
                encoding.tenders_row(session.opening),
                encoding.ending_row(session),
            ),
            (encoding.totals_row(session.totals), registers and encoding.register_row(session.register)),
        )
        for key, session in till.batch_state.sessions.items()
    }
    return (
        repr(till.batch_state.tills),
        sessions,
        dict(till.batch_state.orders),
        set(till.batch_state.movements),
        set(till.batch_state.voided),
    )


def log_of(till: Till) -> list[tuple[Body, Body]]:
    """The accepted bodies with their answers."""
    pairs = zip(till.outcomes, answers(till), strict=True)
    return [(json.loads(outcome.record.raw.value), answer) for outcome, answer in pairs if outcome.sequence is not None]


def leading_to(till: Till, closing: Body) -> list[tuple[Body, Body]]:
    """The accepted commands that led to a closing with their answers, the opening first."""
    leading = []
    for outcome, answer in zip(till.outcomes, answers(till), strict=True):
        if outcome.sequence is not None and answer["session_id"] == closing["session_id"]:
            leading.append((json.loads(outcome.record.raw.value), answer))
            if outcome.closing is not None:
                return leading
    raise AssertionError("the closing came from nowhere")


def of_closing(till: Till, closing: Body) -> tuple[list[Body], list[Body] | None]:
    """The accepted commands that led to a closing, the opening first, and what was counted."""
    leading = [body for body, _ in leading_to(till, closing)]
    if leading[-1]["kind"] == "force_close":
        return leading, None
    return leading, next(body["counted"] for body in reversed(leading) if body["kind"] == "close_session")


@few
@given(logs, rules)
def test_every_command_has_one_answer_and_sequences_have_no_gaps(records: list[bytes], profile: Body) -> None:
    till = play(records, profile)
    given_answers = answers(till)
    assert len(given_answers) == len(records)
    sequences: dict[str, list[int]] = {}
    for outcome, answer in zip(till.outcomes, given_answers, strict=True):
        assert ("reason" in answer and answer["kind"] == "command_rejected") == ("sequence" not in answer)
        if outcome.sequence is not None:
            sequences.setdefault(answer["session_id"], []).append(answer["sequence"])
    for numbers in sequences.values():
        assert numbers == list(range(1, len(numbers) + 1))


@few
@given(logs, rules)
def test_closings_are_what_an_independent_recount_finds(records: list[bytes], profile: Body) -> None:
    till = play(records, profile)
    assert recount.closing_chain(till.closings) == []
    stories = recount_float.stories(log_of(till))
    for closing in till.closings:
        (opening, *commands), count = of_closing(till, closing)
        before, tenders = stories[closing["session_id"]].carried, stories[closing["session_id"]].tenders
        left = recount_float.left_of(recount_float.counts_of(commands), tenders)
        again = recount.figures(opening, commands, count, "PARROT", tenders, carried=before.amounts, left=left)
        assert (closing["carried_from"], closing["not_carried"]) == (before.session_id, before.not_carried)
        assert {name: closing[name] for name in again} == again
        assert closing["journal_hash"] == recount.journal_hash([opening, *commands])
        assert closing["uncounted"] == (count is None)


@few
@given(logs, rules)
def test_a_closing_is_never_before_anything_that_it_holds(records: list[bytes], profile: Body) -> None:
    till = play(records, profile)
    for closing in till.closings:
        leading = leading_to(till, closing)
        accepted = [(body, answer["received_at"], answer["kind"]) for body, answer in leading]
        closes = [
            number for number, (body, _) in enumerate(leading) if body["kind"] in {"close_session", "force_close"}
        ]
        clocks = recount_times.times(accepted)
        assert {name: closing[name] for name in clocks} == clocks
        assert closing["opened_at"] <= closing["closed_at"] <= (closing["approved_at"] or closing["closed_at"])
        for body, received_at, _ in accepted[: closes[-1]]:
            held = body["kind"] in {"move_cash", "void_movement", "record_order", "count_drawer"}
            if held and body["occurred_at"] >= "2015":
                assert recount_times.counted_time(body, received_at) <= closing["closed_at"]


@few
@given(logs, rules)
def test_money_in_is_money_out_and_what_is_in_the_drawer(records: list[bytes], profile: Body) -> None:
    for closing in play(records, profile).closings:
        check_money(closing["tenders"])


@few
@given(logs, rules)
def test_a_closing_and_its_corrections_are_the_ledger(records: list[bytes], profile: Body) -> None:
    till = play(records, profile)
    stories = recount_float.stories(log_of(till))
    for closing in till.closings:
        session = [
            (outcome, json.loads(outcome.record.raw.value))
            for outcome, answer in zip(till.outcomes, answers(till), strict=True)
            if outcome.sequence is not None and answer["session_id"] == closing["session_id"]
        ]
        corrections = [outcome.correction for outcome, _ in session if outcome.correction is not None]
        if any(correction["correction"] == "session_voided" for correction in corrections):
            ledger: Counter[tuple[Any, ...]] = Counter()
        else:
            _, count = of_closing(till, closing)
            by_tender = {entry["tender"]: entry for entry in count or []}
            for _, body in session:
                by_tender |= {entry["tender"]: entry for entry in body["counted"]} if body["kind"] == "recount" else {}
            (_, opening), *rest = session
            commands, story = [body for _, body in rest], stories[closing["session_id"]]
            figures = recount.figures(
                opening,
                commands,
                list(by_tender.values()),
                "PARROT",
                story.tenders,
                carried=story.carried.amounts,
                left=recount_float.left_of(recount_float.counts_of(commands), story.tenders),
            )
            ledger = recount.flat(figures)
        sums = recount.flat({name: closing[name] for name in recount.FIGURES})
        for number, correction in enumerate(corrections, start=1):
            assert correction["correction_number"] == number
            assert correction["closing_hash"] == closing["hash"]
            sums.update(recount.flat(correction["deltas"]))
        assert {path: total for path, total in sums.items() if total} == dict(ledger)


@few
@given(logs, rules, st.integers(1, 5))
def test_rows_between_batches_change_no_byte(records: list[bytes], profile: Body, size: int) -> None:
    in_one = play(records, profile)
    till = GrowingTill(**profile)
    for number, value in enumerate(records):
        if number % size == 0:
            for session in till.batch_state.sessions.values():
                session.opening = encoding.read_opening(
                    encoding.opening_row(session.opening), encoding.tenders_row(session.opening)
                )
                session.totals = encoding.read_totals(encoding.totals_row(session.totals))
                session.register = encoding.read_register(encoding.register_row(session.register))
                encoding.read_ending(session, encoding.ending_row(session))
        till.put(number, value)
    assert [o.value for o in till.outcomes] == [o.value for o in in_one.outcomes]
    assert [(o.closing_value, o.correction_value) for o in till.outcomes] == [
        (o.closing_value, o.correction_value) for o in in_one.outcomes
    ]


@few
@given(logs, rules, st.data())
def test_deliveries_that_come_again_change_nothing(records: list[bytes], profile: Body, data: st.DataObject) -> None:
    once = play(records, profile)
    till = GrowingTill(**profile)
    for number, value in enumerate(records):
        for _ in range(data.draw(st.integers(1, 2))):
            till.put(number, value)
    assert state(till) == state(once)
    for value, outcome in zip(records, once.outcomes, strict=True):
        # What claimed nothing is decided afresh when it comes again so much later.
        if outcome.reason not in CLAIMLESS:
            till.send_bytes(value, at_ms=MORNING_MS + 10**10)
    assert state(till) == state(once)
    assert till.closings == once.closings
    first = {outcome.event_id: outcome.value for outcome in once.outcomes}
    claiming = [outcome for outcome in till.outcomes if outcome.reason not in CLAIMLESS]
    assert all(first[outcome.event_id] == outcome.value for outcome in claiming)


@few
@given(logs, rules)
def test_a_refusal_that_claims_nothing_changes_no_other_answer(records: list[bytes], profile: Body) -> None:
    once = play(records, profile)
    till = GrowingTill(**profile)
    for number, (value, outcome) in enumerate(zip(records, once.outcomes, strict=True)):
        if outcome.reason not in CLAIMLESS:
            till.put(number, value)
    claiming = [outcome for outcome in once.outcomes if outcome.reason not in CLAIMLESS]
    assert [(o.kind, o.reason, o.sequence) for o in till.outcomes] == [(o.kind, o.reason, o.sequence) for o in claiming]
    assert till.batch_state.answers.keys() == once.batch_state.answers.keys()


@few
@given(logs, rules)
def test_what_is_refused_changes_nothing_but_register_numbers(records: list[bytes], profile: Body) -> None:
    till = GrowingTill(**profile)
    for number, value in enumerate(records):
        till.grow_by(number)
        before = state(till, registers=False)
        answer = till.put(number, value)
        if answer["kind"] == "command_rejected":
            assert state(till, registers=False) == before


@few
@given(logs, rules)
def test_a_profile_has_at_most_one_open_session(records: list[bytes], profile: Body) -> None:
    till = GrowingTill(**profile)
    for number, value in enumerate(records):
        till.put(number, value)
        held = [s.session_id for s in till.batch_state.sessions.values() if s.state in {"open", "suspended"}]
        assert len(held) <= 1
        assert [till.batch_state.tills["s", "p"].open_session_id] == (held or [None])


@few
@given(in_two_orders)
def test_independent_commands_in_any_order_lead_to_the_same_figures(orders: tuple[list[Commands], ...]) -> None:
    figures = []
    for order in orders:
        till = Till(tenders=TENDERS)
        till.open({"cash": 500})
        for kind, members in itertools.chain.from_iterable(order):
            till.says(kind, **members)
        closing = till.closed({"cash": 500}, left=amounts({"cash": 200}))
        figures.append({name: closing[name] for name in recount.FIGURES})
    assert figures[0] == figures[1]
