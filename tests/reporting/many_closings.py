"""Closings of several shops, currencies and tills, with what is dear in a file: names, signs, nothing at all.

Some of their orders name no taxes: there is more tax between total and net than in the table of taxes.
"""

from tests.reporting.closing_messages import Row, closing, orders, side, tender, total
from tests.reporting.closing_pages import corrected

EVIL = '=HYPERLINK("http://evil.example";"x")'


def figures(minor: int, difference: int | None) -> Row:
    """Figures that are all made of one amount, so that a mistaken one shows."""
    return {
        "cash_movements": {
            "starting_minor": 10 * minor,
            "deposits_minor": 11 * minor,
            "withdrawals_minor": 12 * minor,
            "expected_minor": 13 * minor,
            "reported_minor": None if difference is None else 13 * minor + difference,
            "difference_minor": difference,
            "opening_difference_minor": -minor,
        },
        "sales": {
            **total(minor, 3),
            "rounding_minor": -1,
            "lowered": total(2 * minor, 1),
            "by_provider": [total(minor, 3, provider="store"), total(0, 0, provider="late")],
            "by_tender": [],
            "by_order_type": [],
        },
        "summary": {"store": side(5 * minor, minor, minor), "providers": side(7 * minor, 0, 5 * minor)},
        "orders": [orders("store", finished=3), orders("rappi", open=1)],
        "refunds": [
            total(minor, 1, provider="store") | {"tax_minor": 4 * minor, "rounding_minor": 0},
            total(2 * minor, 2, provider="rappi") | {"tax_minor": 5 * minor, "rounding_minor": 0},
        ],
        "cancellations": [total(3 * minor, 1, provider="rappi")],
        "discounts": [total(minor, 1, provider="store", name="Promo; 2, por 1")],
        "service_charges": [total(minor, 2, provider="store", name="Mesa")],
        "tips": [total(minor, 1, tender=name) for name in ("card", "cash", "rappi")],
        "taxes": [
            tax("IVA", "16", minor),
            tax("IVA", "8.5", 2 * minor),
        ],
        "staff": [person("ana", EVIL, minor), person("-7", None, 2 * minor)],
    }


def tax(name: str, rate: str, minor: int) -> Row:
    parts = {"net_minor": 6 * minor, "tax_minor": minor, "refunded_net_minor": 2 * minor, "refunded_tax_minor": minor}
    return {"name": name, "rate": rate} | parts


def person(who: str, name: str | None, minor: int) -> Row:
    amounts = ("sales", "refunds", "discounts", "tips", "change_given", "paid_before", "canceled", "lowered")
    counts = ("sales_count", "refund_count", "canceled_count", "lowered_count")
    return {"id": who, "name": name} | {f"{one}_minor": minor for one in amounts} | dict.fromkeys(counts, 2)


def tenders(currency: str, minor: int, difference: int | None) -> list[Row]:
    """One of them in a currency of its own; each with a tip."""
    counted = None if difference is None else minor + difference
    return [
        tipped(tender("cash", currency=currency, sales=minor, counted=counted), minor, minor),
        tipped(tender("card", "credit_card", shown="Tarjeta\nazul", currency=currency, sales=minor), minor, minor),
        tipped(tender("rappi", "third_party", currency="USD", rate="17.250000001", sales=minor), minor, 17 * minor),
    ]


def tipped(one: Row, minor: int, base_minor: int) -> Row:
    return one | {"tips_minor": minor, "base": one["base"] | {"tips_minor": base_minor}}


def shop(number: int, currency: str, minor: int, difference: int | None, **changed: Row | str) -> Row:
    parts = figures(minor, difference) | {"tenders": tenders(currency, minor, difference)}
    return closing(number, currency=currency, **parts | changed)


CLOSINGS = [
    shop(1, "MXN", 12_345, -150, opened_by={"id": "ana", "name": EVIL}),
    shop(2, "JPY", 9_800, 0, business_date="2025-01-02", closed_at="2025-01-02T16:00:00.000001Z"),
    shop(3, "KWD", 1_234_567, None, profile_id="p2", profile_name='Caja "2",\r\nbarra'),
    shop(4, "CLF", 5, 7, store_id="s2", business_date="2025-01-09", closed_at="2025-01-09T03:00:00.000000Z"),
    shop(5, "MXN", -70, 30, store_id="s2", closing_note="\t@SUM(1)", opened_by={"id": "ben", "name": "Bén ｆ"}),
]


def correction(of: Row, number: int, minor: int, difference: int | None, **changed: object) -> Row:
    """A correction whose deltas are figures of this amount."""
    one = corrected(of, number)
    parts = figures(minor, difference) | {"tenders": tenders(of["currency"], minor, difference)}
    return one | {"deltas": one["deltas"] | parts} | changed


CORRECTIONS = [
    correction(CLOSINGS[0], 1, 10, -5, needs_review=True),
    correction(CLOSINGS[0], 2, 7, None),
    correction(CLOSINGS[2], 3, 1, 40),
]
MESSAGES = [*CLOSINGS, *CORRECTIONS]
