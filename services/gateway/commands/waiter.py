"""One who waits for the answer to a command, and which answers are theirs."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

from contracts.events import event_id_of, reused_event_id_of
from contracts.topics import key_of
from services.gateway.commands.envelope import Envelope

UNCLAIMED_MAX: Final = 4
"""Answers kept for one that waits for the broker's word on where its record lies; one is its own, others are strays."""


@dataclass(slots=True)
class Waiter:
    """What is known of a command until it is answered."""

    key: bytes
    command_id: bytes
    claiming: frozenset[bytes]
    """The event ids of the answers that claim the command's id, or refuse this body under one that is taken."""
    answer: asyncio.Future[bytes | None]
    """The answer's bytes, or None: events may have been missed, so look into the ledger."""
    own: bytes | None = None
    """The event id of an answer that claims nothing, once it is known where the record lies."""
    unclaimed: dict[bytes, bytes] = field(default_factory=dict)
    """Answers that claim nothing, by their event ids, which came before that was known."""

    def take(self, event_id: bytes, raw: bytes) -> None:
        """An answer that came. One that claims nothing is this one's only if it answers the very record."""
        if event_id in self.claiming or event_id == self.own:
            resolve(self, raw)
        elif self.own is None and len(self.unclaimed) < UNCLAIMED_MAX:
            self.unclaimed[event_id] = raw

    def lies_at(self, event_id: bytes) -> None:
        """The record lies where an answer that claims nothing has this event id."""
        self.own = event_id
        if event_id in self.unclaimed:
            resolve(self, self.unclaimed[event_id])


def waiter_for(envelope: Envelope) -> Waiter:
    """Who waits for the answer to this command, which is not published yet."""
    claimed = event_id_of(envelope.store_id, envelope.command_id)
    reused = reused_event_id_of(envelope.store_id, envelope.command_id, envelope.body_hash.hex())
    return Waiter(
        key=key_of(envelope.store_id, envelope.profile_id),
        command_id=envelope.command_id.encode(),
        claiming=frozenset({claimed.encode(), reused.encode()}),
        answer=asyncio.Future(),
    )


def resolve(waiter: Waiter, raw: bytes | None) -> None:
    """Give whoever waits this answer, where they have none."""
    if not waiter.answer.done():
        waiter.answer.set_result(raw)
