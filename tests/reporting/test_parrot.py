"""The document of GET /v1/cashier-sessions/, figure by figure, without any server."""

import json
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.money import CURRENCY_EXPONENTS
from services.reporting.parrot import amount_or_none, cashier_session, own_provider
from tests.reporting.closing_messages import closing, orders, side, tender, total
from tests.support.golden_cases import load

STORE = "a2f09385-7f1b-436c-9baa-bb9cf1174c25"
CASHIER = "412a1ebb-bec0-437f-913e-306d68e2f048"

CAFE = closing(
    1,
    store_id=STORE,
    session_id="df44b988-3523-40a1-8e58-7c4306e7dd0e",
    session_number="308",
    opened_at="2025-01-01T15:46:52.000000Z",
    opened_by={"id": CASHIER, "name": None},
    closed_at="2025-01-02T02:13:05.000000Z",
    closed_by={"id": CASHIER, "name": None},
    tenders=[
        tender("DIDI_FOOD", "third_party", sales=4_620),
        tender("RAPPI", "third_party", sales=45_640),
        tender("UBER_EATS", "third_party", sales=46_800),
        tender("cash", shown="Efectivo", sales=336_400, counted=340_200),
        tender("credit", "credit_card", shown="Tarjeta Crédito", sales=72_600, counted=87_800),
        tender("debit", "debit_card", shown="Tarjeta Débito", sales=198_100, counted=182_900),
    ],
    cash_movements={
        "starting_minor": 0,
        "deposits_minor": 0,
        "withdrawals_minor": 0,
        "expected_minor": 336_400,
        "reported_minor": 340_200,
        "difference_minor": 3_800,
    },
    sales={
        **total(704_160, 107),
        "by_provider": [
            total(4_620, 1, provider="DIDI_FOOD"),
            total(607_100, 99, provider="PARROT"),
            total(45_640, 4, provider="RAPPI"),
            total(46_800, 3, provider="UBER_EATS"),
        ],
        "by_tender": [
            total(4_620, 1, tender="DIDI_FOOD"),
            total(45_640, 4, tender="RAPPI"),
            total(46_800, 3, tender="UBER_EATS"),
            total(336_400, 55, tender="cash"),
            total(72_600, 12, tender="credit"),
            total(198_100, 32, tender="debit"),
        ],
        "by_order_type": [total(607_100, 99, order_type="Mostrador")],
    },
    summary={"store": side(631_200, 24_100, 523_362), "providers": side(112_000, 14_940, 83_672)},
    orders=[
        orders("DIDI_FOOD", finished=1),
        orders("PARROT", finished=99),
        orders("RAPPI", finished=4),
        orders("UBER_EATS", finished=2, forced_close=1),
    ],
    discounts=[
        total(7_980, 1, provider="DIDI_FOOD", name="DiDi Food"),
        total(24_100, 2, provider="PARROT", name="Point of sale"),
        total(6_960, 2, provider="RAPPI", name="Rappi"),
    ],
    service_charges=[total(1_050, 3, provider="RAPPI", name="Delivery Rappi")],
    cancellations=[total(9_900, 1, provider="PARROT")],
    tips=[total(4_205, 2, tender="credit")],
)


def shown(closing_message: dict[str, Any]) -> dict[str, Any]:
    """The entry as a reader gets it; numbers as the digits that are on the wire."""
    session: dict[str, Any] = json.loads(orjson.dumps(cashier_session(closing_message)), parse_int=str, parse_float=str)
    return session


def tender_uuid(name: str, store_id: str = STORE) -> str:
    return str(uuid5(NAMESPACE_URL, f"till:{store_id}/tender/{name}"))


def test_the_members_stand_in_the_order_of_the_published_example() -> None:
    assert list(shown(CAFE)) == [
        "closingType",
        "uuid",
        "storeName",
        "sessionNumber",
        "state",
        "startedAt",
        "startedByUser",
        "finishedAt",
        "finishedByUser",
        "cashMovements",
        "sessionByPaymentType",
        "sales",
        "orders",
        "discounts",
        "serviceCharges",
        "cancellations",
        "tips",
    ]


def test_the_examples_session_is_named_as_there() -> None:
    entry = shown(CAFE)

    assert {name: entry[name] for name in list(entry)[:9]} == {
        "closingType": "DAILY_CLOSING",
        "uuid": "df44b988-3523-40a1-8e58-7c4306e7dd0e",
        "storeName": "Parrot Cafe",
        "sessionNumber": "308",
        "state": "CLOSED",
        "startedAt": "2025-01-01T15:46:52Z",
        "startedByUser": CASHIER,
        "finishedAt": "2025-01-02T02:13:05Z",
        "finishedByUser": CASHIER,
    }


def test_the_examples_drawers_have_its_figures() -> None:
    entry = shown(CAFE)

    assert list(entry["cashMovements"].items()) == [
        ("startingAmount", "0"),
        ("deposits", "0"),
        ("withdrawals", "0"),
        ("expectedAmount", "3364"),
        ("reportedAmount", "3402"),
        ("differenceAmount", "38"),
    ]
    names = (
        "name",
        "paymentType",
        "totalSales",
        "expectedAmount",
        "reportedAmount",
        "differenceAmount",
        "exchangeRate",
        "currencyCode",
    )
    assert [tuple(row) for row in entry["sessionByPaymentType"]] == [names] * 3
    assert [tuple(row.values()) for row in entry["sessionByPaymentType"]] == [
        ("Efectivo", "CASH", "3364", "3364", "3402", "38", "1", "MXN"),
        ("Tarjeta Crédito", "CREDIT_CARD", "726", "726", "878", "152", "1", "MXN"),
        ("Tarjeta Débito", "DEBIT_CARD", "1981", "1981", "1829", "-152", "1", "MXN"),
    ]


def test_the_examples_sales_have_its_figures() -> None:
    sales = shown(CAFE)["sales"]

    assert list(sales) == [
        "totalSales",
        "totalSalesByProviders",
        "totalSalesByPaymentType",
        "totalSalesByOrderType",
        "salesSummary",
    ]
    assert sales["totalSales"] == "7041.6"
    assert sales["totalSalesByProviders"] == {
        "PARROT": "6071",
        "UBER_EATS": "468",
        "RAPPI": "456.4",
        "DIDI_FOOD": "46.2",
    }
    assert [tuple(row.values()) for row in sales["totalSalesByPaymentType"]] == [
        (tender_uuid("DIDI_FOOD"), "DIDI_FOOD", "THIRD_PARTY", "46.2", "1"),
        (tender_uuid("RAPPI"), "RAPPI", "THIRD_PARTY", "456.4", "4"),
        (tender_uuid("UBER_EATS"), "UBER_EATS", "THIRD_PARTY", "468", "3"),
        (tender_uuid("cash"), "Efectivo", "CASH", "3364", "55"),
        (tender_uuid("credit"), "Tarjeta Crédito", "CREDIT_CARD", "726", "12"),
        (tender_uuid("debit"), "Tarjeta Débito", "DEBIT_CARD", "1981", "32"),
    ]
    assert sales["totalSalesByOrderType"] == [
        {
            "uuid": str(uuid5(NAMESPACE_URL, f"till:{STORE}/order-type/Mostrador")),
            "name": "Mostrador",
            "totalSales": "6071",
            "numSales": "99",
        }
    ]
    names = ("grossSales", "discounts", "serviceCharges", "totalSales", "netSales")
    assert {where: tuple(row.items()) for where, row in sales["salesSummary"].items()} == {
        "store": tuple(zip(names, ("6312", "241", "0", "6071", "5233.62"), strict=True)),
        "providers": tuple(zip(names, ("1120", "149.4", "0", "970.6", "836.72"), strict=True)),
    }


def test_the_examples_orders_have_its_figures() -> None:
    orders_shown = shown(CAFE)["orders"]

    assert {name: orders_shown[name] for name in list(orders_shown)[:3]} == {
        "numOpenOrders": "0",
        "numFinishedOrders": "106",
        "numCanceledOrders": "0",
    }
    assert [tuple(row.values()) for row in orders_shown["ordersByProvider"]] == [
        ("DIDI_FOOD", "0", "1", "0", "0", "0"),
        ("RAPPI", "0", "4", "0", "0", "0"),
        ("UBER_EATS", "0", "2", "1", "0", "0"),
    ]


def test_discounts_charges_cancellations_and_tips_have_the_examples_members() -> None:
    entry = shown(CAFE)

    assert [tuple(row.items()) for row in entry["discounts"]][1] == (
        ("provider", "PARROT"),
        ("name", "Point of sale"),
        ("discountsTotal", "241"),
        ("numDiscounts", "2"),
    )
    assert [tuple(row.values()) for row in entry["discounts"]][::2] == [
        ("DIDI_FOOD", "DiDi Food", "79.8", "1"),
        ("RAPPI", "Rappi", "69.6", "2"),
    ]
    assert [tuple(row.items()) for row in entry["serviceCharges"]] == [
        (("name", "Delivery Rappi"), ("value", "10.5"), ("counter", "3"), ("provider", "RAPPI"))
    ]
    assert [tuple(row.items()) for row in entry["cancellations"]] == [
        (("provider", "PARROT"), ("totalCancellations", "99"), ("numCanceledOrders", "1"))
    ]
    assert [tuple(row.items()) for row in entry["tips"]] == [
        (
            ("uuid", tender_uuid("credit")),
            ("name", "Tarjeta Crédito"),
            ("paymentType", "CREDIT_CARD"),
            ("total", "42.05"),
        )
    ]


def test_a_foreign_drawer_is_shown_in_its_own_currency() -> None:
    message = closing(
        tenders=[tender("yen", currency="JPY", rate="0.1250", sales=1_500, counted=1_499)],
        tips=[total(120, 1, tender="yen")],
    )

    entry = shown(message)

    assert tuple(entry["sessionByPaymentType"][0].values()) == (
        ("yen", "CASH", "1500", "1500", "1499", "-1", "0.125", "JPY")
    )
    assert entry["tips"][0]["total"] == "120"


def test_what_nobody_counted_is_null() -> None:
    cash = CAFE["cash_movements"] | {"reported_minor": None, "difference_minor": None}
    message = closing(tenders=[tender("cash", sales=100)], cash_movements=cash, uncounted=True)

    entry = shown(message)

    row = entry["sessionByPaymentType"][0]
    assert (row["expectedAmount"], row["reportedAmount"], row["differenceAmount"]) == (
        "1",
        None,
        None,
    )
    assert entry["cashMovements"]["reportedAmount"] is None
    assert entry["cashMovements"]["differenceAmount"] is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("308", "308"),
        ("-7", "-7"),
        ("0042", "42"),
        ("9" * 64, "9" * 64),
        ("A-17", None),
        ("3.0", None),
        ("1e3", None),
        ("+3", None),
        ("٣", None),
        ("3\n", None),
        (" 3", None),
    ],
)
def test_a_session_number_is_an_integer_when_it_is_one(text: str, number: str | None) -> None:
    assert shown(closing(session_number=text))["sessionNumber"] == number


def test_times_are_cut_to_the_second() -> None:
    assert shown(closing(closed_at="2025-01-01T16:00:00.999999Z"))["finishedAt"] == ("2025-01-01T16:00:00Z")


def test_which_provider_is_the_stores_own_follows_from_the_figures() -> None:
    assert own_provider(CAFE) == "PARROT"


def test_no_provider_is_hidden_when_the_own_one_cannot_be_told() -> None:
    message = closing(
        orders=[orders("A", finished=1), orders("B", finished=1)],
        sales={
            **total(20, 2),
            "by_provider": [total(10, 1, provider="A"), total(10, 1, provider="B")],
            "by_tender": [],
            "by_order_type": [],
        },
        summary={"store": side(10), "providers": side(10)},
    )

    assert [row["provider"] for row in shown(message)["orders"]["ordersByProvider"]] == ["A", "B"]


def test_a_restaurants_day_counts_its_tab_as_open_and_shows_what_change_took_out_of_the_drawer(tmp_path: Path) -> None:
    _, message, _ = load("restaurant-day", tmp_path).content["closings"]

    entry = shown(message)

    drawers = {row["name"]: row for row in entry["sessionByPaymentType"]}
    assert {name: row["totalSales"] for name, row in drawers.items()} == {
        "Card": "120",
        "Euros": "-11.4",
        "Dollars": "20",
    }
    # 149.50 and a tab's 10.00, less cash-back, euros for dollars and flowers.
    assert drawers["Euros"]["expectedAmount"] == "123.1"
    assert entry["cashMovements"]["startingAmount"] == "149.5"
    assert entry["sales"]["salesSummary"]["store"]["netSales"] == "129.9"
    assert (entry["orders"]["numOpenOrders"], entry["orders"]["numFinishedOrders"]) == ("1", "5")


def test_orders_that_were_carried_over_stand_open_beside_the_others_of_their_provider() -> None:
    rows = [orders("APP", open=1, finished=2) | {"carried_over": 3}, orders("OTHER", open=1, finished=2)]

    counts = shown(closing(orders=rows))["orders"]

    assert counts["numOpenOrders"] == "5"
    assert [(row["provider"], row["open"]) for row in counts["ordersByProvider"]] == [("APP", "4"), ("OTHER", "1")]


def test_more_tips_given_back_than_taken_are_a_negative_tip() -> None:
    message = closing(tenders=[tender("card", "debit_card")], tips=[total(-150, 0, tender="card")])

    assert shown(message)["tips"][0]["total"] == "-1.5"


@given(
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.sampled_from(["JPY", "MXN", "KWD", "CLF"]),
)
def test_amounts_are_exact_and_have_no_trailing_zeros(minor: int, currency: str) -> None:
    digits = orjson.dumps(amount_or_none(minor, currency)).decode()

    whole, _, fraction = digits.partition(".")
    exponent = CURRENCY_EXPONENTS[currency]
    assert int(whole + fraction.ljust(exponent, "0")) == minor
    assert not fraction.endswith("0")
    assert digits.endswith(fraction)
    assert digits != "-0"
    assert json.loads(digits) is not None
