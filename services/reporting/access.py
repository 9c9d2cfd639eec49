"""Whose closings a request may see: those of the stores that its bearer token names and was not revoked in."""

from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from fastapi import HTTPException, Request

from services.platform.access_log import AccessLog
from services.platform.auth.claims import ANYBODY, Claims
from services.platform.auth.store_scope import StoreRefused, StoreScope, scope_of
from services.platform.auth.tokens import Verifier
from services.platform.http.bearer import request_claims, token_needed


@dataclass(frozen=True, slots=True)
class Callers:
    """What tells who asks. `verifier` None asks for no token, `access` None knows of no revocations."""

    verifier: Verifier | None
    access: AccessLog | None


def caller(callers: Callers, request: Request) -> Claims:
    """What the request's token says now. Raises the 401 where there is no good one, or nothing is left of it."""
    if callers.verifier is None:
        return ANYBODY
    claims = request_claims(callers.verifier, request)
    if claims is None:
        raise token_needed()
    return standing(callers, claims)


def standing(callers: Callers, claims: Claims) -> Claims:
    """What is left of good claims by the revocations that are known. Raises the 401 where it is nothing."""
    left = claims if callers.access is None else callers.access.revocations.standing(claims)
    if left is None:
        raise token_needed()
    return left


def visible_stores(claims: Claims, parameter: str, named: Sequence[str] = ()) -> StoreScope:
    """The stores to look at. Raises the 403 for one, named in `parameter`, beyond the wall."""
    try:
        return scope_of(claims, named)
    except StoreRefused:
        sentence = f"This token does not allow one of the stores in {parameter}."
        raise HTTPException(HTTPStatus.FORBIDDEN, sentence) from None
