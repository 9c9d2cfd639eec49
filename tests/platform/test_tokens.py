"""Tokens as WIRE.md section 7 has them: who may speak, when, and for which stores."""

import base64
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from nacl.signing import VerifyKey

from services.platform.auth import tokens
from services.platform.auth.claims import Claims
from services.platform.auth.issuers import Issuer
from services.platform.auth.signing_keys import ensure_key, load_private_key
from services.platform.auth.tokens import Verifier, mint, open_verifier
from services.platform.settings import Settings

NOW = 1_790_000_000
HOUR = 3_600
COMMANDS = "till.commands"
API = "till.api"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    own = Settings(home=tmp_path)
    ensure_key(own)
    return own


@pytest.fixture
def verifier(settings: Settings) -> Verifier:
    return Verifier(settings.jwks, settings.token_issuer)


@pytest.fixture
def sign(settings: Settings) -> Callable[..., str]:
    """A good cashier's token, signed with the real key, but for what the test changes."""
    key = serialization.load_pem_private_key(settings.token_key.read_bytes(), None)
    kid = json.loads(settings.jwks.read_bytes())["keys"][0]["kid"]

    def signed(headers: dict[str, Any] | None = None, **changed: Any) -> str:
        payload = {
            "iss": "tillstream",
            "aud": [COMMANDS, API],
            "sub": "ana",
            "role": "cashier",
            "stores": ["s1"],
            "iat": NOW,
            "exp": NOW + HOUR,
        } | changed
        claims = {name: value for name, value in payload.items() if value is not ...}
        assert isinstance(key, Ed25519PrivateKey)
        return jwt.encode(claims, key, "EdDSA", headers={"kid": kid} | (headers or {}))

    return signed


def minted(settings: Settings, **changed: Any) -> str:
    claims: dict[str, Any] = {"sub": "ana", "role": "cashier", "stores": ["s1"], "ttl_s": HOUR}
    return mint(settings, now=NOW, **(claims | changed))


def test_a_minted_token_says_what_it_was_minted_for(settings: Settings, verifier: Verifier) -> None:
    token = minted(settings, role="manager", stores=["s1", "s2"], company="cafe")

    claims = verifier.claims(token, NOW, API)

    assert claims == Claims(
        sub="ana",
        role="manager",
        stores=frozenset({"s1", "s2"}),
        company="cafe",
        via=None,
        iat=NOW,
        exp=NOW + HOUR,
    )
    assert verifier.claims(token.encode(), datetime.fromtimestamp(NOW, UTC), COMMANDS) == claims


def test_a_token_allows_its_stores_and_a_star_allows_all(settings: Settings, verifier: Verifier) -> None:
    own = verifier.claims(minted(settings, stores=["s1"]), NOW, API)
    every = verifier.claims(minted(settings, role="admin", stores=["*"]), NOW, API)

    assert own is not None
    assert every is not None
    assert (own.allows_store("s1"), own.allows_store("s2"), own.allows_store("*")) == (
        True,
        False,
        False,
    )
    assert every.allows_store("s2")


@pytest.mark.parametrize(
    ("at", "counts"),
    [
        (NOW - 61, False),
        (NOW - 60, True),
        (NOW, True),
        (NOW + HOUR - 0.001, True),
        (NOW + HOUR, False),
    ],
)
def test_the_same_token_counts_by_the_moment_it_is_asked_about(
    settings: Settings, verifier: Verifier, at: float, *, counts: bool
) -> None:
    token = minted(settings)
    assert verifier.claims(token, NOW, API) is not None

    assert (verifier.claims(token, at, API) is not None) is counts


@pytest.mark.parametrize(
    "changed",
    [
        {"exp": ...},
        {"exp": "tomorrow"},
        {"exp": True},
        {"exp": float("inf")},
        {"exp": 10**400},
        {"nbf": NOW + 1},
        {"nbf": "now"},
        {"iat": NOW + 61},
        {"iat": "now"},
        {"iss": "somebody"},
        {"iss": ...},
        {"aud": "till.other"},
        {"aud": ...},
        {"aud": [1]},
        {"role": "owner"},
        {"role": ["admin"]},
        {"role": ...},
        {"stores": "s1"},
        {"stores": [1]},
        {"stores": ...},
        {"sub": ""},
        {"sub": "é" * 65},
        {"sub": 7},
        {"sub": ...},
        {"company": 7},
        {"via": 7},
        {"role": "register", "exp": NOW + 86_400 + 61},
    ],
    ids=str,
)
def test_a_signed_token_with_bad_claims_does_not_count(
    verifier: Verifier, sign: Callable[..., str], changed: dict[str, Any]
) -> None:
    assert verifier.claims(sign(), NOW, API) is not None

    assert verifier.claims(sign(**changed), NOW, API) is None


@pytest.mark.parametrize(
    "changed",
    [
        {"iat": ...},
        {"nbf": NOW},
        {"aud": API},
        {"stores": []},
        {"sub": "é" * 64},
        {"via": "key"},
        {"unknown": [1]},
    ],
    ids=str,
)
def test_what_a_token_may_also_say(verifier: Verifier, sign: Callable[..., str], changed: dict[str, Any]) -> None:
    assert verifier.claims(sign(**changed), NOW, API) is not None


def test_a_token_for_the_api_is_none_for_the_topic(verifier: Verifier, sign: Callable[..., str]) -> None:
    token = sign(aud=[API])

    assert verifier.claims(token, NOW, API) is not None
    assert verifier.claims(token, NOW, COMMANDS) is None


def encoded(part: Any) -> str:
    text = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(text).rstrip(b"=").decode()


def test_no_foreign_key_and_no_word_of_the_header_opens_the_door(
    settings: Settings, verifier: Verifier, sign: Callable[..., str]
) -> None:
    good = sign()
    _, payload, signature = good.split(".")
    kid = jwt.get_unverified_header(good)["kid"]
    public = json.loads(settings.jwks.read_bytes())["keys"][0]
    claims = jwt.decode(good, options={"verify_signature": False})
    stranger = Ed25519PrivateKey.generate()
    jwk = {"kty": "OKP", "crv": "Ed25519", "kid": "mine", "x": public["x"]}
    forged = [
        jwt.encode(claims, stranger, "EdDSA", headers={"kid": kid}),
        jwt.encode(claims, stranger, "EdDSA", headers={"kid": "mine", "jwk": jwk}),
        jwt.encode(claims, stranger, "EdDSA", headers={"kid": kid, "jku": "https://x/jwks"}),
        jwt.encode(claims, stranger, "EdDSA", headers={"kid": kid, "x5u": "https://x/cert"}),
        jwt.encode(claims, stranger, "EdDSA"),
        f"{encoded({'alg': 'none', 'kid': kid})}.{payload}.",
        f"{encoded({'alg': 'none', 'kid': kid})}.{payload}.{signature}",
        jwt.encode(claims, public["x"] * 2, "HS256", headers={"kid": kid}),
        f"{encoded({'alg': 'EdDSA', 'kid': [kid]})}.{payload}.{signature}",
        f"{encoded(b'[' * 4_000)}.{payload}.{signature}",
        f"{encoded(b'9' * 5_000)}.{payload}.{signature}",
        good[:-2],
        good + ".x",
        sign(headers={"crit": ["exp"]}),
        sign(headers={"kid": "gone"}),
    ]

    assert verifier.claims(good, NOW, API) is not None
    assert [verifier.claims(token, NOW, API) for token in forged] == [None] * len(forged)


@pytest.mark.parametrize("claims", [{}, {"iss": "another"}, {"role": "king"}, {"stores": "s1"}, {"exp": None}], ids=str)
@pytest.mark.parametrize("header", [{"kid": "gone"}, {}], ids=["a key that nobody has", "a key of ours"])
def test_of_a_token_that_nobody_signed_no_claim_is_read(
    verifier: Verifier,
    sign: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
    header: dict[str, Any],
    claims: dict[str, Any],
) -> None:
    """The library takes a token apart as dearly as its signature is verified."""
    forged = f"{sign(headers=header, **claims).rpartition('.')[0]}.{sign(sub='bob').rpartition('.')[2]}"
    monkeypatch.setattr(jwt, "decode", lambda *_, **__: pytest.fail("it was taken apart"))

    assert verifier.judge(forged, NOW, API) == "unknown_key"


# The last character of 64 bytes says two bits, and four that nobody reads.
ANOTHER_LAST = {"A": "B", "Q": "R", "g": "h", "w": "x"}


def test_a_token_is_written_in_one_way(verifier: Verifier, sign: Callable[..., str], settings: Settings) -> None:
    """JSON and base64url as RFC 7515 has them: else one good token would be known under many texts."""
    good = sign()
    kid, key = jwt.get_unverified_header(good)["kid"], load_private_key(settings)
    signed, _, signature = good.rpartition(".")
    odd_headers = [b'{"alg":"EdDSA","kid":"%s","x":NaN}', b'\xef\xbb\xbf{"alg":"EdDSA","kid":"%s"}']
    odd = [f"{encoded(header % kid.encode())}.{good.split('.')[1]}" for header in odd_headers]
    texts = [f"{part}.{encoded(key.sign(part.encode()))}" for part in odd]
    texts += [f"{signed}.{signature[:9]}{junk}{signature[9:]}" for junk in ("!", " ", "=", "\n", "%")]
    texts += [f"{good}==", f"{signed}.{signature[:-1]}{ANOTHER_LAST[signature[-1]]}"]
    texts += [f"{signed}.{signature.replace(*pair)}" for pair in ("-+", "_/") if pair[0] in signature]

    assert [verifier.judge(text, NOW, API) for text in texts] == ["unreadable"] * len(texts)


@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_bytes_are_a_token_that_does_not_count(token: bytes | str) -> None:
    assert GARBAGE_READER.claims(token, NOW, API) is None


def test_a_token_of_more_than_8_kib_does_not_count(verifier: Verifier, sign: Callable[..., str]) -> None:
    short, long = sign(stores=["s" * 64] * 70), sign(stores=["s" * 64] * 100)

    assert len(short) <= 8_192 < len(long)
    assert verifier.claims(short, NOW, API) is not None
    assert verifier.claims(long, NOW, API) is None


def test_only_so_many_tokens_are_remembered(
    settings: Settings, sign: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "CACHED_TOKENS_MAX", 3)
    verifier = Verifier(settings.jwks, settings.token_issuer)
    several = [sign(sub=f"cashier-{number}") for number in range(5)]
    verified = signatures_verified(verifier, monkeypatch)

    for token in [*several, several[2], several[0], several[2]]:
        assert verifier.claims(token, NOW, API) is not None

    assert verified == [*several, several[0]]


def signatures_verified(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The tokens whose signatures are verified from now on."""
    verified: list[str] = []

    class Noting:
        def __init__(self, key: VerifyKey) -> None:
            self._key = key

        def verify(self, signed: bytes, signature: bytes) -> None:
            verified.append(f"{signed.decode()}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}")
            self._key.verify(signed, signature)

    for issuer in verifier._issuers:
        monkeypatch.setattr(issuer, "keys", {kid: Noting(key) for kid, key in issuer.keys.items()})
    return verified


def test_a_wrong_signature_is_verified_once(
    settings: Settings, sign: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tokens, "FORGED_TOKENS_MAX", 2)
    verifier = Verifier(settings.jwks, settings.token_issuer)
    verified = signatures_verified(verifier, monkeypatch)

    signature = sign().rpartition(".")[2]
    forged = [f"{sign(sub=f'mallory-{number}').rpartition('.')[0]}.{signature}" for number in range(3)]
    for token in [*forged, forged[2], forged[0]]:
        assert verifier.claims(token, NOW, API) is None
    assert verified == [*forged, forged[0]], "so many are remembered"


def test_names_of_keys_that_nobody_has_cost_one_look_in_a_while(
    settings: Settings, sign: Callable[..., str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    verifier, looks = Verifier(settings.jwks, settings.token_issuer), list[None]()
    real = Issuer.look
    monkeypatch.setattr(Issuer, "look", lambda issuer: looks.append(None) or real(issuer))
    monkeypatch.setattr(tokens, "LOOK_AGAIN_S", 3_600)
    for number in range(100):
        assert verifier.claims(sign(headers={"kid": f"nobodys-{number}"}), NOW, API) is None
    assert len(looks) == 1

    other = Settings(home=tmp_path / "other")
    ensure_key(other)
    new = minted(other)
    other.jwks.replace(settings.jwks)
    assert verifier.claims(new, NOW, API) is None
    verifier._look_again_at = 0.0
    assert verifier.claims(new, NOW, API) is not None, "a new key is found all the same"


def test_a_key_taken_out_of_the_file_opens_nothing_any_more(
    settings: Settings, verifier: Verifier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Settings(home=tmp_path / "other")
    ensure_key(other)
    old, new = minted(settings), minted(other)
    assert verifier.claims(old, NOW, API) is not None
    assert verifier.claims(new, NOW, API) is None
    monkeypatch.setattr(tokens, "JWKS_CHECK_S", 0)
    verifier._check_at = 0

    settings.jwks.write_text("{ half a fi")
    assert verifier.claims(old, NOW, API) is not None

    other.jwks.replace(settings.jwks)
    assert verifier.claims(new, NOW, API) is not None
    assert verifier.claims(old, NOW, API) is None


@pytest.mark.parametrize("content", [None, "", "[]", '{"keys": []}', '{"keys": [7]}', "nonsense"])
def test_without_public_keys_a_service_does_not_start(tmp_path: Path, content: str | None) -> None:
    jwks = tmp_path / "jwks.json"
    if content is not None:
        jwks.write_text(content)

    with pytest.raises(ValueError, match=r"jwks\.json"):
        Verifier(jwks, "tillstream")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"role": "register", "ttl_s": 86_401}, "at most 24 hours"),
        ({"role": "owner"}, "no role owner"),
        ({"sub": ""}, "1 to 128 bytes"),
        ({"sub": "é" * 65}, "1 to 128 bytes"),
        ({"sub": "key:7"}, "API key"),
        ({"stores": []}, "at least one store"),
        ({"ttl_s": 0}, "at least 1 second"),
        ({"stores": ["s" * 64] * 200}, "name fewer stores"),
    ],
)
def test_what_is_not_minted(settings: Settings, changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        minted(settings, **changed)


def test_a_registers_token_lives_a_day(settings: Settings, verifier: Verifier) -> None:
    token = minted(settings, role="register", ttl_s=86_400)

    assert verifier.claims(token, NOW, COMMANDS) is not None


def test_why_a_token_does_not_count_is_told(settings: Settings, tmp_path: Path) -> None:
    verifier, elsewhere = open_verifier(settings), Settings(home=tmp_path / "elsewhere")
    ensure_key(elsewhere)
    strange, token = minted(elsewhere), minted(settings, ttl_s=60)
    header, payload, _ = token.split(".")
    assert {
        "foreign": verifier.judge(strange, NOW, API),
        "forged": verifier.judge(f"{header}.{payload}.{strange.split('.')[2]}", NOW, API),
        "garbage": verifier.judge("e30.e30.e30", NOW, API),
        "cut": verifier.judge(token[:40], NOW, API),
        "old": verifier.judge(token, NOW + 60, API),
        "early": verifier.judge(token, NOW - 3_600, API),
        "other": verifier.judge(minted(settings, audiences=(COMMANDS,)), NOW, API),
    } == {
        "foreign": "unknown_key",
        "forged": "unknown_key",
        "garbage": "unreadable",
        "cut": "unreadable",
        "old": "expired",
        "early": "not_yet",
        "other": "other_audience",
    }


def _garbage_reader() -> Verifier:
    import tempfile

    with tempfile.TemporaryDirectory() as home:
        own = Settings(home=Path(home))
        ensure_key(own)
        return Verifier(own.jwks, own.token_issuer)


GARBAGE_READER = _garbage_reader()
