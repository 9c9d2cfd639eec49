"""The users of a store and the passwords of its profiles, as the command line keeps them."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, cast

from sqlalchemy import TextClause, text
from sqlalchemy.ext.asyncio import AsyncConnection

from contracts.access import AccessRecord, Revoked
from services.platform.auth.claims import EVERY_STORE, Role

ADD = text("""
    INSERT INTO gateway.users (store_id, user_id, role, profile_id, password_hash)
    VALUES (:store_id, :user_id, :role, :profile_id, :password_hash)
    ON CONFLICT (store_id, user_id) DO UPDATE
       SET role = excluded.role, profile_id = excluded.profile_id, password_hash = excluded.password_hash,
           changed_at = excluded.changed_at, revoked_at = NULL
""")
REVOKE = text("""
    UPDATE gateway.users SET revoked_at = now()
     WHERE store_id = :store_id AND user_id = :user_id AND revoked_at IS NULL
""")
# Of all stores an operator alone may say so: no index leads there.
REVOKE_EVERYWHERE = text("""
    UPDATE gateway.users SET revoked_at = now() WHERE user_id = :user_id AND revoked_at IS NULL
""")
ALL: Final = """
    SELECT store_id, user_id, role, profile_id, revoked_at FROM gateway.users {of_store} ORDER BY store_id, user_id
"""
PAGE = text("""
    SELECT store_id, user_id, role, profile_id, revoked_at FROM gateway.users
     WHERE store_id = :store_id AND user_id > :after ORDER BY user_id LIMIT :limit
""")
FIND = text("SELECT * FROM gateway.users WHERE store_id = :store_id AND user_id = :user_id")
HOLD = text("SELECT * FROM gateway.users WHERE store_id = :store_id AND user_id = :user_id FOR UPDATE")
# Others who add somebody to the store wait until it is done, so that all of them count alike.
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended('gateway.users ' || :store_id, 0))")
OTHERS = text("SELECT count(*) FROM gateway.users WHERE store_id = :store_id AND user_id <> :user_id")
SET_PROFILE_PASSWORD = text("""
    INSERT INTO gateway.profile_passwords (store_id, profile_id, password_hash)
    SELECT store_id, profile_id, :password_hash FROM profiles WHERE store_id = :store_id AND profile_id = :profile_id
    ON CONFLICT (store_id, profile_id) DO UPDATE
       SET password_hash = excluded.password_hash, changed_at = excluded.changed_at
""")


Publish = Callable[[Sequence[AccessRecord]], Awaitable[None]]
"""Puts records on the access topic; raises where that is not sure."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody with a password in one store. `profile_id` is the till that they work at, where they have one."""

    store_id: str
    user_id: str
    role: Role
    profile_id: str | None


def as_user(row: Any) -> User:
    """The user in a row."""
    return User(row.store_id, row.user_id, cast("Role", row.role), row.profile_id)


async def add(tx: AsyncConnection, user: User, password_hash: str) -> None:
    """Insert a user or replace them. Whoever was revoked comes in only when the access topic says so, too."""
    values = {"store_id": user.store_id, "user_id": user.user_id, "role": user.role, "profile_id": user.profile_id}
    await tx.execute(ADD, values | {"password_hash": password_hash})


async def revoke(tx: AsyncConnection, store_id: str, user_id: str, publish: Publish) -> bool:
    """End a user's password and every token of that subject in the store (`*`: in all); whether there was such a user.

    Registers have tokens and no password: they are revoked all the same.
    """
    if store_id == EVERY_STORE:
        result = await tx.execute(REVOKE_EVERYWHERE, {"user_id": user_id})
    else:
        result = await tx.execute(REVOKE, {"store_id": store_id, "user_id": user_id})
    # Before the password's end is committed: should that fail, it opens nothing all the same.
    await publish([Revoked(store_id=store_id, subject=user_id)])
    return result.rowcount > 0


async def listed(tx: AsyncConnection, store_id: str | None) -> list[tuple[User, bool]]:
    """All users, of one store or of all, and whether each is revoked."""
    return [(as_user(row), row.revoked_at is not None) for row in await tx.execute(*all_of(ALL, store_id))]


def all_of(statement: str, store_id: str | None) -> tuple[TextClause, dict[str, Any]]:
    """The statement for one store, or for all, and its values: only what is asked for stands in it."""
    if store_id is None:
        return text(statement.format(of_store="")), {}
    return text(statement.format(of_store="WHERE store_id = :store_id")), {"store_id": store_id}


async def page(tx: AsyncConnection, store_id: str, after: str, limit: int) -> list[tuple[User, bool]]:
    """So many users of a store from behind this id on, and whether each is revoked."""
    rows = await tx.execute(PAGE, {"store_id": store_id, "after": after, "limit": limit})
    return [(as_user(row), row.revoked_at is not None) for row in rows]


async def find(tx: AsyncConnection, store_id: str, user_id: str, *, hold: bool = False) -> User | None:
    """The user of this id, revoked or not; `hold` keeps all others from changing them until the end of `tx`."""
    row = (await tx.execute(HOLD if hold else FIND, {"store_id": store_id, "user_id": user_id})).one_or_none()
    return None if row is None else as_user(row)


async def has_room(tx: AsyncConnection, user: User, at_most: int) -> bool:
    """Whether the store has no more than `at_most` users with this one; nobody else is added until the end of `tx`."""
    await tx.execute(LOCK, {"store_id": user.store_id})
    others = await tx.execute(OTHERS, {"store_id": user.store_id, "user_id": user.user_id})
    return int(others.scalar_one()) < at_most


async def set_profile_password(tx: AsyncConnection, store_id: str, profile_id: str, password_hash: str) -> bool:
    """Set a profile's password; False when there is no such profile."""
    values = {"store_id": store_id, "profile_id": profile_id, "password_hash": password_hash}
    return (await tx.execute(SET_PROFILE_PASSWORD, values)).rowcount > 0
