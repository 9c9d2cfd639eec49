"""Passwords of users and profiles: how they are kept, and how they are asked for.

Whoever guesses learns nothing but "no": an unknown name costs the same work and the same time as a wrong password, and
is counted as one.
"""

import asyncio
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any, Final, TypeVar

import bcrypt
from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from prometheus_client import Counter
from sqlalchemy import Row, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from contracts.access import SUBJECT_BYTES_MAX
from contracts.values import ID_TEXT
from services.gateway.access import failures
from services.gateway.access.bounded_queue import BoundedQueue, QueueFull
from services.gateway.access.failures import Attempt, TooManyFailures
from services.gateway.access.users import User, as_user
from services.platform.auth.claims import RESERVED_PREFIXES
from services.platform.latest import Latest

PASSWORD_BYTES_MAX: Final = 1_024
BCRYPT_COST_MAX: Final = 12
"""A dearer hash would take longer to check than a refusal takes, and so tell who exists."""
REFUSAL_S: Final = 0.5
"""Every refusal takes at least so long from its turn on, or half as long again as the dearest stored hash takes."""

HASHED_AT_ONCE_KNOWN: Final = 2
HASHED_AT_ONCE_STRANGERS: Final = 1
"""So many passwords are checked at once, of people at known addresses and of others; each takes 19 MiB and a core."""
HASHED_AT_ONCE: Final = HASHED_AT_ONCE_KNOWN + HASHED_AT_ONCE_STRANGERS
HASHING_NICE: Final = 10
"""What checks passwords takes a tenth of a core's time where something else wants it: commands go first."""
KNOWN_WAITING_MAX: Final = 200
KNOWN_OF_ADDRESS_WAITING_MAX: Final = 50
STRANGERS_WAITING_MAX: Final = 64
STRANGERS_OF_ADDRESS_WAITING_MAX: Final = 32
"""So many wait for that, and of one address: at 50 ms each the last of 64 strangers waits for three seconds."""
LOOKED_UP_AT_ONCE: Final = 2
LOOKING_MAX: Final = 400
LOOKING_OF_ADDRESS_MAX: Final = 100
"""So many wait to be found known or strange, and of one address; it takes a millisecond."""
REMEMBERED_S: Final = 3_600
REMEMBERED_MAX: Final = 10_000
"""Who has signed in here within the hour isn't looked up again: a crowd that is doesn't keep them waiting either."""

Result = TypeVar("Result")

SIGN_INS = Counter(
    "till_sign_ins_total",
    "Passwords that were brought: right, wrong, locked after too many wrong ones, or busy: never looked at.",
    ["outcome"],
)

# The least that OWASP asks of Argon2id.
_HASHER: Final = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
_BCRYPT: Final = re.compile(r"\$2[aby]\$(\d\d)\$[./A-Za-z0-9]{53}")
_BCRYPT_COST_MIN: Final = 4
_BCRYPT_BYTES_MAX: Final = 72

PROFILE = text("""
    SELECT password_hash FROM gateway.profile_passwords WHERE store_id = :store_id AND profile_id = :name
""")
USER = text("""
    SELECT store_id, user_id, role, profile_id, password_hash FROM gateway.users
     WHERE store_id = :store_id AND user_id = :name AND revoked_at IS NULL
""")
DEAREST_COST = text(r"""
    SELECT max(CAST(substring(password_hash FROM '^\$2[aby]\$(\d\d)\$') AS int))
      FROM (SELECT password_hash FROM gateway.users
             UNION ALL SELECT password_hash FROM gateway.profile_passwords) AS stored
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


def hash_password(password: str) -> str:
    """How a password is kept. Takes 20 to 50 ms. Raises ValueError with a sentence for one that can't be used."""
    if not 1 <= len(_bytes(password)) <= PASSWORD_BYTES_MAX:
        raise ValueError(f"A password has 1 to {PASSWORD_BYTES_MAX} bytes.")
    return _HASHER.hash(_bytes(password))


def read_bcrypt_hash(line: str) -> str:
    """A bcrypt hash from another system. Raises ValueError with a sentence."""
    parts = _BCRYPT.fullmatch(line)
    if parts is None or int(parts[1]) < _BCRYPT_COST_MIN:
        raise ValueError("That is no bcrypt hash with a cost of 4 to 12, as $2b$12$ and 53 more characters.")
    if int(parts[1]) > BCRYPT_COST_MAX:
        raise ValueError(
            f"That bcrypt hash has the cost {parts[1]}, and checking it would take so long that it tells who is a user:"
            f" at most {BCRYPT_COST_MAX} is taken. Give the user a new password instead."
        )
    return line


def refusal_s(cost: int = BCRYPT_COST_MAX) -> float:
    """How long a refusal takes at least: longer than a hash of this cost on this machine, measured by a cheap one."""
    cheap_cost = 8
    cheap = bcrypt.hashpw(b"", bcrypt.gensalt(cheap_cost))
    took_s = []
    for _ in range(3):
        begun = time.perf_counter()
        bcrypt.checkpw(b"", cheap)
        took_s.append(time.perf_counter() - begun)
    return float(max(REFUSAL_S, 1.5 * min(took_s) * 2 ** (cost - cheap_cost)))


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


def step_back() -> None:
    """Let everything else on this machine go before this thread; Linux alone can do so for a thread."""
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), HASHING_NICE)


class Passwords:
    """Asks for passwords; one for a process.

    Raises TooManyFailures, QueueFull, and whatever the database raises. Those who are known at their address have a
    queue of their own, so that no crowd of strangers keeps them waiting.
    """

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._looking = BoundedQueue(LOOKED_UP_AT_ONCE, LOOKING_MAX, LOOKING_OF_ADDRESS_MAX)
        self._remembered = Latest[Attempt, float](REMEMBERED_MAX)
        self._familiar = Latest[str, float](REMEMBERED_MAX)
        self._hashing = ThreadPoolExecutor(HASHED_AT_ONCE, "hashing", step_back)
        self._known = BoundedQueue(HASHED_AT_ONCE_KNOWN, KNOWN_WAITING_MAX, KNOWN_OF_ADDRESS_WAITING_MAX)
        self._strangers = BoundedQueue(
            HASHED_AT_ONCE_STRANGERS, STRANGERS_WAITING_MAX, STRANGERS_OF_ADDRESS_WAITING_MAX
        )
        self._nobodys = hash_password(secrets.token_urlsafe())
        self._refusal_s = refusal_s()
        self._stored_cost: int | None = None

    async def check_profile(self, store_id: str, profile_id: str, password: str, address: str) -> bool:
        """Whether this is the profile's password; `address` is from where it is tried."""
        attempt = Attempt(store_id, "profile", profile_id, address)
        if not ID_TEXT.fullmatch(store_id) or not ID_TEXT.fullmatch(profile_id):
            attempt = _of_nobody(attempt)
        return await self._check(attempt, PROFILE, password) is not None

    async def check_user(self, store_id: str, user_id: str, password: str, address: str) -> User | None:
        """The user whose password this is; `address` is from where it is tried."""
        attempt = Attempt(store_id, "user", user_id, address)
        is_text = "\0" not in user_id and 1 <= len(_bytes(user_id)) <= SUBJECT_BYTES_MAX and _is_utf8(user_id)
        if not ID_TEXT.fullmatch(store_id) or not is_text or user_id.startswith(RESERVED_PREFIXES):
            attempt = _of_nobody(attempt)
        row = await self._check(attempt, USER, password)
        return None if row is None else as_user(row)

    def is_familiar(self, address: str) -> bool:
        """Whether somebody has signed in from this address here within the hour."""
        return self._familiar.get(address, 0.0) > time.monotonic()

    async def hashed(self, password: str) -> str:
        """How a new password is kept. Raises ValueError with a sentence for one that can't be used."""
        return await self._hashed(partial(hash_password, password))

    async def _check(self, attempt: Attempt, statement: Any, password: str) -> Row[Any] | None:
        try:
            attempt = replace(attempt, known=await self._is_known(attempt))
            async with (self._known if attempt.known else self._strangers).turn(attempt.address):
                begun = time.monotonic()
                row = await self._try(attempt, statement, password)
        except QueueFull:
            SIGN_INS.labels("busy").inc()
            raise
        except TooManyFailures:
            SIGN_INS.labels("locked").inc()
            raise
        SIGN_INS.labels("wrong" if row is None else "right").inc()
        if row is None:
            await asyncio.sleep(max(0.0, begun + self._refusal_s - time.monotonic()))
        else:
            self._remember(replace(attempt, known=False))
        return row

    async def _is_known(self, attempt: Attempt) -> bool:
        if self._remembered.get(attempt, 0.0) > time.monotonic():
            return True
        async with self._looking.turn(attempt.address), self._engine.connect() as tx:
            return await failures.is_known(tx, attempt)

    def _remember(self, attempt: Attempt) -> None:
        if attempt.address:
            self._remembered[attempt] = self._familiar[attempt.address] = time.monotonic() + REMEMBERED_S

    async def _hashed(self, work: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._hashing, work)

    async def _try(self, attempt: Attempt, statement: Any, password: str) -> Row[Any] | None:
        """A name that nobody can have costs the same as one that nobody has."""
        async with self._engine.begin() as tx:
            await self._look_for_dearer_ones(tx)
            await failures.refuse_after_too_many(tx, attempt)
            row = (await tx.execute(statement, attempt.row)).one_or_none()
            stored = self._nobodys if row is None else row.password_hash
            right = await self._hashed(partial(matches, stored, password))
            if row is None or not right:
                await failures.note(tx, attempt)
                return None
            if not stored.startswith("$argon2") or _HASHER.check_needs_rehash(stored):
                fresh = await self._hashed(partial(hash_password, password))
                await tx.execute(REHASH[attempt.kind], attempt.row | {"stored": stored, "fresh": fresh})
            await failures.remember(tx, attempt)
            return row

    async def _look_for_dearer_ones(self, tx: AsyncConnection) -> None:
        """Earlier versions took hashes of any cost; as none comes any more, one look at those that stay is enough."""
        if self._stored_cost is None:
            self._stored_cost = (await tx.execute(DEAREST_COST)).scalar_one() or 0
            if self._stored_cost > BCRYPT_COST_MAX:
                self._refusal_s = await self._hashed(partial(refusal_s, self._stored_cost))


def _of_nobody(attempt: Attempt) -> Attempt:
    return replace(attempt, store_id="", name="")


def _bytes(words: str) -> bytes:
    # JSON can carry lone surrogates, which UTF-8 cannot.
    return words.encode("utf-8", "surrogatepass")


def _is_utf8(words: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in words)
