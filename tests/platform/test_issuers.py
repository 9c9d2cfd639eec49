"""What becomes of tokens when the file of their issuer's public keys is emptied, garbled or taken away."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.platform.auth import issuers, tokens
from services.platform.auth.issuers import KEYS, UNREADABLE
from services.platform.auth.signing_keys import JWKS_BYTES_MAX, ensure_key
from services.platform.auth.tokens import API_AUDIENCE, COMMANDS_AUDIENCE, Verifier, mint, open_verifier
from services.platform.settings import Settings

GARBAGE = {
    "half a file": b'{"keys": [{"kty": "OKP", "cr',
    "no JSON": b"nonsense",
    "no object": b"[]",
    "no list": b'{"keys": 7}',
    "a key that is none": b'{"keys": [7]}',
    "a bad key": b'{"keys": [{"kid": "x", "crv": "Ed25519", "x": "AA"}]}',
    "not base64": b'{"keys": [{"kid": "x", "crv": "Ed25519", "x": "*"}]}',
    "brackets": b"[" * 100_000,
    "too long": b" " * JWKS_BYTES_MAX + b'{"keys": []}',
}


@pytest.fixture
def people(tmp_path: Path) -> Settings:
    """Another issuer, with its own key."""
    theirs = Settings(home=tmp_path / "people", token_issuer="https://people.example")
    ensure_key(theirs)
    return theirs


@pytest.fixture
def settings(tmp_path: Path, people: Settings) -> Settings:
    """A deployment that takes the other issuer's tokens, too."""
    ours = Settings(home=tmp_path / "ours", outside_jwks_file=people.jwks, outside_issuer=people.token_issuer)
    ensure_key(ours)
    return ours


@pytest.fixture
def looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed file is seen by the next request."""
    monkeypatch.setattr(tokens, "JWKS_CHECK_S", 0)


def of_admin(settings: Settings) -> str:
    return mint(settings, sub="root", role="admin", stores=["*"], ttl_s=86_400)


def counts(verifier: Verifier, token: str) -> bool:
    verifier._check_at = min(verifier._check_at, time.monotonic())
    for_api, for_topic = (verifier.claims(token, time.time(), each) for each in (API_AUDIENCE, COMMANDS_AUDIENCE))
    assert for_api == for_topic
    return for_api is not None


def emptied(file: Path) -> None:
    file.write_bytes(b"")


def without_keys(file: Path) -> None:
    file.write_text('{"keys": []}')


def of_others(file: Path) -> None:
    file.write_text('{"keys": [{"kty": "RSA", "kid": "r", "n": "AQAB", "e": "AQAB"}]}')


@pytest.mark.parametrize("taken_back", [emptied, without_keys, of_others])
@pytest.mark.parametrize("whose", ["own", "outside"])
@pytest.mark.usefixtures("looks_at_once")
def test_a_file_without_a_key_takes_all_its_tokens_back_at_once(
    settings: Settings, people: Settings, whose: str, taken_back: Callable[[Path], None]
) -> None:
    owner, other = (settings, people) if whose == "own" else (people, settings)
    verifier, token, others = open_verifier(settings), of_admin(owner), of_admin(other)
    assert counts(verifier, token)
    original = owner.jwks.read_bytes()

    taken_back(owner.jwks)

    assert not counts(verifier, token)
    assert counts(verifier, others), "the other issuer's tokens count on"
    assert (KEYS.labels(whose)._value.get(), UNREADABLE.labels(whose)._value.get()) == (0, 0)
    owner.jwks.write_bytes(original)
    assert counts(verifier, token), "keys that are put back count without a restart"
    assert KEYS.labels(whose)._value.get() == 1


def gone(file: Path) -> None:
    file.unlink()


def without_folder(file: Path) -> None:
    file.parent.rename(file.parent.with_name("elsewhere"))


def a_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def garbled(words: bytes) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(words)

    return write


UNREADABLE_FILES = {"gone": gone, "without its folder": without_folder, "a folder": a_folder}
UNREADABLE_FILES |= {name: garbled(words) for name, words in GARBAGE.items()}


@pytest.mark.parametrize("spoil", UNREADABLE_FILES.values(), ids=UNREADABLE_FILES.keys())
@pytest.mark.parametrize("whose", ["own", "outside"])
@pytest.mark.usefixtures("looks_at_once")
def test_keys_whose_file_cannot_be_read_count_for_five_minutes_more(
    settings: Settings,
    people: Settings,
    monkeypatch: pytest.MonkeyPatch,
    whose: str,
    spoil: Callable[[Path], None],
) -> None:
    owner = settings if whose == "own" else people
    verifier, token, begun = open_verifier(settings), of_admin(owner), time.monotonic()
    assert counts(verifier, token)

    def at(seconds: float) -> bool:
        monkeypatch.setattr(time, "monotonic", lambda: begun + seconds)
        verifier._check_at = 0
        return counts(verifier, token)

    spoil(owner.jwks)
    assert at(0)
    assert UNREADABLE.labels(whose)._value.get() == 1
    assert at(issuers.UNREADABLE_KEYS_KEPT_S - 1)
    assert not at(issuers.UNREADABLE_KEYS_KEPT_S)
    assert KEYS.labels(whose)._value.get() == 0
    assert not at(issuers.UNREADABLE_KEYS_KEPT_S + 3_600)


@pytest.mark.usefixtures("looks_at_once")
def test_the_very_file_that_was_gone_counts_again_when_it_is_back(
    settings: Settings, people: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuers, "UNREADABLE_KEYS_KEPT_S", 0)
    verifier, token, away = open_verifier(settings), of_admin(people), people.home / "away"
    people.jwks.parent.rename(away)
    assert not counts(verifier, token)

    away.rename(people.jwks.parent)

    assert counts(verifier, token)
    assert UNREADABLE.labels("outside")._value.get() == 0


@pytest.mark.usefixtures("looks_at_once")
def test_five_minutes_begin_anew_after_the_file_was_read(
    settings: Settings, people: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, token, begun, original = (
        open_verifier(settings),
        of_admin(people),
        time.monotonic(),
        people.jwks.read_bytes(),
    )

    def at(seconds: float) -> bool:
        monkeypatch.setattr(time, "monotonic", lambda: begun + seconds)
        verifier._check_at = 0
        return counts(verifier, token)

    for minutes in range(0, 60, 8):
        people.jwks.unlink()
        assert at(minutes * 60)
        assert at(minutes * 60 + 240)
        people.jwks.write_bytes(original)
        assert at(minutes * 60 + 241)


def test_an_outside_file_that_was_emptied_does_not_keep_a_service_from_starting(
    settings: Settings, people: Settings
) -> None:
    """A restart after a revocation must not stop every till."""
    people.jwks.write_text('{"keys": []}')

    verifier = open_verifier(settings)

    assert not counts(verifier, of_admin(people))
    assert counts(verifier, of_admin(settings))


@pytest.mark.usefixtures("looks_at_once")
def test_a_file_that_stays_unreadable_is_said_twice_and_not_with_every_token(
    settings: Settings, people: Settings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verifier, begun = open_verifier(settings), time.monotonic()
    people.jwks.unlink()
    for second in range(0, 600, 10):
        monkeypatch.setattr(time, "monotonic", lambda second=second: begun + second)
        verifier._check_at = 0
        counts(verifier, of_admin(people))

    logged = capsys.readouterr().out
    assert (logged.count("jwks_unreadable"), logged.count("jwks_given_up")) == (1, 1)
