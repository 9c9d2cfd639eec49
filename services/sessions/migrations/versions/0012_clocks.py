"""What the clocks of registers said in sessions that are not closed yet: a closing is never before what it holds."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import sqlalchemy as sa
from alembic import op

from contracts.times import CLOCK_SET_FROM, counted_time, read_time, wire_time

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

SESSIONS = (
    "SELECT store_id, session_id, opening, register, ending FROM sessions WHERE state <> 'closed' AND state <> 'voided'"
)
JOURNAL = """
    SELECT sequence, kind, received_at, command FROM journal
     WHERE store_id = :store AND session_id = :session AND link IS NOT NULL AND sequence > :after
     ORDER BY sequence LIMIT 1000
"""
WRITE = "UPDATE sessions SET register = :register, ending = :ending WHERE store_id = :store AND session_id = :session"
DATED = frozenset({"cash_moved", "movement_voided", "order_recorded", "drawer_counted"})
STATES = {"session_opened": "open", "session_suspended": "suspended", "session_resumed": "open",
          "closing_pending": "pending"}  # fmt: skip


def upgrade() -> None:
    """Read each such session's journal once, as `till verify` does."""
    tx = op.get_bind()
    for session in tx.execute(sa.text(SESSIONS)).all():
        key = {"store": session.store_id, "session": session.session_id}
        register, ending = clocks(session, entries(tx, key))
        tx.execute(sa.text(WRITE), key | {"register": register, "ending": ending})


def entries(tx: sa.Connection, key: dict[str, str]) -> Iterator[Any]:
    """A session's journal, a thousand rows at once: a cursor stays open, and nothing could alter the table after it."""
    after = 0
    while page := tx.execute(sa.text(JOURNAL), key | {"after": after}).all():
        yield from page
        after = page[-1].sequence


def clocks(session: Any, journal: Iterable[Any]) -> tuple[bytes, bytes]:
    """The rows `register` and `ending` of a session, with what its journal says of its register's clock."""
    opened_at = orjson.loads(session.opening)[1]
    ending, latest_at, adjusted, state = orjson.loads(session.ending), "", False, "open"
    for entry in journal:
        occurred_at = read_time(orjson.loads(entry.command)["occurred_at"])
        counted = counted_time(occurred_at, wire_time(entry.received_at))
        state = STATES.get(entry.kind, state)
        if entry.kind == "session_opened":
            adjusted = opened_at != occurred_at
        elif entry.kind in DATED and occurred_at >= CLOCK_SET_FROM:
            latest_at = max(latest_at, counted)
        elif entry.kind in DATED:
            adjusted = adjusted or state in {"suspended", "pending"}
        elif entry.kind in {"closing_pending", "session_suspended"}:
            border = max(counted, opened_at, latest_at)
            if entry.kind == "session_suspended" and state == "suspended" and ending.get("suspended_at"):
                ending["suspended_at"] = border
            if entry.kind == "closing_pending" and ending.get("attempt"):
                ending["attempt"] |= {"closed_at": border, "clock_adjusted": border != occurred_at}
    return orjson.dumps([*orjson.loads(session.register)[:3], latest_at, adjusted]), orjson.dumps(ending)


def downgrade() -> None:
    """There is no way back; a database is restored, never downgraded."""
    raise NotImplementedError("Migrations only go forward; restore a backup instead.")
