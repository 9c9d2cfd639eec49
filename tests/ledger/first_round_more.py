"""How `first_round_more.sql` was made: by the version before, from the commands below. It is no test of this version.

    git clone . /tmp/before && cd /tmp/before && git checkout e65a56e && make install
    cp …/tests/ledger/first_round_more.py tests/ledger/ && .venv/bin/pytest tests/ledger/first_round_more.py

puts them through that version's rules into that version's tables, on the embedded stack, and writes all rows beside
itself. It uses nothing but what both versions have. `first_round.sql` was made in the same way.
"""

import json
from pathlib import Path
from typing import Any, Final

from tests.ledger.ledger import Ledger, profile
from tests.support.till import CASH, DOLLARS, RAPPI, Body, Till, amounts, order

TABLES: Final = (
    "profiles",
    "tills",
    "sessions",
    "journal",
    "voids",
    "reused_answers",
    "place_answers",
    "closings",
    "corrections",
    "consumed",
)
BEFORE_THE_COUNT: Final = "2026-03-02T07:58:00Z"
BOSS: Final = {"id": "mona"}


def commands() -> list[Body]:
    """What the first dump lacks.

    `own`: sessions with tenders of their own and a named day, one closed and corrected, one in the middle; orders that
    were closed by force and canceled from outside. `again`: a session that waits for a new count, of cash alone.
    """
    own, again = Till(name="own", ids=0x1000), Till(name="again", ids=0x2000)
    closed, busy, again.session_id = own.new_id(), own.new_id(), again.new_id()
    own.session_id = closed
    brought = {"currency": "MXN", "tenders": [RAPPI, CASH, DOLLARS]}
    records = [
        own.body("open_session", **brought, opening=amounts({"cash": 100}), business_date="2026-02-27"),
        own.body("record_order", **order("A", {"cash": 30, "rappi": 9}, status="forced_close")),
        own.body("record_order", **order("B", {"cash": 20}, status="canceled_by_external", gross_minor=20)),
        own.body("record_order", **order("C", {"usd": 2}, provider="RAPPI")),
        own.body("record_order", **order("C", {"usd": 2}, provider="RAPPI", revision=1, status="canceled_by_pos")),
        own.body("close_session", counted=amounts({"cash": 131, "usd": 0})),
        own.body(
            "record_order",
            **order("D", {"cash": 1}, refund_of="A", status="forced_close"),
            occurred_at=BEFORE_THE_COUNT,
        ),
    ]
    own.session_id = busy
    records += [
        own.body("open_session", **brought, opening=amounts({"cash": 131, "usd": 1}), business_date="2026-02-28"),
        own.body("record_order", **order("A", {"cash": 40}, status="forced_close")),
        own.body("record_order", **order("B", {"cash": 20, "usd": 1}, status="canceled_by_external")),
        own.body("record_order", **order("C", {"cash": 11}, status="open")),
        own.body("record_order", **order("D", {"cash": 3}, refund_of="A", status="forced_close")),
        again.body("open_session", currency="MXN", opening=amounts({"cash": 50})),
        again.body("record_order", **order("A", {"cash": 5}, status="forced_close")),
        again.body("close_session", counted=amounts({"cash": 40}), notes=["first"]),
        again.body("record_order", **order("B", {"cash": 3}), occurred_at=BEFORE_THE_COUNT),
        again.body("approve_closing", decision="recount", reason="again", actor=BOSS),
        again.body("record_order", **order("B", {"cash": 4}, revision=1), occurred_at=BEFORE_THE_COUNT),
    ]
    return records


async def test_write(ledger: Ledger) -> None:
    await ledger.sql("DELETE FROM tills")
    await ledger.sql("DELETE FROM profiles")
    await ledger.import_profiles(
        profile(profile_id="own", company_id="cafes"),
        profile(profile_id="again", tenders="[]", over_short_limit_minor=0),
    )
    await ledger.apply(*commands())
    written = [text for table in TABLES if (text := await rows_of(ledger, table))]
    Path(__file__).with_suffix(".sql").write_text("\n\n".join(written) + "\n", encoding="utf-8")


async def rows_of(ledger: Ledger, table: str) -> str:
    """All rows of a table as one statement; empty without any."""
    columns = await ledger.sql(
        f"SELECT column_name FROM information_schema.columns WHERE table_name = '{table}' AND is_generated = 'NEVER' "  # noqa: S608
        "AND table_schema = current_schema() ORDER BY ordinal_position"
    )
    names = ", ".join(name for (name,) in columns)
    rows = await ledger.sql(f"SELECT {names} FROM {table}")  # noqa: S608
    listed = ",\n".join(sorted(f"({', '.join(map(literal, row))})" for row in rows))
    return f"INSERT INTO {table} ({names}) VALUES\n{listed};" if rows else ""


def literal(value: Any) -> str:
    """A value in SQL; bytes that are text as text."""
    if value is None:
        return "NULL"
    if isinstance(value, int):
        return str(value).lower()
    if isinstance(value, list):
        value = json.dumps(value)
    if not isinstance(value, bytes):
        return "'" + str(value).replace("'", "''") + "'"
    try:
        return f"convert_to({literal(value.decode())}, 'UTF8')" if value[:1] in b"{[" else literal(f"\\x{value.hex()}")
    except UnicodeDecodeError:
        return literal(f"\\x{value.hex()}")
