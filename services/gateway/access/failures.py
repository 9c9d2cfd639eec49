"""Wrong passwords, counted by name and by address, so that nobody guesses and no stranger locks anybody out.

A name is tried from where its bearer is known, because they have signed in there, or by strangers. Each known address
of a name has its own five tries; strangers have five for the name together, from wherever they come, and a hundred for
all names from one address. All gateways count together, in the database, names that nobody has too.
"""

import math
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from services.platform.errors import TillError

FAILURES_MAX: Final = 5
"""So many wrong passwords for a name, of all strangers together, or from one known address of it."""
FAILURES_WINDOW_S: Final = 15 * 60
FAILURES_OF_ADDRESS_MAX: Final = 100
"""So many wrong passwords of strangers at one address, for whichever names: a shop's staff mistypes less often."""
KNOWN_DAYS: Final = 30
"""So long an address is known for a name after it was last signed in from."""
KNOWN_ADDRESSES_MAX: Final = 10
"""So many addresses are known for a name, those used last: each is worth five more tries."""
FORGOTTEN_ROWS_MAX: Final = 100
"""So many old rows go with each new one: faster than new ones come, and never so many that anybody waits."""

Kind = Literal["profile", "user"]

# The lock, unlike the row, is there for names that nobody has.
LOCK = text("SELECT pg_advisory_xact_lock(hashtextextended(:words, 7100002))")
_RETRY_AFTER = """
    SELECT extract(epoch FROM failed_at - clock_timestamp()) + :window_s AS retry_after_s FROM gateway.failures
     WHERE {whose} AND failed_at > clock_timestamp() - make_interval(secs => :window_s)
     ORDER BY failed_at DESC OFFSET :before LIMIT 1
"""
# A right password takes back no wrong one: what failed here before the address was known counts here as well.
OF_KNOWN_ADDRESS = text(
    _RETRY_AFTER.format(whose="store_id = :store_id AND kind = :kind AND name = :name AND address = :address")
)
OF_STRANGERS = text(
    _RETRY_AFTER.format(whose="store_id = :store_id AND kind = :kind AND name = :name AND NOT at_known_address")
)
OF_ADDRESS = text(_RETRY_AFTER.format(whose="address = :address AND NOT at_known_address"))
NOTE_FAILURE = text("""
    INSERT INTO gateway.failures (store_id, kind, name, failed_at, address, at_known_address)
    VALUES (:store_id, :kind, :name, clock_timestamp(), :address, :known) ON CONFLICT DO NOTHING
""")
# By `now()`, unlike the counting: it stands still within a transaction, so an index can look for what is older.
FORGET_FAILURES = text("""
    DELETE FROM gateway.failures WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM gateway.failures WHERE failed_at <= now() - make_interval(secs => :window_s)
         LIMIT :rows_max FOR UPDATE SKIP LOCKED))
""")
IS_KNOWN = text("""
    SELECT 1 FROM gateway.known_addresses
     WHERE store_id = :store_id AND kind = :kind AND name = :name AND address = :address
       AND signed_in_at > now() - make_interval(days => :days)
""")
REMEMBER = text("""
    INSERT INTO gateway.known_addresses (store_id, kind, name, address)
    VALUES (:store_id, :kind, :name, :address)
    ON CONFLICT (store_id, kind, name, address) DO UPDATE SET signed_in_at = excluded.signed_in_at
     WHERE known_addresses.signed_in_at < now() - interval '1 day'
""")
FORGET_OTHERS = text("""
    DELETE FROM gateway.known_addresses
     WHERE store_id = :store_id AND kind = :kind AND name = :name AND address IN (
        SELECT address FROM gateway.known_addresses WHERE store_id = :store_id AND kind = :kind AND name = :name
         ORDER BY signed_in_at DESC OFFSET :known_max)
""")
FORGET_OLD = text("""
    DELETE FROM gateway.known_addresses WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM gateway.known_addresses WHERE signed_in_at < now() - make_interval(days => :days)
         LIMIT :rows_max FOR UPDATE SKIP LOCKED))
""")


class TooManyFailures(TillError):
    """Nobody may try this from here for `retry_after_s` seconds, not even with the right password."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"Too many wrong passwords. Try again in {retry_after_s} seconds.")
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Attempt:
    """A password that somebody tries: for whom, from where, and whether the one is known at the other.

    `store_id` and `name` are empty for a name that nobody can have; the address is empty where there is none.
    """

    store_id: str
    kind: Kind
    name: str
    address: str
    known: bool = False

    @property
    def row(self) -> dict[str, Any]:
        """Its parts by the names of columns."""
        return {"store_id": self.store_id, "kind": self.kind, "name": self.name, "address": self.address}


async def is_known(tx: AsyncConnection, attempt: Attempt) -> bool:
    """Whether this name has signed in from this address lately."""
    if not attempt.address:
        return False
    values = attempt.row | {"days": KNOWN_DAYS}
    return (await tx.execute(IS_KNOWN, values)).one_or_none() is not None


async def refuse_after_too_many(tx: AsyncConnection, attempt: Attempt) -> None:
    """Raise TooManyFailures where no more may be tried. What else counts with this one waits for the transaction."""
    if attempt.name:
        counted_with = (attempt.store_id, attempt.kind, attempt.name, *([attempt.address] if attempt.known else []))
        await tx.execute(LOCK, {"words": "\n".join(counted_with)})
        await _refuse(tx, OF_KNOWN_ADDRESS if attempt.known else OF_STRANGERS, attempt, FAILURES_MAX)
    if attempt.address and not attempt.known:
        await _refuse(tx, OF_ADDRESS, attempt, FAILURES_OF_ADDRESS_MAX)


async def note(tx: AsyncConnection, attempt: Attempt) -> None:
    """Count a wrong password, and drop some that count no more."""
    await tx.execute(FORGET_FAILURES, {"window_s": FAILURES_WINDOW_S, "rows_max": FORGOTTEN_ROWS_MAX})
    await tx.execute(NOTE_FAILURE, attempt.row | {"known": attempt.known})


async def remember(tx: AsyncConnection, attempt: Attempt) -> None:
    """The password was right: from now on the name is known at this address."""
    if not attempt.address:
        return
    await tx.execute(REMEMBER, attempt.row)
    if not attempt.known:
        await tx.execute(FORGET_OTHERS, attempt.row | {"known_max": KNOWN_ADDRESSES_MAX})
        await tx.execute(FORGET_OLD, {"days": KNOWN_DAYS, "rows_max": FORGOTTEN_ROWS_MAX})


async def _refuse(tx: AsyncConnection, statement: Any, attempt: Attempt, failures_max: int) -> None:
    values = attempt.row | {"window_s": FAILURES_WINDOW_S, "before": failures_max - 1}
    retry_after_s = (await tx.execute(statement, values)).scalar_one_or_none()
    if retry_after_s is not None:
        raise TooManyFailures(max(1, math.ceil(retry_after_s)))
