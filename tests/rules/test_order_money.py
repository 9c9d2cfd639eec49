"""What is paid on an order before, beside and after its total: deposits, change across drawers, rounding, tips back."""

from typing import Any

import pytest

from tests.rules.recounted import closing_of
from tests.support.till import CARD, NOBODY, TENDERS, Body, Till, amounts, row

EARLIER = {"session_id": NOBODY, "amount_minor": 500}


@pytest.fixture
def till() -> Till:
    till = Till()
    till.open({"cash": 10_000})
    return till


# --- money before the sale ----------------------------------------------------------------------------------------


def test_a_deposit_lies_in_the_drawer_until_the_order_is_finished(till: Till) -> None:
    tipped = [{"tender": "cash", "amount_minor": 300, "tip_minor": 20}]
    till.order("A", status="open", gross_minor=900, payments=tipped, change=amounts({"usd": 5}))
    till.order("A", revision=1, gross_minor=900, payments=[*tipped, *amounts({"card": 620})])
    closing = closing_of(till)
    cash = row(closing, "cash")
    assert (cash["prepaid_minor"], cash["sales_minor"], cash["tips_minor"]) == (0, 280, 20)
    assert (closing["prepaid"], row(closing, "usd")["expected_minor"]) == ([], 0)


def test_a_canceled_deposit_is_nowhere(till: Till) -> None:
    till.order("A", {"cash": 300}, status="open")
    till.order("A", {"cash": 300}, status="canceled_by_pos", revision=1)
    closing = closing_of(till)
    assert (row(closing, "cash")["expected_minor"], closing["prepaid"]) == (10_000, [])
    assert closing["sales"]["lowered"] == {"total_minor": 0, "count": 0}


def test_what_is_given_back_of_an_open_order_makes_prepaid_negative(till: Till) -> None:
    till.order("A", status="open", gross_minor=0, change=amounts({"cash": 40}))
    closing = closing_of(till)
    assert (row(closing, "cash")["prepaid_minor"], row(closing, "cash")["expected_minor"]) == (-40, 9_960)
    assert closing["prepaid"] == [{"tender": "cash", "total_minor": -40, "count": 0}]


def test_a_tab_is_carried_over_and_paid_elsewhere(till: Till) -> None:
    till.order("A", {"cash": 500}, status="carried_over", gross_minor=1_200)
    first = closing_of(till)
    assert first["sales"]["carried_over_minor"] == 1_200
    assert first["orders"] == [
        {"provider": "PARROT", "open": 0, "finished": 0, "forced_close": 0, "canceled_by_pos": 0}
        | {"canceled_by_external": 0, "carried_over": 1}
    ]
    assert (first["sales"]["total_minor"], row(first, "cash")["expected_minor"]) == (0, 10_500)
    earlier = till.session_id
    till.open({"cash": 10_500})
    paid = {"session_id": earlier.upper(), "amount_minor": 500}
    till.order("A", {"card": 700}, gross_minor=1_200, paid_before=paid)
    sales = till.closed({"cash": 0})["sales"]
    assert (sales["total_minor"], sales["paid_before_minor"], sales["unpaid_minor"]) == (1_200, 500, 0)


def test_a_deposit_is_given_back_in_a_later_session(till: Till) -> None:
    till.order("A", gross_minor=0, paid_before=EARLIER, change=amounts({"cash": 500}))
    closing = closing_of(till)
    cash = row(closing, "cash")
    assert (cash["sales_minor"], cash["change_given"], cash["expected_minor"]) == (
        -500,
        {"total_minor": 500, "count": 1},
        9_500,
    )
    assert closing["sales"]["by_tender"] == [{"tender": "cash", "total_minor": -500, "count": 0}]
    assert closing["sales"]["unpaid_minor"] == 0


# --- change, rounding, refunds ------------------------------------------------------------------------------------


def test_cash_back_on_a_card_coins_for_a_voucher_and_pesos_for_dollars(till: Till) -> None:
    till.order("cash-back", {"card": 1_000}, gross_minor=800, change=amounts({"cash": 200}))
    till.order("coins", {"kwd": 1_000}, gross_minor=5_500, change=amounts({"cash": 75}))
    till.order("dollars", {"usd": 1_000}, gross_minor=17_000, change=amounts({"cash": 105, "jpy": 0}))
    closing = closing_of(till)
    cash = row(closing, "cash")
    assert (cash["sales_minor"], cash["expected_minor"]) == (-380, 9_620)
    assert (cash["change_given"], cash["base"]["change_given_minor"]) == ({"total_minor": 380, "count": 3}, 380)
    assert row(closing, "jpy")["change_given"] == {"total_minor": 0, "count": 0}
    assert closing["sales"]["unpaid_minor"] == 0


def test_cash_rounded_to_five_cents_is_told_from_a_mistake(till: Till) -> None:
    till.order("down", {"cash": 1_000}, gross_minor=1_002, rounding_minor=-2)
    till.order("up", {"cash": 1_005}, gross_minor=1_003, rounding_minor=2)
    till.order("mistake", {"cash": 990}, gross_minor=1_000)
    sales = closing_of(till)["sales"]
    assert (sales["rounding_minor"], sales["unpaid_minor"]) == (0, 10)


def test_the_tip_tax_and_rounding_of_a_refund_are_given_back(till: Till) -> None:
    iva = {"name": "IVA", "rate": "16.00", "net_minor": 100, "tax_minor": 16}
    till.order("A", payments=[{"tender": "usd", "amount_minor": 110, "tip_minor": 10}], gross_minor=500)
    back = [{"tender": "usd", "amount_minor": 60, "tip_minor": 10}]
    till.refund("R", {}, payments=back, gross_minor=150, tax_minor=16, taxes=[iva], rounding_minor=-1, change=[])
    closing = closing_of(till)
    usd = row(closing, "usd")
    assert (usd["sales_minor"], usd["tips_minor"], usd["refunds_minor"], usd["expected_minor"]) == (100, 0, 50, 50)
    assert closing["tips"] == [{"tender": "usd", "total_minor": 0, "count": 1}]
    assert closing["refunds"] == [
        {"provider": "PARROT", "total_minor": 855, "count": 1, "tax_minor": 16, "rounding_minor": -1}
    ]
    assert closing["taxes"] == [
        {"name": "IVA", "rate": "16"}
        | {"net_minor": 0, "tax_minor": 0, "refunded_net_minor": 100, "refunded_tax_minor": 16}
    ]
    (seller,) = closing["staff"]
    assert (seller["tips_minor"], seller["refunds_minor"], seller["refund_count"]) == (0, 855, 1)


TAX = {"name": "IVA", "rate": "7.7", "net_minor": 0, "tax_minor": 5}
OWN = "0195e3a0-1111-7000-8000-00000000000f"
ODD: dict[str, tuple[Body, str | None]] = {
    "taxes that add up": ({"taxes": [TAX], "tax_minor": 5}, None),
    "taxes that don't": ({"taxes": [TAX], "tax_minor": 6}, "amount_invalid"),
    "no taxes and a tax": ({"taxes": [], "tax_minor": 1}, "amount_invalid"),
    "no taxes and none": ({"taxes": []}, None),
    "one rate twice, by value": ({"taxes": [TAX, TAX | {"rate": "07.70"}], "tax_minor": 10}, "amount_invalid"),
    "two names at one rate": ({"taxes": [TAX, TAX | {"name": "X"}], "tax_minor": 10}, None),
    "a tender twice in change": ({"change": amounts({"cash": 1}) * 2}, "amount_invalid"),
    "a tender that gives change already": (
        {
            "payments": [{"tender": "cash", "amount_minor": 1, "tendered_minor": 2, "change_minor": 1}],
            "change": amounts({"cash": 0}),
        },
        "amount_invalid",
    ),
    "change beside a payment without any": (
        {"payments": [{"tender": "cash", "amount_minor": 1, "change_minor": 0}], "change": amounts({"cash": 1})},
        None,
    ),
    "change of a third party": ({"change": amounts({"rappi": 1})}, "tender_unknown"),
    "change of nobody": ({"change": amounts({"gold": 0})}, "tender_unknown"),
    "paid before in this session": ({"paid_before": {"session_id": OWN.upper(), "amount_minor": 0}}, "amount_invalid"),
    "a refund that gives change": ({"refund_of": "x", "change": amounts({"card": 1})}, "amount_invalid"),
    "a refund with change of 0": ({"refund_of": "x", "change": amounts({"card": 0})}, None),
    "a refund that was paid before": ({"refund_of": "x", "paid_before": EARLIER}, "amount_invalid"),
    "a refund with 0 paid before": ({"refund_of": "x", "paid_before": EARLIER | {"amount_minor": 0}}, None),
}


@pytest.mark.parametrize("what", ODD)
@pytest.mark.parametrize("stale", [False, True], ids=["new", "stale"])
def test_what_members_say_only_together(what: str, *, stale: bool) -> None:
    members, reason = ODD[what]
    till = Till()
    till.open({"cash": 100}, session_id=OWN)
    if stale:
        till.order("A", {"card": 9}, revision=5, refund_of=members.get("refund_of"))
    members = {"gross_minor": 50, **members}
    answer = till.order("A", **members)
    assert answer.get("reason") == (reason or ("order_revision_stale" if stale else None))


@pytest.mark.parametrize(
    ("change", "reason"), [({"cash": 100}, None), ({"cash": 101}, "not_enough_cash"), ({"card": 500}, None)]
)
def test_change_may_not_take_more_than_there_is(change: dict[str, int], reason: str | None) -> None:
    till = Till(allow_negative_drawer=False)
    till.open({"cash": 100})
    assert till.order("A", {"card": 900}, gross_minor=700, change=amounts(change)).get("reason") == reason


def test_an_order_that_raises_a_drawer_below_0_is_taken() -> None:
    till = Till()
    till.open()
    till.order("A", {"card": 9}, gross_minor=0, change=amounts({"cash": 500}))
    row = till.batch_state.tills["s", "p"]
    row.profile = Till(allow_negative_drawer=False).profile
    assert till.order("A", {"card": 9}, gross_minor=0, change=amounts({"cash": 400}), revision=1)["kind"] == (
        "order_recorded"
    )
    assert till.order("A", {"card": 9}, gross_minor=0, change=amounts({"cash": 401}), revision=2)["reason"] == (
        "not_enough_cash"
    )


# --- whose sale ---------------------------------------------------------------------------------------------------


def by_seller(closing: Body, *figures: str) -> dict[str, tuple[Any, ...]]:
    return {entry["id"]: tuple(entry[name] for name in figures) for entry in closing["staff"]}


def test_a_revision_keeps_whose_sale_it_is_and_another_says_so(till: Till) -> None:
    ana, ben = {"id": "ana"}, {"id": "ben", "name": "Ben"}
    till.order("by default", {"cash": 1}, actor=ana)
    till.order("by default", {"cash": 2}, actor=ben, revision=1)
    till.order("named", {"cash": 10}, actor=ana, sold_by=ben)
    till.order("named", {"cash": 20}, actor=ana, revision=1)
    till.order("handed over", {"cash": 100}, actor=ana)
    till.order("handed over", {"cash": 200}, actor=ana, revision=1, sold_by={"id": "ben", "name": "Benjamin"})
    closing = closing_of(till)
    assert by_seller(closing, "name", "sales_minor", "sales_count") == {"ana": (None, 2, 1), "ben": ("Ben", 220, 2)}


def test_the_first_200_sellers_keep_their_rows(till: Till) -> None:
    for number in range(203):
        till.order(f"{number}", {"cash": 1}, sold_by={"id": f"{number:03}", "name": f"N{number}"})
    closing = closing_of(till)
    assert len(closing["staff"]) == 201
    assert by_seller(closing, "name", "sales_minor")["(other)"] == (None, 3)


def test_whoever_is_called_other_gives_the_row_of_all_others_no_name(till: Till) -> None:
    for number in range(202):
        till.order(f"{number}", {"cash": 1}, sold_by={"id": f"{number:03}" if number else "(other)", "name": "Ana"})
    assert by_seller(closing_of(till), "name", "sales_minor")["(other)"] == (None, 2)


def test_the_first_200_rates_keep_their_rows(till: Till) -> None:
    for number in range(203):
        tax = {"name": "T", "rate": f"{number}.50", "net_minor": 1, "tax_minor": 1}
        till.order(f"{number}", {"cash": 9}, taxes=[tax], tax_minor=1)
    taxes = closing_of(till)["taxes"]
    assert len(taxes) == 201
    assert (taxes[0]["name"], taxes[0]["rate"], taxes[0]["net_minor"]) == ("(other)", "0", 3)
    assert [tax["rate"] for tax in taxes[1:]] == sorted(f"{number}.5" for number in range(200))


def test_what_revisions_lower_is_never_taken_back_but_by_a_void(till: Till) -> None:
    eva = {"id": "eva"}
    till.order("A", payments=[{"tender": "usd", "amount_minor": 100, "tip_minor": 10}], gross_minor=1_700)
    till.order("A", {"usd": 40}, revision=1, gross_minor=1_700, sold_by=eva)
    till.order("A", {"usd": 400}, revision=2, gross_minor=1_700)
    till.order("A", {"usd": 400}, revision=3, gross_minor=1_700, status="carried_over")
    till.order("A", {"usd": 400}, revision=4, gross_minor=1_700, status="canceled_by_pos")
    closing = closing_of(till)
    # 100 cents are 17.105 pesos, 40 are 6.842, 400 are 68.42: each payment is rounded on its own.
    assert closing["sales"]["lowered"] == {"total_minor": (1_710 - 684) + 6_842, "count": 2}
    assert by_seller(closing, "lowered_minor", "lowered_count", "canceled_minor")["eva"] == (7_868, 2, 1_700)
    till.says("void_session", reason="training")
    deltas = till.correction["deltas"]
    assert deltas["sales"]["lowered"] == {"total_minor": -7_868, "count": -2}


def test_a_late_revision_moves_every_new_figure_of_its_correction(till: Till) -> None:
    tax = {"name": "IVA", "rate": "16", "net_minor": 100, "tax_minor": 16}
    till.order("A", {"cash": 500}, status="open", gross_minor=400)
    closing_of(till)
    till.order(
        "A",
        {"cash": 500},
        revision=1,
        gross_minor=400,
        tax_minor=16,
        taxes=[tax],
        rounding_minor=-5,
        change=amounts({"usd": 6}),
        paid_before=EARLIER,
        occurred_at="2026-03-02T07:58:00Z",
    )
    deltas = till.correction["deltas"]
    cash = row(deltas, "cash")
    assert (cash["prepaid_minor"], cash["sales_minor"], cash["expected_minor"]) == (-500, 500, 0)
    assert row(deltas, "usd")["change_given"] == {"total_minor": 6, "count": 1}
    assert deltas["prepaid"] == [{"tender": "cash", "total_minor": -500, "count": -1}]
    assert [tax["net_minor"] for tax in deltas["taxes"]] == [100]
    assert (deltas["sales"]["rounding_minor"], deltas["sales"]["paid_before_minor"]) == (-5, 500)
    assert deltas["sales"]["unpaid_minor"] == 400 - 5 - 500 - 500 + 103
    assert by_seller(deltas, "sales_minor", "change_given_minor", "paid_before_minor") == {"lucia": (400, 103, 500)}


# --- where figures end --------------------------------------------------------------------------------------------

LARGE = 10**15


@pytest.mark.parametrize(
    "members",
    [
        {"taxes": [{"name": "T", "rate": "1", "net_minor": LARGE, "tax_minor": 0}]},
        {"paid_before": {"session_id": NOBODY, "amount_minor": LARGE}},
        {"change": amounts({"card": LARGE})},
        {"change": amounts({"cash": LARGE}), "status": "open"},
        {"payments": amounts({"cash": LARGE}), "status": "carried_over"},
        {"status": "carried_over", "gross_minor": LARGE},
        {"payments": amounts({"card": 0}), "refund_of": "x", "tax_minor": LARGE, "gross_minor": LARGE},
    ],
    ids=["net of a tax", "paid before", "change", "change of an open one", "prepaid", "carried over", "tax back"],
)
def test_no_figure_passes_what_every_reader_keeps(members: Body) -> None:
    till = Till(tenders=(TENDERS[0], CARD))
    till.open()
    answers = [till.order(f"{n}", **({"gross_minor": 0} | members)).get("reason") for n in range(11)]
    assert answers == [None] * 9 + ["amount_invalid"] * 2
    till.closed({"cash": 0})


def test_what_makes_only_the_unpaid_sum_pass_is_refused(till: Till) -> None:
    """Sold and not paid 9 times, and 9 deposits given back: each figure fits, and what is unpaid would not."""
    for number in range(5):
        till.order(f"sold {number}", gross_minor=LARGE)
    for number in range(4):
        till.order(f"back {number}", gross_minor=0, change=amounts({"card": LARGE}))
    assert till.order("one more", gross_minor=LARGE)["reason"] == "amount_invalid"
    closing_of(till)


def test_an_awaited_approval_has_its_over_and_short_within_the_limit() -> None:
    till = Till(over_short_limit_minor=0)
    till.open()
    assert till.close({"cash": LARGE})["kind"] == "closing_pending"
    late = {"occurred_at": "2026-03-02T07:00:00Z"}
    reasons = [till.refund(f"R{n}", {"cash": LARGE}, **late).get("reason") for n in range(10)]
    assert reasons == [None] * 8 + ["amount_invalid"] * 2


def test_a_blind_till_counts_change_to_what_an_order_may_be() -> None:
    till = Till(blind=True)
    till.open()
    assert till.order("A", {"card": 10**12 - 1}, change=amounts({"cash": 2}))["reason"] == "amount_invalid"
    assert till.order("A", {"card": 10**12 - 1}, change=amounts({"cash": 1}))["kind"] == "order_recorded"
