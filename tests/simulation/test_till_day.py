"""The day of simulated tills, played without a service: it follows from its plan, and what was down comes late."""

import json
from collections import Counter
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from deploy.demo.register import Line
from deploy.simulation import chain
from deploy.simulation.chain import Plan
from deploy.simulation.till_day import TillDay

PLAN = Plan(stores=4, tills=2, orders_per_minute=1, minutes=60, offline_percent=10, skew_s=90, seed=7)
COMMANDS = {"open_session", "record_order", "move_cash", "void_movement", "close_session", "count_drawer"}


def days(plan: Plan) -> list[TillDay]:
    return [TillDay(plan, till) for till in chain.tills(plan)]


def lines_of(day: TillDay, cut_short_after: int | None = None) -> list[Line]:
    """What a till sends, in order, where nobody answers."""
    lines: list[Line] = []
    while (due_at := day.due_at) is not None:
        if cut_short_after is not None and len(lines) == cut_short_after:
            cut_short_after = None
            day.cut_short(due_at)
            continue
        line = day.advance()
        if line is not None:
            lines.append(line)
    return lines


def values(plan: Plan) -> list[str]:
    return [json.dumps(line.value) for day in days(plan) for line in lines_of(day)]


def test_the_same_seed_gives_the_same_day_and_another_seed_another() -> None:
    assert values(PLAN) == values(PLAN)
    assert values(PLAN) != values(replace(PLAN, seed=8))


def test_another_run_is_the_same_day_in_stores_of_its_own() -> None:
    other = values(replace(PLAN, run="tuesday"))

    assert other != values(PLAN)
    assert [value.replace("tuesday-", "sim-") for value in other] == values(PLAN)


def test_a_chain_that_grows_leaves_the_days_of_its_first_stores_alone() -> None:
    assert values(replace(PLAN, stores=5))[: len(values(PLAN))] == values(PLAN)


def test_ids_are_unique_and_a_register_counts_without_a_gap() -> None:
    for day in days(PLAN):
        lines = lines_of(day)
        ids = Counter(line.value["command_id"] for line in lines if line.value)
        numbers = [line.value["register_seq"] for line in lines if line.value and "register_seq" in line.value]
        assert set(ids.values()) == {1}
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_chain_does_what_shops_do() -> None:
    bodies: list[dict[str, Any]] = [json.loads(value) for value in values(replace(PLAN, stores=12, minutes=240))]
    orders = [body for body in bodies if body["kind"] == "record_order"]

    assert {body["kind"] for body in bodies} >= COMMANDS
    assert any("refund_of" in order for order in orders)
    assert any(payment.get("tip_minor") for order in orders for payment in order["payments"])
    assert any(payment["tender"] == "cash-usd" for order in orders for payment in order["payments"])
    assert {order["status"] for order in orders} >= {"open", "finished", "canceled_by_pos"}


def test_what_is_written_while_the_line_is_down_is_sent_in_order_when_it_is_back() -> None:
    waited = 0
    for day in days(PLAN):
        numbered = [line for line in lines_of(day) if line.value and "register_seq" in line.value]
        assert [line.sent_at for line in numbered] == sorted(line.sent_at for line in numbered)
        for line in numbered:
            elapsed = line.sent_at - day.begins_at
            assert not any(begin <= elapsed < end for begin, end in day.till.store.outages)
            waited += any(elapsed == end for _, end in day.till.store.outages)
    assert waited


@pytest.mark.parametrize("percent", [0, 5, 100])
def test_a_line_is_down_for_the_share_of_the_day_that_was_asked_for(percent: int) -> None:
    for store in chain.stores(replace(PLAN, offline_percent=percent)):
        down = sum((end - begin for begin, end in store.outages), timedelta())
        assert down / PLAN.day == pytest.approx(percent / 100)


def test_clocks_err_by_no_more_than_was_asked_for() -> None:
    clocks = [clock.total_seconds() for till in chain.tills(PLAN) for clock in (till.clock, till.handset_clock)]

    assert all(abs(seconds) <= PLAN.skew_s for seconds in clocks)
    assert len(set(clocks)) > 2


def kinds_of(lines: list[Line]) -> list[str]:
    return [line.value["kind"] for line in lines if line.value]


def test_who_comes_while_nothing_is_sold_waits_and_is_served() -> None:
    plan, rested = replace(PLAN, stores=8, tills=4, orders_per_minute=10, offline_percent=0), 0
    for till in chain.tills(plan):
        kinds = kinds_of(lines_of(TillDay(plan, till)))
        for at, kind in enumerate(kinds):
            rested += kind == "suspend_session"
            assert kind != "suspend_session" or kinds[at + 1] == "resume_session"
    assert rested


def test_a_day_that_is_cut_short_while_nothing_is_sold_resumes_before_it_closes() -> None:
    plan, cut = replace(PLAN, offline_percent=0, stores=8, tills=4), 0
    for till in chain.tills(plan):
        kinds = kinds_of(lines_of(TillDay(plan, till)))
        if "suspend_session" in kinds:
            rest = kinds.index("suspend_session")
            ended = kinds_of(lines_of(TillDay(plan, till), rest + 1))[rest + 1 :]
            cut += 1
            assert ended == ["resume_session", "close_session"]
    assert cut


@pytest.mark.parametrize("after", [0, 1, 12, 40])
def test_a_day_that_is_cut_short_opens_nothing_more_and_closes_what_is_open(after: int) -> None:
    for day in days(replace(PLAN, offline_percent=0)):
        kinds = Counter(line.value["kind"] for line in lines_of(day, after) if line.value)
        assert kinds["open_session"] == kinds["close_session"]
        assert kinds.total() <= after + 2 or after == 0
        assert after or not kinds
