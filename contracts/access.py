"""Who may come in no more, and who again: the records of `till.access.v1`."""

from typing import Annotated, Final, Literal

from pydantic import AfterValidator, StringConstraints, ValidationError, WithJsonSchema

from contracts.jsontext import Unreadable, compact, read_object
from contracts.values import Wire

SUBJECT_BYTES_MAX: Final = 128


def _subject(text: str) -> str:
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise ValueError("the subject holds a lone surrogate") from None
    if not 1 <= size <= SUBJECT_BYTES_MAX or "\0" in text:
        raise ValueError(f"a subject has 1 to {SUBJECT_BYTES_MAX} bytes and no U+0000")
    return text


Subject = Annotated[
    str,
    AfterValidator(_subject),
    WithJsonSchema(
        {
            "type": "string",
            "minLength": 1,
            "maxLength": SUBJECT_BYTES_MAX,
            "description": f"The `sub` of a token: at most {SUBJECT_BYTES_MAX} bytes of UTF-8, no U+0000.",
        }
    ),
]
Where = Annotated[str, StringConstraints(pattern=r"^(\*|[A-Za-z0-9._:-]{1,64})$")]


class Revoked(Wire):
    """Tokens of this subject count no longer in one store, or in all (`*`)."""

    kind: Literal["revoked"] = "revoked"
    store_id: Where
    subject: Subject


class Restored(Wire):
    """A revoked subject may come in again, with tokens issued since."""

    kind: Literal["restored"] = "restored"
    store_id: Where
    subject: Subject


AccessRecord = Revoked | Restored
ACCESS: Final[dict[str, type[Revoked | Restored]]] = {"revoked": Revoked, "restored": Restored}


def read_access(value: bytes | None) -> AccessRecord:
    """The record in these bytes; members that it does not know are skipped. Raises Unreadable with a sentence."""
    members = read_object(value)
    kind = members.get("kind")
    model = ACCESS.get(kind) if isinstance(kind, str) else None
    if model is None:
        raise Unreadable("The record is neither revoked nor restored.")
    try:
        return model.model_validate({name: members.get(name) for name in model.model_fields})
    except ValidationError:
        raise Unreadable("The record names no store or no subject that there can be.") from None


def write_access(record: AccessRecord) -> tuple[bytes, bytes]:
    """Key and value of a record, as they are published."""
    return f"{record.store_id}/{record.subject}".encode(), compact(record.model_dump())
