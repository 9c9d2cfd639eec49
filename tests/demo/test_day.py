"""The demo day: it can be written again, and adding it up by other means gives what is expected."""

import json
from pathlib import Path
from typing import get_args

import pytest

from contracts.commands import CommandBase
from deploy.demo.day import HERE, read_day, read_expected
from deploy.demo.write_day import write_day
from tests.demo.addition import Addition
from tests.demo.figures import Session

SESSION_308 = ("parrot-cafe", "caja-1", "df44b988-3523-40a1-8e58-7c4306e7dd0e")


@pytest.fixture(scope="module")
def addition() -> Addition:
    return Addition(HERE)


@pytest.fixture(scope="module")
def session_308(addition: Addition) -> Session:
    return addition.sessions[SESSION_308]


@pytest.mark.parametrize("name", ["day.jsonl", "expected.json"])
def test_the_day_is_what_its_script_writes(name: str, tmp_path: Path) -> None:
    write_day(tmp_path)

    assert (tmp_path / name).read_bytes() == (HERE / name).read_bytes()


def test_an_independent_addition_comes_to_the_expected_outcomes(addition: Addition) -> None:
    expected = read_expected()
    refused = {f"refused: {reason}": n for reason, n in expected["refused"].items()}
    rest = {"repeated": expected["repeated"], "parked": expected["parked"]}

    assert addition.outcomes == expected["accepted"] | refused | rest
    assert addition.outcomes.total() == expected["records"] == len(read_day())


def test_an_independent_addition_comes_to_the_expected_closings(addition: Addition) -> None:
    expected = {closing["session_id"]: closing for closing in read_expected()["closings"]}
    closed = [closing for till in addition.tills.values() for closing in till.closed]

    assert {closing["session_id"]: closing for closing in closed} == expected


def test_an_independent_addition_comes_to_the_expected_corrections(addition: Addition) -> None:
    corrected = [correction for till in addition.tills.values() for correction in till.corrections]

    assert corrected == read_expected()["corrections"]
    assert {correction["needs_review"] for correction in corrected} == {True, False}


def test_the_day_has_every_kind_of_command() -> None:
    kinds = {json.loads(entry.value).get("kind") for entry in read_day() if entry.command_id}

    assert kinds == {"set_profile"} | {
        name for model in CommandBase.__subclasses__() for name in get_args(model.model_fields["kind"].annotation)
    }


def test_session_308_adds_up_to_the_published_example(session_308: Session) -> None:
    sums = session_308.sums

    assert (sums["sales"], sums["orders"]) == (704_160, 107)
    assert {name: sums[f"sales/{name}"] for name in ("PARROT", "UBER_EATS", "RAPPI", "DIDI_FOOD")} == {
        "PARROT": 607_100,
        "UBER_EATS": 46_800,
        "RAPPI": 45_640,
        "DIDI_FOOD": 4_620,
    }
    assert [sums[f"orders/{name}"] for name in ("PARROT", "UBER_EATS", "RAPPI", "DIDI_FOOD")] == [*(99, 3, 4, 1)]
    assert (sums["finished"], sums["forced_close"], sums["open"]) == (106, 1, 0)
    assert [sums[f"paid/{name}"] for name in ("cash", "debit", "credit")] == [
        336_400,
        198_100,
        72_600,
    ]
    assert [sums[f"paid/{name}"] for name in ("UBER_EATS", "RAPPI", "DIDI_FOOD")] == [
        46_800,
        45_640,
        4_620,
    ]
    assert [sums[f"payers/{name}"] for name in ("cash", "UBER_EATS", "RAPPI", "DIDI_FOOD")] == [
        55,
        3,
        4,
        1,
    ]


def test_session_308_has_the_published_discounts_and_net_sales(session_308: Session) -> None:
    sums = session_308.sums
    own = sums["own/gross"], sums["own/discounts"]
    providers = sums["providers/gross"], sums["providers/discounts"]

    assert own == (631_200, 24_100)
    assert providers == (112_000, 14_940)
    assert own[0] - own[1] - sums["own/tax"] == 523_362
    assert providers[0] - providers[1] - sums["providers/tax"] == 83_672
    assert (sums["discount/PARROT/Point of sale"], sums["discounts/PARROT/Point of sale"]) == (
        24_100,
        2,
    )
    assert (sums["discount/RAPPI/Rappi"], sums["discounts/RAPPI/Rappi"]) == (6_960, 2)
    assert (sums["discount/DIDI_FOOD/DiDi Food"], sums["discounts/DIDI_FOOD/DiDi Food"]) == (
        7_980,
        1,
    )


def test_session_308_is_opened_and_closed_as_published() -> None:
    values = [json.loads(entry.value) for entry in read_day() if entry.command_id]
    mine = [value for value in values if value.get("session_id") == SESSION_308[2]]
    opening, closing = mine[0], mine[-1]

    assert opening["occurred_at"] == "2025-01-01T09:46:52-06:00"
    assert closing["occurred_at"] == "2025-01-01T20:13:05-06:00"
    assert opening["actor"] == closing["actor"] == {"id": "412a1ebb-bec0-437f-913e-306d68e2f048"}
    assert opening["session_number"] == "308"
    assert {line["tender"]: line["amount_minor"] for line in closing["counted"]} == {
        "cash": 340_200,
        "debit": 182_900,
        "credit": 87_800,
    }
    assert sorted(value["register_seq"] for value in mine) == [*range(1, 17), *range(19, 121)]


def test_the_day_has_what_a_till_day_has() -> None:
    values = [json.loads(entry.value) for entry in read_day() if entry.command_id]
    orders = [value for value in values if value["kind"] == "record_order"]
    payments = [payment for order in orders for payment in order["payments"]]
    movements = {value["movement"] for value in values if value["kind"] == "move_cash"}

    assert movements == {
        *("pay_in", "pay_out", "safe_drop", "bank_pickup", "float_loan"),
        "tip_out",
        "no_sale",
    }
    assert {order["status"] for order in orders} == {
        *("open", "finished", "forced_close", "canceled_by_pos", "canceled_by_external", "carried_over")
    }
    assert any(len(order["payments"]) == 3 for order in orders)
    assert any(payment.get("change_minor") for payment in payments)
    assert any(payment.get("tip_minor") for payment in payments)
    assert any(payment["tender"] == "cash-usd" for payment in payments)
    assert any(order["service_charges"] for order in orders)
    assert any(order.get("refund_of") for order in orders)
    assert sum(not entry.has_right_key for entry in read_day() if entry.command_id) == 1


def test_the_day_has_what_a_restaurants_day_has() -> None:
    values = [json.loads(entry.value) for entry in read_day() if entry.command_id]
    values = [value for value in values if value["store_id"] == "zum-anker"]
    orders = [value for value in values if value["kind"] == "record_order"]

    assert {tax["rate"] for order in orders for tax in order.get("taxes", [])} == {"0", "7", "19"}
    for member in ("rounding_minor", "change", "paid_before", "sold_by"):
        assert any(order.get(member) for order in orders), member
    assert any("refund_of" in order and order["payments"][0].get("tip_minor") for order in orders)
    assert any(value.get("left") for value in values if value["kind"] == "close_session")
    assert any(value.get("add_tenders") for value in values if value["kind"] == "amend_session")
    assert any(value["occurred_at"].startswith("1970-") for value in orders)


def test_a_command_that_was_refused_for_what_was_missing_is_sent_again_and_taken() -> None:
    values = [entry.value for entry in read_day() if b'"cash-usd"' in entry.value and b'"zum-anker"' in entry.value]
    kinds = [json.loads(value)["kind"] for value in values]

    assert kinds == ["record_order", "set_profile", "record_order", "close_session"]
    assert values[0] == values[2]


def test_the_restaurants_closings_have_every_figure_that_is_made_of_it() -> None:
    night, day = (row for row in read_expected()["closings"] if row["store_id"] == "zum-anker")
    cash = day["tenders"]["cash"]
    figures = ("rounding_minor", "paid_before_minor", "unpaid_minor", "carried_over_minor", "lowered_minor")

    # Half past midnight in Berlin, while the register's clock, which is UTC, says the last day of the old year.
    assert (night["business_date"], night["time_zone"]) == ("2025-01-01", "Europe/Berlin")
    assert (night["tenders"]["cash"]["prepaid_minor"], night["tenders"]["cash"]["left_minor"]) == (1_500, 15_000)
    assert (night["clock_adjusted"], day["clock_adjusted"]) == (False, True)
    assert (cash["opening_difference_minor"], cash["left_minor"], cash["over_short_minor"]) == (-50, 10_000, -10)
    assert (cash["prepaid_minor"], cash["change_given_minor"]) == (1_000, 2_000 + 140 + 150)
    assert {name: day[name] for name in figures} == dict(zip(figures, (-2, 1_500, 0, 3_000, 600), strict=True))
    assert day["tenders"]["cash-usd"]["expected_minor"] == 2_000
    assert day["taxes"]["MwSt 7"]["refunded_tax_minor"] == 65
    assert (day["staff"]["bea"]["tips_minor"], day["staff"]["dora"]["lowered_minor"]) == (300 - 200, 600)
    assert day["staff"]["carl"]["change_given_minor"] == 2_000


def test_every_record_fits_the_wire() -> None:
    for entry in read_day():
        assert len(entry.value) < 262_144
        assert entry.key.decode().count("/") == 1
