"""Where very many have users, keys, wrong passwords and notes, each statement of the gateway goes by an index."""

from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

import pytest
from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from deploy.embedded.stack import Stack
from services.gateway.access import api_keys, failures, passwords, users
from services.gateway.access.callers import access_engine
from services.gateway.adapters import shifts
from services.gateway.adapters.final import words
from services.gateway.commands import pending
from services.gateway.idempotency import request, stored
from services.platform.postgres.migrate import upgrade
from tests.support.corner import new_corner
from tests.support.plans import plan_of

STORES, OF_STORE = 300, 100
READ_MAX = 4 * OF_STORE
"""Rows that one statement may touch, and pages; a store has a hundred of each."""

_EACH: Final = f"FROM generate_series(1, {STORES}) AS s, generate_series(1, {OF_STORE}) AS n"
_NAMES: Final = "'s' || s, 'n' || n"
_ID: Final = "CAST(md5(s || '/' || n) AS uuid)"
FILL: Final = {
    "users": f"{_NAMES}, 'cashier', NULL, 'x'",
    "profile_passwords": f"{_NAMES}, 'x'",
    "api_keys": f"{_NAMES}, 'c', 'register', sha256(convert_to(s || '/' || n, 'UTF8')),"
    " sha256(convert_to('old ' || s || '/' || n, 'UTF8')), now() + interval '1 day'",
    "failures": "'s' || s, 'user', 'n' || n, now() - n * interval '1 s', 'a' || s, n % 2 = 0",
    "known_addresses": "'s' || s, 'user', 'n' || n % 10, 'a' || n",
    "pending": f"'s' || s, {_ID}, 't', 0, n",
    "requests": f"'s' || s, {_ID}, sha256(''), ''",
    "keyed": f"'s' || s, {_ID}, sha256('')",
    "final_words": f"'s' || s, {_ID}, n, ''",
}
WHO: Final = {"store_id": "s7", "kind": "user", "name": "n7", "address": "a7"}
USER: Final = {"store_id": "s7", "user_id": "n7"}
KEY: Final = {"store_id": "s7", "key_id": "n7"}
COMMAND: Final = {"store_id": "s7", "command_id": UUID(int=7)}
KEYED: Final = {"store_id": "s7", "key_id": UUID(int=7)}
WORDS: Final = {"store_id": "s7", "session_id": UUID(int=7)}
TRIES: Final = {"window_s": 900, "before": 4}
FORGOTTEN: Final = {"window_s": 900, "rows_max": 100}
STATEMENTS: Final[dict[str, tuple[TextClause | str, dict[str, Any]]]] = {
    "keys of a store": users.all_of(api_keys.ALL, "s7"),
    "a key": (api_keys.FIND, {"key_hash": api_keys.hash_of("7/7")}),
    "a key to be changed": (api_keys.HOLD, KEY),
    "number of keys": (api_keys.COUNT, {"store_id": "s7"}),
    "rotated key": (api_keys.ROTATE, KEY | {"overlap_s": 60, "key_hash": api_keys.hash_of("new")}),
    "revoked key": (api_keys.REVOKE, KEY),
    "users of a store": users.all_of(users.ALL, "s7"),
    "a page of users": (users.PAGE, {"store_id": "s7", "after": "n5", "limit": 50}),
    "a user": (users.FIND, USER),
    "a user to be changed": (users.HOLD, USER),
    "number of users": (users.OTHERS, USER),
    "revoked user": (users.REVOKE, USER),
    "added user": (users.ADD, USER | {"role": "cashier", "profile_id": None, "password_hash": "x"}),
    "password of a user": (passwords.USER, WHO),
    "password of a till": (passwords.PROFILE, WHO),
    "a user's new hash": (passwords.REHASH["user"], WHO | {"fresh": "y", "stored": "x"}),
    "a till's new hash": (passwords.REHASH["profile"], WHO | {"fresh": "y", "stored": "x"}),
    "users of a name in some stores": (
        shifts.USERS.format(and_stores=shifts.AND_STORES),
        {"user_id": "n7", "stores": ["s7", "s8"]},
    ),
    "failures at a known address": (failures.OF_KNOWN_ADDRESS, WHO | TRIES),
    "failures of strangers": (failures.OF_STRANGERS, WHO | TRIES),
    "failures of an address": (failures.OF_ADDRESS, WHO | TRIES | {"before": 99}),
    "noted failure": (failures.NOTE_FAILURE, WHO | {"known": False}),
    "forgotten failures": (failures.FORGET_FAILURES, FORGOTTEN),
    "known address": (failures.IS_KNOWN, WHO | {"days": 30}),
    "remembered address": (failures.REMEMBER, WHO),
    "addresses beyond the last ten": (failures.FORGET_OTHERS, WHO | {"known_max": 10}),
    "forgotten addresses": (failures.FORGET_OLD, {"days": 30, "rows_max": 100}),
    "noted commands": (
        pending.NOTE,
        {
            "stores": ["s7", "s8"],
            "command_ids": [UUID(int=7), UUID(int=8)],
            "topic_ids": ["t", "t"],
            "partitions": [0, 0],
            "offsets": [7, 8],
        },
    ),
    "a pending command": (pending.FIND.format(and_stores=""), COMMAND),
    "a pending command of some stores": (
        pending.FIND.format(and_stores=pending.AND_STORES),
        COMMAND | {"stores": ["s7", "s8"]},
    ),
    "forgotten notes": (pending.FORGET, {}),
    "remembered request": (stored.REMEMBER, COMMAND | {"fingerprint": bytes(32), "command": b""}),
    "a request": (stored.FIND, COMMAND),
    "released request": (stored.RELEASE, COMMAND),
    "forgotten requests": (stored.FORGET, {}),
    "claimed key": (request.CLAIM, KEYED | {"fingerprint": bytes(32), "plan": b""}),
    "what a key was for": (request.FIND, KEYED),
    "reply of a key": (request.DONE, KEYED | {"status": 200, "reply": b""}),
    "released key": (request.RELEASE, KEYED),
    "forgotten keys": (request.FORGET, {}),
    "words of a session": (words.FIND_WORDS, WORDS),
    "written words": (words.KEEP_WORDS, WORDS | {"sequence": 7, "words": b""}),
}
COLUMNS: Final = {
    "users": "store_id, user_id, role, profile_id, password_hash",
    "profile_passwords": "store_id, profile_id, password_hash",
    "api_keys": "store_id, key_id, company_id, role, key_hash, previous_hash, previous_until",
    "failures": "store_id, kind, name, failed_at, address, at_known_address",
    "known_addresses": "store_id, kind, name, address",
    "pending": "store_id, command_id, topic_id, partition, record_offset",
    "requests": "store_id, command_id, fingerprint, command",
    "keyed": "store_id, key_id, fingerprint",
    "final_words": "store_id, session_id, sequence, words",
}


@pytest.fixture(scope="module", params=["empty", "full"])
async def gateway(
    request: pytest.FixtureRequest, stack: Stack, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[AsyncEngine]:
    """A gateway's connections to its own tables; where they are empty a plan is made that stays when they fill."""
    async with new_corner(stack, tmp_path_factory.mktemp("plans")) as settings:
        await upgrade(settings.database_url, "services.sessions.migrations")
        await upgrade(settings.database_url, "services.gateway.migrations")
        filling = create_async_engine(settings.database_url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
        async with filling.connect() as tx:
            for table, values in FILL.items() if request.param == "full" else ():
                name = f"gateway.{table}"
                distinct = "ON CONFLICT DO NOTHING"
                await tx.execute(text(f"INSERT INTO {name} ({COLUMNS[table]}) SELECT {values} {_EACH} {distinct}"))
                await tx.execute(text(f"VACUUM (ANALYZE) {name}"))
        opened = access_engine(settings.database_url)
        yield opened
        await opened.dispose()


@pytest.mark.parametrize("name", STATEMENTS)
async def test_a_statement_goes_by_an_index_after_ten_calls(gateway: AsyncEngine, name: str) -> None:
    plan = await plan_of(gateway, *STATEMENTS[name])

    assert "Seq Scan" not in plan.kinds
    assert plan.rows <= READ_MAX
    assert plan.pages <= READ_MAX


def test_no_statement_of_the_gateways_own_tables_is_left_out() -> None:
    """But what nobody asks for by its store: once a process, or by an operator of all stores."""
    looked_at = {str(statement) for statement, _ in STATEMENTS.values()}
    spared = {passwords.DEAREST_COST, users.REVOKE_EVERYWHERE, users.SET_PROFILE_PASSWORD, api_keys.ADD}
    for module in (api_keys, users, passwords, failures, pending, stored, request, words):
        for name, statement in vars(module).items():
            if isinstance(statement, TextClause) and "LOCK" not in name and statement not in spared:
                assert str(statement) in looked_at, f"{module.__name__}.{name}"
