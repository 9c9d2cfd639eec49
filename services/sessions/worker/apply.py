"""One batch, one transaction: lock, load, decide command by command, save. What is returned is to be published."""

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal

from asyncpg import Connection
from sqlalchemy.ext.asyncio import AsyncEngine

from contracts.records import Command, RecordOrder
from contracts.topics import Topics
from services.platform.auth.claims import Flaw
from services.platform.errors import TillError
from services.sessions.ledger.frontier import Reached, lock_frontier
from services.sessions.ledger.load import load_known, load_state, lock_tills
from services.sessions.ledger.parts import Row
from services.sessions.ledger.save import Frontier, journal_row, save_batch
from services.sessions.ledger.transaction import transaction
from services.sessions.rules import decide
from services.sessions.rules.model import BatchState, Outcome, Received
from services.sessions.worker.metrics import StageTimer
from services.sessions.worker.publications import Publication, dead_letter, published
from services.sessions.worker.read_record import Parked
from services.sessions.worker.replayed_answers import stored_outcomes

Read = Received | Parked
PositionedRead = tuple[int, int, Read]
"""A record that was read, with its partition and offset."""
Whom = Literal["all", "entitled", "deferred"]
"""Who of a batch is answered. `entitled`: what has no right is left for later, though the frontier passes it;
`deferred`: these were."""
FaultPoint = Callable[[str], Awaitable[None]]
"""Called between the steps of a batch; the fault tests put their kills there."""


UNKNOWN: Final = -1
TURN_MISSED: Final[Flaw] = "unknown_key"
"""Of a record that was left for later, and has a right by the time that another process reads it again: a key that
nobody knew when its turn came has come since. What lay behind it was applied, so it stays refused."""
DECIDE_SLICE_S: Final = 0.01
"""Deciding lets the loop go on after so many seconds. What a record costs here is no matter of its bytes: a closing of
a busy session is made by a command of 400."""


async def nobody_counts() -> None:
    """No attempt is counted."""


class Gap(TillError):
    """The batch begins above the frontier: commands in between were not seen. Seek back and read them.

    The frontier is UNKNOWN where the ledger has none for the partition: it is older than the worker's first look.
    """

    def __init__(self, partition: int, frontier: int, first: int) -> None:
        super().__init__(f"partition {partition}: the frontier is {frontier}, the batch begins at {first}")
        self.partition = partition
        self.frontier = frontier


class FenceRefused(TillError):
    """Another worker has held a newer lock on one of these tills. Take the lock again, above `floor`."""

    def __init__(self, floor: int) -> None:
        super().__init__(f"a till was locked with token {floor} since")
        self.floor = floor


@dataclass(slots=True)
class Batch:
    """The records of one call, read, in the order of their partitions and offsets."""

    topic_id: str
    reads: Sequence[PositionedRead]
    answered: dict[int, int]
    """Above which nobody was answered: a ledger whose frontier is below it is an older one."""
    all_answered: Mapping[int, int] | None = None
    """Below which nobody waits, where that is not the same."""
    whom: Whom = "all"
    token: int = 0
    gaps_seen: Mapping[int, int] = field(default_factory=dict)
    park: str | None = None
    count_attempt: Callable[[], Coroutine[Any, Any, None]] = nobody_counts
    """Called once the batch holds its row locks; it never raises."""
    timer: StageTimer = field(default_factory=StageTimer)
    first: dict[int, int] = field(default_factory=dict)
    last: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for partition, offset, _ in self.reads:
            self.first.setdefault(partition, offset)
            self.last[partition] = offset


@dataclass(frozen=True, slots=True)
class Applied:
    """What a batch led to: what was decided now, and all that is to be published, re-reads included."""

    outcomes: list[Outcome]
    publications: list[Publication]
    deferred: list[PositionedRead]
    """What was left for later."""


@dataclass(frozen=True, slots=True)
class _Decided:
    """The outcomes of a batch's new commands, their entries in the journal, and what goes out for all its records."""

    outcomes: list[Outcome]
    entries: list[Row]
    publications: list[Publication]
    deferred: list[PositionedRead]


async def apply(engine: AsyncEngine, topics: Topics, batch: Batch, fault_point: FaultPoint) -> Applied:
    """Apply a batch in one transaction; what it returns is durable when it returns.

    Raises Gap, LedgerRestored or FenceRefused, with nothing changed, and whatever the database raises.
    """
    async with transaction(engine) as tx:
        frontier = await lock_frontier(tx, batch.topic_id, batch.first, batch.answered)
        _check_gaps(batch, frontier)
        received = [read for _, _, read in batch.reads if isinstance(read, Received)]
        commands = [read for read in received if read.offset >= frontier[read.partition].next_offset]
        reread = [read for read in received if read.offset < frontier[read.partition].next_offset]
        state = BatchState()
        # A sender without the right, or one who was revoked, locks and reads nothing; for parking nobody does.
        entitled = [] if batch.park is not None else [c for c in commands if c.refused_right is None]
        if entitled:
            await lock_tills(tx, state, {(c.store_id, c.profile_id) for c in entitled})
        counting = asyncio.create_task(batch.count_attempt())
        try:
            if entitled:
                await _load(tx, state, entitled, batch.token)
            stored = await stored_outcomes(tx, batch.topic_id, reread, by_id=batch.whom != "deferred")
        finally:
            # Before anything is decided, so that a command that kills its process is known by it.
            await counting
        batch.timer.ended("load")
        decided = await _decide(topics, state, batch, frontier, stored)
        batch.timer.ended("decide")
        next_offsets = {p: max(last + 1, frontier[p].next_offset) for p, last in batch.last.items()}
        answered = batch.answered if batch.all_answered is None else batch.all_answered
        moved = Frontier(batch.topic_id, next_offsets, answered)
        await save_batch(tx, state, decided.outcomes, decided.entries, moved, batch.token)
        batch.timer.ended("save")
        await fault_point("saved")
    batch.timer.ended("commit")
    return Applied(decided.outcomes, decided.publications, decided.deferred)


async def _decide(
    topics: Topics,
    state: BatchState,
    batch: Batch,
    frontier: Mapping[int, Reached],
    stored: Mapping[tuple[int, int], Outcome],
) -> _Decided:
    """Record by record, each to its journal entry and its publications: it is in the processor's caches only now.

    What the sender of a command that keeps failing had no right to ask is refused all the same: only commands that may
    be brought back are parked. For parking nothing else is loaded: what keeps failing may be a row.
    """
    decided = _Decided([], [], [], [])
    go_on = time.monotonic() + DECIDE_SLICE_S
    for partition, offset, read in batch.reads:
        if time.monotonic() > go_on:
            await asyncio.sleep(0)
            go_on = time.monotonic() + DECIDE_SLICE_S
        if isinstance(read, Parked):
            decided.publications.append(dead_letter(topics, read))
            continue
        reached = frontier[partition]
        if offset < reached.next_offset:
            again = stored.get((partition, offset))
            if again is not None or (offset < reached.answered_offset and batch.whom != "deferred"):
                decided.publications.extend(published(topics, read if again is None else again.record, again))
                continue
            # Left for later when it was first met, for it had no right, and nobody came back to it.
            if read.refused_right is None:
                read = replace(read, refused_right=TURN_MISSED)  # noqa: PLW2901 - the first verdict stands
        elif batch.whom == "entitled" and read.refused_right is not None:
            decided.deferred.append((partition, offset, read))
            continue
        if batch.park is None or read.refused_right is not None:
            outcome = decide.answer(state, read)
        else:
            outcome = decide.park(read, batch.park)
        decided.outcomes.append(outcome)
        decided.publications.extend(published(topics, read, outcome))
        if outcome.stored_in == "journal":
            decided.entries.append(journal_row(outcome))
    return decided


def _check_gaps(batch: Batch, frontier: Mapping[int, Reached]) -> None:
    """A gap that is still there after seeking back is a true one: markers of transactions take offsets too."""
    for partition, first in batch.first.items():
        reached = frontier.get(partition)
        if reached is None:
            raise Gap(partition, UNKNOWN, first)
        behind = reached.next_offset
        if first > behind and batch.gaps_seen.get(partition) != behind:
            raise Gap(partition, behind, first)
        if batch.whom == "deferred" and batch.last[partition] >= behind:
            # The frontier passed them once; where it is behind them now, what lies between them comes first.
            raise Gap(partition, behind, first)


async def _load(tx: Connection, state: BatchState, commands: Sequence[Received], token: int) -> None:
    """What deciding these needs, by a later statement than the one that locked their tills."""
    # By `kind`: an instance check of a Pydantic class costs ten times as much.
    readable = [(c.store_id, c.command) for c in commands if c.command is not None]
    await load_state(
        tx,
        state,
        sessions={(store_id, c.session_id) for store_id, c in readable if c.session_id is not None},
        previous=_previous_keys([command for _, command in readable]),
        answers={(c.store_id, c.command_id) for c in commands},
        orders={_order_key(command) for _, command in readable if command.kind == "record_order"},
        movements={(store_id, c.movement_id) for store_id, c in readable if c.kind == "void_movement"},
    )
    _check_fence(state, token)
    if state.answers:
        await load_known(tx, state, commands)


def _previous_keys(commands: Sequence[Command]) -> list[tuple[str, str, str]]:
    """Of each till that is to be opened, how many of its latest sessions can matter.

    The latest one does, and of what is voided in the same batch one more each.
    """
    tills = {(command.store_id, command.profile_id) for command in commands if command.kind == "open_session"}
    if not tills:
        return []
    voids = Counter((c.store_id, c.profile_id) for c in commands if c.kind == "void_session")
    return [(*till, str(1 + voids[till])) for till in tills]


def _order_key(order: RecordOrder) -> tuple[str, str, str]:
    return order.store_id, order.session_id, order.order_id


def _check_fence(state: BatchState, token: int) -> None:
    if token == 0:
        return
    fences = [till.fence for till in state.tills.values()] + [session.fence for session in state.sessions.values()]
    floor = max(fences, default=0)
    if floor > token:
        raise FenceRefused(floor)
