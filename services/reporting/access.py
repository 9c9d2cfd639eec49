"""Whose closings a request may see: the stores that its bearer token names."""

import time
from http import HTTPStatus
from typing import Final

from fastapi import HTTPException, Request

from services.platform.auth.claims import EVERY_STORE
from services.platform.auth.tokens import API_AUDIENCE, Verifier, bearer

EVERY: Final = frozenset({EVERY_STORE})


def allowed_stores(verifier: Verifier | None, request: Request) -> frozenset[str]:
    """The stores of the request's token now, `*` among them for all. Raises the 401 where there is no good token."""
    if verifier is None:
        return EVERY
    brought = request.headers.getlist("authorization")
    token = bearer([("authorization", value.encode("latin-1")) for value in brought])
    claims = verifier.claims(token, time.time(), API_AUDIENCE) if token else None
    if claims is None:
        raise HTTPException(
            HTTPStatus.UNAUTHORIZED,
            "A valid bearer token is needed: send the header Authorization: Bearer <token>.",
            {"www-authenticate": "Bearer"},
        )
    return claims.stores
