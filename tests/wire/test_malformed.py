"""What a malformed body is told, however large or strange it is, and that nothing else happens."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contracts.commands import COMMANDS, CommandBase, Malformed, SetProfile, read_command
from contracts.jsontext import Digits, Unreadable, compact, read_object
from tests.support.full_commands import ACTOR, UUID, body, errors_of, with_value


def test_at_most_ten_errors_are_listed() -> None:
    payment = {"tender": "cash", "amount_minor": -1}
    problems = errors_of(body("record_order", payments=[payment] * 100))

    assert list(problems) == [f"payments.{number}.amount_minor" for number in range(10)]
    assert len(errors_of(body("open_session", **{f"x{n}": 1 for n in range(11)}))) == 10


def test_of_a_body_with_too_many_members_only_the_unknown_ones_are_named() -> None:
    unknown = {f"m{number}": 0 for number in range(65)}

    assert list(errors_of(body("void_session", reason=None, **unknown))) == [*unknown][:10]


def huge_bodies() -> dict[str, dict[str, Any]]:
    members = {f"m{number}": 0 for number in range(50_000)}
    return {
        "members": body("void_session", **members),
        "members within": body("void_session", actor={**ACTOR, **members}),
        "members of a kind that isn't": {"kind": "x", **members},
        "rows": body("record_order", payments=[{}] * 85_000),
        "rows of tenders": body("open_session", tenders=[{}] * 85_000),
        "rows of rows": with_value("recount", ("counted", 0, "denominations"), [0] * 120_000),
        "report": body("close_session", sales_report=members),
        "digits": body("close_session", sales_report={"a": [Digits("1.5")] * 60_000}),
    }


@pytest.mark.parametrize("name", huge_bodies())
def test_a_huge_malformed_body_is_refused_quickly(name: str) -> None:
    members = huge_bodies()[name]
    before = time.process_time()

    problems = errors_of(members)

    assert time.process_time() - before < 0.5
    assert 1 <= len(problems) <= 10


@pytest.mark.parametrize("name", ["\n", "\0" * 3, "a\x1b[31m", "\x7f", "x" * 200_000, "\ud800", "a\udfffb", "€" * 500])
def test_a_field_name_in_an_error_is_short_and_printable(name: str) -> None:
    for members in (
        body("void_session", **{name: 1}),
        body("void_session", actor={**ACTOR, name: 1}),
        body("void_session", **{name: 1}, **{f"m{n}": 1 for n in range(70)}),
    ):
        with pytest.raises(Malformed) as refused:
            read_command(members)
        for error in refused.value.errors:
            assert 1 <= len(error.field) <= 128
            assert not set(error.field) & {*map(chr, range(0x20)), "\x7f"}
            assert error.field.encode()
            assert error.problem.encode()


@pytest.mark.parametrize("secret", ["hunter2", "hunter2\0", "hunter2" * 400, "QQQ"])
def test_a_problem_never_repeats_what_was_sent(secret: str) -> None:
    for kind in COMMANDS:
        for name in COMMANDS[kind].model_fields:
            for value in (secret, [secret], {secret: secret}):
                problems = errors_of(body(kind, **{name: value}))
                assert not any(secret[:7] in problem for problem in problems.values())


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64)
    | st.floats(allow_nan=False)
    | st.builds(Digits, st.sampled_from(["1.5", "9" * 5_000, "1e400"]))
    | st.text(st.characters(codec=None), max_size=80)
    | st.sampled_from(["cash", "MXN", "1", UUID, "2025-01-01T00:00:00Z", "2025-01-01", *COMMANDS])
)
NAMES = st.sampled_from(
    sorted({"id", "name", "tender", "amount_minor", "value_minor", "count", "denominations"}
           | {name for model in COMMANDS.values() for name in model.model_fields})
) | st.text(st.characters(codec=None), max_size=8)  # fmt: skip
VALUES = st.recursive(
    LEAVES,
    lambda children: st.lists(children, max_size=4) | st.dictionaries(NAMES, children, max_size=5),
    max_leaves=10,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=12)


def check_total(members: dict[str, Any]) -> None:
    try:
        command = read_command(members)
    except Malformed as malformed:
        errors = malformed.errors
    else:
        assert isinstance(command, CommandBase | SetProfile)
        return
    assert 1 <= len(errors) <= 10
    assert all(len(error.field) <= 128 for error in errors)
    assert all(error.model_dump_json() for error in errors)


@settings(max_examples=150, deadline=None)
@given(OBJECTS)
def test_any_object_is_a_command_or_malformed(members: dict[str, Any]) -> None:
    check_total(members)


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(COMMANDS)), OBJECTS)
def test_a_bent_command_is_a_command_or_malformed(kind: str, bent: dict[str, Any]) -> None:
    check_total({**body(kind), **bent, "kind": kind})


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(sorted(COMMANDS)), OBJECTS)
def test_both_spellings_of_a_body_get_the_same_verdict(kind: str, bent: dict[str, Any]) -> None:
    try:
        compactly = compact({**body(kind), **bent})
        members = read_object(compactly)
    except (TypeError, Unreadable):
        return
    spaced = read_object(b" " + compactly)

    assert errors_of(members).keys() == errors_of(spaced).keys()
