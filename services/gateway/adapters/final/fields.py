"""The fields of a request to the Final API, as they are read: checked for their types, nothing more."""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any, Final

from contracts.limits import check_sales_report
from contracts.times import read_time
from contracts.values import NOTE
from services.gateway.adapters.amounts import minor_of_text
from services.gateway.adapters.errors import Refused
from services.gateway.adapters.final.words import REPORT_WORDS, WORDS

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


def check_words(fields: Fields, before: Mapping[str, str | None]) -> None:
    """Hold new words of a closing to its rules, also where they are only kept beside the session for it.

    Else the closing would be refused for them, in a request that says nothing of them. `before` is what was said so
    far, and goes with it. Raises Refused (400).
    """
    new = {name for name in WORDS if fields.get(name) not in (None, before.get(name))}
    together = {name: word for name, word in before.items() if word is not None} | fields
    if "closingNote" in new:
        _check("closingNote", NOTE.check, together["closingNote"])
    if new & REPORT_WORDS:
        _check(
            "closingReportData", check_sales_report, {name: together[name] for name in REPORT_WORDS & together.keys()}
        )


def _check(name: str, check: Callable[[Any], Any], word: Any) -> None:
    try:
        check(word)
    except ValueError as error:
        raise Refused(HTTPStatus.BAD_REQUEST, f"Validation failed: Field `{name}`: {error}.") from None


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
