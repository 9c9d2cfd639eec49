"""WIRE.md section 6: the hash of a till's settings, recomputed by what the page says and by nothing of the service."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import pytest

import contracts
from contracts.profiles import ProfileSettings, profile_hash, settings_object

PAGE = (Path(contracts.__file__).parent / "WIRE.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("`profile_version` and `profile_hash` of a closing are")[2].partition("**More exactly.**")[0]
SENT, HASHED = (re.sub(r"\n +", "", block).strip() for block in re.findall(r"\n\n((?:    .*\n)+)", SECTION))
DEFAULTS: dict[str, Any] = {
    "blind": False,
    "late_window_s": 604_800,
    "allow_negative_drawer": True,
    "business_day_starts_at": "00:00",
    "own_provider": "STORE",
    "enabled": True,
    "store_name": "s1",
}
WITHOUT_DEFAULT = ("tenders", "over_short_limit_minor", "idle_close_after_s", "company_id", "time_zone")
WORDS = ("business_day_starts_at", "own_provider", "store_name", "company_id", "time_zone")


def of_the_service(settings: dict[str, Any]) -> str:
    return profile_hash(settings_object("s1", ProfileSettings.model_validate_json(json.dumps(settings))))


def recomputed(settings: dict[str, Any]) -> str:
    """As a reader of the page does it: with a JSON library and SHA-256."""
    written = dict.fromkeys(WITHOUT_DEFAULT) | {name: value for name, value in settings.items() if value != ""}
    filled = written | {name: value for name, value in DEFAULTS.items() if written.get(name) is None}
    text = json.dumps(filled, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def test_the_pages_example_hashes_to_what_it_says() -> None:
    settings = json.loads(SENT)
    digest = hashlib.sha256(HASHED.encode()).hexdigest()

    assert f"`{digest}`" in SECTION
    assert (recomputed(settings), of_the_service(settings)) == (digest, digest)


def test_the_page_names_every_default_and_every_setting_that_has_none() -> None:
    named = " ".join(SECTION.split())
    written = {"store_name": "the `store_id`", "late_window_s": "604800 (seconds)"}
    for name, default in DEFAULTS.items():
        assert f"`{name}` {written.get(name, json.dumps(default))}" in named, name
    (others,) = re.findall(r"Any other \(([^)]*)\)", named)
    assert others == ", ".join(f"`{name}`" for name in WITHOUT_DEFAULT)
    assert {"name", "currency", *DEFAULTS, *WITHOUT_DEFAULT} == set(ProfileSettings.model_fields)


@pytest.mark.parametrize("name", [*DEFAULTS, *WITHOUT_DEFAULT])
def test_what_is_absent_null_or_empty_hashes_as_its_default(name: str) -> None:
    settings = {"name": "Café", "currency": "EUR"}
    ways: list[Any] = [None, DEFAULTS.get(name), *([""] if name in WORDS else [])]

    hashes = {of_the_service(settings)} | {of_the_service(settings | {name: way}) for way in ways}

    assert hashes == {recomputed(settings)}
