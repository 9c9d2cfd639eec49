"""A closing and its corrections add up to how it stands now; and a chain that was touched is seen."""

from typing import Any

from contracts.closings import GENESIS_HASH, closing_hash
from services.console import chain
from services.console.standing import Drawer, Sales, drawers, sales


def row(tender: str, *figures: int | None, kind: str = "cash") -> dict[str, Any]:
    names = ("expected_minor", "counted_minor", "over_short_minor")
    head = {"tender": tender, "name": tender.title(), "currency": "MXN", "type": kind}
    return head | dict(zip(names, figures, strict=True))


def delta(*rows: dict[str, Any], total_minor: int = 0, count: int = 0) -> dict[str, Any]:
    return {"deltas": {"tenders": list(rows), "sales": {"total_minor": total_minor, "count": count}}}


SEALED = {
    "tenders": [row("cash", 1_000, 900, -100), row("debit", 500, None, None), row("uber", None, None, None)],
    "sales": {"total_minor": 1_500, "count": 3},
}


def test_without_corrections_it_stands_as_it_was_sealed() -> None:
    standing = drawers(SEALED, [])
    assert [(one.name, one.then == one.now) for one in standing] == [("Cash", True), ("Debit", True)]
    assert standing[1].now == Drawer(500, None, None)
    assert sales(SEALED, []) == Sales(1_500, 3)


def test_corrections_add_up_and_a_count_that_comes_late_counts_from_nothing() -> None:
    corrections = [
        delta(row("cash", 250, 0, -250), total_minor=250, count=1),
        delta(row("cash", 0, 350, 350), row("debit", 0, 480, -20)),
        delta(row("debit", 20, 0, -20)),
    ]
    cash, debit = drawers(SEALED, corrections)
    assert (cash.then, cash.now) == (Drawer(1_000, 900, -100), Drawer(1_250, 1_250, 0))
    assert (debit.then, debit.now) == (Drawer(500, None, None), Drawer(520, 480, -40))
    assert sales(SEALED, corrections) == Sales(1_750, 4)


def sealed(number: int, before: str, **changed: Any) -> dict[str, Any]:
    body = {"profile_id": "p1", "z_number": number, "prev_hash": before, **changed}
    return body | {"hash": closing_hash(body)}


def test_a_chain_is_followed_by_the_hashes_that_its_closings_name() -> None:
    first = sealed(1, GENESIS_HASH)
    second = sealed(2, first["hash"])
    assert [chain.link(one).is_genuine for one in (first, second)] == [True, True]
    assert [chain.link(one).is_first for one in (first, second)] == [True, False]
    assert chain.before(second, [sealed(1, GENESIS_HASH, weather="rain"), first]) == first
    assert chain.before(second, [sealed(1, GENESIS_HASH, weather="rain")]) is None
    assert chain.before(second, [first | {"profile_id": "p2"}]) is None


def test_a_figure_that_was_touched_is_seen() -> None:
    assert not chain.link(sealed(1, GENESIS_HASH) | {"z_number": 2}).is_genuine
