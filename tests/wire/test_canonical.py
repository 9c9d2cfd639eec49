"""The bytes that are hashed: RFC 8785, checked against an independent implementation."""

import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from hypothesis import example, given, settings
from hypothesis import strategies as st

import contracts
from contracts.closings import GENESIS_HASH, closing_hash, journal_link
from contracts.jsontext import SAFE_INTEGER, Digits, canonical

CONTRACTS = Path(contracts.__file__).parent

# No floats: a number with a fraction is refused wherever it is read, and in a refused body it
# keeps the digits that came (WIRE.md section 4), which RFC 8785 would rewrite.
TEXTS = st.text(st.characters(codec="utf-8"), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers(-SAFE_INTEGER, SAFE_INTEGER) | TEXTS
VALUES = st.recursive(
    LEAVES,
    lambda children: st.lists(children) | st.dictionaries(TEXTS, children),
    max_leaves=20,
)
SORTED_BY_UTF16 = {"\U0001f600": 1, "\ufb33": 2, "\u20ac": 3, "\r": 4, "1": 5, "\x80": 6, "\xf6": 7}
EVERY_ESCAPE = "".join(map(chr, range(0x21))) + '"\\/\x7f\u2028\u2029\ufeff'


@settings(max_examples=500, deadline=None)
@given(VALUES)
@example(SORTED_BY_UTF16)
@example({"a": SORTED_BY_UTF16, "b": [SORTED_BY_UTF16]})
@example({"\U00010000": 1, "\uffff": 2})
@example({"\U00040000": 1, "\uffff": 2})
@example({"\U00080000": 1, "\uffff": 2})
@example({"\U000c0000": 1, "\uffff": 2})
@example({"\U00100000": 1, "\uffff": 2})
@example({EVERY_ESCAPE: EVERY_ESCAPE})
@example({EVERY_ESCAPE: EVERY_ESCAPE, "\U0001f600": EVERY_ESCAPE})
@example([SAFE_INTEGER, -SAFE_INTEGER, True, False, None, "", [], {}])
def test_canonical_json_is_what_the_rfc8785_package_writes(value: Any) -> None:
    assert canonical(value) == rfc8785.dumps(value)


@pytest.mark.parametrize("beside", ["", "\U0001f600", "\ud800"], ids=["", "astral", "surrogate"])
@pytest.mark.parametrize("digits", ["1.0", "1.00", "-0.0", "1e3", "1E-7", "9" * 30])
def test_digits_that_are_no_integer_stay_as_they_came(digits: str, beside: str) -> None:
    text = canonical({"b": Digits(digits), "a": beside}).decode("utf-8", "surrogatepass")

    assert text == f'{{"a":"{beside}","b":{digits}}}'


def test_digits_are_no_text() -> None:
    assert canonical({"a": Digits("1.5")}) != canonical({"a": "1.5"})


def test_what_is_no_json_has_no_canonical_form() -> None:
    with pytest.raises(TypeError):
        canonical({"a": {1, 2}})


def test_a_closing_hashes_without_its_hash_whatever_the_order_of_its_members() -> None:
    closing = {"kind": "closing", "store_name": "Café 😀", "z_number": 1}
    expected = hashlib.sha256('{"kind":"closing","store_name":"Café 😀","z_number":1}'.encode()).hexdigest()

    assert closing_hash(closing) == expected
    assert closing_hash({"hash": "0" * 64, **dict(reversed(closing.items()))}) == expected


def test_a_journal_link_is_the_hash_of_the_previous_link_and_the_canonical_entry() -> None:
    command = {"note": "Ñ", "command_id": "x", "amount_minor": 5}
    entry = json.dumps(
        {"sequence": 7, "command": command},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
    )
    expected = hashlib.sha256((GENESIS_HASH + entry).encode()).hexdigest()

    assert journal_link(GENESIS_HASH, 7, canonical(command), None) == expected
    assert journal_link(expected, 7, canonical(command), None) != expected


def test_a_link_is_over_the_version_of_the_profile_too() -> None:
    entry = b'{"command":{"note":"x"},"profile_version":3,"sequence":7}'
    expected = hashlib.sha256(GENESIS_HASH.encode() + entry).hexdigest()

    assert journal_link(GENESIS_HASH, 7, b'{"note":"x"}', 3) == expected


def test_the_example_of_the_readme_checks_a_golden_closing(tmp_path: Path) -> None:
    readme = (CONTRACTS / "README.md").read_text(encoding="utf-8")
    program = readme.partition("```python\n")[2].partition("```")[0]
    golden = CONTRACTS / "golden" / "closing.json"
    altered = tmp_path / "closing.json"
    text = golden.read_text(encoding="utf-8").replace("Efectivo", "Cash")
    altered.write_text(text, encoding="utf-8")

    right = subprocess.run([sys.executable, "-c", program, golden], capture_output=True, check=False)
    wrong = subprocess.run([sys.executable, "-c", program, altered], capture_output=True, check=False)

    assert (right.returncode, right.stdout.strip()) == (0, b"right")
    assert wrong.returncode == 1


def test_integers_of_any_size_have_their_digits() -> None:
    assert (
        canonical({"b": -(2**63) - 1, "a": [2**64, True, 0]})
        == b'{"a":[18446744073709551616,true,0],"b":-9223372036854775809}'
    )
