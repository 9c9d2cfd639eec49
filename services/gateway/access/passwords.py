"""Passwords of users and profiles: how they are kept, and how they are asked for.

Whoever guesses learns nothing but "no": an unknown name costs the same work and the same time as a wrong password, and
is counted as one. All gateways of a deployment count together, in the database.
"""

import asyncio
import math
import re
import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Literal
from weakref import WeakValueDictionary

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.commands import ID_TEXT
from services.gateway.access.users import User, as_user
from services.platform.auth.claims import RESERVED_PREFIXES
from services.platform.auth.tokens import SUBJECT_BYTES_MAX
from services.platform.errors import TillError

PASSWORD_BYTES_MAX: Final = 1_024
FAILURES_MAX: Final = 5
FAILURES_WINDOW_S: Final = 15 * 60
REFUSAL_S: Final = 0.5
"""Every refusal takes at least so long: a bcrypt hash that was imported is slower to check than ours."""
HASHING_MAX: Final = 2
"""So many passwords are checked at once; each takes 19 MiB and a processor."""

# The least that OWASP asks of Argon2id.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_BCRYPT: Final = re.compile(r"\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}")
_BCRYPT_BYTES_MAX: Final = 72

Kind = Literal["profile", "user"]
Subject = tuple[str, Kind, str]

# The lock, unlike the row, is there for names that nobody has.
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:words, 7100002))")
RETRY_AFTER = text("""
    SELECT extract(epoch FROM failed_at - clock_timestamp()) + :window_s AS retry_after_s FROM gateway.failures
     WHERE store_id = :store_id AND kind = :kind AND name = :name
       AND failed_at > clock_timestamp() - make_interval(secs => :window_s)
     ORDER BY failed_at DESC OFFSET :before LIMIT 1
""")
NOTE_FAILURE = text("""
    INSERT INTO gateway.failures (store_id, kind, name, failed_at) VALUES (:store_id, :kind, :name, clock_timestamp())
""")
FORGET_FAILURES = text("""
    DELETE FROM gateway.failures WHERE failed_at <= clock_timestamp() - make_interval(secs => :window_s)
""")
PROFILE = text("""
    SELECT password_hash FROM gateway.profile_passwords WHERE store_id = :store_id AND profile_id = :name
""")
USER = text("""
    SELECT store_id, user_id, role, profile_id, password_hash FROM gateway.users
     WHERE store_id = :store_id AND user_id = :name AND revoked_at IS NULL
""")
REHASH: Final = {
    "profile": text("""
        UPDATE gateway.profile_passwords SET password_hash = :fresh
         WHERE store_id = :store_id AND profile_id = :name AND password_hash = :stored
    """),
    "user": text("""
        UPDATE gateway.users SET password_hash = :fresh
         WHERE store_id = :store_id AND user_id = :name AND password_hash = :stored
    """),
}


class TooManyFailures(TillError):
    """Nobody may try this name for `retry_after_s` seconds, not even with the right password."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many wrong passwords. Try again in {retry_after_s} seconds.")
        self.retry_after_s = retry_after_s


def hash_password(password: str) -> str:
    """How a password is kept. Takes 20 to 50 ms. Raises ValueError with a sentence for one that can't be used."""
    if not 1 <= len(_bytes(password)) <= PASSWORD_BYTES_MAX:
        raise ValueError(f"A password has 1 to {PASSWORD_BYTES_MAX} bytes.")
    return _HASHER.hash(_bytes(password))


def read_bcrypt_hash(line: str) -> str:
    """A bcrypt hash from another system. Raises ValueError with a sentence."""
    if not _BCRYPT.fullmatch(line):
        raise ValueError("That is no bcrypt hash with a cost of 4 to 14, as $2b$12$ and 53 more characters.")
    return line


def matches(stored: str, password: str) -> bool:
    """Whether `password` is the one that `stored` was made from."""
    encoded = _bytes(password)
    if len(encoded) > PASSWORD_BYTES_MAX:
        encoded = b""
    try:
        if stored.startswith("$argon2"):
            return _HASHER.verify(stored, encoded)
        # Where these hashes come from, what lies beyond 72 bytes was never looked at.
        return bcrypt.checkpw(encoded[:_BCRYPT_BYTES_MAX], stored.encode())
    except (VerificationError, InvalidHashError, ValueError):
        return False


class Passwords:
    """Asks for passwords; one for a process. Raises TooManyFailures, and whatever the database raises."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._hashing = asyncio.Semaphore(HASHING_MAX)
        self._locks: WeakValueDictionary[Subject, asyncio.Lock] = WeakValueDictionary()
        self._nobodys = hash_password(secrets.token_urlsafe())

    async def check_profile(self, store_id: str, profile_id: str, password: str) -> bool:
        """Whether this is the profile's password."""
        if not ID_TEXT.fullmatch(profile_id):
            return await self._unknown(password)
        row = await self._check((store_id, "profile", profile_id), PROFILE, password)
        return row is not None

    async def check_user(self, store_id: str, user_id: str, password: str) -> User | None:
        """The user whose password this is."""
        if (
            user_id.startswith(RESERVED_PREFIXES)
            or "\0" in user_id
            or not 1 <= len(_bytes(user_id)) <= SUBJECT_BYTES_MAX
            or not _is_utf8(user_id)
        ):
            await self._unknown(password)
            return None
        row = await self._check((store_id, "user", user_id), USER, password)
        return None if row is None else as_user(row)

    async def _check(self, subject: Subject, statement: Any, password: str) -> Row[Any] | None:
        if not ID_TEXT.fullmatch(subject[0]):
            await self._unknown(password)
            return None
        # One after the other: many guesses at the same moment are counted like those that come in a row.
        lock = self._locks.setdefault(subject, asyncio.Lock())
        async with lock:
            return await self._refused_slowly(lambda: self._try(subject, statement, password))

    async def _try(self, subject: Subject, statement: Any, password: str) -> Row[Any] | None:
        key = dict(zip(("store_id", "kind", "name"), subject, strict=True))
        async with self._hashing, self._engine.begin() as tx:
            await tx.execute(LOCK, {"words": "\n".join(subject)})
            await _refuse_after_too_many(tx, key)
            row = (await tx.execute(statement, key)).one_or_none()
            stored = self._nobodys if row is None else row.password_hash
            right = await asyncio.to_thread(matches, stored, password)
            if row is None or not right:
                await tx.execute(FORGET_FAILURES, {"window_s": FAILURES_WINDOW_S})
                await tx.execute(NOTE_FAILURE, key)
                return None
            if not stored.startswith("$argon2") or _HASHER.check_needs_rehash(stored):
                fresh = await asyncio.to_thread(hash_password, password)
                await tx.execute(REHASH[subject[1]], key | {"stored": stored, "fresh": fresh})
            return row

    async def _unknown(self, password: str) -> bool:
        """A name that nobody can have costs the same as one that nobody has."""

        async def wasted() -> None:
            async with self._hashing:
                await asyncio.to_thread(matches, self._nobodys, password)

        await self._refused_slowly(wasted)
        return False

    async def _refused_slowly(self, attempt: Callable[[], Awaitable[Row[Any] | None]]) -> Row[Any] | None:
        begun = time.monotonic()
        row = await attempt()
        if row is None:
            await asyncio.sleep(max(0.0, begun + REFUSAL_S - time.monotonic()))
        return row


async def _refuse_after_too_many(tx: AsyncConnection, key: dict[str, str]) -> None:
    values = {**key, "window_s": FAILURES_WINDOW_S, "before": FAILURES_MAX - 1}
    retry_after_s = (await tx.execute(RETRY_AFTER, values)).scalar_one_or_none()
    if retry_after_s is not None:
        raise TooManyFailures(max(1, math.ceil(retry_after_s)))


def _bytes(words: str) -> bytes:
    # JSON can carry lone surrogates, which UTF-8 cannot.
    return words.encode("utf-8", "surrogatepass")


def _is_utf8(words: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in words)
