"""Entries without an outbox, for tests of lines."""

import time

from services.register.entries import Entry, Till
from tests.support.commands import Body, written


def entry_of(body: Body, store: str = "s1") -> Entry:
    """An entry as an outbox has it."""
    till = Till(store, str(body["profile_id"]))
    return Entry(
        number=1,
        till=till,
        command_id=str(body["command_id"]),
        session_id=body.get("session_id"),
        kind=str(body["kind"]),
        body=written(body),
        state="queued",
        refused=False,
        taken_at=time.time(),
        attempts=0,
        trouble=None,
        answer=None,
        answered_at=None,
        seen=False,
    )
