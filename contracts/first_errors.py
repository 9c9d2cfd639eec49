"""The first errors of a malformed body: those that Pydantic gives, found one by one, so that the rest cost nothing.

Pydantic notes every error before anybody can say that ten are enough: a body of 130 kB may hold 20,000, and each of
them costs more than a whole field of a good command.
"""

import re
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any, Final, NamedTuple, get_args, get_origin

from pydantic import BaseModel, ValidationError

from contracts.limits import Items

Location = tuple[int | str, ...]
Error = tuple[Location, str]
"""Where in the body, and what is wrong there."""

UNKNOWN: Final = "Extra inputs are not permitted"
_SURROGATE = re.compile("[\ud800-\udfff]")


class _Nested(NamedTuple):
    """A field that holds an object of `model`, or a list of them of so many `items`."""

    model: type[BaseModel]
    items: Items | None


def first_errors(model: type[BaseModel], body: dict[str, Any], at_most: int) -> list[Error]:
    """What is wrong with `body`, in the order of the model's fields and then of unknown members; empty for a good one.

    The cost of one error is that of its own object, without what the object holds.
    """
    return list(islice(_errors(model, body, ()), at_most))


def told_errors(invalid: ValidationError, at_most: int) -> list[Error]:
    """All errors of a body, as Pydantic told them: a quarter of what looking for them costs.

    Empty where they are more, or may be: of a list it tells the first bad item's alone.
    """
    if invalid.error_count() > at_most:
        return []
    errors = _as_errors(invalid, ())
    return [] if any(isinstance(part, int) for location, _ in errors for part in location) else errors


def _errors(model: type[BaseModel], value: dict[str, Any], location: Location) -> Iterator[Error]:
    unpaired = next((name for name in value if not name.isascii() and _SURROGATE.search(name)), None)
    if unpaired is not None:
        # Pydantic can't name it, and says nothing else of the object that holds it.
        yield from _own_errors(model, {unpaired: None}, location)
        return
    wrong = False
    for error in _errors_of_members(model, value, location):
        wrong = True
        yield error
    for name in value:
        if name not in model.model_fields:
            wrong = True
            yield (*location, name), UNKNOWN
    if not wrong:
        # What fields say only together.
        yield from _own_errors(model, value, location)


def _errors_of_members(model: type[BaseModel], value: dict[str, Any], location: Location) -> Iterator[Error]:
    """Errors of known members in the order of the fields; what they hold is looked at when its turn comes."""
    nested = {
        name: items
        for name, field in _nested(model).items()
        if name in value and (items := _items(field, value[name])) is not None
    }
    flat = {name: value[name] for name in model.model_fields if name in value and name not in nested}
    # What is wrong with the object as a whole is told when its members are right, all of them.
    of_members = [error for error in _own_errors(model, flat, location) if len(error[0]) > len(location)]
    own = [error for error in of_members if error[0][len(location)] not in nested]
    for name in model.model_fields:
        yield from (error for error in own if error[0][len(location)] == name)
        if name in nested:
            wrong = False
            for position, item in nested[name]:
                for error in _errors_of_item(_nested(model)[name].model, item, (*location, name, *position)):
                    wrong = True
                    yield error
            if not wrong:
                # What a list says only as a whole.
                whole = _own_errors(model, {name: value[name]}, location)
                yield from (error for error in whole if error[0][len(location)] == name)


def _errors_of_item(model: type[BaseModel], item: Any, location: Location) -> Iterator[Error]:
    if isinstance(item, dict) and (len(item) > len(model.model_fields) or not _is_good(model, item)):
        yield from _errors(model, item, location)
    elif not isinstance(item, dict):
        yield from _own_errors(model, item, location)


def _items(field: _Nested, value: Any) -> list[tuple[Location, Any]] | None:
    """The objects in a member, each with its place in it; None where the member itself is wrong, or null."""
    if field.items is None:
        return [((), value)] if isinstance(value, dict) else None
    if isinstance(value, (list, tuple)) and field.items.shortest <= len(value) <= field.items.longest:
        return [((number,), item) for number, item in enumerate(value)]
    return None


def _is_good(model: type[BaseModel], value: Any) -> bool:
    try:
        model.__pydantic_validator__.validate_python(value)
    except ValidationError:
        return False
    return True


def _own_errors(model: type[BaseModel], value: Any, location: Location) -> list[Error]:
    """All of Pydantic's errors: for a value that can't have many."""
    try:
        model.__pydantic_validator__.validate_python(value)
    except ValidationError as invalid:
        return _as_errors(invalid, location)
    return []


def _as_errors(invalid: ValidationError, location: Location) -> list[Error]:
    errors = invalid.errors(include_url=False, include_input=False, include_context=False)
    return [((*location, *error["loc"]), error["msg"].removeprefix("Value error, ")) for error in errors]


@cache
def _nested(model: type[BaseModel]) -> dict[str, _Nested]:
    """The fields of a model that hold objects."""
    nested = {}
    for name, field in model.model_fields.items():
        parts = [*_parts(field.annotation), *field.metadata]
        inner = next((part for part in parts if isinstance(part, type) and issubclass(part, BaseModel)), None)
        if inner is not None:
            nested[name] = _Nested(inner, next((part for part in parts if isinstance(part, Items)), None))
    return nested


def _parts(hint: Any) -> Iterator[Any]:
    """A type hint and all that stands in its brackets; a `Literal` holds no types."""
    yield hint
    if get_origin(hint) is not None:
        for part in get_args(hint):
            yield from _parts(part)
