"""Closings are read straight from bytes; what they say must be what the model says, or the model is asked."""

import os
import random
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from contracts.closing_records import certain_closing
from contracts.closings import Closing, closing_hash
from contracts.jsontext import compact
from contracts.record_classes import plain
from services.reporting import records
from services.reporting.records import ClosingRow, CorrectionRow, Unreadable, read_record
from tests.support.bent_bodies import bent
from tests.support.golden_cases import NAMES, load

BENT, BENT_AT_LENGTH = 4_000, 200_000
SEED = 20_261_128
OWN_HASH = re.compile(rb'"hash":"[0-9a-f]{64}"')
Row = ClosingRow | CorrectionRow | None


@pytest.fixture
def closings(tmp_path: Path) -> list[bytes]:
    """What the golden cases end in."""
    values = [value for name in NAMES for value in load(name, tmp_path).closings]
    return [value for value in values if orjson.loads(value)["kind"] == "closing"]


def row_of(value: bytes) -> Row:
    try:
        return read_record(value)
    except Unreadable:
        return None


def hashed_anew(value: bytes) -> bytes:
    """The same bytes with the hash that their figures have now, where that can be said."""
    try:
        members = orjson.loads(value)
        return OWN_HASH.sub(b'"hash":"%b"' % closing_hash(members).encode(), value, count=1)
    except (ValueError, TypeError, AttributeError):
        return value


def test_a_closing_as_this_version_writes_it_is_certain(closings: list[bytes]) -> None:
    """But for what only the model reads: a sales report, and texts that are written with a backslash."""
    left_to_the_model = [value for value in closings if b'"sales_report":{' in value or b"\\" in value]

    assert [value for value in closings if certain_closing(value) is None] == left_to_the_model
    assert len(closings) > 5 * len(left_to_the_model)


def test_what_is_certain_is_what_the_model_reads(
    closings: list[bytes],
    monkeypatch: pytest.MonkeyPatch,
    request: pytest.FixtureRequest,
    record_property: Callable[[str, object], None],
) -> None:
    at_length = request.config.getoption("--fuzz-at-length")
    drawn = random.SystemRandom().randrange(2**32) if at_length else SEED
    seed = int(os.environ.get("TILL_FUZZ_SEED", drawn))
    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    seen: Counter[str] = Counter()

    for bent_value in bent(chance, BENT_AT_LENGTH if at_length else BENT, closings):
        value = hashed_anew(bent_value)
        certain = certain_closing(value)
        seen["values"] += 1
        if certain is None:
            continue
        seen["certain"] += 1
        row = row_of(value)
        with monkeypatch.context() as patch:
            patch.setattr(records, "certain_closing", lambda _value: None)
            assert row == row_of(value), (seed, value)
        model = Closing.model_validate_json(value)
        assert plain(certain) == model.model_dump(mode="json"), (seed, value)

    if at_length:
        record_property("fuzz", f"closings: {dict(seen)}, TILL_FUZZ_SEED={seed}")
    assert seen["values"] / 10 < seen["certain"] < seen["values"]


def test_a_figure_that_is_not_the_hashed_one_is_not_certain(closings: list[bytes]) -> None:
    value = next(value for value in closings if certain_closing(value) is not None)
    members = orjson.loads(value)
    members["sales"]["total_minor"] += 1

    assert certain_closing(compact(members)) is None
    assert certain_closing(hashed_anew(compact(members))) is not None


@pytest.mark.parametrize(
    "change",
    [
        lambda members: members.update(z_number=0),
        lambda members: members.update(store_id="not an id"),
        lambda members: members.update(business_date="2025-02-30"),
        lambda members: members.update(prev_hash="0" * 63),
        lambda members: members.pop("staff"),
        lambda members: members.update(more=1),
    ],
    ids=["number", "store", "date", "hash before", "an older version", "a later version"],
)
def test_a_closing_that_is_not_quite_so_is_left_to_the_model(
    closings: list[bytes], change: Callable[[dict[str, Any]], object]
) -> None:
    members = orjson.loads(next(value for value in closings if certain_closing(value) is not None))
    change(members)

    assert certain_closing(hashed_anew(compact(members))) is None
