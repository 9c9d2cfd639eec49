"""Orders and the tables of a closing: what counts where, what a later revision replaces, and where rows end."""

import pytest

from tests.rules.recounted import closing_of
from tests.support.till import Body, Till, amounts, named, row

OTHER = "(other)"


@pytest.fixture
def till() -> Till:
    till = Till()
    till.open({"cash": 10_000})
    return till


def of_refunds(total: int, count: int) -> Body:
    """A row of refunds without tax and rounding."""
    figures = {"total_minor": total, "count": count, "tax_minor": 0, "rounding_minor": 0}
    return {"provider": "PARROT", **figures}


FULL: Body = {
    "gross_minor": 20_000,
    "discounts": named(coupon=500, staff=100),
    "service_charges": named(bag=50),
    "tax_minor": 2_700,
    "payments": [
        {"tender": "cash", "amount_minor": 11_000, "tip_minor": 1_000, "tendered_minor": 12_000, "change_minor": 1_000},
        {"tender": "cash", "amount_minor": 450},
        {"tender": "card", "amount_minor": 9_000, "tip_minor": 0},
    ],
}


@pytest.mark.parametrize("status", ["finished", "forced_close"])
def test_an_order_that_counts_is_in_every_table(till: Till, status: str) -> None:
    till.order("A", status=status, **FULL)
    closing = closing_of(till)
    assert closing["sales"] == {
        "total_minor": 19_450,
        "count": 1,
        "rounding_minor": 0,
        "paid_before_minor": 0,
        "unpaid_minor": 0,
        "carried_over_minor": 0,
        "lowered": {"total_minor": 0, "count": 0},
        "by_provider": [{"provider": "PARROT", "total_minor": 19_450, "count": 1}],
        "by_tender": [
            {"tender": "card", "total_minor": 9_000, "count": 1},
            {"tender": "cash", "total_minor": 10_450, "count": 1},
        ],
        "by_order_type": [{"order_type": "Mostrador", "total_minor": 19_450, "count": 1}],
    }
    assert closing["summary"]["store"] == {
        "gross_minor": 20_000,
        "discounts_minor": 600,
        "service_charges_minor": 50,
        "total_minor": 19_450,
        "net_minor": 16_750,
    }
    assert set(closing["summary"]["providers"].values()) == {0}
    assert closing["discounts"] == [
        {"provider": "PARROT", "name": "coupon", "total_minor": 500, "count": 1},
        {"provider": "PARROT", "name": "staff", "total_minor": 100, "count": 1},
    ]
    assert closing["service_charges"] == [{"provider": "PARROT", "name": "bag", "total_minor": 50, "count": 1}]
    assert closing["tips"] == [{"tender": "cash", "total_minor": 1_000, "count": 1}]
    assert row(closing, "cash")["expected_minor"] == 10_000 + 11_450
    counts = dict.fromkeys(
        ("open", "finished", "forced_close", "canceled_by_pos", "canceled_by_external", "carried_over"), 0
    )
    assert closing["orders"] == [{"provider": "PARROT"} | counts | {status: 1}]


@pytest.mark.parametrize("status", ["canceled_by_pos", "canceled_by_external"])
def test_a_canceled_order_is_a_cancellation_and_nothing_else(till: Till, status: str) -> None:
    till.order("A", status=status, **FULL)
    closing = closing_of(till)
    assert closing["cancellations"] == [{"provider": "PARROT", "total_minor": 19_450, "count": 1}]
    assert closing["orders"][0][status] == 1
    assert row(closing, "cash")["expected_minor"] == 10_000
    assert closing["sales"]["by_provider"] == closing["discounts"] == closing["tips"] == []
    assert set(closing["summary"]["store"].values()) == {0}


@pytest.mark.parametrize("status", ["open", "carried_over"])
def test_money_of_an_order_that_goes_on_lies_in_the_drawer_and_is_no_sale(till: Till, status: str) -> None:
    till.order("A", status=status, **FULL)
    closing = closing_of(till)
    assert closing["orders"][0][status] == 1
    assert closing["cancellations"] == closing["sales"]["by_tender"] == closing["service_charges"] == []
    assert (row(closing, "cash")["sales_minor"], row(closing, "cash")["tips_minor"]) == (0, 0)
    assert (row(closing, "cash")["prepaid_minor"], row(closing, "cash")["expected_minor"]) == (11_450, 21_450)
    assert closing["prepaid"] == [
        {"tender": "card", "total_minor": 9_000, "count": 1},
        {"tender": "cash", "total_minor": 11_450, "count": 1},
    ]
    assert closing["sales"]["carried_over_minor"] == (19_450 if status == "carried_over" else 0)


def test_other_providers_stand_on_the_other_side(till: Till) -> None:
    till.order("A", **FULL)
    till.order("B", **FULL | {"provider": "RAPPI"})
    summary = closing_of(till)["summary"]
    assert summary["store"] == summary["providers"]
    assert summary["store"]["total_minor"] == 19_450


def test_a_later_revision_replaces_all_of_the_earlier_one(till: Till) -> None:
    till.order("A", **FULL)
    till.order(
        "A",
        revision=5,
        provider="RAPPI",
        order_type="Delivery",
        status="forced_close",
        gross_minor=70,
        payments=amounts({"rappi": 70}),
    )
    closing = closing_of(till)
    assert closing["sales"]["by_provider"] == [{"provider": "RAPPI", "total_minor": 70, "count": 1}]
    assert closing["sales"]["by_tender"] == [{"tender": "rappi", "total_minor": 70, "count": 1}]
    assert closing["sales"]["by_order_type"] == [{"order_type": "Delivery", "total_minor": 70, "count": 1}]
    assert [orders["provider"] for orders in closing["orders"]] == ["RAPPI"]
    assert closing["discounts"] == closing["tips"] == []


@pytest.mark.parametrize("revision", [0, 3, 4])
def test_an_equal_or_lower_revision_is_stale_and_changes_nothing(till: Till, revision: int) -> None:
    till.order("A", {"cash": 100}, revision=4)
    assert till.order("A", {"cash": 900}, revision=revision, status="canceled_by_pos")["reason"] == (
        "order_revision_stale"
    )
    assert closing_of(till)["sales"]["total_minor"] == 100


def test_revisions_may_be_left_out_and_an_order_may_come_back(till: Till) -> None:
    for revision, status in ((0, "open"), (2, "finished"), (9, "canceled_by_external"), (2**53 - 1, "finished")):
        assert till.order("A", {"cash": 100}, revision=revision, status=status)["kind"] == "order_recorded"
    closing = closing_of(till)
    assert (closing["sales"]["count"], closing["cancellations"]) == (1, [])


def test_orders_of_the_same_name_in_two_sessions_are_two(till: Till) -> None:
    till.order("A", {"cash": 100}, revision=9)
    first = closing_of(till)
    till.open()
    assert till.order("A", {"cash": 50}, revision=0)["kind"] == "order_recorded"
    assert (first["sales"]["total_minor"], closing_of(till)["sales"]["total_minor"]) == (100, 50)


def test_an_order_paid_twice_in_one_tender_counts_once_for_it_and_each_tip_counts(till: Till) -> None:
    tipped = {"tender": "cash", "amount_minor": 60, "tip_minor": 10}
    till.order("A", payments=[tipped, tipped])
    closing = closing_of(till)
    assert closing["sales"]["by_tender"] == [{"tender": "cash", "total_minor": 100, "count": 1}]
    assert closing["tips"] == [{"tender": "cash", "total_minor": 20, "count": 2}]


def test_a_payment_of_0_counts_for_its_tender(till: Till) -> None:
    till.order("A", payments=amounts({"card": 0}))
    assert closing_of(till)["sales"]["by_tender"] == [{"tender": "card", "total_minor": 0, "count": 1}]


def test_a_refund_goes_back_out_of_its_tender_and_is_no_sale(till: Till) -> None:
    till.refund("R", {"cash": 300, "card": 20}, discounts=named(x=5), service_charges=named(y=7))
    closing = closing_of(till)
    assert row(closing, "cash")["refunds_minor"] == 300
    assert row(closing, "cash")["expected_minor"] == 9_700
    assert closing["refunds"] == [of_refunds(320, 1)]
    assert closing["sales"]["count"] == 0
    assert closing["orders"] == closing["discounts"] == closing["service_charges"] == closing["cancellations"] == []


@pytest.mark.parametrize("status", ["open", "carried_over", "canceled_by_pos", "canceled_by_external"])
def test_a_refund_that_is_not_finished_is_nowhere(till: Till, status: str) -> None:
    till.refund("R", {"cash": 300}, status=status)
    closing = closing_of(till)
    assert closing["refunds"] == closing["orders"] == closing["cancellations"] == []
    assert row(closing, "cash")["expected_minor"] == 10_000


@pytest.mark.parametrize("revision", [0, 2])
def test_a_sale_becomes_no_refund_and_a_refund_no_sale(till: Till, revision: int) -> None:
    """Not even by a stale revision, which would otherwise be told that it is one."""
    till.order("A", {"cash": 100}, revision=1)
    till.refund("R", {"cash": 30}, revision=1)
    assert till.refund("A", {"cash": 100}, revision=revision)["reason"] == "amount_invalid"
    assert till.order("R", {"cash": 30}, revision=revision)["reason"] == "amount_invalid"
    closing = closing_of(till)
    assert (row(closing, "cash")["sales_minor"], row(closing, "cash")["refunds_minor"]) == (100, 30)


def test_a_refund_in_foreign_money_is_converted_payment_by_payment(till: Till) -> None:
    """A cent at 17.105 is 17 pesos-cents each time; the tender's own 34.21 is rounded once."""
    till.refund("R", {}, payments=amounts({"usd": 1}) * 2)
    closing = closing_of(till)
    assert closing["refunds"] == [of_refunds(34, 1)]
    till.open()
    for number in range(10):
        till.refund(str(number), {"usd": 1})
    closing = closing_of(till)
    assert closing["refunds"][0]["total_minor"] == 170
    assert row(closing, "usd")["base"]["refunds_minor"] == 171


# --- 200 rows and what comes after --------------------------------------------------------------------------------


def brought(till: Till, member: str, number: int, **members: object) -> Body:
    """An order that brings key `number` into the table of this member."""
    name = f"{number:03}"
    parts: Body = {
        "provider": {"provider": name},
        "order_type": {"order_type": name},
        "discounts": {"discounts": [{"name": name, "amount_minor": 1}]},
        "service_charges": {"service_charges": [{"name": name, "amount_minor": 1}]},
    }[member]
    return till.order(name, gross_minor=1, **parts | members)


def names(closing: Body, member: str) -> list[str]:
    tables: Body = {
        "provider": [entry["provider"] for entry in closing["sales"]["by_provider"]],
        "order_type": [entry["order_type"] for entry in closing["sales"]["by_order_type"]],
        "discounts": [entry["name"] for entry in closing["discounts"]],
        "service_charges": [entry["name"] for entry in closing["service_charges"]],
    }
    rows: list[str] = tables[member]
    return rows


MEMBERS = ["provider", "order_type", "discounts", "service_charges"]


@pytest.mark.parametrize("member", MEMBERS)
def test_the_first_200_keys_keep_their_rows_and_the_rest_is_other(till: Till, member: str) -> None:
    for number in reversed(range(203)):
        brought(till, member, number)
    closing = closing_of(till)
    assert names(closing, member) == [OTHER, *(f"{number:03}" for number in range(3, 203))]


@pytest.mark.parametrize("member", MEMBERS)
def test_200_keys_need_no_other(till: Till, member: str) -> None:
    for number in range(200):
        brought(till, member, number)
    assert names(closing_of(till), member) == [f"{number:03}" for number in range(200)]


@pytest.mark.parametrize("member", MEMBERS)
def test_what_lies_in_other_is_taken_back_from_there(till: Till, member: str) -> None:
    for number in range(202):
        brought(till, member, number)
    brought(till, member, 201, revision=1, status="canceled_by_pos")
    brought(till, member, 0, revision=1, status="canceled_by_pos")
    brought(till, member, 300)
    assert names(closing_of(till), member) == [OTHER, *(f"{number:03}" for number in range(1, 200))], (
        "the row that fell to 0 keeps its place, so 300 goes to the others"
    )


@pytest.mark.parametrize("member", MEMBERS)
def test_a_refused_order_claims_no_row(till: Till, member: str) -> None:
    for number in range(199):
        brought(till, member, number)
    assert brought(till, member, 500, tax_minor=10**9)["reason"] == "amount_invalid"
    assert brought(till, member, 501, payments=amounts({"gold": 1}))["reason"] == "tender_unknown"
    assert till.order("000", provider="502", order_type="502", discounts=named(z=0))["reason"] == "order_revision_stale"
    brought(till, member, 199)
    assert names(closing_of(till), member) == [f"{number:03}" for number in range(200)]


def test_an_order_refused_for_the_drawer_or_for_its_size_claims_no_row() -> None:
    till = Till(allow_negative_drawer=False)
    till.open()
    for number in range(199):
        brought(till, "provider", number)
    assert till.refund("R", {"cash": 1}, provider="500")["reason"] == "not_enough_cash"
    for number in range(9):
        till.order(f"large {number}", gross_minor=10**15, provider="000")
    assert till.order("too large", gross_minor=10**15, provider="501")["reason"] == "amount_invalid"
    brought(till, "provider", 199)
    assert names(closing_of(till), "provider") == [f"{number:03}" for number in range(200)]


def test_all_tables_of_providers_have_an_other_of_their_own(till: Till) -> None:
    for number in range(205):
        brought(till, "provider", number, status="canceled_by_pos")
        till.refund(f"R{number}", {"cash": 1}, provider=f"{number:03}")
    closing = closing_of(till)
    for table in ("orders", "refunds", "cancellations"):
        assert len(closing[table]) == 201
        assert closing[table][0]["provider"] == OTHER
    assert closing["refunds"][0] == of_refunds(5, 5) | {"provider": OTHER}
    assert closing["orders"][0]["canceled_by_pos"] == 5


def test_a_pair_in_other_shows_neither_its_provider_nor_its_name(till: Till) -> None:
    for number in range(210):
        till.order(
            str(number), gross_minor=2, provider=f"P{number % 3}", discounts=[{"name": f"{number}", "amount_minor": 1}]
        )
    first = closing_of(till)["discounts"][0]
    assert first == {"provider": OTHER, "name": OTHER, "total_minor": 10, "count": 10}


def test_one_discount_of_two_providers_is_two_rows_in_the_order_of_both_keys(till: Till) -> None:
    for number, provider in enumerate(("b", "a", "b")):
        till.order(str(number), gross_minor=9, provider=provider, discounts=named(z=1, y=2))
    rows = [(r["provider"], r["name"], r["total_minor"], r["count"]) for r in closing_of(till)["discounts"]]
    assert rows == [("a", "y", 2, 1), ("a", "z", 1, 1), ("b", "y", 4, 2), ("b", "z", 2, 2)]


def test_a_discount_of_0_counts_and_a_row_in_which_all_is_0_is_left_out(till: Till) -> None:
    till.order("A", gross_minor=9, discounts=named(free=0))
    till.order("B", gross_minor=9, provider="gone")
    till.order("B", gross_minor=9, provider="gone", revision=1, status="open")
    till.order("B", gross_minor=9, provider="here", revision=2)
    closing = closing_of(till)
    assert closing["discounts"] == [{"provider": "PARROT", "name": "free", "total_minor": 0, "count": 1}]
    assert [orders["provider"] for orders in closing["orders"]] == ["PARROT", "here"]
