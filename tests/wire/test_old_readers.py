"""Whoever reads closings with the models of the first release reads today's: all that they know is there."""

import json
from pathlib import Path
from typing import Any

import pytest

from contracts.closings import closing_hash
from tests.support.first_closings import Closing, ClosingCorrection

HOME = Path(__file__).parents[2] / "contracts" / "golden"
MODELS = {"closing": Closing, "closing_correction": ClosingCorrection}
GOLDEN = sorted(path for path in HOME.glob("closing*.json") if path.stem.partition(".")[0] in MODELS)


def new_to(known: Any, came: Any, at: str = "") -> set[str]:
    """Where `came` has members that `known` has not; all else must be the same."""
    if isinstance(known, dict):
        assert isinstance(came, dict), at
        assert known.keys() <= came.keys() | {"name", "recounted"}, at
        more = {f"{at}.{name}" for name in came.keys() - known.keys()}
        return more.union(*(new_to(value, came.get(name), f"{at}.{name}") for name, value in known.items()))
    if isinstance(known, list):
        assert len(known) == len(came), at
        return set[str]().union(*(new_to(*pair, at) for pair in zip(known, came, strict=True)))
    assert known == came, at
    return set()


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: path.stem)
def test_an_old_reader_reads_what_is_published_today(path: Path) -> None:
    content = path.read_bytes()
    read = MODELS[path.stem.partition(".")[0]].model_validate_json(content)

    new_to(json.loads(read.model_dump_json()), json.loads(content))


def test_there_is_something_new_to_an_old_reader() -> None:
    members: dict[str, Any] = json.loads((HOME / "closing.restaurant.json").read_bytes())
    read = Closing.model_validate_json(json.dumps(members))

    new = new_to(json.loads(read.model_dump_json()), members)

    assert {".taxes", ".staff", ".profile_version", ".tenders.left_minor", ".sales.rounding_minor"} <= new
    # What it does not know is in the hash all the same: whoever checks the chain hashes the members that came.
    assert closing_hash(members) == members["hash"]
    assert closing_hash(json.loads(read.model_dump_json())) != members["hash"]
