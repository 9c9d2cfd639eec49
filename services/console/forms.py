"""What forms send: read within bounds, and taken only from a page of this console.

Every form carries a value that is made of a secret which only the browser's cookie holds, and which no other page can
read. Nothing is kept at the server for it, and it ends with the sign-in.
"""

import hmac
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl

from starlette.requests import Request

from services.platform.errors import TillError
from services.platform.http.body import read_body
from services.platform.http.problems import Problem

FIELD: Final = "form_key"
FORM_BYTES_MAX: Final = 32_768
"""The longest form is a recount of twenty tenders with their notes and coins: some 10 kB."""
FIELDS_MAX: Final = 1_000
MEDIA_TYPE: Final = "application/x-www-form-urlencoded"

_PURPOSE: Final = b"a form of the Tillstream console"


class ForeignForm(TillError):
    """A form that no page of this console made for this browser, or one from before the last sign-in."""


def form_key(secret: str) -> str:
    """What every form of the holder of this secret carries; it tells nothing of the secret."""
    return hmac.digest(secret.encode(), _PURPOSE, "sha256").hex()


async def read_form(request: Request, secret: str) -> Mapping[str, str]:
    """The fields of a form. Raises ForeignForm, and the Problem for what is no form or longer than one can be."""
    # Every browser of today says which page sends; one that does not is judged by the key alone.
    if request.headers.get("sec-fetch-site", "same-origin") != "same-origin":
        raise ForeignForm
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != MEDIA_TYPE:
        raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "That is no form of this console.")
    body = await read_body(request, FORM_BYTES_MAX, (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The form is too long."))
    try:
        fields = dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=FIELDS_MAX, errors="strict"))
    except ValueError:
        raise Problem(HTTPStatus.BAD_REQUEST, "The form can't be read.") from None
    if not secret or not hmac.compare_digest(fields.pop(FIELD, "").encode(), form_key(secret).encode()):
        raise ForeignForm
    return fields
