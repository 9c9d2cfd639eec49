"""The key that signs: there is one, it can change while everything runs, and others' keys sign for themselves alone."""

import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import jwt
import pytest

from services.platform.auth import signing_keys
from services.platform.auth.signing_keys import ensure_key, kid_of, listed, load_private_key, remove, rotate
from services.platform.auth.tokens import API_AUDIENCE, Verifier, mint, open_verifier
from services.platform.settings import Settings

HOUR = 3_600


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    ours = Settings(home=tmp_path / "ours")
    ensure_key(ours)
    return ours


def minted(settings: Settings, **changed: Any) -> str:
    return mint(settings, **({"sub": "ana", "role": "cashier", "stores": ["s1"], "ttl_s": HOUR} | changed))


def counts(verifier: Verifier, token: str) -> bool:
    return verifier.claims(token, time.time(), API_AUDIENCE) is not None


def test_the_private_key_is_for_its_owner_alone(settings: Settings) -> None:
    assert settings.token_key.stat().st_mode & 0o777 == 0o600


def _keys_made_in(home: str) -> tuple[bytes, bytes]:
    own = Settings(home=Path(home))
    ensure_key(own)
    return own.token_key.read_bytes(), own.jwks.read_bytes()


def test_processes_that_make_the_key_at_once_agree_on_it(tmp_path: Path) -> None:
    with ProcessPoolExecutor(4) as pool:
        keys = set(pool.map(_keys_made_in, [str(tmp_path)] * 16))

    assert len(keys) == 1
    assert sorted(file.name for file in (tmp_path / "keys").iterdir()) == [
        "jwks.json",
        "token-key.pem",
    ]


def test_a_new_key_is_not_made_beside_public_keys_that_do_not_know_it(settings: Settings) -> None:
    settings.token_key.unlink()

    with pytest.raises(ValueError, match="Put it back"):
        ensure_key(settings)


def test_after_a_rotation_old_and_new_tokens_count_without_a_restart(settings: Settings) -> None:
    verifier = open_verifier(settings)
    old = minted(settings)
    assert counts(verifier, old)

    kid = rotate(settings)
    new = minted(settings)

    assert jwt.get_unverified_header(new)["kid"] == kid != jwt.get_unverified_header(old)["kid"]
    assert counts(verifier, new), "a running service takes the new key's first token"
    assert counts(verifier, old)
    assert [key.kid for key in listed(settings) if key.retired_at is None] == [kid]
    assert settings.token_key.stat().st_mode & 0o777 == 0o600


def test_a_retired_key_stays_until_its_last_token_has_expired_and_was_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = listed(settings)[0].kid
    begun = time.time()
    rotate(settings)

    monkeypatch.setattr(time, "time", lambda: begun + signing_keys.KEPT_S - 2)
    rotate(settings)
    assert first in [key.kid for key in listed(settings)]

    monkeypatch.setattr(time, "time", lambda: begun + signing_keys.KEPT_S + 60)
    rotate(settings)
    kids = [key.kid for key in listed(settings)]
    assert first not in kids
    assert len(kids) == 3
    assert signing_keys.KEPT_S > signing_keys.TOKEN_TTL_S_MAX + 7 * 86_400 + HOUR


def test_a_rotation_that_was_cut_off_harms_nobody(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    verifier, old = open_verifier(settings), minted(settings)
    monkeypatch.setattr(time, "sleep", lambda _: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rotate(settings, wait_s=1)
    monkeypatch.undo()

    assert counts(verifier, minted(settings)), "the old key signs on"
    later = time.time() + signing_keys.KEPT_S - 2
    monkeypatch.setattr(time, "time", lambda: later)
    rotate(settings)
    assert kid_of(load_private_key(settings).public_key()) == listed(settings)[0].kid
    assert jwt.get_unverified_header(old)["kid"] in [key.kid for key in listed(settings)]


def test_a_stolen_key_is_removed_at_once(settings: Settings) -> None:
    verifier, stolen = open_verifier(settings), minted(settings)
    kid = jwt.get_unverified_header(stolen)["kid"]
    with pytest.raises(ValueError, match="rotate first"):
        remove(settings, kid)

    rotate(settings)
    remove(settings, kid)

    verifier._check_at = 0
    assert not counts(verifier, stolen)
    assert counts(verifier, minted(settings))
    with pytest.raises(ValueError, match="has no key"):
        remove(settings, kid)


@pytest.fixture
def stranger(tmp_path: Path) -> Settings:
    theirs = Settings(home=tmp_path / "theirs", token_issuer="https://people.example")
    ensure_key(theirs)
    return theirs


def test_an_outside_issuer_signs_for_its_own_name_and_never_for_keys(settings: Settings, stranger: Settings) -> None:
    assert not counts(open_verifier(settings), minted(stranger))
    both = settings.model_copy(
        update={"outside_jwks_file": stranger.jwks, "outside_issuer": stranger.token_issuer},
    )
    verifier = open_verifier(both)
    posing = stranger.model_copy(update={"token_issuer": settings.token_issuer})
    posed = settings.model_copy(update={"token_issuer": stranger.token_issuer})

    assert counts(verifier, minted(settings))
    assert counts(verifier, minted(stranger))
    assert not counts(verifier, minted(posing)), "their key, our name"
    assert not counts(verifier, minted(posed)), "our key, their name"
    assert counts(verifier, minted(settings, sub="key:1", via="key"))
    assert not counts(verifier, minted(stranger, sub="key:1", via="key"))


def test_what_an_outside_token_says_of_its_way_is_not_believed(settings: Settings, stranger: Settings) -> None:
    both = settings.model_copy(
        update={"outside_jwks_file": stranger.jwks, "outside_issuer": stranger.token_issuer},
    )
    payload = jwt.decode(minted(stranger), options={"verify_signature": False}) | {"via": "key"}
    key = load_private_key(stranger)
    claims = open_verifier(both).claims(
        jwt.encode(payload, key, "EdDSA", headers={"kid": kid_of(key.public_key())}), time.time(), API_AUDIENCE
    )

    assert claims is not None
    assert claims.via is None


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"outside_issuer": "x"}, "belong together"),
        ({"outside_jwks_file": Path("x")}, "belong together"),
        ({"outside_issuer": "tillstream", "outside_jwks_file": Path("x")}, "our own name"),
        ({"outside_issuer": "x", "outside_jwks_file": Path("nowhere")}, "can't be read"),
    ],
)
def test_half_an_outside_issuer_is_refused(settings: Settings, changed: dict[str, Any], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        open_verifier(settings.model_copy(update=changed))


def test_a_subject_that_no_database_takes_has_no_token_that_counts(settings: Settings) -> None:
    assert not counts(open_verifier(settings), minted(settings, sub="a\0b"))
