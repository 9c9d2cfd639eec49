"""Who may ask for what (WIRE.md, "Who may speak"). Pure: the token was verified before."""

from typing import Any, Final, Literal

from services.platform.auth.claims import Claims, Flaw
from services.sessions.rules.answers import actor_or_none

SPEAK_FOR_THEMSELVES: Final = frozenset({"cashier", "manager", "admin"})
BROUGHT: Final = {"open_session": ("tenders",), "amend_session": ("add_tenders",)}
"""Tenders that a command brings: who counts a drawer doesn't say what counts as cash, or at which rate."""
MANAGERS_ONLY: Final = frozenset({"approve_closing", "void_session", "recount", "force_close", "set_profile"})

RightRefusal = Literal["forbidden"] | Flaw
"""Forbidden, or without a token that counts: then the reason is `unauthenticated`, and the message says why."""


def refused_right(claims: Claims | Flaw, store_id: str, body: dict[str, Any]) -> RightRefusal | None:
    """Why the sender may not ask for this, or None. In place of `claims` may stand why their token doesn't count."""
    if isinstance(claims, str):
        return claims
    if not claims.allows_store(store_id) or claims.role == "reader":
        return "forbidden"
    # A key's token names the actor of the request that it was made for.
    if claims.role in SPEAK_FOR_THEMSELVES and claims.via != "key":
        actor = actor_or_none(body.get("actor"))
        if actor is None or actor.id != claims.sub:
            return "forbidden"
    kind = body.get("kind")
    return "forbidden" if isinstance(kind, str) and _is_forbidden(claims, kind, body) else None


def _is_forbidden(claims: Claims, kind: str, body: dict[str, Any]) -> bool:
    if claims.via == "key" and kind == "set_profile":
        return True
    if claims.role == "cashier" and any(body.get(name) is not None for name in BROUGHT.get(kind, ())):
        return True
    if claims.role in {"cashier", "register"} and kind in MANAGERS_ONLY:
        return not (claims.role == "register" and kind == "force_close" and body.get("reason") == "device_lost")
    return False
