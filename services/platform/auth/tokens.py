"""Who may speak: Ed25519 bearer tokens, carried in a header, verified against a clock.

A token's signature is verified once and its claims are kept; whether it counts is decided anew at
every call, because the same token is asked about for records that were appended at other times.
"""

import base64
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Final, Literal, cast

import jwt
import orjson
from nacl.exceptions import BadSignatureError

from contracts.access import SUBJECT_BYTES_MAX
from services.platform.auth.claims import KEY_PREFIX, ROLES, VIA_KEY, Claims, Flaw, Role
from services.platform.auth.issuers import Issuer
from services.platform.auth.signing_keys import ALGORITHM, TOKEN_TTL_S_MAX, ensure_key, kid_of, load_private_key
from services.platform.latest import Latest
from services.platform.settings import Settings

Audience = Literal["till.commands", "till.api"]
COMMANDS_AUDIENCE: Final = "till.commands"
API_AUDIENCE: Final = "till.api"

TOKEN_BYTES_MAX: Final = 8_192
REGISTER_TTL_S_MAX: Final = 86_400
IAT_LEEWAY_S: Final = 60
"""How far a token may have been issued in the future: the issuer's clock is not the broker's."""
JWKS_CHECK_S: Final = 5
"""How long a change of the JWKS file may go unseen."""
LOOK_AGAIN_S: Final = 0.5
"""So often at most the files are looked at for key names that nobody has: a garbled one takes ten milliseconds."""
CACHED_TOKENS_MAX: Final = 20_000
FORGED_TOKENS_MAX: Final = 1_000
"""So many tokens with wrong signatures are remembered, 8 MB at most: one that comes again is not verified again."""

_HEADER_NAME: Final = "authorization"
_SCHEME: Final = b"bearer "
_WHITE_SPACE: Final = b" \t\r\n"


@dataclass(frozen=True, slots=True)
class _Verified:
    """The parts of a genuine token that are compared with the moment and place of its use."""

    claims: Claims
    audiences: frozenset[str]
    earliest: float
    latest: float


class _UnknownKey(Exception):
    """The token names a key that is nobody's, or no key, or that key did not sign it."""


class Verifier:
    """Reads tokens by the public keys of JWKS files. Not for several threads at once."""

    def __init__(self, jwks: Path, issuer: str, outside: tuple[Path, str] | None = None) -> None:
        """`outside` is another issuer's JWKS file and name; its keys sign for its own name alone.

        Raises ValueError with a sentence when a file can't be read, or ours holds no Ed25519 key.
        """
        self._issuers = [Issuer(jwks, issuer)]
        if outside is not None:
            self._issuers.append(Issuer(*outside, outside=True))
        self._known = Latest[str, _Verified](CACHED_TOKENS_MAX)
        self._forged = Latest[str, None](FORGED_TOKENS_MAX)
        self._look_again_at = -math.inf
        self._check_at = time.monotonic() + JWKS_CHECK_S

    def claims(self, token: str | bytes, at: datetime | float, audience: str) -> Claims | None:
        """What `token` says, or None when it doesn't count at `at` for `audience`; see `judge`."""
        judged = self.judge(token, at, audience)
        return None if isinstance(judged, str) else judged

    def judge(self, token: str | bytes, at: datetime | float, audience: str) -> Claims | Flaw:
        """What `token` says, or why it doesn't count at `at` for `audience`.

        `at` is an aware datetime or seconds since 1970; for a record it is the broker's append
        time. Total: whatever the token's bytes are, nothing is raised.
        """
        if time.monotonic() >= self._check_at:
            self._look_for_new_keys()
        try:
            text = token.decode("ascii") if isinstance(token, bytes) else token
        except UnicodeDecodeError:
            return "unreadable"
        verified = self._known.get(text)
        if verified is None:
            read = self._verify(text)
            if isinstance(read, str):
                return read
            verified = read
        else:
            self._known.move_to_end(text)
        moment = at.timestamp() if isinstance(at, datetime) else at
        if not verified.earliest <= moment < verified.latest or audience not in verified.audiences:
            return _flaw(verified, moment, audience)
        claims = verified.claims
        # A register's token that would still live longer than a whole day was not minted by us.
        if claims.role == "register" and claims.exp - moment > REGISTER_TTL_S_MAX + IAT_LEEWAY_S:
            return "too_long"
        return claims

    def has_key(self, kid: str) -> bool:
        """Whether what this key signed still counts: it was not taken back."""
        if time.monotonic() >= self._check_at:
            self._look_for_new_keys()
        return any(kid in issuer.keys for issuer in self._issuers)

    def _verify(self, text: str) -> _Verified | Flaw:
        if len(text) > TOKEN_BYTES_MAX or not text.isascii():
            return "unreadable"
        if text in self._forged:
            return "unknown_key"
        try:
            verified = self._read(text)
        except _UnknownKey:
            return "unknown_key"
        # Thousands of brackets end the JSON reader with a RecursionError, hundreds of digits a
        # conversion with an OverflowError.
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
            return "unreadable"
        self._known[text] = verified
        return verified

    def _read(self, text: str) -> _Verified:
        """The claims that one of our keys signed; of the header only alg and kid count.

        The signature is verified before anything is read of what it signs: whoever forges one pays for that alone.
        """
        signed, _, signature = text.rpartition(".")
        header = _header(signed.partition(".")[0])
        kid: Any = header.get("kid")
        issuer, proof = self._signer(kid), _bytes(signature)
        try:
            issuer.keys[kid].verify(signed.encode(), proof)
        except (BadSignatureError, ValueError):  # A ValueError where it has not the length of a signature.
            self._forged[text] = None
            raise _UnknownKey from None
        verified = _read_payload(_decoded(text), issuer.name)
        if not issuer.outside:
            return verified
        if verified.claims.sub.startswith(KEY_PREFIX):
            raise ValueError("nobody else signs for our API keys")
        return replace(verified, claims=replace(verified.claims, via=None))

    def _signer(self, kid: str) -> Issuer:
        """Whose key this is. A name that nobody has may be a new key's: the files are looked at once more.

        Not for every such name, for anybody can think of them: once in LOOK_AGAIN_S.
        """
        if not any(kid in issuer.keys for issuer in self._issuers) and time.monotonic() >= self._look_again_at:
            self._look_again_at = time.monotonic() + LOOK_AGAIN_S
            self._look_for_new_keys()
        signer = next((issuer for issuer in self._issuers if kid in issuer.keys), None)
        if signer is None:
            raise _UnknownKey
        return signer

    def _look_for_new_keys(self) -> None:
        """Takes the keys of files that have changed; what a removed key signed counts no longer."""
        self._check_at = time.monotonic() + JWKS_CHECK_S
        for issuer in self._issuers:
            if issuer.look():
                self._known.clear()
                self._forged.clear()


def open_verifier(settings: Settings) -> Verifier:
    """The verifier of a deployment. Raises ValueError with a sentence where it has no public keys.

    Where no JWKS file is named, this home's own key is made on first use: whichever service of an
    embedded stack starts first, all of them find one.
    """
    if settings.jwks_file is None:
        ensure_key(settings)
    outside_file, outside_issuer = settings.outside_jwks_file, settings.outside_issuer
    if outside_file is None and outside_issuer is None:
        return Verifier(settings.jwks, settings.token_issuer)
    if outside_file is None or outside_issuer is None:
        raise ValueError("TILL_OUTSIDE_JWKS_FILE and TILL_OUTSIDE_ISSUER belong together: set both or neither.")
    if outside_issuer == settings.token_issuer:
        raise ValueError(f"TILL_OUTSIDE_ISSUER is {outside_issuer}, which is our own name: it must be another.")
    return Verifier(settings.jwks, settings.token_issuer, (outside_file, outside_issuer))


def bearer(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    """The token of a record's `authorization: Bearer <JWT>` header; None where there is none that is a token."""
    brought = bearer_or_flaw(headers)
    return None if isinstance(brought, str) else brought


def bearer_or_flaw(headers: Sequence[tuple[str, bytes | None]]) -> bytes | Flaw:
    """The token of a record's `authorization: Bearer <JWT>` header, or why there is none.

    The header may stand in double quotes, end with white space, and come again if it is equal without these. Total:
    another second one, a null, another scheme or anything but ASCII is no token.
    """
    value: bytes | None = None
    for name, content in headers:
        if len(name) == len(_HEADER_NAME) and name.lower() == _HEADER_NAME:
            bare = b"" if content is None else _bare(content)
            if value is not None and value != bare:
                return "unreadable"
            value = bare
    if not value:
        return "missing"
    if not value.isascii() or value[: len(_SCHEME)].lower() != _SCHEME:
        return "unreadable"
    token = value[len(_SCHEME) :].strip(b" ")
    return token if token and b" " not in token else "unreadable"


def _bare(value: bytes) -> bytes:
    """A header's value without what clients put around it: some write texts as JSON, some end them with a new line."""
    value = value.rstrip(_WHITE_SPACE)
    if value[:1] == b'"' == value[-1:]:
        return value[1:-1].rstrip(_WHITE_SPACE)
    return value


def mint(
    settings: Settings,
    *,
    sub: str,
    role: Role,
    stores: Sequence[str],
    company: str | None = None,
    via: Literal["key"] | None = None,
    ttl_s: int,
    audiences: Sequence[Audience] = (COMMANDS_AUDIENCE, API_AUDIENCE),
    now: float | None = None,
) -> str:
    """A signed token, for commands and APIs where `audiences` says nothing else. Raises ValueError with a sentence."""
    if role not in ROLES:
        raise ValueError(f"There is no role {role}; the roles are {', '.join(sorted(ROLES))}.")
    if not 1 <= len(sub.encode()) <= SUBJECT_BYTES_MAX:
        raise ValueError(f"The subject of a token has 1 to {SUBJECT_BYTES_MAX} bytes.")
    if sub.startswith(KEY_PREFIX) != (via == VIA_KEY):
        raise ValueError("A subject that begins with key: is an API key, never a person.")
    if not stores:
        raise ValueError("A token names at least one store, or * for all of them.")
    if not 1 <= ttl_s <= TOKEN_TTL_S_MAX:
        raise ValueError(f"A token lives at least 1 second and at most {TOKEN_TTL_S_MAX} s (366 days), not {ttl_s} s.")
    if role == "register" and ttl_s > REGISTER_TTL_S_MAX:
        raise ValueError(f"A register's token lives at most 24 hours ({REGISTER_TTL_S_MAX} s), not {ttl_s} s.")
    # To the millisecond: who was revoked and let in again within one second has old and new tokens of that second.
    issued = round(time.time() if now is None else now, 3)
    claims = Claims(sub, role, frozenset(stores), company, via, issued, int(issued) + ttl_s)
    token = Signer(settings).sign(claims, stores=stores, audiences=audiences, exp=claims.exp)
    if len(token) > TOKEN_BYTES_MAX:
        raise ValueError(f"The token would be longer than {TOKEN_BYTES_MAX} bytes: name fewer stores, or *.")
    return token


class Signer:
    """Signs with the private key as it is now, read once: reading it costs as much as a signature, 45 µs."""

    def __init__(self, settings: Settings) -> None:
        """Raises ValueError with a sentence where there is no private key."""
        self._issuer = settings.token_issuer
        self._key = load_private_key(settings)
        self._headers = {"kid": kid_of(self._key.public_key())}

    def sign(self, claims: Claims, *, stores: Sequence[str], audiences: Sequence[Audience], exp: float) -> str:
        """A token with these claims for these stores and audiences; whether they are sensible is for the caller."""
        payload: dict[str, Any] = {
            "iss": self._issuer,
            "aud": list(audiences),
            "sub": claims.sub,
            "role": claims.role,
            "stores": list(stores),
            "company": claims.company,
            "exp": exp,
        }
        if claims.iat is not None:
            payload["iat"] = claims.iat
        if claims.via is not None:
            payload["via"] = claims.via
        return jwt.encode(payload, self._key, ALGORITHM, headers=self._headers)


def _header(segment: str) -> dict[str, Any]:
    """A token's header, unproven. Raises ValueError where it is none, or asks for what this service does not do."""
    header = orjson.loads(_bytes(segment))
    if not isinstance(header, dict) or header.get("alg") != ALGORITHM or "crit" in header:
        raise ValueError("the token's header asks for what this service does not do")
    return header


def _bytes(segment: str) -> bytes:
    """What a segment says in base64url. The decoder also takes `+`, more padding, and bits that say nothing."""
    content = base64.b64decode(segment + "=" * (-len(segment) % 4), b"-_", validate=True)
    if base64.urlsafe_b64encode(content).rstrip(b"=") != segment.encode():
        raise ValueError("the token is not written as base64url is")
    return content


def _decoded(text: str) -> dict[str, Any]:
    """What a token says whose signature was verified; what its claims mean for us is not the library's to check."""
    payload: dict[str, Any] = jwt.decode(text, options={"verify_signature": False})
    return payload


def _flaw(verified: _Verified, moment: float, audience: str) -> Flaw:
    """Why a genuine token doesn't count then and there."""
    if audience not in verified.audiences:
        return "other_audience"
    return "not_yet" if moment < verified.earliest else "expired"


def _read_payload(payload: dict[str, Any], issuer: str) -> _Verified:
    """Raises ValueError, TypeError or KeyError for claims that are missing or malformed."""
    sub, role, audiences = _text(payload["sub"]), _text(payload["role"]), payload["aud"]
    if payload["iss"] != issuer or role not in ROLES:
        raise ValueError("the issuer or the role is unknown")
    if not 1 <= len(sub.encode()) <= SUBJECT_BYTES_MAX or "\0" in sub:
        raise ValueError("the subject is empty, too long or no text that a database takes")
    claims = Claims(
        sub=sub,
        role=cast("Role", role),
        stores=_texts(payload["stores"]),
        company=_optional_text(payload.get("company")),
        via=_optional_text(payload.get("via")),
        iat=None if payload.get("iat") is None else _seconds(payload["iat"]),
        exp=_seconds(payload["exp"]),
    )
    not_before = _seconds(payload["nbf"]) if payload.get("nbf") is not None else -math.inf
    issued = -math.inf if claims.iat is None else claims.iat - IAT_LEEWAY_S
    return _Verified(
        claims=claims,
        audiences=frozenset({audiences}) if isinstance(audiences, str) else _texts(audiences),
        earliest=max(not_before, issued),
        latest=claims.exp,
    )


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("a claim is no text")
    return value


def _optional_text(value: Any) -> str | None:
    return None if value is None else _text(value)


def _texts(value: Any) -> frozenset[str]:
    if not isinstance(value, list):
        raise TypeError("a claim is no list")
    return frozenset(map(_text, value))


def _seconds(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise TypeError("a claim is no time")
    return float(value)
