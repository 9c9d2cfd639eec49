"""The query of a request: what its path does not know is said, and lists are taken as clients write them."""

import json
from http import HTTPStatus
from typing import Final

from fastapi import HTTPException, Request
from starlette.datastructures import QueryParams

UNKNOWN: Final = "The path knows no such parameter."
"""What the documentation says of the 400."""
NAME_CHARACTERS_MAX: Final = 64
"""A name is quoted back no further than this."""


async def check_query(request: Request) -> None:
    """A dependency of all routes: raises the 400 for a parameter that the route's documentation does not name.

    A filter that is misspelt would else be none, and the reply would show more than was asked for. The 400 is also for
    a parameter twice that is no list. Routes without documentation of their own take anything.
    """
    documentation = getattr(request.scope.get("route"), "openapi_extra", None)
    if documentation is None:
        return
    kinds = {
        parameter["name"]: parameter["schema"].get("type")
        for parameter in documentation.get("parameters", ())
        if parameter["in"] == "query"
    }
    seen = set()
    for written, _ in request.query_params.multi_items():
        name = _name(written)
        if name not in kinds or (name != written and kinds[name] != "array"):
            raise _bad(f"This path has no parameter {written[:NAME_CHARACTERS_MAX]}. {_known(kinds)}")
        if name in seen and kinds[name] != "array":
            raise _bad(f"{name} is named twice.")
        seen.add(name)


def read_list(params: QueryParams, name: str) -> list[str]:
    """The items of a list: repeated, as `name[]=` or `name[k]=`, with commas, or as a JSON array; empty if not named.

    Raises the 400 where it is named and holds nothing or an empty item: nobody who names a list means all there is.
    """
    items = []
    for written, text in params.multi_items():
        if _name(written) == name:
            items += _items(name, text)
    return items


def _name(written: str) -> str:
    """The name of a parameter without the one pair of brackets that a list may have behind it."""
    name, _, key = written.partition("[")
    return name if key.endswith("]") and not {"[", "]"} & {*key[:-1]} else written


def _items(name: str, text: str) -> list[str]:
    items: object = text.split(",")
    if text.startswith("["):
        try:
            items = json.loads(text)
        except (ValueError, RecursionError):
            items = None
    if not isinstance(items, list) or not items or not all(isinstance(item, str) and item for item in items):
        raise _bad(f'{name} is a list of ids, repeated, with commas, or as in ["a", "b"].')
    return items


def _known(kinds: dict[str, str]) -> str:
    return f"It has {', '.join(sorted(kinds))}." if kinds else "It has none."


def _bad(sentence: str) -> HTTPException:
    return HTTPException(HTTPStatus.BAD_REQUEST, sentence)
