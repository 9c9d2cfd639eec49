"""All SQL of the sessions service. Every function works in the caller's transaction and never commits.

Statements take arrays and unnest them: one statement a batch, whatever the batch holds, and one prepared plan. Locks
come first and alone; what they protect is read by later statements, because a statement that waits for a row lock wakes
with the locked row as it is now and everything else as it was before.

A batch's way is on the driver alone (`transaction`); what a worker asks once in a while goes through SQLAlchemy.
"""

from services.sessions.store.frontier import (
    expired_commands,
    know_partition,
    lock_frontier,
    note_expired,
    sessions_held,
)
from services.sessions.store.loading import load, lock_tills
from services.sessions.store.published import load_closings, load_corrections, load_places
from services.sessions.store.saving import Frontier, Row, journal_row, save
from services.sessions.store.transaction import transaction

__all__ = [
    "Frontier",
    "Row",
    "expired_commands",
    "journal_row",
    "know_partition",
    "load",
    "load_closings",
    "load_corrections",
    "load_places",
    "lock_frontier",
    "lock_tills",
    "note_expired",
    "save",
    "sessions_held",
    "transaction",
]
