"""What a token says of its bearer. Pure: all that the rules know of who speaks."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

Role = Literal["register", "cashier", "manager", "admin", "reader"]
ROLES: Final = frozenset(get_args(Role))

EVERY_STORE: Final = "*"
VIA_KEY: Final = "key"
KEY_PREFIX: Final = "key:"
"""How the subject of a token begins that the gateway signs for an API key; no person's id begins so."""
RESERVED_PREFIXES: Final = (KEY_PREFIX, "till-")
"""How no person's id begins: API keys are named so, and what the service itself sends."""

Flaw = Literal["missing", "unreadable", "unknown_key", "other_audience", "not_yet", "expired", "too_long", "revoked"]
"""Why a token doesn't count. One that is signed otherwise than its key would is of an unknown key."""


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says of its bearer. Times are seconds since 1970.

    `revoked` are stores that the token names although its bearer was revoked there.
    """

    sub: str
    role: Role
    stores: frozenset[str]
    company: str | None
    via: str | None
    iat: float | None
    exp: float
    revoked: frozenset[str] = frozenset()

    @property
    def bearer(self) -> str:
        """Whose token it is: ids of people are their stores', and each of two stores may have a mona."""
        return f"{self.sub}@{','.join(sorted(self.stores))}"

    def allows_store(self, store_id: str) -> bool:
        """Whether the bearer may see or change this store."""
        if store_id in self.revoked or EVERY_STORE in self.revoked:
            return False
        return store_id in self.stores or EVERY_STORE in self.stores


ANYBODY: Final = Claims("anybody", "admin", frozenset({EVERY_STORE}), None, None, None, float("inf"))
"""Who asks where TILL_AUTH is off and no token came."""
