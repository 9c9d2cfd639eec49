"""The clock of a register beside a service's clock that is known here, and machines whose clocks jump."""

from math import floor
from random import Random

import pytest

from services.register.clock import DRIFT, PUT_RIGHT_S, SAMPLES_MAX, SECOND_AGE_S, RegisterClock, Remembered

START = 1_780_000_000.25
BOOT = 500.0
DAY = 86_400.0


def hear(clock: RegisterClock, service: float, asked: float, had: float, at: float) -> None:
    """A reply whose second was written at the steady reading `at`, by a service that is `service` ahead of it."""
    clock.heard(asked, had, floor(at + service))


@pytest.mark.parametrize("lead", [-3_600.0, -90.0, -0.4, 0.0, 0.7, 90.0, 5 * 365 * DAY])
def test_the_lead_lies_within_its_uncertainty_and_below_a_second_soon(lead: float) -> None:
    chance, clock = Random(lead), RegisterClock(START, BOOT)  # noqa: S311 - the same replies every time
    for number in range(200):
        asked = BOOT + number * 0.37
        had = asked + chance.uniform(0.001, 0.2)
        # The server wrote its second down somewhat before it answered.
        hear(clock, START - BOOT + lead, asked, had, chance.uniform(asked, had) - chance.uniform(0, SECOND_AGE_S))
        heard = clock.lead_of(had, START + had - BOOT)
        assert heard is not None
        assert abs(heard[0] - lead) <= heard[1] + 1e-6
    assert heard[1] < 0.35
    assert abs(clock.now(had) - (START + had - BOOT + lead)) <= heard[1] + PUT_RIGHT_S


def test_many_replies_of_a_moment_push_none_of_another_out() -> None:
    clock = RegisterClock(START, BOOT)
    for number in range(30):
        hear(clock, START - BOOT + 42, BOOT + number, BOOT + number + 0.01, BOOT + number)
    known = clock.lead_of(BOOT + 30, START + 30)
    for number in range(10 * SAMPLES_MAX):
        hear(clock, START - BOOT + 42, BOOT + 30 + number / 1_000, BOOT + 30.01 + number / 1_000, BOOT + 30)
    after = clock.lead_of(BOOT + 31, START + 31)
    assert known is not None
    assert after is not None
    assert after[1] < known[1] + 30 * DRIFT


def test_time_goes_on_steadily_when_the_machines_clock_is_set() -> None:
    clock = RegisterClock(START, BOOT)
    before = clock.now(BOOT + 10)
    assert clock.now(BOOT + 11) == pytest.approx(before + 1)
    hear(clock, START - BOOT + 7, BOOT + 12, BOOT + 12.01, BOOT + 12)
    # Somebody sets it a year back: what is said of it is beside the clock as it is set now.
    heard = clock.lead_of(BOOT + 12, START + 12 - 365 * DAY)
    assert heard is not None
    assert heard[0] == pytest.approx(365 * DAY + 7, abs=1.5)
    assert clock.now(BOOT + 13) == pytest.approx(START + 13 + 7, abs=1.5)


def test_time_goes_back_only_where_a_clock_was_far_off() -> None:
    clock = RegisterClock(START, BOOT)
    early = clock.now(BOOT)
    # The service is a second behind: the clock waits for it.
    hear(clock, START - BOOT - 1, BOOT + 0.1, BOOT + 0.11, BOOT + 0.1)
    assert clock.now(BOOT + 0.2) >= early
    assert clock.now(BOOT + 60) == pytest.approx(START + 59, abs=1)
    # A machine that thought it was next year is put right.
    clock = RegisterClock(START + 365 * DAY, BOOT)
    assert clock.now(BOOT) > START + 364 * DAY
    hear(clock, START - BOOT, BOOT + 1, BOOT + 1.01, BOOT + 1)
    assert clock.now(BOOT + 2) == pytest.approx(START + 2, abs=1)


def test_what_a_service_says_after_its_clock_was_set_counts() -> None:
    clock = RegisterClock(START, BOOT)
    for number in range(20):
        hear(clock, START - BOOT, BOOT + number, BOOT + number + 0.01, BOOT + number)
    for number in range(20, 40):
        hear(clock, START - BOOT + 300, BOOT + number, BOOT + number + 0.01, BOOT + number)
    heard = clock.lead_of(BOOT + 40, START + 40)
    assert heard is not None
    assert abs(heard[0] - 300) <= heard[1]


def test_a_lead_grows_vaguer_the_longer_nothing_was_heard() -> None:
    clock = RegisterClock(START, BOOT)
    hear(clock, START - BOOT, BOOT, BOOT + 0.01, BOOT)
    soon, late = clock.lead_of(BOOT + 1, START + 1), clock.lead_of(BOOT + 7 * DAY, START + 7 * DAY)
    assert soon is not None
    assert late is not None
    assert late[1] == pytest.approx(soon[1] + 7 * DAY * DRIFT, abs=0.01)
    assert clock.heard_age_s(BOOT + 7 * DAY) == pytest.approx(7 * DAY, abs=0.1)


def restarted(clock: RegisterClock, steady: float, wall: float, then: float) -> RegisterClock:
    """The clock of the next start: the machine showed `wall` at the end, and shows `then` at the start."""
    return RegisterClock(then, 1.0, clock.remember(steady, wall))


def test_the_lead_of_before_a_restart_counts_while_the_line_is_down() -> None:
    clock = RegisterClock(START, BOOT)
    hear(clock, START - BOOT + 90, BOOT, BOOT + 0.01, BOOT)
    assert restarted(clock, BOOT + 60, START + 60, START + 3_600).now(1.0) == pytest.approx(START + 3_690, abs=1)
    # The machine's clock was put right meanwhile, with the program running: nothing is left to correct.
    assert restarted(clock, BOOT + 60, START + 150, START + 3_690).now(1.0) == pytest.approx(START + 3_690, abs=1)


def test_a_machine_without_a_battery_goes_on_from_what_was_told_last() -> None:
    clock = RegisterClock(START, BOOT)
    last = clock.now(BOOT + 100)
    later = restarted(clock, BOOT + 100, START + 100, 0.0)
    assert later.now(1.0) == pytest.approx(last)
    # And goes on: a day's sales are not all of one moment.
    assert later.now(3_601.0) == pytest.approx(last + 3_600)


@pytest.mark.parametrize(("wrong", "then"), [(0.0, START + 5_000), (START + 900 * DAY, START + 5_000)])
def test_a_clock_that_was_years_off_and_is_right_after_a_restart_is_believed(wrong: float, then: float) -> None:
    clock = RegisterClock(wrong, BOOT)
    hear(clock, START - BOOT, BOOT, BOOT + 0.01, BOOT)
    clock.now(BOOT + 1)
    assert restarted(clock, BOOT + 1, wrong + 1, then).now(1.0) == pytest.approx(then, abs=1)
    # Where it is as wrong as before, it is corrected as before.
    assert restarted(clock, BOOT + 1, wrong + 1, wrong + 5_000).now(1.0) == pytest.approx(
        START + (5_000 if wrong else 1), abs=5_000 if not wrong else 1
    )


def test_what_a_clock_told_that_was_a_year_ahead_counts_for_nothing_once_it_is_right() -> None:
    # No line, so nobody said that it was wrong.
    clock = RegisterClock(START + 365 * DAY, BOOT)
    clock.now(BOOT + 10)
    later = restarted(clock, BOOT + 10, START + 365 * DAY + 10, START + 3_600)
    assert later.now(1.0) == pytest.approx(START + 3_600)
    # A little ahead is waited for.
    clock = RegisterClock(START + 600, BOOT)
    last = clock.now(BOOT)
    assert restarted(clock, BOOT, START + 600, START + 60).now(1.0) == pytest.approx(last)


def test_a_machines_clock_that_was_set_is_noticed_until_that_is_remembered() -> None:
    clock = RegisterClock(START, BOOT)
    assert not clock.was_set(BOOT + 1_000, START + 1_000.5)
    assert clock.was_set(BOOT + 1_000, START + 4_600)
    clock.remember(BOOT + 1_000, START + 4_600)
    assert not clock.was_set(BOOT + 1_001, START + 4_601)


def test_nothing_is_remembered_of_what_was_never_heard() -> None:
    clock = RegisterClock(START, BOOT)
    assert clock.remember(BOOT, START) == Remembered(None, None)
    assert clock.lead_of(BOOT, START) is None
    assert clock.heard_age_s(BOOT) is None
