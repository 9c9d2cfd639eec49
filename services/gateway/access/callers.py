"""Who asks: the dependencies that every route of the gateway begins with.

What the consumer would refuse is refused here already, so that nothing is published for it; the consumer decides all
the same. A token's claims are remembered, its verdict never: expiry and revocation are looked at with every request.
"""

import time
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Annotated, Final

from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.access import api_keys
from services.gateway.access.api_keys import ApiKey
from services.gateway.access.passwords import HASHING_MAX, Passwords
from services.platform.auth import revocations
from services.platform.auth.claims import ANYBODY, VIA_KEY, Claims
from services.platform.auth.signing_keys import load_private_key
from services.platform.auth.tokens import Verifier, mint
from services.platform.http.bearer import request_claims, token_needed
from services.platform.postgres.engine import open_engine
from services.platform.settings import Settings

KEY_HEADER: Final = "x-api-key"
KEY_TOKEN_TTL_S: Final = 300
KEY_TOKEN_RENEWED_S: Final = 120
"""A key's token is used again for so long: signing anew each time would keep the consumer from knowing it."""
KEYS_REMEMBERED_MAX: Final = 1_000
CONNECTIONS: Final = HASHING_MAX + 4


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks, and the token to publish their commands with (None only where TILL_AUTH is off)."""

    claims: Claims
    token: str | None


class Access:
    """What the dependencies need; one for a process, as `app.state.access`."""

    def __init__(self, settings: Settings, engine: AsyncEngine, verifier: Verifier) -> None:
        """Raises ValueError with a sentence where there is no private key to sign with."""
        load_private_key(settings)
        self.settings = settings
        self.engine = engine
        self.passwords = Passwords(engine)
        self._verifier = verifier
        self._key_tokens: dict[tuple[str, str], tuple[float, str]] = {}

    async def by_token(self, request: Request) -> Caller | None:
        """Whoever the request's bearer token names."""
        verified = request_claims(self._verifier, request)
        if verified is None:
            return Caller(ANYBODY, None) if self.settings.auth == "off" else None
        claims, token = verified
        async with self.engine.connect() as tx:
            revoked = await revocations.revoked_stores(tx, claims)
        if revocations.counts_nowhere(claims, revoked):
            return None
        return Caller(replace(claims, revoked=revoked), token)

    async def by_key(self, request: Request) -> Caller | None:
        """Whoever the request's API key names: a company and one store."""
        brought = request.headers.getlist(KEY_HEADER)
        if len(brought) != 1:
            return None
        async with self.engine.connect() as tx:
            key = await api_keys.find(tx, brought[0])
        if key is None:
            return None
        now = time.time()
        claims = Claims(
            key.sub, key.role, frozenset({key.store_id}), key.company_id, VIA_KEY, now, now + KEY_TOKEN_TTL_S
        )
        return Caller(claims, self._token_of(key, now))

    def _token_of(self, key: ApiKey, now: float) -> str:
        minted_at, token = self._key_tokens.get((key.store_id, key.key_id), (0.0, ""))
        if now - minted_at < KEY_TOKEN_RENEWED_S:
            return token
        token = mint(
            self.settings,
            sub=key.sub,
            role=key.role,
            stores=[key.store_id],
            company=key.company_id,
            via=VIA_KEY,
            ttl_s=KEY_TOKEN_TTL_S,
            now=now,
        )
        if len(self._key_tokens) >= KEYS_REMEMBERED_MAX:
            self._key_tokens.clear()
        self._key_tokens[key.store_id, key.key_id] = now, token
        return token


def access_engine(database_url: str) -> AsyncEngine:
    """Connections for what is read and written of those who ask: users, keys, failures, revocations."""
    return open_engine(
        database_url,
        "till-gateway-access",
        connections=CONNECTIONS,
        limits={"statement_timeout": "8s", "lock_timeout": "6s", "idle_in_transaction_session_timeout": "8s"},
        # An error's text would quote what was asked for, hashes of passwords too.
        hide_parameters=True,
    )


async def caller(request: Request, _: Annotated[object, Security(HTTPBearer(auto_error=False))] = None) -> Caller:
    """Whoever the bearer token names. Raises the 401."""
    access: Access = request.app.state.access
    who = await access.by_token(request)
    if who is None:
        raise token_needed()
    return who


async def key_caller(
    request: Request, _: Annotated[object, Security(APIKeyHeader(name=KEY_HEADER, auto_error=False))] = None
) -> Caller:
    """Whoever the API key names. Raises the 401."""
    access: Access = request.app.state.access
    who = await access.by_key(request)
    if who is None:
        raise HTTPException(HTTPStatus.UNAUTHORIZED, f"A valid API key is needed: send the header {KEY_HEADER}.")
    return who


ByToken = Annotated[Caller, Depends(caller)]
ByKey = Annotated[Caller, Depends(key_caller)]
