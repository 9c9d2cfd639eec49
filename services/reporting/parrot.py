"""One closing as the document of `GET /v1/cashier-sessions/` has it.

A row of `sessionByPaymentType` names its currency, so its amounts are in that currency; tips too
are in their tender's. All other amounts are in the currency of the session.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache, partial
from typing import Any, Final
from uuid import NAMESPACE_URL, uuid5

from orjson import Fragment

from services.platform.money_text import json_amount, json_decimal

THIRD_PARTY: Final = "third_party"
UUIDS_REMEMBERED_MAX: Final = 16_384
"""Of tenders and types of orders by store: some 6 MiB for those of a thousand stores, and each costs 4 microseconds."""

_INTEGER = re.compile(r"-?[0-9]+", re.ASCII)

Row = dict[str, Any]
Amount = Callable[[int | None], Fragment | None]


def cashier_session(closing: Row) -> Row:
    """The document's entry for a closing; members in the order of the published example.

    `closing` is a published closing as read from its bytes. Amounts are exact JSON numbers in
    major units, written digit by digit: no float is on the way.
    """
    amount = partial(amount_or_none, currency=closing["currency"])
    tenders = {tender["tender"]: tender for tender in closing["tenders"]}
    return {
        "closingType": "DAILY_CLOSING",
        "uuid": closing["session_id"],
        "storeName": closing["store_name"],
        "sessionNumber": _integer_or_none(closing["session_number"]),
        "state": "CLOSED",
        "startedAt": _to_the_second(closing["opened_at"]),
        "startedByUser": closing["opened_by"]["id"],
        "finishedAt": _to_the_second(closing["closed_at"]),
        "finishedByUser": closing["closed_by"]["id"],
        "cashMovements": _cash_movements(closing["cash_movements"], amount),
        "sessionByPaymentType": [_drawer(tender) for tender in closing["tenders"] if tender["type"] != THIRD_PARTY],
        "sales": _sales(closing, tenders, amount),
        "orders": _orders(closing),
        "discounts": [
            {
                "provider": row["provider"],
                "name": row["name"],
                "discountsTotal": amount(row["total_minor"]),
                "numDiscounts": row["count"],
            }
            for row in closing["discounts"]
        ],
        "serviceCharges": [
            {
                "name": row["name"],
                "value": amount(row["total_minor"]),
                "counter": row["count"],
                "provider": row["provider"],
            }
            for row in closing["service_charges"]
        ],
        "cancellations": [
            {
                "provider": row["provider"],
                "totalCancellations": amount(row["total_minor"]),
                "numCanceledOrders": row["count"],
            }
            for row in closing["cancellations"]
        ],
        "tips": [
            _named_tender(closing["store_id"], tenders[row["tender"]])
            | {"total": amount_or_none(row["total_minor"], tenders[row["tender"]]["currency"])}
            for row in closing["tips"]
        ],
    }


def amount_or_none(minor: int | None, currency: str) -> Fragment | None:
    """An amount in major units as an exact JSON number; null stays null."""
    return None if minor is None else json_amount(minor, currency)


def own_provider(closing: Row) -> str | None:
    """The provider whose sales make up the store's side of the summary; None if it can't be told.

    A closing does not name it. It is the one with counted orders whose sales, discounts and
    charges are those of the store's side; two that look alike can't be told apart.
    """
    figures: dict[str, list[int]] = defaultdict(lambda: [0, 0, 0])
    tables = (closing["discounts"], closing["service_charges"], closing["sales"]["by_provider"])
    for index, table in enumerate(tables):
        for row in table:
            figures[row["provider"]][index] += row["total_minor"]
    store = closing["summary"]["store"]
    store_figures = [store["discounts_minor"], store["service_charges_minor"], store["total_minor"]]
    alike = [
        row["provider"]
        for row in closing["orders"]
        if row["finished"] + row["forced_close"] > 0 and figures[row["provider"]] == store_figures
    ]
    return alike[0] if len(alike) == 1 else None


def _cash_movements(cash: Row, amount: Amount) -> Row:
    return {
        "startingAmount": amount(cash["starting_minor"]),
        "deposits": amount(cash["deposits_minor"]),
        "withdrawals": amount(cash["withdrawals_minor"]),
        "expectedAmount": amount(cash["expected_minor"]),
        "reportedAmount": amount(cash["reported_minor"]),
        "differenceAmount": amount(cash["difference_minor"]),
    }


def _drawer(tender: Row) -> Row:
    amount = partial(amount_or_none, currency=tender["currency"])
    return {
        "name": tender["name"],
        "paymentType": tender["type"].upper(),
        "totalSales": amount(tender["sales_minor"]),
        "expectedAmount": amount(tender["expected_minor"]),
        "reportedAmount": amount(tender["counted_minor"]),
        "differenceAmount": amount(tender["over_short_minor"]),
        "exchangeRate": json_decimal(tender["exchange_rate"]),
        "currencyCode": tender["currency"],
    }


def _sales(closing: Row, tenders: dict[str, Row], amount: Amount) -> Row:
    store_id, sales = closing["store_id"], closing["sales"]
    return {
        "totalSales": amount(sales["total_minor"]),
        "totalSalesByProviders": {row["provider"]: amount(row["total_minor"]) for row in sales["by_provider"]},
        "totalSalesByPaymentType": [
            _named_tender(store_id, tenders[row["tender"]])
            | {"totalSales": amount(row["total_minor"]), "numSales": row["count"]}
            for row in sales["by_tender"]
        ],
        "totalSalesByOrderType": [
            {
                "uuid": _uuid(store_id, "order-type", row["order_type"]),
                "name": row["order_type"],
                "totalSales": amount(row["total_minor"]),
                "numSales": row["count"],
            }
            for row in sales["by_order_type"]
        ],
        "salesSummary": {
            side: {
                "grossSales": amount(figures["gross_minor"]),
                "discounts": amount(figures["discounts_minor"]),
                "serviceCharges": amount(figures["service_charges_minor"]),
                "totalSales": amount(figures["total_minor"]),
                "netSales": amount(figures["net_minor"]),
            }
            for side in ("store", "providers")
            for figures in [closing["summary"][side]]
        },
    }


def _named_tender(store_id: str, tender: Row) -> Row:
    return {
        "uuid": _uuid(store_id, "tender", tender["tender"]),
        "name": tender["name"],
        "paymentType": tender["type"].upper(),
    }


@lru_cache(UUIDS_REMEMBERED_MAX)
def _uuid(store_id: str, what: str, name: str) -> str:
    return str(uuid5(NAMESPACE_URL, f"till:{store_id}/{what}/{name}"))


def _orders(closing: Row) -> Row:
    """The counts are of all orders; the rows, as in the example, of the other providers alone.

    An order that was carried over is one that stood open at the closing. Closings of the first version have none.
    """
    rows, own = closing["orders"], own_provider(closing)
    return {
        "numOpenOrders": sum(map(_open, rows)),
        "numFinishedOrders": _total(rows, "finished"),
        "numCanceledOrders": _total(rows, "canceled_by_pos", "canceled_by_external"),
        "ordersByProvider": [
            {
                "provider": row["provider"],
                "open": _open(row),
                "finished": row["finished"],
                "forcedClose": row["forced_close"],
                "canceledByPos": row["canceled_by_pos"],
                "canceledByExternal": row["canceled_by_external"],
            }
            for row in rows
            if row["provider"] != own
        ],
    }


def _open(row: Row) -> int:
    standing: int = row["open"] + row.get("carried_over", 0)
    return standing


def _total(rows: Iterable[Row], *names: str) -> int:
    return sum(row[name] for row in rows for name in names)


def _integer_or_none(text: str) -> Fragment | None:
    """A session number of up to 64 digits: longer than any integer of the JSON writer."""
    return Fragment(str(int(text))) if _INTEGER.fullmatch(text) else None


def _to_the_second(time: str) -> str:
    """A time of the wire, which is UTC with six fraction digits, cut to the second."""
    return f"{time[:19]}Z"
