"""Those whose tokens count, and what becomes of them when the file of their public keys changes or goes away."""

import time
from pathlib import Path
from typing import Final

import structlog
from prometheus_client import Gauge

from services.platform.auth.signing_keys import read_jwks, stamp

UNREADABLE_KEYS_KEPT_S: Final = 300
"""How long an issuer's keys count on while its JWKS file is missing or garbled: time to put it back.

A file that is just being replaced must not lock every till out, and one that was taken away must not count for ever.
"""

KEYS = Gauge("till_issuer_keys", "Public keys whose tokens count, our own and the outside issuer's.", ["issuer"])
UNREADABLE = Gauge("till_issuer_keys_unreadable", "1 while an issuer's JWKS file can't be read.", ["issuer"])

log = structlog.get_logger(__name__)


class Issuer:
    """One whose tokens count, with the keys of its JWKS file."""

    def __init__(self, jwks: Path, name: str, *, outside: bool = False) -> None:
        """Raises ValueError with a sentence where the file can't be read, or is our own and holds no key."""
        self.name = name
        self.outside = outside
        self._path = jwks
        self._keys_now = KEYS.labels("outside" if outside else "own")
        self._unreadable_now = UNREADABLE.labels("outside" if outside else "own")
        self._unreadable_since: float | None = None
        self._stamp: tuple[int, ...] | None = stamp(jwks)
        self.keys = read_jwks(jwks)
        if not self.keys and not outside:
            raise ValueError(f"{jwks} holds no Ed25519 key, so no token could ever count.")
        self._show_keys()

    def look(self) -> bool:
        """Take the keys that the file has by now; whether they may be others than before.

        A file without a key takes all of them back at once. One that can't be read keeps them for
        UNREADABLE_KEYS_KEPT_S.
        """
        try:
            now = stamp(self._path)
            if now == self._stamp:
                return False
            self.keys, self._stamp = read_jwks(self._path), now
        except ValueError as error:
            return self._given_up(error)
        if self._unreadable_since is not None:
            self._unreadable_since = None
            log.info("jwks_read_again", issuer=self.name, keys=len(self.keys))
        self._show_keys()
        return True

    def _given_up(self, error: ValueError) -> bool:
        """Whether the keys end, now that their file can't be read."""
        now = time.monotonic()
        # Whatever comes to stand there is read, the very file that was gone too.
        self._stamp = None
        self._unreadable_now.set(1)
        if self._unreadable_since is None:
            self._unreadable_since = now
            log.error("jwks_unreadable", issuer=self.name, error=str(error), keys_count_on_s=UNREADABLE_KEYS_KEPT_S)
        if not self.keys or now < self._unreadable_since + UNREADABLE_KEYS_KEPT_S:
            return False
        log.error("jwks_given_up", issuer=self.name, error=str(error), meaning="no token of this issuer counts")
        self.keys = {}
        self._keys_now.set(0)
        return True

    def _show_keys(self) -> None:
        self._keys_now.set(len(self.keys))
        self._unreadable_now.set(0)
        if not self.keys:
            log.error("jwks_empty", issuer=self.name, file=str(self._path), meaning="no token of this issuer counts")
