"""Who may speak: Ed25519 bearer tokens, carried in a header, verified against a clock.

A token's signature is verified once and its claims are kept; whether it counts is decided anew at
every call, because the same token is asked about for records that were appended at other times.
"""

import base64
import json
import math
import os
import secrets
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, Literal, cast, get_args

import jwt
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from services.settings import Settings

Role = Literal["register", "cashier", "manager", "admin", "reader"]
ROLES: Final = frozenset(get_args(Role))

COMMANDS_AUDIENCE: Final = "till.commands"
API_AUDIENCE: Final = "till.api"
EVERY_STORE: Final = "*"

TOKEN_BYTES_MAX: Final = 8_192
SUBJECT_BYTES_MAX: Final = 128
REGISTER_TTL_S_MAX: Final = 86_400
IAT_LEEWAY_S: Final = 60
"""How far a token may have been issued in the future: the issuer's clock is not the broker's."""
JWKS_CHECK_S: Final = 5
"""How long a change of the JWKS file may go unseen."""
CACHED_TOKENS_MAX: Final = 20_000

_ALGORITHM: Final = "EdDSA"
_HEADER_NAME: Final = "authorization"
_SCHEME: Final = b"bearer "

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Claims:
    """What a verified token says of its bearer. Times are seconds since 1970."""

    sub: str
    role: Role
    stores: frozenset[str]
    company: str | None
    via: str | None
    iat: float | None
    exp: float

    def allows_store(self, store_id: str) -> bool:
        """Whether the bearer may see or change this store."""
        return store_id in self.stores or EVERY_STORE in self.stores


@dataclass(frozen=True, slots=True)
class _Verified:
    """The parts of a genuine token that are compared with the moment and place of its use."""

    claims: Claims
    audiences: frozenset[str]
    earliest: float
    latest: float


class Verifier:
    """Reads tokens by the public keys of a JWKS file. Not for several threads at once."""

    def __init__(self, jwks: Path, issuer: str) -> None:
        """Raises ValueError with a sentence when the file can't be read or holds no Ed25519 key."""
        self._path = jwks
        self._issuer = issuer
        self._known: OrderedDict[str, _Verified] = OrderedDict()
        self._stamp = _stamp(jwks)
        self._keys = _read_jwks(jwks)
        self._check_at = time.monotonic() + JWKS_CHECK_S

    def claims(self, token: str | bytes, at: datetime | float, audience: str) -> Claims | None:
        """What `token` says, or None when it doesn't count at `at` for `audience`.

        `at` is an aware datetime or seconds since 1970; for a record it is the broker's append
        time. Total: whatever the token's bytes are, nothing is raised.
        """
        if time.monotonic() >= self._check_at:
            self._look_for_new_keys()
        try:
            text = token.decode("ascii") if isinstance(token, bytes) else token
        except UnicodeDecodeError:
            return None
        verified = self._known.get(text)
        if verified is None:
            verified = self._verify(text)
            if verified is None:
                return None
        else:
            self._known.move_to_end(text)
        moment = at.timestamp() if isinstance(at, datetime) else at
        if not verified.earliest <= moment < verified.latest or audience not in verified.audiences:
            return None
        claims = verified.claims
        # A register's token that would still live longer than a whole day was not minted by us.
        if claims.role == "register" and claims.exp - moment > REGISTER_TTL_S_MAX + IAT_LEEWAY_S:
            return None
        return claims

    def _verify(self, text: str) -> _Verified | None:
        if len(text) > TOKEN_BYTES_MAX or not text.isascii():
            return None
        try:
            verified = _read_payload(self._payload(text), self._issuer)
        # Thousands of brackets end the JSON reader with a RecursionError, hundreds of digits a
        # conversion with an OverflowError.
        except (jwt.PyJWTError, ValueError, TypeError, KeyError, RecursionError, OverflowError):
            return None
        self._known[text] = verified
        if len(self._known) > CACHED_TOKENS_MAX:
            self._known.popitem(last=False)
        return verified

    def _payload(self, text: str) -> dict[str, Any]:
        """The payload that one of our keys signed; of the header only alg and kid count."""
        header = jwt.get_unverified_header(text)
        if header.get("alg") != _ALGORITHM or "crit" in header:
            raise ValueError("the token's header asks for what this service does not do")
        payload: dict[str, Any] = jwt.decode(
            text,
            self._keys[header["kid"]],
            algorithms=[_ALGORITHM],
            options={
                "verify_signature": True,
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
                "verify_iss": False,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
        return payload

    def _look_for_new_keys(self) -> None:
        """Takes the file's keys when it has changed; what a removed key signed counts no longer."""
        self._check_at = time.monotonic() + JWKS_CHECK_S
        try:
            stamp = _stamp(self._path)
            if stamp == self._stamp:
                return
            self._keys = _read_jwks(self._path)
        except ValueError as error:
            # A file that is just being replaced must not lock every till out.
            log.warning("jwks_unreadable", error=str(error))
            return
        self._stamp = stamp
        self._known.clear()


def open_verifier(settings: Settings) -> Verifier:
    """The verifier of a deployment. Raises ValueError with a sentence where it has no public keys.

    Where no JWKS file is named, this home's own key is made on first use: whichever service of an
    embedded stack starts first, all of them find one.
    """
    if settings.jwks_file is None:
        ensure_key(settings)
    return Verifier(settings.jwks, settings.token_issuer)


def bearer(headers: Sequence[tuple[str, bytes | None]]) -> bytes | None:
    """The token of a record's one `authorization: Bearer <JWT>` header, or None.

    Total: a second such header, a null, another scheme or anything but ASCII is no token.
    """
    found = False
    value: bytes | None = None
    for name, content in headers:
        if len(name) == len(_HEADER_NAME) and name.lower() == _HEADER_NAME:
            if found:
                return None
            found, value = True, content
    if value is None or not value.isascii() or value[: len(_SCHEME)].lower() != _SCHEME:
        return None
    token = value[len(_SCHEME) :].strip(b" ")
    return token if token and b" " not in token else None


def ensure_key(settings: Settings) -> None:
    """Makes the private key (mode 0600) and the JWKS file where there is neither.

    Several processes may call it at once: one key wins and all use it. Raises ValueError when
    there are public keys but not the private one: a new key would sign what nobody accepts.
    """
    key_file, jwks = settings.token_key, settings.jwks
    if not key_file.exists():
        if jwks.exists():
            raise ValueError(
                f"{jwks} holds public keys, but the private key {key_file} is missing. Put it back,"
                " or remove the JWKS file as well to start with a new key (old tokens then end)."
            )
        _create_once(key_file, _new_private_key(), 0o600)
    if not jwks.exists():
        public = _load_private_key(settings).public_key()
        text = json.dumps({"keys": [_as_jwk(public)]}, indent=2) + "\n"
        # Whoever comes first writes the same bytes: they follow from the key alone.
        _create_once(jwks, text.encode(), 0o644)


def mint(
    settings: Settings,
    *,
    sub: str,
    role: Role,
    stores: Sequence[str],
    company: str | None = None,
    ttl_s: int,
    now: float | None = None,
) -> str:
    """A signed token for commands and APIs. Raises ValueError with a sentence instead."""
    if role not in ROLES:
        raise ValueError(f"There is no role {role}; the roles are {', '.join(sorted(ROLES))}.")
    if not 1 <= len(sub.encode()) <= SUBJECT_BYTES_MAX:
        raise ValueError(f"The subject of a token has 1 to {SUBJECT_BYTES_MAX} bytes.")
    if sub.startswith("key:"):
        raise ValueError("A subject that begins with key: is an API key, never a person.")
    if not stores:
        raise ValueError("A token names at least one store, or * for all of them.")
    if ttl_s < 1:
        raise ValueError("A token lives at least 1 second.")
    if role == "register" and ttl_s > REGISTER_TTL_S_MAX:
        raise ValueError(f"A register's token lives at most 24 hours ({REGISTER_TTL_S_MAX} s), not {ttl_s} s.")
    issued = int(time.time() if now is None else now)
    payload: dict[str, Any] = {
        "iss": settings.token_issuer,
        "aud": [COMMANDS_AUDIENCE, API_AUDIENCE],
        "sub": sub,
        "role": role,
        "stores": list(stores),
        "company": company,
        "iat": issued,
        "exp": issued + ttl_s,
    }
    key = _load_private_key(settings)
    token = jwt.encode(payload, key, _ALGORITHM, headers={"kid": _kid(key.public_key())})
    if len(token) > TOKEN_BYTES_MAX:
        raise ValueError(f"The token would be longer than {TOKEN_BYTES_MAX} bytes: name fewer stores, or *.")
    return token


def _read_payload(payload: dict[str, Any], issuer: str) -> _Verified:
    """Raises ValueError, TypeError or KeyError for claims that are missing or malformed."""
    sub, role, audiences = _text(payload["sub"]), _text(payload["role"]), payload["aud"]
    if payload["iss"] != issuer or role not in ROLES:
        raise ValueError("the issuer or the role is unknown")
    if not 1 <= len(sub.encode()) <= SUBJECT_BYTES_MAX:
        raise ValueError("the subject is empty or too long")
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


def _stamp(path: Path) -> tuple[int, int, int]:
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"The public keys {path} can't be read: {error.strerror}.") from None
    return status.st_mtime_ns, status.st_size, status.st_ino


def _read_jwks(path: Path) -> dict[str, Ed25519PublicKey]:
    try:
        listed = json.loads(path.read_bytes())["keys"]
        keys = {jwk["kid"]: _as_key(jwk) for jwk in listed if jwk.get("crv") == "Ed25519"}
    except OSError as error:
        raise ValueError(f"The public keys {path} can't be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ValueError(f"{path} is no JWKS file (RFC 7517) with Ed25519 keys.") from None
    if not keys:
        raise ValueError(f"{path} holds no Ed25519 key, so no token could ever count.")
    return keys


def _as_key(jwk: dict[str, str]) -> Ed25519PublicKey:
    raw = base64.urlsafe_b64decode(jwk["x"] + "=" * (-len(jwk["x"]) % 4))
    return Ed25519PublicKey.from_public_bytes(raw)


def _as_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": _ALGORITHM,
        "kid": _kid(key),
        "x": _base64url(key.public_bytes_raw()),
    }


def _kid(key: Ed25519PublicKey) -> str:
    """The key's RFC 7638 thumbprint: a name that follows from the key and needs no register."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(key.public_bytes_raw())}
    return _base64url(sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _new_private_key() -> bytes:
    return Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _load_private_key(settings: Settings) -> Ed25519PrivateKey:
    try:
        key = serialization.load_pem_private_key(settings.token_key.read_bytes(), password=None)
    except OSError as error:
        raise ValueError(f"The private key {settings.token_key} can't be read: {error.strerror}.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{settings.token_key} is no Ed25519 key.")  # noqa: TRY004
    return key


def _create_once(path: Path, content: bytes, mode: int) -> None:
    """Writes a file whole or not at all; one that is there already stays."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        # A link, unlike a rename, fails where another process was faster.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)
