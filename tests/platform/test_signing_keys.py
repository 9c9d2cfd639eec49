"""The key that signs tokens: whose it is, and that there is one of it."""

from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from services.platform.auth.signing_keys import ensure_key
from services.platform.settings import Settings


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    own = Settings(home=tmp_path)
    ensure_key(own)
    return own


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
