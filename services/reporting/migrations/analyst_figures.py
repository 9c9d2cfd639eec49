"""The analysts' views of figures: `closings`, `closings_now` and `corrections`, column by column.

Migration 0007 made them first, with some figures as they were then. Whoever changes a figure changes it here, and makes
the views anew in a migration of its own.

`closings` has a closing's value read once for all of its columns, and what lies in a member of it only for those that
need it: most of what such a row costs is PostgreSQL's reading of JSON.
"""

# ruff: noqa: S608 - all SQL here is of constants

from collections.abc import Sequence

from alembic import op

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
        "Totals of orders that go on in a later session.",
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
        (name, f"(SELECT coalesce(sum({figure}), 0) FROM json_to_recordset({rows}) AS x({types}))", meaning)
        for name, figure, rows, types, meaning in (
            ("refunds_minor", "x.total_minor", "f.refunds", "total_minor bigint", "What was paid back, without tips."),
            ("refunds_count", "x.count", "f.refunds", "count bigint", "Refunds."),
            # In base currency: the table `tips` has each tender's in its own.
            ("tips_minor", "CAST(x.base ->> 'tips_minor' AS bigint)", "f.tenders", "base json", "Tips."),
            ("prepaid_minor", "x.total_minor", "f.prepaid", "total_minor bigint", "What was paid ahead on orders."),
        )
    ),
    # Not out of `taxes`, where an order stands only if it names its taxes.
    ("tax_minor", "u.total_minor - u.net_minor + p.total_minor - p.net_minor", "Tax in the sales."),
    (
        "refunded_tax_minor",
        "(SELECT coalesce(sum(x.tax_minor), 0) FROM json_to_recordset(f.refunds) AS x(tax_minor bigint))",
        "Tax in the refunds; 0 in closings of the first version, which don't tell it.",
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
_MEMBERS: Sequence[str] = ("sales", "summary", "cash_movements", "refunds", "prepaid", "tenders")
_FIGURES_OF_MEMBERS = """
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
_FIGURES_FROM = "json_to_record({{json}}) AS f({members}) {figures}".format(
    members=", ".join(f"{name} json" for name in _MEMBERS), figures=_FIGURES_OF_MEMBERS
)
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
_HEAD_AND_FIGURES = """
    LEFT JOIN LATERAL (SELECT {columns} FROM json_to_record(reporting.as_json(c.value)) AS j({types})) AS w ON true
    LEFT JOIN LATERAL (
        SELECT {figures} FROM (SELECT {passed_on}) AS f {source}) AS h ON true
""".format(
    columns=", ".join(
        [
            f"max(j.{name} ->> 'id') AS {name}, max(j.{name} ->> 'name') AS {name}_name"
            if kind == "person"
            else f"{'bool_and' if kind == 'boolean' else 'max'}(j.{name}) AS {name}"
            for name, kind, _ in _HEAD
        ]
        # Of JSON there is no greatest.
        + [f"(array_agg(j.{name}))[1] AS {name}" for name in _MEMBERS]
    ),
    types=", ".join(
        [f"{name} {'json' if kind == 'person' else kind}" for name, kind, _ in _HEAD]
        + [f"{name} json" for name in _MEMBERS]
    ),
    figures=", ".join(f"max({expression}) AS {name}" for name, expression, _ in _FIGURES),
    passed_on=", ".join(f"w.{name}" for name in _MEMBERS),
    source=_FIGURES_OF_MEMBERS.format(),
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


def make_anew() -> None:
    """Drops the three views and makes them as they are here; rights on them, or on a column, and options stay.

    Fails where somebody has built views of their own upon them: whoever made these drops them first.
    """
    tx = op.get_bind()
    lines = list(
        tx.exec_driver_sql("""
        SELECT format('ALTER VIEW analyst.%I SET (%s)', v.relname, array_to_string(v.reloptions, ', '))
          FROM pg_class AS v WHERE v.relnamespace = CAST('analyst' AS regnamespace) AND v.reloptions IS NOT NULL
           AND v.relname IN ('closings', 'closings_now', 'corrections')
         UNION ALL
        SELECT format('GRANT %s%s ON analyst.%I TO %s%s', a.privilege_type, a.part, v.relname,
                      CASE a.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(a.grantee)) END,
                      CASE WHEN a.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
          FROM pg_class AS v CROSS JOIN LATERAL (
                SELECT one.*, '' AS part FROM aclexplode(v.relacl) AS one
                 UNION ALL
                SELECT one.*, format(' (%I)', n.attname) FROM pg_attribute AS n
                 CROSS JOIN LATERAL aclexplode(n.attacl) AS one WHERE n.attrelid = v.oid) AS a
         WHERE v.relnamespace = CAST('analyst' AS regnamespace) AND a.grantee <> v.relowner
           AND v.relname IN ('closings', 'closings_now', 'corrections')
        """).scalars()
    )
    op.execute("DROP VIEW analyst.closings, analyst.closings_now, analyst.corrections")
    make_closings()
    _closings_now()
    _corrections()
    for statement in lines:
        tx.exec_driver_sql(statement)


def make_closings() -> None:
    """Makes the view `closings`, or puts it as it is here in the place of one with the same columns."""
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
        f"{_FROM} {_HEAD_AND_FIGURES}",
    )


def _closings_now() -> None:
    now = [
        (
            name,
            "CAST({} AS bigint)".format(
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
    put_view(name, f"SELECT {selected} FROM {source}")
    comments = [
        f"COMMENT ON VIEW analyst.{name} IS '{_quoted(comment)}'",
        *(f"COMMENT ON COLUMN analyst.{name}.{column} IS '{_quoted(meaning)}'" for column, _, meaning in columns),
    ]
    # In one statement: hundreds of them take their time one by one.
    op.execute(f"DO $$ BEGIN {'; '.join(comments)}; END $$")


def put_view(name: str, query: str) -> None:
    """Makes a view, or puts it in the place of one with the same columns, whose rights, comments and options stay."""
    options = op.get_bind().exec_driver_sql(f"""
        SELECT format('WITH (%s)', array_to_string(reloptions, ', ')) FROM pg_class
         WHERE relnamespace = CAST('analyst' AS regnamespace) AND relname = '{name}' AND reloptions IS NOT NULL
    """)
    op.execute(f"CREATE OR REPLACE VIEW analyst.{name} {options.scalar() or ''} AS {query}")


def _quoted(sentence: str) -> str:
    return sentence.replace("'", "''")
