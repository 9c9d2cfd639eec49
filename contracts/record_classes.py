"""Slotted records in the place of models: their classes are made here, at import, from the models themselves.

A record has the members of its model, sorted by name as canonical JSON has them, and the garbage collector doesn't
track it. msgspec checks types, bounds and lengths while it decodes; what only a function can check, or puts into
another form, is done by the class's `Settlers` afterwards.

Of what is read from others, a record is `sparing`: it is written without the members that say what their absence says.
Of what this service writes it is whole: every member stands there, and without one it can't be decoded.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Optional, TypeVar, Union, cast, get_args, get_origin

import msgspec
from annotated_types import Ge, Le, MaxLen, MinLen
from msgspec.structs import force_setattr
from pydantic import AfterValidator, BaseModel, BeforeValidator, FailFast, StringConstraints, WithJsonSchema
from pydantic.fields import FieldInfo

from contracts.limits import Items, Text

Model = TypeVar("Model", bound=BaseModel)
Check = Callable[[Any], Any]
"""What a validator gives for a value that has the right type: the value itself or another. Raises ValueError."""

REMEMBERED_MAX: Final = 8_192
"""Texts that a pattern is known to match, of each pattern: stores, tills and tenders come again with every command."""
_KEPT: Final = {"frozen": True, "extra": "forbid", "strict": True}
"""The settings of a model that a record keeps. No other is known to it."""
_SCALARS: Final = (str, int, bool)
_encode: Final = msgspec.json.Encoder().encode


class Untranslatable(TypeError):
    """A model says something that no record can check."""


class Settlers(NamedTuple):
    """What finishes a decoded record in its place: checks, and the forms that the model gives; None if nothing does.

    `ascii` counts on it that the body was ASCII, where characters are bytes; `other` counts the bytes of every text.
    """

    ascii: Check | None
    other: Check | None


class _Translated(NamedTuple):
    """A member's type for msgspec, and what only functions can do with its value."""

    kind: Any
    ascii: tuple[Check, ...] = ()
    other: tuple[Check, ...] = ()


_SPARING: dict[type[BaseModel], type[msgspec.Struct]] = {}
_WHOLE: dict[type[BaseModel], type[msgspec.Struct]] = {}
_SETTLERS: dict[Any, Settlers] = {}
_WRITTEN_ORDER: dict[type, tuple[str, ...]] = {}


def record_class(model: type[Model], *, sparing: bool = True) -> type[Model]:
    """The class of the records of a model, typed as the model: a checker sees no class that is made at import.

    Of a model a record has the members and nothing else. Raises Untranslatable.
    """
    classes = _SPARING if sparing else _WHOLE
    if model not in classes:
        classes[model] = _make(model, sparing=sparing)
    return cast("type[Model]", classes[model])


def record_of(value: Any) -> Any:
    """The record of what a model has read, all the way down."""
    record_type = _SPARING.get(type(value))
    if record_type is not None:
        return record_type(**{name: record_of(member) for name, member in value.__dict__.items()})
    return tuple(map(record_of, value)) if type(value) is tuple else value


def plain(value: Any) -> Any:
    """A record as JSON has it: an object with all members, in the order of its model, all the way down."""
    names = _WRITTEN_ORDER.get(type(value))
    if names is not None:
        return {name: plain(getattr(value, name)) for name in names}
    return [plain(item) for item in value] if type(value) is tuple else value


def settlers_of(model: type[BaseModel], *, sparing: bool = True) -> Settlers:
    """What is left to do with a decoded record of the model."""
    return _SETTLERS[record_class(model, sparing=sparing)]


def proven_text(record: Any, body: bytes) -> bytes | None:
    """The canonical text of a body that certainly is the record that was decoded from it; else None, ask the model.

    The record's members are checked and put into the form of the wire. What is written back in as many bytes as it came
    in held no member twice, no null of a sparing record, no space between, no number that is written otherwise: each of
    them would have made it longer. Of a body without a backslash no text holds a control character but DEL, nor a lone
    surrogate: whoever asks has looked for both.
    """
    text = _encode(record)
    if len(text) != len(body):
        return None
    settlers = _SETTLERS[type(record)]
    settle = settlers.ascii if body.isascii() else settlers.other
    try:
        if settle is not None:
            settle(record)
    except ValueError:
        return None
    return text


def _make(model: type[BaseModel], *, sparing: bool) -> type[msgspec.Struct]:
    _refuse_what_is_not_kept(model, sparing=sparing)
    fields: list[tuple[str, Any] | tuple[str, Any, Any]] = []
    ascii_checks: list[tuple[str, Check]] = []
    other_checks: list[tuple[str, Check]] = []
    for name, info in sorted(model.model_fields.items()):
        try:
            member = _translate(info.annotation, list(info.metadata), sparing=sparing)
        except Untranslatable as error:
            raise Untranslatable(f"{model.__name__}.{name}: {error}") from None
        needed = info.is_required() or not sparing
        fields.append((name, member.kind) if needed else (name, member.kind, info.default))
        for checks, of_member in ((ascii_checks, member.ascii), (other_checks, member.other)):
            check = _as_one(of_member)
            if check is not None:
                checks.append((name, check))
    record_type = msgspec.defstruct(
        model.__name__,
        fields,
        module=__name__,
        namespace={"__doc__": model.__doc__, **{name: getattr(model, name) for name in model.__class_vars__}},
        frozen=True,
        gc=False,
        kw_only=True,
        forbid_unknown_fields=True,
        omit_defaults=sparing,
    )
    as_a_whole = [validator.func for validator in model.__pydantic_decorators__.model_validators.values()]
    _SETTLERS[record_type] = Settlers(_settler(ascii_checks, as_a_whole), _settler(other_checks, as_a_whole))
    _WRITTEN_ORDER[record_type] = tuple(model.model_fields)
    return record_type


def _refuse_what_is_not_kept(model: type[BaseModel], *, sparing: bool) -> None:
    """Raise Untranslatable for what would be lost on the way."""
    if {**model.model_config} != _KEPT:
        raise Untranslatable(f"{model.__name__}: its settings are others than {_KEPT}, so a record may read otherwise.")
    decorators = model.__pydantic_decorators__
    for kind in ("field_validators", "root_validators", "validators", "field_serializers", "model_serializers"):
        if getattr(decorators, kind):
            raise Untranslatable(f"{model.__name__}: a record has no {kind}; put a validator beside the type.")
    if decorators.computed_fields or model.__private_attributes__:
        raise Untranslatable(f"{model.__name__}: a record has neither computed fields nor private attributes.")
    for name, validator in decorators.model_validators.items():
        if validator.info.mode != "after":
            raise Untranslatable(f"{model.__name__}.{name}: a record is checked as a whole only after its members.")
    for name, info in model.model_fields.items():
        if info.alias or info.validation_alias or info.serialization_alias or info.default_factory or info.exclude:
            raise Untranslatable(f"{model.__name__}.{name}: a record knows no alias, default factory or exclusion.")
        if sparing and not info.is_required() and info.default is not None:
            raise Untranslatable(f"{model.__name__}.{name}: what may be left out of a record is None then.")


def _translate(annotation: Any, marks: list[Any], *, sparing: bool) -> _Translated:
    """A member's type and the marks on it. Raises Untranslatable."""
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is dict or any(isinstance(mark, BeforeValidator) for mark in marks):
        # It is made something else before it is checked, or may hold anything: only the model can read it. Decoding
        # takes none.
        member = _Translated(None)
    elif origin is Annotated:
        member = _translate(args[0], [*_flat(args[1:]), *marks], sparing=sparing)
    elif origin in (Union, UnionType):
        member = _optional(args, marks, sparing=sparing)
    elif origin is Literal:
        member = _with_functions(annotation, Settlers(None, None), marks)
    elif origin is tuple and args[1:] == (...,):
        member = _rows(args[0], marks, sparing=sparing)
    elif origin is tuple:
        member = _fixed(args, marks, sparing=sparing)
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        settlers = settlers_of(annotation, sparing=sparing)
        member = _with_functions(record_class(annotation, sparing=sparing), settlers, marks)
    elif annotation in _SCALARS:
        member = _scalar(annotation, marks)
    else:
        raise Untranslatable(f"no record holds {annotation!r}.")
    return member


def _optional(args: tuple[Any, ...], marks: list[Any], *, sparing: bool) -> _Translated:
    inner = [arg for arg in args if arg is not NoneType]
    if len(inner) != 1 or len(args) != 2:
        raise Untranslatable(f"of {args!r} a record can only tell one from None.")
    if _functions(marks):
        raise Untranslatable("what is checked may be None there; put the check beside the type that it is of.")
    member = _translate(inner[0], [], sparing=sparing)
    return member._replace(kind=Optional[member.kind])  # noqa: UP045 - a value, no annotation


def _fixed(items: tuple[Any, ...], marks: list[Any], *, sparing: bool) -> _Translated:
    members = [_translate(item, [], sparing=sparing) for item in items]
    if any(member.ascii or member.other for member in members):
        raise Untranslatable("of a list whose items differ a record checks types and bounds alone.")
    kinds = tuple(member.kind for member in members)
    return _with_functions(tuple.__class_getitem__(kinds), Settlers(None, None), marks)


def _rows(item: Any, marks: list[Any], *, sparing: bool) -> _Translated:
    row = _translate(item, [], sparing=sparing)
    limits = [mark for mark in marks if isinstance(mark, Items | MaxLen)]
    if len(limits) > 1 or (sparing and not limits):
        raise Untranslatable("a list says how long it may be, once.")
    meta = msgspec.Meta()
    for limit in limits:
        shortest, longest = (limit.shortest, limit.longest) if isinstance(limit, Items) else (0, limit.max_length)
        meta = msgspec.Meta(min_length=shortest, max_length=longest)
    each = _each_record if row.kind in _SETTLERS else _each_value
    settlers = Settlers(*(each(check) if check else None for check in map(_as_one, (row.ascii, row.other))))
    # Where reading a list ends once it is wrong, a record is left to the model at once.
    rest = [mark for mark in marks if mark not in limits and not isinstance(mark, FailFast)]
    return _with_functions(Annotated[tuple.__class_getitem__((row.kind, ...)), meta], settlers, rest)


def _scalar(annotation: Any, marks: list[Any]) -> _Translated:
    limits: dict[str, Any] = {}
    of_ascii: list[Check] = []
    of_other: list[Check] = []
    for mark in marks:
        match mark:
            case Text() if annotation is str:
                limits |= {"min_length": mark.shortest, "max_length": mark.longest}
                of_other.append(mark.check)
            case MinLen() if annotation is str:
                limits["min_length"] = mark.min_length
            case MaxLen() if annotation is str:
                limits["max_length"] = mark.max_length
            case Ge() if annotation is int:
                limits["ge"] = mark.ge
            case Le() if annotation is int:
                limits["le"] = mark.le
            case StringConstraints() if annotation is str:
                check = _text_check(mark)
                of_ascii.append(check)
                of_other.append(check)
            case _:
                functions = _functions([mark])
                of_ascii += functions
                of_other += functions
    kind = Annotated[annotation, msgspec.Meta(**limits)] if limits else annotation
    return _Translated(kind, tuple(of_ascii), tuple(of_other))


def _text_check(mark: StringConstraints) -> Check:
    """The pattern, then lower case, as the model has it."""
    others = (mark.strip_whitespace, mark.to_upper, mark.strict, mark.min_length, mark.max_length)
    pattern = mark.pattern
    if any(others) or not isinstance(pattern, str) or not (pattern.startswith("^") and pattern.endswith("$")):
        raise Untranslatable(f"of texts a record checks whole patterns and makes lower case, not {mark!r}.")
    matches = re.compile(rf"{pattern[:-1]}\Z").search

    def check(text: str) -> str:
        if matches(text) is None:
            raise ValueError(text)
        return text

    def check_and_lower(text: str) -> str:
        if matches(text) is None:
            raise ValueError(text)
        lower = text.lower()
        return text if lower == text else lower

    # Ids that are written in any case are minted for one command or session: to remember them would not pay.
    return check_and_lower if mark.to_lower else lru_cache(REMEMBERED_MAX)(check)


def _functions(marks: Sequence[Any]) -> tuple[Check, ...]:
    """The functions that stand as marks beside a type. Raises Untranslatable for any other mark."""
    marks = [mark for mark in marks if not isinstance(mark, WithJsonSchema)]
    unknown = next((mark for mark in marks if not isinstance(mark, AfterValidator)), None)
    if unknown is not None:
        raise Untranslatable(f"no record checks {unknown!r} there.")
    return tuple(mark.func for mark in marks)


def _with_functions(kind: Any, settlers: Settlers, marks: Sequence[Any]) -> _Translated:
    functions = _functions(marks)
    first_ascii, first_other = ((check,) if check else () for check in settlers)
    return _Translated(kind, (*first_ascii, *functions), (*first_other, *functions))


def _flat(marks: Sequence[Any]) -> Iterator[Any]:
    for mark in marks:
        yield from mark.metadata if isinstance(mark, FieldInfo) else (mark,)


def _as_one(checks: Sequence[Check]) -> Check | None:
    """Checks one after the other, each of what the one before it gave."""
    if len(checks) <= 1:
        return checks[0] if checks else None

    def check(value: Any) -> Any:
        for one in checks:
            value = one(value)
        return value

    return check


def _each_value(check: Check) -> Check:
    return lambda values: tuple([check(value) for value in values])


def _each_record(settle: Check) -> Check:
    def checked(records: tuple[Any, ...]) -> tuple[Any, ...]:
        for record in records:
            settle(record)
        return records

    return checked


def _settler(checks: Sequence[tuple[str, Check]], as_a_whole: Sequence[Check]) -> Check | None:
    """Settles the members that are not None, then the record as a whole."""
    if not checks and not as_a_whole:
        return None

    def settle(record: Any) -> Any:
        for name, check in checks:
            value = getattr(record, name)
            if value is not None:
                settled = check(value)
                if settled is not value:
                    force_setattr(record, name, settled)
        for check in as_a_whole:
            check(record)
        return record

    return settle
