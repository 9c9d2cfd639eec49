"""Flat views of the closings for analysts, and the currencies that they write amounts in."""

# ruff: noqa: S608 - all SQL here is of constants

from collections.abc import Sequence

from alembic import op

from contracts.money import CURRENCY_EXPONENTS

revision = "0007"
down_revision = "0006"

Column = tuple[str, str, str]
"""A column's name, what it is made of, and its comment."""

_CLOSING: Sequence[Column] = (
    ("store_id", "c.store_id", "The store."),
    ("profile_id", "c.profile_id", "The till's profile."),
    ("closing_id", "c.closing_id", "The closing: with the store it is what rows of all tables are joined by."),
    ("z_number", "c.z_number", "The number of the till's Z report."),
    ("session_number", "c.session_number", "The register's number of the session."),
    ("business_date", "c.business_date", "The trading day."),
    ("closed_at", "c.closed_at", "When the session was closed."),
    ("opened_by", "c.opened_by", "Who opened it, by id: the cashier."),
    ("opened_by_name", "c.opened_by_name", "Their name, where the register gave one."),
    ("currency", "c.currency", "The base currency (ISO 4217)."),
)
_FROM = "reporting.closings AS c LEFT JOIN analyst.currencies AS k ON k.currency = c.currency"

# Of figures, which closings have and corrections change: each name with what it is in the JSON, and its meaning.
_FIGURES: Sequence[Column] = (
    ("sales_minor", "s.total_minor", "What was sold."),
    ("sales_count", "s.count", "Orders that count as sold."),
    ("rounding_minor", "coalesce(s.rounding_minor, 0)", "Rounding of what was paid."),
    ("paid_before_minor", "coalesce(s.paid_before_minor, 0)", "Of the sales, what was paid in earlier sessions."),
    ("unpaid_minor", "coalesce(s.unpaid_minor, 0)", "Of the sales, what nobody paid."),
    (
        "carried_over_minor",
        "coalesce(s.carried_over_minor, 0)",
        "What was paid on orders that go on in later sessions.",
    ),
    ("lowered_minor", "coalesce(l.total_minor, 0)", "By how much revisions lowered what had been paid."),
    ("lowered_count", "coalesce(l.count, 0)", "How many such revisions."),
    *(
        (f"{side}_{part}_minor", f"{alias}.{part}_minor", f"{meaning} of {whose}.")
        for side, alias, whose in (("store", "u", "the store's own orders"), ("providers", "p", "all other providers"))
        for part, meaning in (
            ("gross", "Sales before discounts"),
            ("discounts", "Discounts"),
            ("service_charges", "Service charges"),
            ("total", "Gross less discounts, with service charges,"),
            ("net", "Total without tax"),
        )
    ),
    *(
        (f"{name}_{part}", f"(SELECT coalesce(sum({of}), 0) FROM json_to_recordset({rows}) AS x({of} bigint))", meaning)
        for name, part, rows, of, meaning in (
            ("refunds", "minor", "f.refunds", "total_minor", "What was paid back, without tips."),
            ("refunds", "count", "f.refunds", "count", "Refunds."),
            ("tips", "minor", "f.tips", "total_minor", "Tips."),
            ("prepaid", "minor", "f.prepaid", "total_minor", "What was paid ahead on orders."),
            ("tax", "minor", "f.taxes", "tax_minor", "Tax in the sales."),
            ("refunded_tax", "minor", "f.taxes", "refunded_tax_minor", "Tax in the refunds."),
        )
    ),
    ("cash_starting_minor", "m.starting_minor", "Cash at the opening."),
    ("cash_deposits_minor", "m.deposits_minor", "Cash that was put in."),
    ("cash_withdrawals_minor", "m.withdrawals_minor", "Cash that was taken out."),
    ("cash_expected_minor", "m.expected_minor", "Cash that should be there."),
    ("cash_reported_minor", "m.reported_minor", "Cash that was counted; null where none was."),
    ("over_short_minor", "m.difference_minor", "Cash counted less expected: below 0 it was short; null uncounted."),
    (
        "opening_difference_minor",
        "m.opening_difference_minor",
        "Cash at the opening less what the session before left; null where that is unknown.",
    ),
)
_FIGURES_FROM = """
    json_to_record({json}) AS f(sales json, summary json, cash_movements json, refunds json, tips json, prepaid json,
                                taxes json)
    CROSS JOIN LATERAL json_to_record(f.sales) AS s(total_minor bigint, count bigint, rounding_minor bigint,
        paid_before_minor bigint, unpaid_minor bigint, carried_over_minor bigint, lowered json)
    CROSS JOIN LATERAL json_to_record(coalesce(s.lowered, '{{}}')) AS l(total_minor bigint, count bigint)
    CROSS JOIN LATERAL json_to_record(f.summary) AS y(store json, providers json)
    CROSS JOIN LATERAL json_to_record(y.store) AS u(gross_minor bigint, discounts_minor bigint,
        service_charges_minor bigint, total_minor bigint, net_minor bigint)
    CROSS JOIN LATERAL json_to_record(y.providers) AS p(gross_minor bigint, discounts_minor bigint,
        service_charges_minor bigint, total_minor bigint, net_minor bigint)
    CROSS JOIN LATERAL json_to_record(f.cash_movements) AS m(starting_minor bigint, deposits_minor bigint,
        withdrawals_minor bigint, expected_minor bigint, reported_minor bigint, difference_minor bigint,
        opening_difference_minor bigint)
"""
# Aggregates of one row: so a query that asks for none of these columns has the join left out, and reads no JSON.
_FIGURES_OF_CLOSING = "LEFT JOIN LATERAL (SELECT {figures} FROM {source}) AS h ON true".format(
    figures=", ".join(f"max({expression}) AS {name}" for name, expression, _ in _FIGURES),
    source=_FIGURES_FROM.format(json="reporting.as_json(c.value)"),
)
_HEAD: Sequence[tuple[str, str, str]] = (
    ("store_name", "text", "The store's name, then."),
    ("profile_name", "text", "The till's name, then."),
    ("company_id", "text", "The company."),
    ("time_zone", "text", "The shop's time zone (tz database)."),
    ("opened_at", "timestamptz", "When the session was opened."),
    ("closed_by", "person", "Who closed it, by id."),
    ("approved_at", "timestamptz", "When a manager approved it."),
    ("approved_by", "person", "Who approved it, by id."),
    ("counted_by", "person", "Who counted the cash, by id."),
    ("origin", "text", "Who asked for the closing: register, idle or manager."),
    ("uncounted", "boolean", "Whether nobody counted."),
    ("station", "text", "The register's station."),
    ("opening_note", "text", "The opening's note."),
    ("closing_note", "text", "The closing's note."),
)
_HEAD_OF_CLOSING = "LEFT JOIN LATERAL (SELECT {columns} FROM json_to_record({json}) AS j({types})) AS w ON true".format(
    columns=", ".join(
        f"max(j.{name} ->> 'id') AS {name}, max(j.{name} ->> 'name') AS {name}_name"
        if kind == "person"
        else f"{'bool_and' if kind == 'boolean' else 'max'}(j.{name}) AS {name}"
        for name, kind, _ in _HEAD
    ),
    json="reporting.as_json(c.value)",
    types=", ".join(f"{name} {'json' if kind == 'person' else kind}" for name, kind, _ in _HEAD),
)
_DELTAS = """
    LEFT JOIN LATERAL (
        SELECT count(*) AS corrections, coalesce(bool_or(r.correction = 'session_voided'), false) AS is_voided
          FROM reporting.corrections AS r WHERE r.store_id = c.store_id AND r.closing_id = c.closing_id) AS n ON true
    LEFT JOIN LATERAL (
        SELECT {sums} FROM reporting.corrections AS r
         CROSS JOIN LATERAL json_to_record(reporting.as_json(r.value)) AS q(deltas json) CROSS JOIN LATERAL {figures}
         WHERE r.store_id = c.store_id AND r.closing_id = c.closing_id) AS d ON true
""".format(
    sums=", ".join(f"sum({expression}) AS {name}" for name, expression, _ in _FIGURES),
    figures=_FIGURES_FROM.format(json="q.deltas"),
)


def upgrade() -> None:
    """Makes the schema `analyst`, its views and their comments; no closing is touched."""
    op.execute("CREATE SCHEMA analyst")
    op.execute("""
        CREATE TABLE analyst.currencies (
            currency text    NOT NULL,
            exponent int     NOT NULL,
            unit     numeric NOT NULL,
            CONSTRAINT currencies_pkey PRIMARY KEY (currency),
            CONSTRAINT currencies_unit_of_exponent CHECK (unit = 10::numeric ^ -exponent AND scale(unit) = exponent)
        )
    """)
    rows = ", ".join(
        f"('{code}', {exponent}, {'0.' + '1'.zfill(exponent) if exponent else '1'})"
        for code, exponent in CURRENCY_EXPONENTS.items()
    )
    op.execute(f"INSERT INTO analyst.currencies VALUES {rows}")
    op.execute("ANALYZE analyst.currencies")
    op.execute("COMMENT ON TABLE analyst.currencies IS 'A row for each currency that amounts may be in.'")
    for column, meaning in (
        ("currency", "The currency (ISO 4217)."),
        ("exponent", "How many decimals it has."),
        ("unit", "What one minor unit is: 0.01 of most."),
    ):
        op.execute(f"COMMENT ON COLUMN analyst.currencies.{column} IS '{meaning}'")
    # No writer of ours writes U+0000; one record with it would end every query over its table.
    op.execute(r"""
        CREATE FUNCTION reporting.as_json(value bytea) RETURNS json LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
        DECLARE
            words text := convert_from(value, 'UTF8');
        BEGIN
            IF strpos(words, '\u0000') > 0 THEN
                words := regexp_replace(words, '(?<!\\)((?:\\\\)*)\\u0000', '\1\\ufffd', 'g');
            END IF;
            RETURN CAST(words AS json);
        END $$
    """)
    _closings()
    _rows_of_closings()
    _corrections()


def _closings() -> None:
    head = [
        column
        for name, kind, meaning in _HEAD
        for column in (
            [(name, f"w.{name}", meaning), (f"{name}_name", f"w.{name}_name", "Their name, where there is one.")]
            if kind == "person"
            else [(name, f"w.{name}", meaning)]
        )
    ]
    figures = [
        (
            name,
            "CAST(c.over_short_minor AS bigint)" if name == "over_short_minor" else f"CAST(h.{name} AS bigint)",
            what,
        )
        for name, _, what in _FIGURES
    ]
    links = (
        ("session_id", "c.session_id", "The session."),
        ("hash", "c.hash", "SHA-256 of the closing."),
        ("prev_hash", "c.prev_hash", "That of the till's closing before."),
    )
    _view(
        "closings",
        "A row for each closing, as it was when the session was closed.",
        [*_CLOSING, *head, *_in_decimals(figures), *links],
        f"{_FROM} {_HEAD_OF_CLOSING} {_FIGURES_OF_CLOSING}",
    )
    now = [
        (
            name,
            "CAST({} AS numeric(38, 0))".format(
                "c.over_short_now_minor"
                if name == "over_short_minor"
                else f"coalesce(h.{name} + coalesce(d.{name}, 0), d.{name})"
            ),
            what,
        )
        for name, _, what in _FIGURES
    ]
    corrected = (
        ("corrections", "n.corrections", "How many corrections there are."),
        ("is_voided", "n.is_voided", "Whether the session was voided: then it counts in no sum."),
        ("needs_review", "c.needs_review", "Whether one of them asks for review."),
    )
    _view(
        "closings_now",
        "A row for each closing, with all its corrections added: as it stands now.",
        [*_CLOSING, *corrected, *_in_decimals(now)],
        f"{_FROM} {_FIGURES_OF_CLOSING} {_DELTAS}",
    )


def _rows_of_closings() -> None:
    _view("tenders", "A row for each tender of a closing.", [*_CLOSING, *_tender_columns()], _TENDERS_FROM)
    taxes = ("net_minor", "tax_minor", "refunded_net_minor", "refunded_tax_minor")
    taxed = ("What was sold, without tax.", "The tax in it.", "What was refunded, without tax.", "The tax in that.")
    _view(
        "taxes",
        "A row for each rate and name of tax of a closing.",
        [
            *_CLOSING,
            ("tax_name", "t.name", "What the tax is called."),
            ("rate", "CAST(t.rate AS numeric(18, 9))", "In percent."),
            *_in_decimals([(name, f"t.{name}", what) for name, what in zip(taxes, taxed, strict=True)]),
        ],
        _rows("taxes", f"name text, rate numeric, {_bigints(taxes)}"),
    )
    staff = {
        "sales_minor": "What they sold.",
        "sales_count": "Their orders.",
        "refunds_minor": "What they paid back.",
        "refund_count": "Their refunds.",
        "discounts_minor": "Discounts that they gave.",
        "tips_minor": "Their tips.",
        "change_given_minor": "Change that they gave out of another tender.",
        "paid_before_minor": "Of their sales, what was paid in earlier sessions.",
        "canceled_minor": "What they cancelled.",
        "canceled_count": "Their cancellations.",
        "lowered_minor": "By how much their revisions lowered what had been paid.",
        "lowered_count": "How many such revisions.",
    }
    _view(
        "staff",
        "A row for each person who sold, of a closing.",
        [
            *_CLOSING,
            ("staff_id", "t.id", "Who sold, by the register's word."),
            ("staff_name", "t.name", "Their name, where an order gave one."),
            *_in_decimals([(name, f"t.{name}", what) for name, what in staff.items()]),
        ],
        _rows("staff", f"id text, name text, {_bigints(staff)}"),
    )
    for name, what in (("discounts", "discount"), ("service_charges", "service charge")):
        _view(
            name,
            f"A row for each provider and name of {what} of a closing.",
            [
                *_CLOSING,
                ("provider", "t.provider", "Whose orders."),
                ("name", "t.name", f"What the {what} is called."),
                ("count", "t.count", "How many."),
                *_in_decimals([("total_minor", "t.total_minor", "What they add up to.")]),
            ],
            _rows(name, "provider text, name text, total_minor bigint, count bigint"),
        )
    _orders()


_STATUS = {
    "open": "Orders that were still open.",
    "finished": "Orders that were finished.",
    "forced_close": "Orders that were closed by force.",
    "canceled_by_pos": "Orders that the shop cancelled.",
    "canceled_by_external": "Orders that the provider cancelled.",
    "carried_over": "Orders that go on in a later session.",
}


def _orders() -> None:
    totals = {
        "sales_minor": ("s.total_minor", "What was sold."),
        "sales_count": ("s.count", "Orders that count as sold."),
        "refunds_minor": ("r.total_minor", "What was paid back, without tips."),
        "refunds_count": ("r.count", "Refunds."),
        "cancellations_minor": ("x.total_minor", "What was cancelled."),
        "cancellations_count": ("x.count", "Cancellations."),
    }
    parts = {name: (f"o.{name}", what) for name, what in _STATUS.items()} | totals
    # A provider may stand in some of the tables and not in others.
    selected = ", ".join(f"coalesce({expression}, 0) AS {name}" for name, (expression, _) in parts.items())
    total = "(provider text, total_minor bigint, count bigint)"
    _view(
        "orders",
        "A row for each provider of orders of a closing.",
        [
            *_CLOSING,
            ("provider", "t.provider", "Whose orders."),
            *_in_decimals([(name, f"t.{name}", what) for name, (_, what) in parts.items()]),
        ],
        f"""
        {_FROM} CROSS JOIN LATERAL json_to_record(reporting.as_json(c.value))
            AS j(orders json, sales json, refunds json, cancellations json)
        CROSS JOIN LATERAL (SELECT provider, {selected}
             FROM json_to_recordset(j.orders) AS o(provider text, {_bigints(_STATUS)})
             FULL JOIN json_to_recordset(j.sales -> 'by_provider') AS s{total} USING (provider)
             FULL JOIN json_to_recordset(j.refunds) AS r{total} USING (provider)
             FULL JOIN json_to_recordset(j.cancellations) AS x{total} USING (provider)) AS t
        """,
    )


_OWN = {
    "opening_minor": "What lay in it at the opening.",
    "sales_minor": "Payments of sales.",
    "refunds_minor": "What was paid back.",
    "tips_minor": "Tips.",
    "prepaid_minor": "What was paid ahead on orders.",
    "change_given_minor": "Change given out of this tender for payments in another.",
    "pay_in_minor": "Paid in.",
    "float_loan_minor": "Float that was brought.",
    "pay_out_minor": "Paid out.",
    "safe_drop_minor": "Brought to the safe.",
    "bank_pickup_minor": "Fetched by the bank.",
    "tip_out_minor": "Tips paid out.",
    "expected_minor": "What should be there; null for tenders without a drawer.",
    "counted_minor": "What was counted; null where it was not.",
    "over_short_minor": "Counted less expected: below 0 it was short.",
    "left_minor": "What was left for the next session; of tenders of type cash.",
    "carried_minor": "What the session before had left.",
    "opening_difference_minor": "Opening less carried.",
}
_MOVEMENTS = ("pay_in", "float_loan", "pay_out", "safe_drop", "bank_pickup", "tip_out")
_BASE = {
    "opening_minor": "The opening",
    "sales_minor": "Payments of sales",
    "refunds_minor": "What was paid back",
    "tips_minor": "Tips",
    "prepaid_minor": "What was paid ahead",
    "change_given_minor": "Change given",
    "movements_in_minor": "All that was put in",
    "movements_out_minor": "All that was taken out",
    "expected_minor": "What should be there",
    "counted_minor": "What was counted",
    "over_short_minor": "Counted less expected",
    "opening_difference_minor": "Opening less carried",
}
_ADDED_LATER = frozenset({"prepaid_minor", "change_given_minor"})


def _tender_columns() -> list[Column]:
    own = []
    for name, what in _OWN.items():
        movement = name.removesuffix("_minor")
        expression = f"t.{name}"
        if movement in _MOVEMENTS:
            expression = f"CAST(t.movements -> '{movement}' ->> 'total_minor' AS bigint)"
        elif name == "change_given_minor":
            expression = "coalesce(CAST(t.change_given ->> 'total_minor' AS bigint), 0)"
        elif name in _ADDED_LATER:
            expression = f"coalesce(t.{name}, 0)"
        own.append((name, expression, what))
    base = [
        (
            f"base_{name}",
            f"coalesce(b.{name}, 0)" if name in _ADDED_LATER else f"b.{name}",
            f"{what}, in base currency.",
        )
        for name, what in _BASE.items()
    ]
    return [
        ("tender", "t.tender", "The tender, by its id in the till's settings."),
        ("tender_name", "t.name", "Its name, then."),
        ("tender_type", "t.type", "cash, debit_card, credit_card, wallet, voucher, third_party or other."),
        ("tender_currency", "t.currency", "Its currency: its amounts are in it, but for those that begin with base_."),
        ("exchange_rate", "CAST(t.exchange_rate AS numeric(18, 9))", "Units of base currency for one of its own."),
        *_in_decimals(own, "kt"),
        *_in_decimals(base),
    ]


def _rows(member: str, types: str) -> str:
    return f"""
        {_FROM} CROSS JOIN LATERAL json_to_record(reporting.as_json(c.value)) AS j({member} json)
        CROSS JOIN LATERAL json_to_recordset(coalesce(j.{member}, '[]')) AS t({types})
    """


def _bigints(names: Sequence[str] | dict[str, str]) -> str:
    return ", ".join(f"{name} bigint" for name in names)


_TENDERS_FROM = f"""
    {_rows("tenders", "tender text, name text, type text, currency text, exchange_rate numeric, change_given json, "
           "movements json, base json, opening_minor bigint, sales_minor bigint, refunds_minor bigint, "
           "tips_minor bigint, prepaid_minor bigint, expected_minor bigint, counted_minor bigint, "
           "over_short_minor bigint, left_minor bigint, carried_minor bigint, opening_difference_minor bigint")}
    CROSS JOIN LATERAL json_to_record(t.base) AS b({_bigints(_BASE)})
    LEFT JOIN analyst.currencies AS kt ON kt.currency = t.currency
"""  # fmt: skip


def _corrections() -> None:
    figures = [(name, f"CAST({expression} AS bigint)", what) for name, expression, what in _FIGURES]
    _view(
        "corrections",
        "A row for each correction; its figures are what it changes, signed.",
        [
            ("store_id", "r.store_id", "The store."),
            ("correction_id", "r.correction_id", "The correction."),
            ("closing_id", "r.closing_id", "The closing that it corrects."),
            ("profile_id", "r.profile_id", "The till's profile."),
            ("correction_number", "r.correction_number", "The till's number of the correction."),
            ("correction", "r.correction", "late_movement, late_order, late_void, recount or session_voided."),
            ("occurred_at", "q.occurred_at", "When it happened."),
            ("received_at", "r.received_at", "When it was learnt of."),
            ("actor", "q.actor ->> 'id'", "Who did it, by id."),
            ("actor_name", "q.actor ->> 'name'", "Their name, where there is one."),
            ("reason", "q.reason", "Why."),
            ("needs_review", "q.needs_review", "Whether it asks for review."),
            ("business_date", "c.business_date", "The closing's trading day."),
            ("closed_at", "c.closed_at", "When the session was closed."),
            ("z_number", "c.z_number", "The number of the closing's Z report."),
            ("opened_by", "c.opened_by", "Who opened the session, by id."),
            ("currency", "c.currency", "The closing's base currency; this and others are null until it has come."),
            *_in_decimals(figures),
        ],
        f"""
        reporting.corrections AS r
        LEFT JOIN reporting.closings AS c ON c.store_id = r.store_id AND c.closing_id = r.closing_id
        LEFT JOIN analyst.currencies AS k ON k.currency = c.currency
        CROSS JOIN LATERAL json_to_record(reporting.as_json(r.value))
            AS q(occurred_at timestamptz, actor json, reason text, needs_review boolean, deltas json)
        CROSS JOIN LATERAL {_FIGURES_FROM.format(json="q.deltas")}
        """,
    )


def _in_decimals(columns: Sequence[Column], unit: str = "k") -> list[Column]:
    """Each column, and behind those in minor units the same with the decimals of its currency."""
    all_of_them = []
    for name, expression, meaning in columns:
        all_of_them.append((name, expression, meaning))
        if name.endswith("_minor"):
            all_of_them.append((name.removesuffix("_minor"), f"{expression} * {unit}.unit", meaning))
    return all_of_them


def _view(name: str, comment: str, columns: Sequence[Column], source: str) -> None:
    selected = ", ".join(f"{expression} AS {column}" for column, expression, _ in columns)
    op.execute(f"CREATE VIEW analyst.{name} AS SELECT {selected} FROM {source}")
    comments = [
        f"COMMENT ON VIEW analyst.{name} IS '{_quoted(comment)}'",
        *(f"COMMENT ON COLUMN analyst.{name}.{column} IS '{_quoted(meaning)}'" for column, _, meaning in columns),
    ]
    # In one statement: hundreds of them take their time one by one.
    op.execute(f"DO $$ BEGIN {'; '.join(comments)}; END $$")


def _quoted(sentence: str) -> str:
    return sentence.replace("'", "''")
