"""Settings of tills from a file to the log: a command for each till that is set otherwise, and its answer awaited."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.times import wire_time
from contracts.topics import key_of
from services.platform.auth.tokens import COMMANDS_AUDIENCE, mint
from services.platform.settings import Settings
from services.sessions.ledger import queries
from services.sessions.ledger.profiles import ProfileRow, row_hash
from services.sessions.worker.publications import Publication
from services.sessions.worker.publisher import Publisher

SIGNER: Final = "till-cli"
TOKEN_TTL_S: Final = 300
"""Lives as long as a command may wait for its worker, and is worth nothing after a coffee."""
ANSWERED_WITHIN_S: Final = 60.0
"""What is not answered by then is named; it may be answered later all the same."""
LOOK_AGAIN_S: Final = 0.2
PROFILES_AT_ONCE: Final = 500
"""So many commands are under way together: a worker answers them within a second."""


async def set_profiles(settings: Settings, engine: AsyncEngine, rows: Sequence[ProfileRow]) -> list[str]:
    """Set the profiles that the ledger has otherwise; a sentence for each that was refused or not answered in time.

    Raises BrokerAway, OSError or SQLAlchemyError; what was published until then may be answered.
    """
    async with engine.connect() as tx:
        differing = await _differing(tx, rows)
    publisher = Publisher(settings)
    waiting: dict[str, tuple[str, str]] = {}
    tokens: dict[str, bytes] = {}
    try:
        for start in range(0, len(differing), PROFILES_AT_ONCE):
            bodies = [_command(row) for row in differing[start : start + PROFILES_AT_ONCE]]
            waiting |= {body["command_id"]: (body["store_id"], body["profile_id"]) for body in bodies}
            await publisher.publish([_publication(settings, body, tokens) for body in bodies])
    finally:
        await publisher.stop()
    return await _awaited(engine, waiting)


async def _differing(tx: AsyncConnection, rows: Sequence[ProfileRow]) -> list[ProfileRow]:
    """The rows that are not what the ledger has already."""
    keys = {"stores": [row["store_id"] for row in rows], "profiles": [row["profile_id"] for row in rows]}
    stored = {(row.store_id, row.profile_id): row.hash.hex() for row in await tx.execute(queries.PROFILE_HASHES, keys)}
    return [row for row in rows if stored.get((row["store_id"], row["profile_id"])) != row_hash(row)]


def _command(row: ProfileRow) -> dict[str, Any]:
    settings = {name: value for name, value in row.items() if name not in ("store_id", "profile_id")}
    return {
        "kind": "set_profile",
        "command_id": str(uuid4()),
        "store_id": row["store_id"],
        "profile_id": row["profile_id"],
        "occurred_at": wire_time(datetime.now(UTC)),
        "actor": {"id": SIGNER},
        "profile": settings | {"tenders": orjson.loads(row["tenders"]) or None},
    }


def _publication(settings: Settings, body: dict[str, Any], tokens: dict[str, bytes]) -> Publication:
    headers = []
    store_id = body["store_id"]
    if settings.auth == "required":
        if store_id not in tokens:
            token = mint(
                settings,
                sub=SIGNER,
                role="admin",
                stores=[store_id],
                ttl_s=TOKEN_TTL_S,
                audiences=[COMMANDS_AUDIENCE],
            )
            tokens[store_id] = f"Bearer {token}".encode()
        headers = [("authorization", tokens[store_id])]
    key = key_of(store_id, body["profile_id"])
    return Publication(settings.topics.commands, key, orjson.dumps(body), headers)


async def _awaited(engine: AsyncEngine, waiting: dict[str, tuple[str, str]]) -> list[str]:
    """What went wrong with the commands of these ids, of which each sets a profile of a store."""
    loop = asyncio.get_running_loop()
    until = loop.time() + ANSWERED_WITHIN_S
    wrong: list[str] = []
    while waiting:
        async with engine.connect() as tx:
            keys = {"stores": [store for store, _ in waiting.values()], "command_ids": list(waiting)}
            answers = [orjson.loads(row.answer) for row in await tx.execute(queries.ANSWERS_OF, keys)]
        for answer in answers:
            store_id, profile_id = waiting.pop(answer["command_id"])
            if answer["kind"] != "profile_set":
                wrong.append(f"{profile_id} of {store_id}: {_why(answer)}")
        if waiting and loop.time() > until:
            return wrong + list(_unanswered(waiting.values()))
        if waiting:
            await asyncio.sleep(LOOK_AGAIN_S)
    return wrong


def _why(answer: dict[str, Any]) -> str:
    problems = [f"{error['field']}: {error['problem']}" for error in answer.get("errors", ())]
    return f"{answer.get('reason', answer['kind'])}. {'; '.join(problems) or answer['message']}"


def _unanswered(tills: Iterable[tuple[str, str]]) -> Iterable[str]:
    for store_id, profile_id in tills:
        yield (
            f"{profile_id} of {store_id}: no answer within {ANSWERED_WITHIN_S:.0f} s. Is a sessions worker running? "
            "It is set once one reads it."
        )
