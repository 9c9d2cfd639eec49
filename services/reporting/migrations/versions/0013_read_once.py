"""The analysts' closings and tenders read a closing once for all columns: the same rows in less time."""

# ruff: noqa: S608 - all SQL here is of constants, and of names that other migrations gave

from alembic import op

from services.reporting.migrations.analyst_figures import make_closings, put_view

revision = "0013"
down_revision = "0012"

_MOVEMENTS = ("pay_in", "float_loan", "pay_out", "safe_drop", "bank_pickup", "tip_out")
# Those of the first version lack these members: 0.
_ADDED_LATER = frozenset({f"{base}{name}_minor" for base in ("", "base_") for name in ("prepaid", "change_given")})
_NAMES = {
    "tender": "x.tender",
    "tender_name": "x.name",
    "tender_type": "x.type",
    "tender_currency": "x.currency",
    "exchange_rate": "x.exchange_rate",
}
# Its tenders are most of a closing: they alone become jsonb, in which the figures deep within cost next to nothing.
_ROWS = """
    CROSS JOIN LATERAL json_to_record({json}) AS j(tenders jsonb)
    CROSS JOIN LATERAL jsonb_to_recordset(coalesce(j.tenders, '[]')) AS x(tender text, name text, type text,
        currency text, exchange_rate numeric, change_given jsonb, movements jsonb, base jsonb, {figures})
"""
_AS_CLOSED = "SELECT {columns} FROM (SELECT reporting.as_json(c.value) AS closing) AS v {rows} OFFSET 0"
_NOW = """
    SELECT {columns}
      FROM (SELECT 0 AS number, reporting.as_json(c.value) AS figures
             UNION ALL
            SELECT r.correction_number, q.deltas FROM reporting.corrections AS r
             CROSS JOIN LATERAL json_to_record(reporting.as_json(r.value)) AS q(deltas json)
             WHERE r.store_id = c.store_id AND r.closing_id = c.closing_id) AS p {rows}
     GROUP BY x.tender
"""
_NOT_VOIDED = """
    WHERE NOT EXISTS (SELECT FROM reporting.corrections AS v WHERE v.store_id = c.store_id
                         AND v.closing_id = c.closing_id AND v.correction = 'session_voided')
"""


def upgrade() -> None:
    """Puts the three views in the place of those that there are; no closing is touched, and all rights stay."""
    make_closings()
    columns = list(
        op.get_bind().exec_driver_sql("""
            SELECT attname, format_type(atttypid, atttypmod) FROM pg_attribute
             WHERE attrelid = CAST('analyst.tenders' AS regclass) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
        """)
    )
    figures = [name for name, _ in columns if name.endswith("_minor")]
    selected = ", ".join(f"{_column(name, kind, figures)} AS {name}" for name, kind in columns)
    own = ", ".join(f"{name} bigint" for name in figures if _figure(name) == f"x.{name}")

    once = [f"{expression} AS {name}" for name, expression in _NAMES.items()]
    once += [
        f"coalesce({_figure(name)}, 0) AS {name}" if name in _ADDED_LATER else f"{_figure(name)} AS {name}"
        for name in figures
    ]
    rows = _AS_CLOSED.format(columns=", ".join(once), rows=_ROWS.format(json="v.closing", figures=own))
    put_view("tenders", _query(selected, rows))

    # What names a tender is as its closing has it; one that corrections brought is named by the first of these.
    added_up = [
        f"(array_agg({expression} ORDER BY p.number) FILTER (WHERE {expression} IS NOT NULL))[1] AS {name}"
        if name != "tender"
        else f"{expression} AS {name}"
        for name, expression in _NAMES.items()
    ]
    added_up += [
        f"coalesce(sum({_figure(name)}), 0) AS {name}" if name in _ADDED_LATER else f"sum({_figure(name)}) AS {name}"
        for name in figures
    ]
    rows = _NOW.format(columns=", ".join(added_up), rows=_ROWS.format(json="p.figures", figures=own))
    put_view("tenders_now", f"{_query(selected, rows)} {_NOT_VOIDED}")


def _query(selected: str, rows: str) -> str:
    return f"""
        SELECT {selected} FROM reporting.closings AS c
          LEFT JOIN analyst.currencies AS k ON k.currency = c.currency CROSS JOIN LATERAL ({rows}) AS t
          LEFT JOIN analyst.currencies AS kt ON kt.currency = t.tender_currency
    """


def _column(name: str, kind: str, figures: list[str]) -> str:
    """A column of the views."""
    if name in _NAMES:
        return f"CAST(t.{name} AS {kind})"
    if name in figures:
        return f"CAST(t.{name} AS bigint)"
    if f"{name}_minor" in figures:
        # A tender's own amounts are in its own currency.
        return f"CAST(t.{name}_minor AS bigint) * {'k' if name.startswith('base_') else 'kt'}.unit"
    return f"c.{name}"


def _figure(name: str) -> str:
    """Where a figure lies in a tender of the JSON."""
    member = name.removesuffix("_minor")
    if member.startswith("base_"):
        return f"CAST(x.base ->> '{name.removeprefix('base_')}' AS bigint)"
    if member == "change_given":
        return "CAST(x.change_given ->> 'total_minor' AS bigint)"
    if member in _MOVEMENTS:
        return f"CAST(x.movements #>> '{{{member},total_minor}}' AS bigint)"
    return f"x.{name}"
