"""The signatures of the Standard Webhooks specification: HMAC-SHA-256 over the message's id, the time and the body."""

import base64
import hmac
import secrets
from collections.abc import Sequence
from typing import Final

SECRET_BYTES: Final = 32
"""The specification asks for 24 to 64."""
PREFIX: Final = "whsec_"


def new_secret() -> bytes:
    """A secret that nobody has had before."""
    return secrets.token_bytes(SECRET_BYTES)


def shown(secret: bytes) -> str:
    """A secret as the libraries of receivers take it."""
    return PREFIX + base64.b64encode(secret).decode()


def signed_headers(message_id: str, at_s: int, body: bytes, valid: Sequence[bytes]) -> list[tuple[str, str]]:
    """The headers by which a receiver knows the message; one signature for each secret that is valid now."""
    signed = b"%s.%d.%s" % (message_id.encode(), at_s, body)
    signatures = [base64.b64encode(hmac.digest(secret, signed, "sha256")).decode() for secret in valid]
    return [
        ("webhook-id", message_id),
        ("webhook-timestamp", str(at_s)),
        ("webhook-signature", " ".join(f"v1,{signature}" for signature in signatures)),
    ]
