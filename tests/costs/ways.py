"""The ways in that the apps' own documents and routes name: what must be searched follows from them."""

import re
from collections.abc import Iterable, Mapping
from typing import Final

from fastapi import FastAPI
from starlette.routing import BaseRoute, Route

Way = str
"""As in `POST /api/commands body`."""
Ways = Mapping[Way, frozenset[str]]
"""Ways in, each with the names of the query's parameters; of a body, and of a form, with none."""

IN_BRACES: Final = re.compile(r"\\\{[^}]*\\\}")


def documented(*apps: FastAPI) -> Ways:
    """Every body and every query that the apps' OpenAPI documents name."""
    ways = dict[Way, frozenset[str]]()
    for app in apps:
        for path, operations in app.openapi()["paths"].items():
            for method, operation in operations.items():
                parameters = operation.get("parameters", ())
                asked = frozenset(each["name"] for each in parameters if each["in"] == "query")
                if asked:
                    ways[f"{method.upper()} {path} query"] = asked
                if "requestBody" in operation:
                    ways[f"{method.upper()} {path} body"] = frozenset()
    return ways


def forms(routes: Iterable[BaseRoute]) -> Ways:
    """Every form that these routes take."""
    posts = [route for route in routes if isinstance(route, Route) and "POST" in (route.methods or ())]
    return {f"POST {route.path} form": frozenset() for route in posts}


def way(ways: Ways, method: str, path: str, part: str) -> Way:
    """The way that a request to this very path goes; `part` is what of it is looked at. Raises LookupError."""
    exact = f"{method} {path} {part}"
    if exact in ways:
        return exact
    for one in ways:
        if re.fullmatch(IN_BRACES.sub("[^/ ]+", re.escape(one)), exact):
            return one
    raise LookupError(f"No document names {exact}.")
