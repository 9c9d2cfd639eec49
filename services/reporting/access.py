"""Whose closings a request may see: those of the stores that its bearer token names."""

from collections.abc import Sequence
from http import HTTPStatus

from fastapi import HTTPException, Request

from services.platform.auth.claims import ANYBODY, Claims
from services.platform.auth.store_scope import StoreRefused, scope_of
from services.platform.auth.tokens import Verifier
from services.platform.http.bearer import request_claims, token_needed
from services.reporting.search import Stores


def caller(verifier: Verifier | None, request: Request) -> Claims:
    """What the request's token says now. Raises the 401 where there is no good one; None asks for no token."""
    if verifier is None:
        return ANYBODY
    verified = request_claims(verifier, request)
    if verified is None:
        raise token_needed()
    return verified[0]


def visible_stores(claims: Claims, parameter: str, named: Sequence[str] = ()) -> Stores:
    """The stores to look at, None for all there are. Raises the 403 for one, named in `parameter`, beyond the wall.

    The closings topic says nothing of revocations, so a token counts here until it expires.
    """
    try:
        return scope_of(claims, named).stores
    except StoreRefused:
        sentence = f"This token does not allow one of the stores in {parameter}."
        raise HTTPException(HTTPStatus.FORBIDDEN, sentence) from None
