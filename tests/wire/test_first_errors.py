"""The errors that are found one by one are the first of those that Pydantic finds when nothing stops it."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic_core import SchemaValidator, ValidationError

from contracts import first_errors as module
from contracts.commands import COMMANDS, ERRORS_MAX
from contracts.first_errors import Error, first_errors, told_errors
from tests.support.full_commands import ACTOR, body, with_value


def never_stopping(part: Any) -> Any:
    """A schema of Pydantic's whose lists go on after a bad item."""
    if isinstance(part, dict):
        return {name: never_stopping(value) for name, value in part.items() if name != "fail_fast"}
    return [never_stopping(item) for item in part] if isinstance(part, list) else part


VALIDATORS = {
    kind: SchemaValidator(never_stopping(copy.copy(model.__pydantic_core_schema__)), _use_prebuilt=False)
    for kind, model in COMMANDS.items()
}  # fmt: skip


def all_errors(kind: str, members: dict[str, Any]) -> list[Error]:
    try:
        VALIDATORS[kind].validate_python(members)
    except ValidationError as invalid:
        return [(error["loc"], error["msg"].removeprefix("Value error, ")) for error in invalid.errors()]
    return []


def agree(kind: str, members: dict[str, Any]) -> int:
    expected = all_errors(kind, members)

    assert first_errors(COMMANDS[kind], members, 1_000_000) == expected
    assert first_errors(COMMANDS[kind], members, ERRORS_MAX) == expected[:ERRORS_MAX]

    assert errors_told(kind, members) in ([], expected)

    return len(expected)


def errors_told(kind: str, members: dict[str, Any]) -> list[Error]:
    """What is known without looking for it."""
    try:
        COMMANDS[kind].__pydantic_validator__.validate_python(members)
    except ValidationError as invalid:
        return told_errors(invalid, ERRORS_MAX)
    return []


def bad_row(number: int) -> Any:
    rows: list[Any] = [None, 7, [], {}, {"tender": "cash"}, {"tender": "a b", "amount_minor": -1, "x": 1}]
    rows += [{"tender": "cash", "amount_minor": 1, "denominations": [{}, {"value_minor": 0, "count": 1}, None]}]
    rows += [{"\ud800": 1, "x": 2}, {"tender": "cash", "amount_minor": 1}, {"name": "a", "amount_minor": 1}]
    return rows[number % len(rows)]


ROWS = [bad_row(number) for number in range(10)]
BENT: list[Any] = [
    None, True, 1.5, "", "x", "\ud800", 10**20, [], [None] * 3, ROWS, ROWS[::-1], [ROWS[8]] * 101, [ROWS[8], 3], {},
    {"id": 1, "y": 2, "z": 3}, {"id": "a", "name": ["b"]}, {"\ud800": 1, "id": 2}, ["a\0b", 7, "c"],
]  # fmt: skip


@pytest.mark.parametrize("kind", COMMANDS)
def test_each_member_bent_in_each_way_has_the_same_errors(kind: str) -> None:
    bent = sum(agree(kind, body(kind, **{name: value})) > 0 for name in body(kind) for value in BENT)

    assert bent > len(body(kind)) * len(BENT) // 2


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(sorted(COMMANDS)),
    st.dictionaries(
        st.sampled_from(sorted({name for model in COMMANDS.values() for name in model.model_fields}))
        | st.text(st.characters(codec=None), max_size=3),
        st.sampled_from(BENT),
        max_size=8,
    ),
    st.lists(st.sampled_from(["reason", "counted", "payments", "actor", "store_id", "occurred_at"]), max_size=3),
)
def test_however_many_members_are_wrong_the_first_ten_are_the_same(
    kind: str, bent: dict[str, Any], left_out: list[str]
) -> None:
    members = {name: value for name, value in {**body(kind), **bent}.items() if name not in left_out}

    agree(kind, members)


TENDER = body("open_session")["tenders"][0]
TOGETHER = {
    "a tender twice": ("open_session", {"tenders": [TENDER, TENDER], "opening": [{}], "x": 1}),
    "nothing to amend": ("amend_session", dict.fromkeys(("session_number", "station", "note", "notes"))),
    "nothing to amend, and more": ("amend_session", {"note": None, "notes": [1], "actor": {**ACTOR, "x": 1}}),
}


@pytest.mark.parametrize("name", TOGETHER)
def test_what_fields_say_only_together_is_found_too(name: str) -> None:
    kind, bent = TOGETHER[name]

    assert agree(kind, body(kind, **bent)) > 0


def test_few_errors_are_not_looked_for() -> None:
    assert errors_told("open_session", body("open_session", currency="XTS", x=1)) == [
        (("currency",), "currencies.csv lists no such currency"),
        (("x",), "Extra inputs are not permitted"),
    ]
    assert errors_told("open_session", body("open_session", tenders=[{"id": 7}])) == [], "more may be wrong in the list"
    assert errors_told("move_cash", body("move_cash") | {f"x{n}": 1 for n in range(ERRORS_MAX)}) != []
    assert errors_told("move_cash", body("move_cash") | {f"x{n}": 1 for n in range(ERRORS_MAX + 1)}) == []


def test_what_comes_after_the_tenth_error_is_not_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked_at = []
    judge = module._own_errors
    monkeypatch.setattr(module, "_own_errors", lambda *call: looked_at.append(call[2]) or judge(*call))
    rows = [{"tender": "cash", "amount_minor": 1, "denominations": [{}] * 100}] * 50

    problems = first_errors(COMMANDS["recount"], with_value("recount", ("counted",), rows), ERRORS_MAX)

    assert len(problems) == ERRORS_MAX
    assert len(looked_at) < 2 * ERRORS_MAX
