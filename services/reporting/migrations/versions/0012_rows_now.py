"""The analysts' tables of a closing as they stand now: `tenders_now`, `taxes_now` and `staff_now`."""

# ruff: noqa: S608 - all SQL here is of constants, and of names and comments that other migrations gave

from collections.abc import Sequence
from typing import NamedTuple

from alembic import op

revision = "0012"
down_revision = "0011"


class Rows(NamedTuple):
    """A view's keys and names by column, the members of the JSON that they need, and figures that lie within those."""

    keys: dict[str, str]
    names: dict[str, str]
    types: str
    deeper: dict[str, str]


MOVEMENTS = ("pay_in", "float_loan", "pay_out", "safe_drop", "bank_pickup", "tip_out")
ROWS = {
    "tenders": Rows(
        {"tender": "x.tender"},
        {
            "tender_name": "x.name",
            "tender_type": "x.type",
            "tender_currency": "x.currency",
            "exchange_rate": "x.exchange_rate",
        },
        "tender text, name text, type text, currency text, exchange_rate numeric, change_given json, movements json, "
        "base json",
        {
            f"{name}_minor": f"CAST({total} ->> 'total_minor' AS bigint)"
            for name, total in [
                ("change_given", "x.change_given"),
                *((one, f"x.movements -> '{one}'") for one in MOVEMENTS),
            ]
        },
    ),
    "taxes": Rows({"tax_name": "x.name", "rate": "x.rate"}, {}, "name text, rate numeric", {}),
    "staff": Rows({"staff_id": "x.id"}, {"staff_name": "x.name"}, "id text, name text", {}),
}
# Those of the first version lack these members: 0, as in the views of what was closed.
ADDED_LATER = {f"{base}{name}_minor" for base in ("", "base_") for name in ("prepaid", "change_given")}


def upgrade() -> None:
    """Makes the three views, with the columns of those that have the rows as closed; no closing is touched."""
    tx = op.get_bind()
    for view, rows in ROWS.items():
        columns = [
            (name, kind, meaning)
            for name, kind, meaning in tx.exec_driver_sql(f"""
                SELECT attname, format_type(atttypid, atttypmod), col_description(attrelid, attnum) FROM pg_attribute
                 WHERE attrelid = CAST('analyst.{view}' AS regclass) AND attnum > 0 AND NOT attisdropped ORDER BY attnum
            """)
        ]
        names = [name for name, _, _ in columns]
        figures = [name for name in names if name.endswith(("_minor", "_count"))]
        selected = ", ".join(f"{_column(name, kind, figures, rows)} AS {name}" for name, kind, _ in columns)
        op.execute(f"CREATE VIEW analyst.{view}_now AS SELECT {selected} FROM {_source(view, rows, figures)}")
        op.execute(
            f"COMMENT ON VIEW analyst.{view}_now IS"
            f" 'The rows of {view} with all corrections added, as they stand now; without voided sessions.'"
        )
        comments = [
            "COMMENT ON COLUMN analyst.{}_now.{} IS '{}'".format(view, name, meaning.replace("'", "''"))
            for name, _, meaning in columns
        ]
        op.execute(f"DO $$ BEGIN {'; '.join(comments)}; END $$")


def _column(name: str, kind: str, figures: Sequence[str], rows: Rows) -> str:
    """A column of what was added up, as the view of closed rows has it."""
    if name in rows.keys | rows.names:
        return f"CAST(t.{name} AS {kind})"
    if name in figures:
        return f"CAST(t.{name} AS bigint)"
    if f"{name}_minor" in figures:
        # A tender's own amounts are in its own currency.
        unit = "kt" if "tender" in rows.keys and not name.startswith("base_") else "k"
        return f"CAST(t.{name}_minor AS bigint) * {unit}.unit"
    return f"c.{name}"


def _source(view: str, rows: Rows, figures: Sequence[str]) -> str:
    # What names a row is as its closing has it; a row that corrections brought is named by the first of these.
    named = [
        f"(array_agg({expression} ORDER BY p.number) FILTER (WHERE {expression} IS NOT NULL))[1] AS {name}"
        for name, expression in rows.names.items()
    ]
    sums = [f"{_sum(name, rows)} AS {name}" for name in figures]
    keys = [f"{expression} AS {name}" for name, expression in rows.keys.items()]
    own = [name for name in figures if not name.startswith("base_") and name not in rows.deeper]
    types = ", ".join(f"{name} bigint" for name in own)
    base = ", ".join(f"{name.removeprefix('base_')} bigint" for name in figures if name.startswith("base_"))
    of_base = f"CROSS JOIN LATERAL json_to_record(x.base) AS b({base})" if base else ""
    own_currency = "LEFT JOIN analyst.currencies AS kt ON kt.currency = t.tender_currency" if base else ""
    return f"""
        reporting.closings AS c LEFT JOIN analyst.currencies AS k ON k.currency = c.currency
        CROSS JOIN LATERAL (
            SELECT {", ".join([*keys, *named, *sums])}
              FROM (SELECT 0 AS number, reporting.as_json(c.value) AS figures
                     UNION ALL
                    SELECT r.correction_number, q.deltas FROM reporting.corrections AS r
                     CROSS JOIN LATERAL json_to_record(reporting.as_json(r.value)) AS q(deltas json)
                     WHERE r.store_id = c.store_id AND r.closing_id = c.closing_id) AS p
             CROSS JOIN LATERAL json_to_record(p.figures) AS j({view} json)
             CROSS JOIN LATERAL json_to_recordset(coalesce(j.{view}, '[]')) AS x({rows.types}, {types}) {of_base}
             GROUP BY {", ".join(rows.keys.values())}) AS t {own_currency}
        WHERE NOT EXISTS (SELECT FROM reporting.corrections AS v WHERE v.store_id = c.store_id
                             AND v.closing_id = c.closing_id AND v.correction = 'session_voided')
    """


def _sum(name: str, rows: Rows) -> str:
    """What a figure adds up to: null where it is null in every part."""
    member = f"b.{name.removeprefix('base_')}" if name.startswith("base_") else rows.deeper.get(name, f"x.{name}")
    return f"coalesce(sum({member}), 0)" if name in ADDED_LATER else f"sum({member})"
