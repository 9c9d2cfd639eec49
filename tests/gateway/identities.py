"""Everybody who may stand before the walls: good tokens of every role for every set of stores, and forged ones."""

import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from services.gateway.access import api_keys
from services.platform.auth.signing_keys import kid_of, load_private_key
from services.platform.auth.tokens import mint
from services.platform.settings import Settings
from tests.support.market import Market

STORE_SETS = (("s1",), ("s2",), ("s1", "s2"), ("*",))
ROLES = ("register", "cashier", "manager", "admin", "reader")
SPEAK_FOR_THEMSELVES = {"cashier", "manager", "admin"}


@dataclass(frozen=True)
class Identity:
    """Somebody with a token. `role` is None where the token is none; `key` is an API key's secret."""

    name: str
    role: str | None
    stores: frozenset[str]
    token: str | None
    sub: str
    names_anybody: bool = False
    key: str | None = None

    def has(self, store: str) -> bool:
        """Whether the token is good for this store."""
        return self.role is not None and bool({store, "*"} & self.stores)

    @property
    def headers(self) -> dict[str, str]:
        """What the identity sends with a request."""
        return {} if self.token is None else {"authorization": f"Bearer {self.token}"}


def good(settings: Settings) -> Iterator[Identity]:
    """Every role for every set of stores."""
    for role in ROLES:
        for stores in STORE_SETS:
            name = f"{role} of {'+'.join(stores)}"
            token = mint(settings, sub=name, role=role, stores=stores, ttl_s=3_600)  # type: ignore[arg-type]
            yield Identity(name, role, frozenset(stores), token, name, names_anybody=role == "register")


async def with_keys(market: Market) -> list[Identity]:
    """API keys of s1, and the tokens that a gateway signs for them."""
    identities = []
    for role in ("register", "manager"):
        async with market.engine.begin() as tx:
            key, secret = await api_keys.add(tx, "cafes", "s1", role)  # type: ignore[arg-type]
        token = mint(market.settings, sub=key.sub, role=key.role, stores=["s1"], via="key", ttl_s=300)
        name = f"key of s1 as {role}"
        identities.append(Identity(name, role, frozenset({"s1"}), token, key.sub, names_anybody=True, key=secret))
    return identities


def forged(settings: Settings, other_audience: str, ousted: str) -> list[Identity]:
    """Tokens that claim to be an admin's of every store, and are none here; `ousted` is that of a revoked one."""
    tokens = _forged(settings, other_audience) | {"revoked": ousted, "none at all": None}
    return [Identity(name, None, frozenset({"*"}), token, "root") for name, token in tokens.items()]


def _forged(settings: Settings, other_audience: str) -> dict[str, str | None]:
    ours, stranger = load_private_key(settings), Ed25519PrivateKey.generate()
    kid, now = kid_of(ours.public_key()), int(time.time())
    root: dict[str, Any] = {
        "iss": settings.token_issuer,
        "aud": ["till.commands", "till.api"],
        "sub": "root",
        "role": "admin",
        "stores": ["*"],
        "iat": now - 10,
        "exp": now + 3_600,
    }
    public = ours.public_key().public_bytes_raw()
    good_token = _signed(root, ours, kid)
    _, payload, signature = good_token.split(".")
    own_jwk = {"kty": "OKP", "crv": "Ed25519", "x": _encoded(stranger.public_key().public_bytes_raw())}
    return {
        "alg none": f"{_encoded({'alg': 'none', 'typ': 'JWT'})}.{payload}.",
        "alg none, our kid": f"{_encoded({'alg': 'none', 'kid': kid})}.{payload}.{signature}",
        "alg nOnE": f"{_encoded({'alg': 'nOnE', 'kid': kid})}.{payload}.",
        "the public key as a secret": jwt.encode(root, public * 2, "HS256", headers={"kid": kid}),
        "a stranger's key": _signed(root, stranger, "stranger"),
        "a stranger's key, our kid": _signed(root, stranger, kid),
        "a stranger's key, its jwk in the header": _signed(root, stranger, kid, jwk=own_jwk),
        "a stranger's key, a jku in the header": _signed(root, stranger, kid, jku="https://keys.example/jwks.json"),
        "a kid that is a path": _signed(root, stranger, "../../../dev/null"),
        "a kid that is SQL": _signed(root, stranger, "x' UNION SELECT 'key'--"),
        "a kid that is a list": f"{_encoded({'alg': 'EdDSA', 'kid': [kid]})}.{payload}.{signature}",
        "another payload": f"{good_token.split('.')[0]}.{_encoded(root | {'sub': 'me'})}.{signature}",
        "a signature cut short": good_token[:-4],
        "crit": _signed(root, ours, kid, crit=["exp"]),
        "another audience": _signed(root | {"aud": [other_audience]}, ours, kid),
        "another issuer": _signed(root | {"iss": "somebody"}, ours, kid),
        "expired": _signed(root | {"iat": now - 600, "exp": now - 1}, ours, kid),
        "not valid yet": _signed(root | {"nbf": now + 600}, ours, kid),
        "issued tomorrow": _signed(root | {"iat": now + 86_400, "exp": now + 90_000}, ours, kid),
        "without an end": _signed({k: v for k, v in root.items() if k != "exp"}, ours, kid),
        "a register's for a year": _signed(root | {"role": "register", "exp": now + 31_536_000}, ours, kid),
        "an unknown role": _signed(root | {"role": "root"}, ours, kid),
        "a role in capitals": _signed(root | {"role": "ADMIN"}, ours, kid),
        "stores as text": _signed(root | {"stores": "*"}, ours, kid),
    }


def _signed(payload: dict[str, Any], key: Ed25519PrivateKey, kid: str, **header: Any) -> str:
    return jwt.encode(payload, key, "EdDSA", headers={"kid": kid, **header})


def _encoded(part: Any) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()
