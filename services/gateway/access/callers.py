"""Who asks: the dependencies that every route of the gateway begins with.

What the consumer would refuse is refused here already, so that nothing is published for it; the consumer decides all
the same. A token's claims are remembered, its verdict never: expiry and revocation are looked at with every request.
Who was revoked is known from the access topic, which the process follows: no database is asked.
"""

import asyncio
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Final

import structlog
from fastapi import Depends, HTTPException, Request, Security
from fastapi.security import APIKeyHeader, HTTPBearer
from sqlalchemy.ext.asyncio import AsyncEngine

from services.gateway.access import api_keys
from services.gateway.access.api_keys import ApiKey
from services.gateway.access.bounded_queue import BoundedQueue
from services.gateway.access.daily_share import DailyShare
from services.gateway.access.passwords import HASHED_AT_ONCE, LOOKED_UP_AT_ONCE, Passwords
from services.gateway.access.topic_tokens import TopicTokens
from services.gateway.remembered import Remembered
from services.platform.access_log import ASK_LIMIT_S, OUTAGES, AccessLog, AccessUnread
from services.platform.auth.claims import ANYBODY, VIA_KEY, Claims
from services.platform.auth.tokens import Verifier
from services.platform.http.bearer import request_claims, token_needed
from services.platform.http.client_address import client_address, is_forwarded
from services.platform.postgres.engine import LOOKUPS, open_engine
from services.platform.settings import Settings

KEY_HEADER: Final = "x-api-key"
KEY_CLAIMS_TTL_S: Final = 300
KEY_CLAIMS_RENEWED_S: Final = 120
"""What is signed for a key is used again for so long: a token that is new each time no worker would know."""
KEYS_REMEMBERED_MAX: Final = 1_000
CHANGES_AT_ONCE: Final = 1
"""Changes of who may come in: each may take a password's hash and a look through the access topic."""
CHANGES_INSIDE_MAX: Final = 20
CHANGES_OF_STORE_INSIDE_MAX: Final = 5
"""So many of them are made or wait, and of one store."""
CHANGES_OF_STORE_A_DAY_MAX: Final = 1_000
"""Users set, keys made and rotated, by one process. Whoever is revoked and let in again stays on the access topic for
good, and every process reads it all at its start."""
TRADES_AT_ONCE: Final = 2
"""Keys that are looked up at a time to be traded for tokens: one takes a millisecond."""
TRADES_INSIDE_MAX: Final = 400
TRADES_OF_ADDRESS_INSIDE_MAX: Final = 100
"""So many are looked up or wait, and of one address: a shopping street may come through one, after its line was cut."""
CONNECTIONS: Final = HASHED_AT_ONCE + LOOKED_UP_AT_ONCE + CHANGES_AT_ONCE + TRADES_AT_ONCE + 4


log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `authenticated` is False only where TILL_AUTH is off and they brought no key and no valid token."""

    claims: Claims
    authenticated: bool = True


class Access:
    """What the dependencies need; one for a process, as `app.state.access`."""

    def __init__(self, settings: Settings, engine: AsyncEngine, verifier: Verifier, log: AccessLog) -> None:
        """`log` says who was revoked. Raises ValueError with a sentence where there is no private key to sign with."""
        self._topic_tokens = TopicTokens(settings)
        self.settings = settings
        self._proxies = settings.proxy_networks
        self.engine = engine
        self._warned_of_proxy = False
        self.passwords = Passwords(engine)
        self.changes = BoundedQueue(CHANGES_AT_ONCE, CHANGES_INSIDE_MAX, CHANGES_OF_STORE_INSIDE_MAX)
        """The turns of those who say who may come in, by their stores."""
        self.key_trades = BoundedQueue(TRADES_AT_ONCE, TRADES_INSIDE_MAX, TRADES_OF_ADDRESS_INSIDE_MAX)
        """The turns of those who trade a key for a token, by their addresses."""
        self.changes_of_day = DailyShare(CHANGES_OF_STORE_A_DAY_MAX)
        self._verifier = verifier
        self._log = log
        self._keys = Remembered[ApiKey]()
        self._key_claims: dict[tuple[str, str], Claims] = {}

    async def by_token(self, request: Request) -> Caller | None:
        """Whoever the request's bearer token names."""
        claims = request_claims(self._verifier, request)
        if claims is None:
            return Caller(ANYBODY, authenticated=False) if self.settings.auth == "off" else None
        standing = self._log.revocations.standing(claims)
        return None if standing is None else Caller(standing)

    async def by_key(self, request: Request) -> Caller | None:
        """Whoever the request's API key names: a company and one store."""
        key = await self.key_of(request)
        return None if key is None else Caller(self._claims_of(key, time.time()))

    async def key_of(self, request: Request) -> ApiKey | None:
        """The API key that the request brings, unless it counts no more. HTTP has the header once: two are none."""
        brought = request.headers.getlist(KEY_HEADER)
        if len(brought) != 1:
            return None

        async def find() -> ApiKey | None:
            async with self.engine.connect() as tx:
                return await api_keys.find(tx, brought[0])

        if not brought[0].isascii():
            return None
        key = await self._keys.look(api_keys.hash_of(brought[0]), find, lambda key: key.counts_s)
        if key is None:
            return None
        # A restored database may have forgotten that the key was revoked; the topic has not.
        return None if self._log.revocations.refuses(self._claims_of(key, time.time()), key.store_id) else key

    def knows_key_of(self, request: Request) -> bool:
        """Whether the request brings a key that this process has looked up and found to count."""
        brought = request.headers.getlist(KEY_HEADER)
        return len(brought) == 1 and brought[0].isascii() and api_keys.hash_of(brought[0]) in self._keys

    async def revoked_in(self, subject: str) -> frozenset[str]:
        """The stores (`*`: all) in which somebody is revoked, by all that the topic says now. Raises AccessUnread."""
        try:
            async with asyncio.timeout(ASK_LIMIT_S):
                await self._log.read_to_end()
        except OUTAGES as error:
            raise AccessUnread(f"the access topic can't be read: {error!r}") from error
        return self._log.revocations.revoked_in(subject)

    def address_of(self, request: Request) -> str:
        """From where a request comes, as passwords are counted by it."""
        if not self._proxies and is_forwarded(request) and not self._warned_of_proxy:
            self._warned_of_proxy = True
            log.warning(
                "forwarded_for_not_believed",
                meaning="all who come through one proxy are counted as one address: name it in TILL_TRUSTED_PROXIES",
            )
        return client_address(request, self._proxies)

    def topic_token(self, who: Caller, store_id: str) -> str | None:
        """What goes with a caller's commands for one of their stores; None where nobody is asked for a token."""
        return self._topic_tokens.of(who.claims, store_id) if who.authenticated else None

    def _claims_of(self, key: ApiKey, now: float) -> Claims:
        claims = self._key_claims.get((key.store_id, key.key_id))
        if claims is not None and claims.iat is not None and now - claims.iat < KEY_CLAIMS_RENEWED_S:
            return claims
        stores, issued = frozenset({key.store_id}), round(now, 3)
        claims = Claims(key.sub, key.role, stores, key.company_id, VIA_KEY, issued, issued + KEY_CLAIMS_TTL_S)
        if len(self._key_claims) >= KEYS_REMEMBERED_MAX:
            self._key_claims.clear()
        self._key_claims[key.store_id, key.key_id] = claims
        return claims


def access_of(request: Request) -> Access:
    """The dependencies' own of the process that serves this request."""
    access: Access = request.app.state.access
    return access


def access_engine(database_url: str) -> AsyncEngine:
    """Connections for what is read and written of those who ask: users, keys, failures."""
    return open_engine(
        database_url,
        "till-gateway-access",
        connections=CONNECTIONS,
        limits={"statement_timeout": "8s", "lock_timeout": "6s", "idle_in_transaction_session_timeout": "8s"} | LOOKUPS,
        # An error's text would quote what was asked for, hashes of passwords too.
        hide_parameters=True,
    )


async def caller(request: Request, _: Annotated[object, Security(HTTPBearer(auto_error=False))] = None) -> Caller:
    """Whoever the bearer token names. Raises the 401."""
    who = await access_of(request).by_token(request)
    if who is None:
        raise token_needed()
    return who


async def key_caller(
    request: Request, _: Annotated[object, Security(APIKeyHeader(name=KEY_HEADER, auto_error=False))] = None
) -> Caller:
    """Whoever the API key names. Raises the 401."""
    who = await access_of(request).by_key(request)
    if who is None:
        raise key_needed()
    return who


def key_needed() -> HTTPException:
    """The 401 of a request without a good API key: the same whatever is wrong with it."""
    return HTTPException(HTTPStatus.UNAUTHORIZED, f"A valid API key is needed: send the header {KEY_HEADER}.")


ByToken = Annotated[Caller, Depends(caller)]
ByKey = Annotated[Caller, Depends(key_caller)]
