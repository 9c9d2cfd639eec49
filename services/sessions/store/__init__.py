"""All SQL of the sessions service. Every function works in the caller's transaction and never commits.

Statements take arrays and unnest them: one statement a batch, whatever the batch holds, and one prepared plan. Locks
come first and alone; what they protect is read by later statements, because a statement that waits for a row lock wakes
with the locked row as it is now and everything else as it was before.
"""

from services.sessions.store.frontier import (
    expired_commands,
    know_partition,
    lock_frontier,
    move_frontier,
    note_expired,
    sessions_held,
)
from services.sessions.store.loading import (
    load_answers,
    load_early_numbers,
    load_movements,
    load_orders,
    load_reused,
    load_revocations,
    load_sessions,
    load_tills,
    lock_tills,
)
from services.sessions.store.published import load_closings, load_corrections, load_places
from services.sessions.store.saving import save

__all__ = [
    "expired_commands",
    "know_partition",
    "load_answers",
    "load_closings",
    "load_corrections",
    "load_early_numbers",
    "load_movements",
    "load_orders",
    "load_places",
    "load_reused",
    "load_revocations",
    "load_sessions",
    "load_tills",
    "lock_frontier",
    "lock_tills",
    "move_frontier",
    "note_expired",
    "save",
    "sessions_held",
]
