"""What left the ledger and can speak against it: the closings topic, and heads that were noted elsewhere.

Whoever can write to the database can recompute every hash in it. What was published, or written down on other paper,
they can't take back.
"""

import asyncio
import os
import re
from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import orjson
from sqlalchemy.ext.asyncio import AsyncEngine

from services.platform.kafka.read_topic import Progress, records
from services.platform.settings import Settings
from services.sessions.ledger import queries
from services.sessions.tools.recompute import LedgerMismatch
from services.sessions.tools.replay import published_again

UNPUBLISHED_WAIT_S: Final = 20.0
"""What a worker has stored it publishes at once; what is not on the topic after so long was left out."""
UNPUBLISHED_PAUSE_S: Final = 0.5

_ANCHOR: Final = re.compile(r"([A-Za-z0-9._:-]{1,64})/([A-Za-z0-9._:-]{1,64}) ([1-9][0-9]{0,15}) ([0-9a-f]{64})")


@dataclass(frozen=True, slots=True)
class Head:
    """The last closing of a till at some time."""

    store_id: str
    profile_id: str
    z_number: int
    hash: str

    def __str__(self) -> str:
        return f"{self.store_id}/{self.profile_id} {self.z_number} {self.hash}"


async def check_topic(
    settings: Settings, engine: AsyncEngine, store: str | None, profile: str | None, progress: Progress
) -> int:
    """Compare every closing and correction with the closings topic; how many there are.

    Raises LedgerMismatch or TopicUnread.
    The topic is read first: what was published was stored before, so the ledger, looked at later, must have it.
    """
    starts: dict[int, int] = {}
    on_topic = await _on_topic(settings, starts, store, profile, progress)
    seen: set[str] = set()
    waiting: dict[str, bytes] = {}
    pages = published_again(engine, settings.topics.closings, store, profile, lambda _done, _total: None)
    async with aclosing(pages):
        async for page in pages:
            for publication in page:
                name, digest = _name_of(publication.value), sha256(publication.value or b"").digest()
                seen.add(name)
                if name not in on_topic:
                    waiting[name] = digest
                elif on_topic[name] != digest:
                    raise LedgerMismatch(
                        f"{name}: the ledger has other bytes than the topic {settings.topics.closings}"
                    )
    for name in on_topic:
        if name not in seen:
            raise LedgerMismatch(f"{name}: it is on the topic {settings.topics.closings}, but not in the ledger")
    await _await_on_topic(settings, starts, waiting)
    return len(seen)


async def _await_on_topic(settings: Settings, starts: dict[int, int], waiting: dict[str, bytes]) -> None:
    """See to it that what was stored a moment ago comes onto the topic."""
    loop = asyncio.get_running_loop()
    until = loop.time() + UNPUBLISHED_WAIT_S
    while waiting:
        for name, digest in (await _on_topic(settings, starts, None, None, lambda _done, _total: None)).items():
            if waiting.pop(name, digest) != digest:
                raise LedgerMismatch(f"{name}: the ledger has other bytes than the topic {settings.topics.closings}")
        if waiting and loop.time() > until:
            raise LedgerMismatch(
                f"{min(waiting)}: it is in the ledger, but not on the topic {settings.topics.closings}"
            )
        if waiting:
            await asyncio.sleep(UNPUBLISHED_PAUSE_S)


async def _on_topic(
    settings: Settings, starts: dict[int, int], store: str | None, profile: str | None, progress: Progress
) -> dict[str, bytes]:
    """The SHA-256 of every closing and correction on the topic by its name; a repeat must be the same."""
    digests: dict[str, bytes] = {}
    async with aclosing(records(settings, settings.topics.closings, starts, progress)) as taken:
        async for record in taken:
            position = f"{record.topic}/{record.partition}/{record.offset}"
            try:
                body = orjson.loads(record.value or b"")
                mine = store in (None, body["store_id"]) and profile in (None, body["profile_id"])
                name = _name_of(record.value)
            except (orjson.JSONDecodeError, KeyError, TypeError) as error:
                raise LedgerMismatch(f"{position}: it is neither a closing nor a correction") from error
            digest = sha256(record.value).digest()
            if mine and digests.setdefault(name, digest) != digest:
                raise LedgerMismatch(f"{name}: it came twice with different bytes, again at {position}")
    return digests


def _name_of(value: bytes | None) -> str:
    """What people call the record: its kind, its id and whose it is."""
    body: dict[str, Any] = orjson.loads(value or b"")
    till = f"{body['store_id']}/{body['profile_id']}"
    if body["kind"] == "closing":
        return f"closing {body['closing_id']} (z {body['z_number']} of {till})"
    return f"correction {body['correction_id']} (of closing {body['closing_id']} of {till})"


def read_anchor(path: Path) -> list[Head]:
    """Heads noted earlier. Raises ValueError with a sentence for the first line that is none."""
    heads = []
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), start=1):
        match = _ANCHOR.fullmatch(line)
        if match is None:
            raise ValueError(f"{path}, line {number}: a noted head is `store/profile z hash`.")
        heads.append(Head(match[1], match[2], int(match[3]), match[4]))
    return heads


async def check_anchor(engine: AsyncEngine, heads: Iterable[Head]) -> None:
    """See whether every noted closing is still there with its hash. Raises LedgerMismatch."""
    async with engine.connect() as tx:
        for head in heads:
            key = {"store": head.store_id, "profile": head.profile_id, "z_number": head.z_number}
            stored = (await tx.execute(queries.HASH_OF_CLOSING, key)).scalar_one_or_none()
            name = f"closing z {head.z_number} of {head.store_id}/{head.profile_id}"
            if stored is None:
                raise LedgerMismatch(f"{name}: it was noted, but is not in the ledger")
            if stored.hex() != head.hash:
                raise LedgerMismatch(f"{name}: its hash was noted as {head.hash}, and is {stored.hex()}")


async def write_anchor(engine: AsyncEngine, path: Path, store: str | None, profile: str | None) -> int:
    """Note the present heads in a file, whole or not at all; how many tills there are."""
    async with engine.connect() as tx:
        rows = list(await tx.execute(queries.HEADS, {"store": store, "profile": profile}))
    lines = [f"{Head(row.store_id, row.profile_id, row.z_number, row.last_hash.hex())}\n" for row in rows]
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.writelines(lines)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    return len(rows)
