"""The bearer token of a request over HTTP."""

import time
from http import HTTPStatus

from fastapi import HTTPException, Request

from services.platform.auth.claims import Claims
from services.platform.auth.tokens import API_AUDIENCE, Verifier, bearer


def request_token(request: Request) -> bytes | None:
    """The token that the request brings, whether it is good or not. HTTP has the header once: two are none."""
    brought = request.headers.getlist("authorization")
    return bearer([("authorization", brought[0].encode("latin-1"))]) if len(brought) == 1 else None


def request_claims(verifier: Verifier, request: Request) -> Claims | None:
    """What the request's token says now; None where there is no good one."""
    token = request_token(request)
    return verifier.claims(token, time.time(), API_AUDIENCE) if token else None


def token_needed() -> HTTPException:
    """The 401 of a request without a good token."""
    return HTTPException(
        HTTPStatus.UNAUTHORIZED,
        "A valid bearer token is needed: send the header Authorization: Bearer <token>.",
        {"www-authenticate": "Bearer"},
    )
