"""The Ed25519 keys that tokens are signed with: one private key that signs, and a JWKS file of all that still count."""

import base64
import fcntl
import json
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from nacl.signing import VerifyKey

from services.platform.settings import Settings

ALGORITHM: Final = "EdDSA"
TOKEN_TTL_S_MAX: Final = 366 * 86_400
KEPT_S: Final = TOKEN_TTL_S_MAX + 8 * 86_400
"""How long a retired key stays: the longest life of a token, and the longest that a command can wait to be read."""
JWKS_BYTES_MAX: Final = 1_048_576
"""A larger JWKS file is garbled: five thousand keys are smaller, and each look reads all of it."""


@dataclass(frozen=True, slots=True)
class SigningKey:
    """A public key of the JWKS file. `retired_at` (seconds since 1970) is None for the key that signs."""

    kid: str
    retired_at: float | None


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
        _create_once(key_file, _as_pem(Ed25519PrivateKey.generate()), 0o600)
    if not jwks.exists():
        public = load_private_key(settings).public_key()
        # Whoever comes first writes the same bytes: they follow from the key alone.
        _create_once(jwks, _as_file([_as_jwk(public)]), 0o644)


def rotate(settings: Settings, *, wait_s: float = 0.0) -> str:
    """Signs with a new key from now on and keeps the old ones in the JWKS file; the new key's name.

    The public key is out `wait_s` seconds before anything is signed with it: where the JWKS file is copied to the
    services, give that as much time. Raises ValueError with a sentence.
    """
    with _only_one(settings):
        ensure_key(settings)
        fresh, now = Ed25519PrivateKey.generate(), time.time()
        signing = kid_of(load_private_key(settings).public_key())
        retired = []
        for jwk in _read_file(settings.jwks):
            # What signs until now retires now, also where an earlier rotation was cut off half-way.
            retired_at = now if jwk.get("kid") == signing else jwk.get("retired_at", now)
            if now - retired_at < KEPT_S:
                retired.append({**jwk, "retired_at": int(retired_at)})
        _replace(settings.jwks, _as_file([_as_jwk(fresh.public_key()), *retired]), 0o644)
        time.sleep(wait_s)
        _replace(settings.token_key, _as_pem(fresh), 0o600)
    return kid_of(fresh.public_key())


def listed(settings: Settings) -> list[SigningKey]:
    """The keys whose tokens count, as the JWKS file has them. Raises ValueError with a sentence."""
    return [SigningKey(str(jwk.get("kid")), jwk.get("retired_at")) for jwk in _read_file(settings.jwks)]


def remove(settings: Settings, kid: str) -> None:
    """Takes a retired key out of the JWKS file: what it signed counts no longer. Raises ValueError with a sentence."""
    with _only_one(settings):
        if kid == kid_of(load_private_key(settings).public_key()):
            raise ValueError(f"{kid} is the key that signs: rotate first, then remove it.")
        jwks = _read_file(settings.jwks)
        left = [jwk for jwk in jwks if jwk.get("kid") != kid]
        if len(left) == len(jwks):
            raise ValueError(f"{settings.jwks} has no key {kid}.")
        _replace(settings.jwks, _as_file(left), 0o644)


def load_private_key(settings: Settings) -> Ed25519PrivateKey:
    """The key that signs. Raises ValueError with a sentence."""
    try:
        key = serialization.load_pem_private_key(settings.token_key.read_bytes(), password=None)
    except OSError as error:
        raise ValueError(f"The private key {settings.token_key} can't be read: {error.strerror}.") from None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError(f"{settings.token_key} is no Ed25519 key.")  # noqa: TRY004
    return key


def read_jwks(path: Path) -> dict[str, VerifyKey]:
    """The Ed25519 keys of a JWKS file by name, to verify with: none where it holds no such key.

    Raises ValueError with a sentence where it can't be read or is garbled.
    """
    jwks = _read_file(path)
    try:
        return {jwk["kid"]: _as_key(jwk) for jwk in jwks if jwk.get("crv") == "Ed25519"}
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise _no_jwks(path) from error


def stamp(path: Path) -> tuple[int, int, int, int]:
    """What changes with the file, its rights too. Raises ValueError with a sentence."""
    try:
        status = path.stat()
    except OSError as error:
        raise ValueError(f"The keys {path} can't be read: {error.strerror}.") from None
    return status.st_mtime_ns, status.st_ctime_ns, status.st_size, status.st_ino


def kid_of(key: Ed25519PublicKey) -> str:
    """The key's RFC 7638 thumbprint: a name that follows from the key and needs no register."""
    members = {"crv": "Ed25519", "kty": "OKP", "x": _base64url(key.public_bytes_raw())}
    return _base64url(sha256(json.dumps(members, separators=(",", ":")).encode()).digest())


def _no_jwks(path: Path) -> ValueError:
    return ValueError(f"{path} is no JWKS file (RFC 7517) with Ed25519 keys.")


def _read_file(path: Path) -> list[dict[str, Any]]:
    try:
        with path.open("rb") as file:
            content = file.read(JWKS_BYTES_MAX + 1)
        if not content.strip():
            return []
        keys = json.loads(content)["keys"] if len(content) <= JWKS_BYTES_MAX else None
    except OSError as error:
        raise ValueError(f"The public keys {path} can't be read: {error.strerror}.") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise _no_jwks(path) from None
    if not isinstance(keys, list) or not all(isinstance(jwk, dict) for jwk in keys):
        raise _no_jwks(path)
    return keys


def _as_file(jwks: list[dict[str, Any]]) -> bytes:
    return json.dumps({"keys": jwks}, indent=2).encode() + b"\n"


def _as_key(jwk: dict[str, str]) -> VerifyKey:
    """Of libsodium, which verifies in half the time that OpenSSL takes: what a forged token costs is this."""
    return VerifyKey(base64.urlsafe_b64decode(jwk["x"] + "=" * (-len(jwk["x"]) % 4)))


def _as_jwk(key: Ed25519PublicKey) -> dict[str, str]:
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "use": "sig",
        "alg": ALGORITHM,
        "kid": kid_of(key),
        "x": _base64url(key.public_bytes_raw()),
    }


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _as_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


@contextmanager
def _only_one(settings: Settings) -> Iterator[None]:
    """Two rotations at once would each forget the other's key."""
    settings.token_key.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with settings.token_key.with_name(".rotation.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _create_once(path: Path, content: bytes, mode: int) -> None:
    """Writes a file whole or not at all; one that is there already stays."""
    draft = _draft(path, content, mode)
    try:
        # A link, unlike a rename, fails where another process was faster.
        os.link(draft, path)
    except FileExistsError:
        pass
    finally:
        draft.unlink(missing_ok=True)


def _replace(path: Path, content: bytes, mode: int) -> None:
    """Writes a file whole or not at all; readers see the old or the new one."""
    _draft(path, content, mode).replace(path)


def _draft(path: Path, content: bytes, mode: int) -> Path:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    return draft
