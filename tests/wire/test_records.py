"""Records are read straight from bytes; what they say must be what the models say, or nothing at all."""

import ast
import os
import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

import services.sessions
from contracts import records, values
from contracts.commands import COMMANDS, Malformed, read_command
from contracts.jsontext import Unreadable, canonical, read_object
from contracts.record_classes import Untranslatable, plain, record_class, record_of
from contracts.records import read_certain, read_stored
from contracts.values import Wire
from tests.support.bent_bodies import bent, bodies, compact
from tests.support.full_commands import ADDED, ORDER, body

BENT, BENT_AT_LENGTH = 20_000, 1_000_000
SEED = 20_261_127


def by_the_model(value: bytes) -> Any:
    """The command and its canonical text as the model has it, or None."""
    try:
        body = read_object(value)
        return record_of(read_command(body)), canonical(body)
    except (Unreadable, Malformed):
        return None


def test_what_is_certain_is_what_the_model_reads(
    request: pytest.FixtureRequest, record_property: Callable[[str, object], None]
) -> None:
    """Nothing is certain that the model refuses, and of what is certain neither a member nor the text is another."""
    at_length = request.config.getoption("--fuzz-at-length")
    drawn = random.SystemRandom().randrange(2**32) if at_length else SEED
    seed = int(os.environ.get("TILL_FUZZ_SEED", drawn))
    seen: Counter[str] = Counter()

    chance = random.Random(seed)  # noqa: S311 - to be repeated, not to be secret
    for value in bent(chance, BENT_AT_LENGTH if at_length else BENT, bodies()):
        certain = read_certain(value)
        seen["bodies"] += 1
        if certain is not None:
            seen["certain"] += 1
            assert certain == by_the_model(value), (seed, value)
        elif at_length:
            seen["left to the model"] += by_the_model(value) is not None

    if at_length:
        record_property("fuzz", f"records: {dict(seen)}, TILL_FUZZ_SEED={seed}")
    assert seen["certain"] > seen["bodies"] / 10


@pytest.mark.parametrize("value", bodies(), ids=lambda value: value[:40].decode())
def test_a_command_as_registers_write_it_is_certain(value: bytes) -> None:
    """But for what only the model reads: what is made another value first, and null where nothing was meant."""
    odd = (b"null", b'"sales_report"', b'"own_provider"', b"\\")

    assert (read_certain(value) is None) == any(piece in value for piece in odd)


@pytest.mark.parametrize("kind", ADDED)
def test_what_was_accepted_is_read_again_however_it_was_written(kind: str) -> None:
    expected = record_of(read_command(body(kind)))

    assert read_stored(canonical(body(kind))) == expected
    assert read_stored(b" " + canonical(body(kind))) == expected


def test_a_record_has_what_its_model_has() -> None:
    for kind, model in COMMANDS.items():
        command = read_command(body(kind))
        record = record_of(command)

        assert type(record) is record_class(model)
        assert record.session_id == command.session_id
        assert record.register_seq == command.register_seq
        assert record.actor == record_of(command.actor)
        assert plain(record) == command.model_dump(mode="json")
        assert list(plain(record)) == list(model.model_fields)


def test_members_are_put_into_the_form_of_the_wire_and_the_text_stays() -> None:
    upper = "0194225E-7E60-7000-8000-0123456789AB"
    value = compact(body("record_order", session_id=upper, paid_before={"session_id": upper, "amount_minor": 0}))

    certain = read_certain(value)

    assert certain is not None
    order: Any = certain[0]
    assert order.session_id == order.paid_before.session_id == upper.lower()
    assert order.occurred_at == "2025-01-01T15:46:52.000000Z"
    assert certain[1].count(upper.encode()) == 2
    assert b'"occurred_at":"2025-01-01T09:46:52-06:00"' in certain[1]


@pytest.mark.parametrize("longest", [64, 128, 2_000])
def test_texts_are_measured_in_bytes(longest: int) -> None:
    kind, name = {64: ("force_close", "reason"), 128: ("record_order", ""), 2_000: ("move_cash", "description")}[
        longest
    ]
    for text, fits in (("é" * (longest // 2), True), ("é" * (longest // 2) + "a", False), ("x" * longest, True)):
        changed = {name: text} if name else {"payments": [], "taxes": [{**ORDER["taxes"][0], "name": text}]}

        assert (read_certain(compact(body(kind, **changed))) is not None) == fits


def test_what_costs_as_many_bytes_as_it_spares_is_not_certain() -> None:
    value = compact(body("void_session"))
    spared = value.replace(b'"register_seq":7', b'"register_seq":-0')

    assert read_certain(value) is not None
    assert read_certain(value.replace(b'"register_seq":7', b'"register_seq":1e3')) is None
    assert read_certain(spared) is None
    assert read_certain(value[:-1] + b',"reason":"training"}') is None


class _Before(Wire):
    kind: Literal["before"]
    emptied: Annotated[str | None, BeforeValidator(str)] = None


class _Plain(BaseModel):
    kind: Literal["plain"]


class _Loose(Wire):
    model_config = ConfigDict(strict=False)
    kind: str


class _Aliased(Wire):
    kind: str = Field(validation_alias=AliasChoices("kind", "type"))


class _Fraction(Wire):
    share: float


class _Unlimited(Wire):
    items: tuple[int, ...]


class _Either(Wire):
    item: int | str


class _Default(Wire):
    item: int = 1


class _Multiple(Wire):
    item: Annotated[int, Field(multiple_of=5)]


class _Stripped(Wire):
    item: Annotated[str, Field(pattern="^a")]


class _FieldValidated(Wire):
    item: int

    @field_validator("item")
    @classmethod
    def _same(cls, item: int) -> int:
        return item


class _MadeBefore(Wire):
    item: int

    @model_validator(mode="before")
    @classmethod
    def _same(cls, value: Any) -> Any:
        return value


class _Within(Wire):
    inner: _Fraction


REFUSED = (
    _Plain, _Loose, _Aliased, _Fraction, _Unlimited, _Either, _Default, _Multiple, _Stripped, _FieldValidated,
    _MadeBefore, _Within,
)  # fmt: skip


@pytest.mark.parametrize("model", REFUSED, ids=lambda model: model.__name__)
def test_a_model_that_says_what_no_record_can_check_fails_at_import(model: type[Wire]) -> None:
    with pytest.raises(Untranslatable, match=r"^_\w+[.:].*\.$"):
        record_class(model)


def test_what_is_made_something_else_first_is_left_to_the_model() -> None:
    import msgspec

    record_type = record_class(_Before)

    assert msgspec.json.decode(b'{"kind":"before"}', type=record_type).emptied is None
    with pytest.raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"kind":"before","emptied":"a"}', type=record_type)


def test_equal_parts_are_equal_wherever_they_were_read() -> None:
    assert record_class(values.Actor)(id="a") == record_of(values.Actor(id="a"))


def test_the_sessions_service_goes_by_records_alone() -> None:
    """Under one name stand a model and its record: who took the model would find that no record is one of it."""
    asks_for_models = {"ledger/profiles.py"}
    home = Path(services.sessions.__file__).parent
    for file in sorted(home.rglob("*.py")):
        if str(file.relative_to(home)) not in asks_for_models:
            tree = ast.parse(file.read_text(encoding="utf-8"))
            imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
            models = [node for node in imports if node.module in {"contracts.commands", "contracts.values"}]
            names = {alias.name for node in models for alias in node.names}
            assert names.isdisjoint(records.__all__), file
