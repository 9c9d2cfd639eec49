"""Who is signed in, by their own token. Nothing is decided by it: the APIs verify the token at every request."""

import base64
import json
import math
import re
import time
from dataclasses import dataclass
from typing import Any, Final

from services.platform.auth.claims import EVERY_STORE, ROLES

DECIDES: Final = frozenset({"manager", "admin"})
"""Who may approve, void, recount and force a closing; the APIs refuse it to everybody else, whatever a page offers."""
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){2}")


@dataclass(frozen=True, slots=True)
class Person:
    """What a token says of its bearer. `token` opens what they may see: it stands on no page and in no log."""

    token: str
    sub: str
    role: str
    stores: tuple[str, ...]
    expires_at: float

    @property
    def named_stores(self) -> tuple[str, ...]:
        """The stores that the token names, in their order."""
        return tuple(sorted(store for store in self.stores if store != EVERY_STORE))

    @property
    def only_store(self) -> str | None:
        """The store, where it is only one."""
        return self.stores[0] if len(self.stores) == 1 and self.stores[0] != EVERY_STORE else None

    @property
    def decides(self) -> bool:
        """Whether their role may decide on closings."""
        return self.role in DECIDES


def read_person(token: str) -> Person | None:
    """Whoever the token names, its signature unseen; None for what is none, has ended, or names no role there is."""
    if not _TOKEN.fullmatch(token):
        return None
    try:
        payload = json.loads(_decoded(token.split(".")[1]))
        stores = tuple(_text(store) for store in payload["stores"])
        person = Person(token, _text(payload["sub"]), _text(payload["role"]), stores, float(payload["exp"]))
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError):
        return None
    if person.role not in ROLES:
        return None
    return person if stores and math.isfinite(person.expires_at) and person.expires_at > time.time() else None


def _decoded(part: str) -> bytes:
    return base64.b64decode(part + "=" * (-len(part) % 4), altchars=b"-_", validate=True)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("no text")
    # JSON can write halves of characters, which no page and no address can.
    value.encode()
    return value
