"""What a record of the closings topic says, or why it says nothing."""

from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final
from uuid import UUID

import orjson
from pydantic import BaseModel, ValidationError

from contracts.closing_records import certain_closing
from contracts.closings import Closing, ClosingCorrection, closing_hash
from contracts.events import closing_id_of
from contracts.times import moment
from services.platform.errors import TillError

ERROR_CHARACTERS_MAX: Final = 1_000


class Unreadable(TillError, ValueError):
    """The record is neither a closing nor a correction; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class ClosingRow:
    """A closing's bytes, and what it is found by."""

    store_id: str
    closing_id: UUID
    session_id: UUID
    profile_id: str
    z_number: int
    closed_at: datetime
    business_date: date
    hash: str
    prev_hash: str
    value: bytes
    currency: str
    session_number: str
    opened_by: str
    opened_by_name: str | None
    people: list[str]
    """Ids of all who opened, closed, approved or counted, each once."""
    over_short_minor: int | None


@dataclass(frozen=True, slots=True)
class CorrectionRow:
    """A correction's bytes, and what it is found by."""

    store_id: str
    correction_id: UUID
    closing_id: UUID
    session_id: UUID
    profile_id: str
    correction_number: int
    correction: str
    received_at: datetime
    value: bytes
    needs_review: bool
    over_short_delta_minor: int | None


def read_record(value: bytes | None) -> ClosingRow | CorrectionRow:
    """The row that a record's value becomes.

    Total: whatever the bytes are, the result is a row that the tables take, or `Unreadable`. The
    hash of a closing is recomputed, so a row holds figures that were published just so. Members
    that this release does not know are left in the bytes and not looked at.
    """
    if not value:
        raise Unreadable("The value is empty.")
    closing = certain_closing(value)
    if closing is not None:
        return _closing(value, closing)
    try:
        members = orjson.loads(value)
    except orjson.JSONDecodeError as error:
        raise Unreadable(f"The value is not JSON: {error}") from None
    kind = members.get("kind") if isinstance(members, dict) else None
    try:
        if kind == "closing":
            _refuse_incomplete(members, Closing)
            closing = Closing.model_validate_json(value, extra="ignore")
            if closing_hash(members) != closing.hash:
                raise Unreadable("The closing's hash is not that of its figures.")
            return _closing(value, closing)
        if kind == "closing_correction":
            return _correction(value, members)
    except ValidationError as error:
        raise Unreadable(_sentence(error)) from None
    raise Unreadable("The value is neither a closing nor a closing_correction.")


def _closing(value: bytes, closing: Closing) -> ClosingRow:
    if closing.closing_id != closing_id_of(closing.store_id, closing.session_id):
        raise Unreadable("The closing_id does not follow from the store and the session.")
    return ClosingRow(
        store_id=closing.store_id,
        closing_id=UUID(closing.closing_id),
        session_id=UUID(closing.session_id),
        profile_id=closing.profile_id,
        z_number=closing.z_number,
        closed_at=moment(closing.closed_at),
        business_date=date.fromisoformat(closing.business_date),
        hash=closing.hash,
        prev_hash=closing.prev_hash,
        value=value,
        **figures_of_closing(closing),
    )


def _correction(value: bytes, members: dict[str, Any]) -> CorrectionRow:
    _refuse_incomplete(members, ClosingCorrection)
    correction = ClosingCorrection.model_validate_json(value, extra="ignore")
    return CorrectionRow(
        store_id=correction.store_id,
        correction_id=UUID(correction.correction_id),
        closing_id=UUID(correction.closing_id),
        session_id=UUID(correction.session_id),
        profile_id=correction.profile_id,
        correction_number=correction.correction_number,
        correction=correction.correction,
        received_at=moment(correction.received_at),
        value=value,
        **figures_of_correction(members),
    )


def _refuse_incomplete(members: dict[str, Any], model: type[BaseModel]) -> None:
    """Pydantic would say it too, and hold a copy of the whole value for each member that is missing."""
    missing = [name for name, field in model.model_fields.items() if field.is_required() and name not in members]
    if missing:
        raise Unreadable(f"{missing[0]}: Field required ({len(missing)} problems in all).")


def figures_of_closing(closing: Closing) -> dict[str, Any]:
    """What a closing is searched and added up by, by the names of its row."""
    people = (closing.opened_by, closing.closed_by, closing.approved_by, closing.counted_by)
    return {
        "currency": closing.currency,
        "session_number": closing.session_number,
        "opened_by": closing.opened_by.id,
        "opened_by_name": closing.opened_by.name,
        "people": sorted({person.id for person in people if person is not None}),
        "over_short_minor": closing.cash_movements.difference_minor,
    }


def figures_of_correction(correction: dict[str, Any]) -> dict[str, Any]:
    """What a valid correction adds to its closing, by the names of its row."""
    return {
        "needs_review": correction["needs_review"],
        "over_short_delta_minor": correction["deltas"]["cash_movements"]["difference_minor"],
    }


def _sentence(error: ValidationError) -> str:
    """Where and why, without the values: they may be of any size and hold any character."""
    problems = error.errors(include_url=False, include_context=False, include_input=False)
    first = problems[0]
    path = ".".join(map(str, first["loc"])) or "The value"
    sentence = f"{path}: {first['msg']} ({len(problems)} problems in all)."
    # PostgreSQL's text takes no NUL, and member names are whatever somebody wrote.
    printable = sentence.encode("utf-8", "replace").decode().replace("\0", "?")
    return printable[:ERROR_CHARACTERS_MAX]
