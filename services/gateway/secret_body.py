"""A body that may hold a password: read into its model, and quoted by no reply and no log."""

from http import HTTPStatus
from typing import Final, TypeVar

from fastapi import Request
from pydantic import BaseModel, ValidationError

from contracts.jsontext import Unreadable, read_object
from services.platform.http.body import read_body
from services.platform.http.problems import Problem

BODY_BYTES_MAX: Final = 8_192
TOO_LONG: Final = (HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "The body has at most {bytes_max} bytes.")
ERRORS_MAX: Final = 10
FIELD_CHARACTERS_MAX: Final = 64
"""Of a field's name: one that the model does not know is whatever somebody wrote."""

Model = TypeVar("Model", bound=BaseModel)


async def read_secret_body(request: Request, model: type[Model], empty: bytes = b"") -> Model:
    """What the body says, `empty` where there is none.

    Raises the Problem (400, 413, 415, 422 with `errors`); none quotes a value of it.
    """
    body = await read_body(request, BODY_BYTES_MAX, TOO_LONG) or empty
    try:
        return model.model_validate(read_object(body))
    except Unreadable:
        raise Problem(HTTPStatus.BAD_REQUEST, "The body is no JSON object that can be read.") from None
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False, include_input=False)[:ERRORS_MAX]
        fields = [
            {"field": ".".join(map(str, one["loc"]))[:FIELD_CHARACTERS_MAX], "problem": one["msg"]} for one in problems
        ]
        detail = "A field is missing or wrong; see errors."
        raise Problem(HTTPStatus.UNPROCESSABLE_ENTITY, detail, errors=fields) from None
