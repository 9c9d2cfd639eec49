"""Closings and corrections for Kafka Connect: the types of all that fits into columns."""

from types import UnionType
from typing import Any, Final, Literal, Union, get_args, get_origin

from contracts.closings import ClosingCorrection, ClosingHead, Figures
from contracts.values import Wire

_TYPES: Final[dict[type, str]] = {int: "int64", str: "string", bool: "boolean"}


def connect_schema() -> dict[str, Any]:
    """One schema for both kinds on the topic; whatever one of them lacks is null in it.

    Lists are left out, for a column holds none, and so is `sales_report`, whose members each register chooses.
    """
    models = (ClosingHead, Figures, ClosingCorrection)
    fields = {name: field for model in models for name, field in _fields(model).items()}
    kind = fields["kind"] | {"optional": False}
    return {"type": "struct", "name": "till.closings.v1", "fields": list((fields | {"kind": kind}).values())}


def _fields(model: type[Wire]) -> dict[str, dict[str, Any]]:
    typed = ((name, _type_of(field.annotation)) for name, field in model.model_fields.items())
    return {name: {"field": name, "optional": True} | connect for name, connect in typed if connect is not None}


def _type_of(annotation: Any) -> dict[str, Any] | None:
    """The type of a column, or of several below one name; None where no column can hold it."""
    while get_origin(annotation) is not None:
        if get_origin(annotation) is Literal:
            annotation = type(get_args(annotation)[0])
        elif get_origin(annotation) in (Union, UnionType) or hasattr(annotation, "__metadata__"):
            annotation = get_args(annotation)[0]
        else:
            return None
    if issubclass(annotation, Wire):
        return {"type": "struct", "fields": list(_fields(annotation).values())}
    return {"type": _TYPES[annotation]}
