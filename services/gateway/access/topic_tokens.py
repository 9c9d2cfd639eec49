"""What the gateway signs for its callers' commands: tokens that the commands topic takes, and no API.

Whoever reads the commands topic reads what is in its headers. A caller's own token would open lists and closings for
hours; what stands there instead speaks for one store, lives five minutes, and is worth nothing over HTTP.
"""

import time
from typing import Final

from services.platform.auth.claims import Claims
from services.platform.auth.signing_keys import stamp
from services.platform.auth.tokens import COMMANDS_AUDIENCE, Signer
from services.platform.latest import Latest
from services.platform.settings import Settings

TOPIC_TOKEN_TTL_S: Final = 300
"""How long such a token counts: longer than any command takes to its topic, where the broker's clock is looked at."""
RENEWED_BEFORE_END_S: Final = 60
"""One with less left is not used again: the broker's clock may be ahead, and a broker may be slow to take it."""
REMEMBERED_MAX: Final = 10_000
"""So many tokens are used again, about 10 MB: signing one costs 45 µs here, and verifying it 140 µs in a worker."""

_Of = tuple[str, str, str, str | None, str | None, float | None, float]


class TopicTokens:
    """Signs for callers; one for a process."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError with a sentence where there is no private key to sign with."""
        self._settings = settings
        self._stamp = stamp(settings.token_key)
        self._signer = Signer(settings)
        self._remembered = Latest[_Of, tuple[float, str]](REMEMBERED_MAX)

    def of(self, claims: Claims, store_id: str) -> str:
        """A token that says of the caller what `claims` say, for one of their stores.

        It has the moment at which the caller's own token was issued: whom a revocation or a restoration meets follows
        from that. It never counts longer than theirs.
        """
        if not claims.allows_store(store_id):
            raise AssertionError(f"a command for {store_id} is published for one who may not speak for it")
        self._take_new_key()
        now = time.time()
        key = (store_id, claims.sub, claims.role, claims.company, claims.via, claims.iat, claims.exp)
        good_until, token = self._remembered.get(key, (0.0, ""))
        if now < good_until:
            self._remembered.move_to_end(key)
            return token
        exp = min(now + TOPIC_TOKEN_TTL_S, claims.exp)
        token = self._signer.sign(claims, stores=[store_id], audiences=[COMMANDS_AUDIENCE], exp=exp)
        # Where their own token ends first, a later one would be no better.
        self._remembered[key] = (exp if exp == claims.exp else exp - RENEWED_BEFORE_END_S), token
        return token

    def _take_new_key(self) -> None:
        """After a rotation sign with the new key only: the old one may be taken back at any moment."""
        try:
            current = stamp(self._settings.token_key)
            if current == self._stamp:
                return
            self._signer, self._stamp = Signer(self._settings), current
        except ValueError:
            # It is just being replaced, or gone: whether its tokens count is for the public keys to say.
            return
        self._remembered.clear()
