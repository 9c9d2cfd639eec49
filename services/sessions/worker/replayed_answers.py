"""Records that were applied before: what they were answered is found again. Nothing is decided anew."""

from dataclasses import replace
from typing import Any, Final

from asyncpg import Connection

from contracts.events import claimless_event_id_of, reused_event_id_of
from contracts.times import wire_time
from services.sessions.ledger.load import load_known, load_state
from services.sessions.ledger.published import load_closings, load_corrections, load_positions
from services.sessions.rules.model import BatchState, KnownAnswer, Outcome, Received
from services.sessions.worker.read_record import read

CORRECTING: Final = frozenset(
    {"cash_moved", "movement_voided", "order_recorded", "closing_corrected", "session_voided"}
)
"""The answers that may come with a correction."""


async def stored_outcomes(
    tx: Connection, topic_id: str, again: list[Received], *, by_id: bool = True
) -> dict[tuple[int, int], Outcome]:
    """The outcomes of records below the frontier by (partition, offset), with their closings and corrections.

    A closing or correction goes with the first record that leads to it, as it did when that was decided: six thousand
    copies of a small command would bring up to a megabyte each.
    Not `by_id`: of records whose command's id can have no answer of theirs.
    """
    if not again:
        return {}
    state = BatchState()
    positions = {
        (row["partition"], row["record_offset"]): row
        for row in await load_positions(tx, topic_id, {(r.store_id, r.partition, r.offset) for r in again})
    }
    if not by_id:
        again = [r for r in again if (r.partition, r.offset) in positions]
        if not again:
            return {}
    again = [r if (r.partition, r.offset) in positions else _in_full(r) for r in again]
    ids = {(r.store_id, r.command_id) for r in again}
    await load_state(tx, state, answers=ids)
    await load_known(tx, state, again)
    closed = {
        (r.store_id, r.command.session_id)
        for r in again
        if r.command is not None
        and r.command.session_id is not None
        and (a := state.answers.get((r.store_id, r.command_id)))
        and a.kind == "session_closed"
    }
    closings = await load_closings(tx, closed) if closed else {}
    corrections = await load_corrections(tx, ids)
    outcomes = {}
    for record in again:
        outcome = _stored_outcome(record, positions.get((record.partition, record.offset)), state, closings)
        if outcome is not None:
            if outcome.kind in CORRECTING:
                outcome = replace(outcome, correction_value=corrections.pop((record.store_id, record.command_id), None))
            outcomes[record.partition, record.offset] = outcome
    return outcomes


def _in_full(record: Received) -> Received:
    """A record that was answered by its id: its token was good then, though its key may have gone since."""
    if record.refused_right in {None, "forbidden"}:
        return record
    full = read(record.raw, None)
    return full if isinstance(full, Received) else record


def _stored_outcome(
    record: Received, position: Any, state: BatchState, closings: dict[tuple[str, str], bytes]
) -> Outcome | None:
    if position is not None:
        event_id = claimless_event_id_of(record.topic, record.partition, record.offset)
        at = wire_time(position["received_at"])
        return Outcome(record, "nothing", event_id, position["kind"], at, position["answer"], error=position["error"])
    known: KnownAnswer | None = state.answers.get((record.store_id, record.command_id))
    if known is not None and known.body_hash != record.body_hash:
        event_id = reused_event_id_of(record.store_id, record.command_id, record.body_hash.hex())
        known = state.reused.get(event_id)
    if known is None:
        return None
    closing = None
    session_id = record.command.session_id if record.command else None
    if known.kind == "session_closed" and session_id is not None:
        closing = closings.pop((record.store_id, session_id), None)
    return Outcome(
        record,
        "nothing",
        known.event_id,
        known.kind,
        known.received_at,
        known.value,
        closing_value=closing,
    )
