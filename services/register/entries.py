"""What stands in an outbox: commands that a till has said, each with what became of it."""

from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

State = Literal["queued", "answered", "set_aside", "given_up"]
"""`queued`: to be sent, or on its way. `answered`: accepted, or refused for good. `set_aside`: answered by what claims
nothing; it is sent again. `given_up`: a person said that it is to be sent no more."""

OPENS: Final = "open_session"
ENDS: Final = frozenset({"close_session", "force_close", "void_session"})
"""Commands after which nothing is open at the till, as far as the outbox knows."""
CLAIMS_NOTHING: Final = frozenset(
    {"unauthenticated", "forbidden", "profile_unknown", "session_unknown", "tender_unknown", "movement_unknown"}
)
"""Reasons of refusals that are no last word (contracts/WIRE.md §4): what is missing may come."""
NOT_LET_IN: Final = frozenset({"unauthenticated", "forbidden"})
"""Of these, those that would meet every command of this register."""
TILL_UNKNOWN: Final = "profile_unknown"
"""The one that would meet every command of its till."""


class Till(NamedTuple):
    """A drawer of a store: its commands are sent in their order."""

    store_id: str
    profile_id: str


@dataclass(frozen=True, slots=True)
class Entry:
    """One command in the outbox.

    `number` counts what was taken, `body` is what is sent, the same bytes every time. Times are seconds since 1970 by
    the machine's clock. `trouble` is a sentence: why it still waits, or what the refusal says. `answer` is the
    service's, as it is on the events topic; None where it has none yet, or refused to take the body at all.
    """

    number: int
    till: Till
    command_id: str
    session_id: str | None
    kind: str
    body: bytes
    state: State
    refused: bool
    taken_at: float
    attempts: int
    trouble: str | None
    answer: bytes | None
    answered_at: float | None
    seen: bool
    event: int | None = None
    """The latest change of it, counted over the whole outbox; None where it was only taken."""


@dataclass(frozen=True, slots=True)
class Counts:
    """How much waits in an outbox. `oldest_queued_at` is None where nothing does.

    `held` counts the tills whose next command waits for somebody: nothing goes out for them.
    """

    queued: int
    set_aside: int
    refused_unseen: int
    held: int
    oldest_queued_at: float | None
    last_answered_at: float | None
