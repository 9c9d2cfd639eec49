"""`Idempotency-Key`: a request that is sent again is the same command again."""

from http import HTTPStatus
from typing import Final
from uuid import NAMESPACE_URL, uuid5

from fastapi import Request

from contracts.values import UUID_TEXT
from services.platform.http.problems import Problem

HEADER: Final = "idempotency-key"
KEY_CHARACTERS_MAX: Final = 255


def key_of(request: Request) -> str | None:
    """The request's one key, or None. Raises the Problem (400) for an empty, a long or a second one."""
    brought = request.headers.getlist(HEADER)
    if not brought:
        return None
    key = _text(brought[0])
    if len(brought) > 1 or not 1 <= len(key) <= KEY_CHARACTERS_MAX:
        raise Problem(
            HTTPStatus.BAD_REQUEST, f"Send one Idempotency-Key of 1 to {KEY_CHARACTERS_MAX} characters, or none."
        )
    return key


def command_id_of(store_id: str, key: str, part: str = "") -> str:
    """The command id that follows from a key: a UUID is taken as it is, lower-case.

    `part` names a further command of the same request, such as `close`; that one never has the id of the first.
    """
    if not part and UUID_TEXT.fullmatch(key):
        return key.lower()
    return str(uuid5(NAMESPACE_URL, f"till-key:{store_id}/{key}" + (f"/{part}" if part else "")))


def _text(value: str) -> str:
    """A header's value is bytes that arrive as latin-1; what was UTF-8 is that."""
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value
