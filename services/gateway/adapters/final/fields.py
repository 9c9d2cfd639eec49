"""The fields of a request to the Final API, as they are read: checked for their types, nothing more."""

from http import HTTPStatus
from typing import Any, Final

from contracts.times import read_time
from services.gateway.adapters.amounts import minor_of_text
from services.gateway.adapters.errors import Refused

TEXTS: Final = (
    "stationId",
    "sessionNumber",
    "openedBy",
    "closedBy",
    "openTime",
    "closeTime",
    "openingAmount",
    "closingAmount",
    "closingReportData",
    "closingNote",
    "openingNote",
)
REQUIRED: Final = (
    "stationId",
    "sessionNumber",
    "openedBy",
    "openTime",
    "openingAmount",
    "notes",
    "closingAmounts",
    "openingNote",
)

Fields = dict[str, Any]
"""The fields of a request that were given, checked for their types."""
Tenders = dict[str, str]
"""The tenders that can be counted, with their currencies."""


def read_fields(body: dict[str, Any], required: tuple[str, ...]) -> Fields:
    """The known fields that the body gives. Raises Refused (400) for one that is missing or of a wrong type."""
    for name in required:
        if body.get(name) is None:
            raise missing(name)
    fields = {name: body[name] for name in (*TEXTS, "notes", "closingAmounts") if body.get(name) is not None}
    for name in TEXTS:
        if name in fields and not isinstance(fields[name], str):
            raise invalid(name, "must be a string")
    notes, amounts = fields.get("notes", []), fields.get("closingAmounts", {})
    if not isinstance(notes, list) or any(not isinstance(note, str) for note in notes):
        raise invalid("notes", "must be an array of strings")
    if not isinstance(amounts, dict):
        raise invalid("closingAmounts", "must be an object")
    for name in ("openTime", "closeTime"):
        try:
            read_time(fields.get(name, "2025-01-29T09:00:00.000Z"))
        except ValueError:
            raise invalid(name, "must be a time such as 2025-01-29T09:00:00.000Z") from None
    return fields


def read_counted(fields: Fields, tenders: Tenders, currency: str) -> dict[str, int]:
    """What was counted, by tender. Raises Refused (400); closingAmount is held to the same rule and only kept."""
    if "closingAmount" in fields:
        read_amount("closingAmount", fields["closingAmount"], currency)
    counted = {}
    for tender, amount in fields.get("closingAmounts", {}).items():
        name = f"closingAmounts.{tender[:64]}"
        if tender not in tenders:
            raise invalid(name, "is no payment method of this station")
        if not isinstance(amount, str):
            raise invalid(name, "must be a string")
        counted[tender] = read_amount(name, amount, tenders[tender])
    return counted


def read_amount(name: str, amount: str, currency: str) -> int:
    """An amount in minor units. Raises Refused (400)."""
    try:
        return minor_of_text(amount, currency)
    except ValueError as error:
        raise invalid(name, str(error)) from None


def missing(name: str) -> Refused:
    """The refusal of a request without a field that it needs."""
    return Refused(HTTPStatus.BAD_REQUEST, f"Validation failed: Field `{name}` is required.")


def invalid(name: str, problem: str) -> Refused:
    """The refusal of a field; `problem` is the end of a sentence."""
    return Refused(HTTPStatus.BAD_REQUEST, f"Validation failed: Field `{name}` {problem}.")
