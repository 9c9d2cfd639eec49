"""Whose tokens count no longer: what follows from the records of the access topic, moment by moment."""

import pytest

from contracts.access import AccessRecord, Restored, Revoked
from services.platform.auth.claims import Claims
from services.platform.auth.revocations import COUNTS_AFTER_MS, Revocations, counts_nowhere

DAY = 1_764_201_600_000
"""A moment in milliseconds since 1970; the times of the tests are seconds after it."""


def claims(iat: float | None = -60, *stores: str) -> Claims:
    issued = None if iat is None else DAY / 1_000 + iat
    return Claims("ana", "cashier", frozenset(stores or {"s1"}), None, None, issued, DAY / 1_000 + 3_600)


def revoked(store_id: str = "s1", subject: str = "ana") -> Revoked:
    return Revoked(store_id=store_id, subject=subject)


def restored(store_id: str = "s1", subject: str = "ana") -> Restored:
    return Restored(store_id=store_id, subject=subject)


def known(*records: tuple[float, AccessRecord]) -> Revocations:
    revocations = Revocations()
    for at_s, record in records:
        revocations.take(record, DAY + round(at_s * 1_000))
    return revocations


def refused_at(revocations: Revocations, at_s: float, iat: float | None = -60, store_id: str = "s1") -> bool:
    return revocations.refuses_command(claims(iat), store_id, DAY + round(at_s * 1_000))


def test_a_revocation_counts_for_what_is_appended_five_seconds_after_it_or_later() -> None:
    revocations = known((10, revoked()))

    assert COUNTS_AFTER_MS == 5_000
    assert [refused_at(revocations, at_s) for at_s in (9, 10, 14.999, 15, 16, 10_000)] == [False] * 3 + [True] * 3


def test_an_older_command_has_the_verdict_that_it_had() -> None:
    history = [(10.0, revoked()), (20.0, restored()), (30.0, revoked())]
    moments = [9, 14, 15, 24.999, 25, 34.999, 35, 99]

    whole = [refused_at(known(*history), at_s, iat=22) for at_s in moments]

    assert whole == [False, False, True, True, False, False, True, True]
    for taken in range(len(history)):
        # Up to five seconds after the next record, nothing of it can be told.
        until = history[taken][0] + 5
        before = [at_s for at_s in moments if at_s < until]
        assert [refused_at(known(*history[:taken]), at_s, iat=22) for at_s in before] == whole[: len(before)]


@pytest.mark.parametrize(
    ("iat", "refused"), [(None, True), (-60, True), (15, True), (19.999, True), (20, False), (20.001, False)]
)
def test_who_is_restored_comes_in_with_tokens_issued_since(iat: float | None, refused: bool) -> None:
    revocations = known((10, revoked()), (20, restored()))

    assert refused_at(revocations, 30, iat) is refused
    assert revocations.refuses(claims(iat), "s1") is refused
    assert revocations.refused_stores(claims(iat)) == ({"s1"} if refused else set())


def test_who_was_never_revoked_is_not_restored_and_keeps_old_tokens() -> None:
    revocations = known((10, restored()))

    assert not refused_at(revocations, 30)
    assert revocations.refused_stores(claims()) == set()


def test_a_second_restoration_ends_no_tokens_and_a_second_revocation_moves_no_moment() -> None:
    assert not refused_at(known((10, revoked()), (20, restored()), (30, restored())), 40, iat=25)
    assert refused_at(known((10, revoked()), (20, revoked())), 16)


def test_neither_the_store_nor_all_stores_may_be_revoked() -> None:
    both = known((10, revoked("s1")), (11, revoked("*")))
    one_left = known((10, revoked("s1")), (11, revoked("*")), (20, restored("*")))
    none_left = known((10, revoked("s1")), (11, revoked("*")), (20, restored("*")), (21, restored("s1")))

    assert [refused_at(each, 60, iat=50) for each in (both, one_left, none_left)] == [True, True, False]
    assert [refused_at(each, 60, iat=50, store_id="s2") for each in (both, one_left, none_left)] == [True, False, False]
    assert [each.revoked_in("ana") for each in (both, one_left, none_left)] == [{"s1", "*"}, {"s1"}, set()]
    assert refused_at(none_left, 60, iat=20.5), "issued between the two"


def test_nobody_else_is_meant() -> None:
    revocations = known((10, revoked("s2")), (10, revoked("s1", "anabel")), (10, revoked("s1", "key:ana")))

    assert not refused_at(revocations, 60)
    assert revocations.refused_stores(claims()) == {"s2"}


def test_a_clock_that_goes_back_changes_no_order() -> None:
    assert refused_at(known((10, restored()), (8, revoked())), 15)
    assert not refused_at(known((10, revoked()), (8, restored())), 15, iat=12)


def test_what_is_left_of_a_token_for_several_stores() -> None:
    two, every = claims(-60, "s1", "s2"), claims(-60, "*")

    assert [counts_nowhere(two, frozenset(stores)) for stores in ({"s1"}, {"s1", "s2"}, {"*"})] == [False, True, True]
    assert [counts_nowhere(every, frozenset(stores)) for stores in ({"s1"}, {"*"})] == [False, True]
