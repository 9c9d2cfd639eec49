"""Nothing that a request waits for goes through a thread: thousands under way would queue for forty of them."""

import inspect
from collections.abc import Iterator

import pytest
from fastapi import APIRouter
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute

from services.gateway.access import sign_in
from services.gateway.adapters import jethings, shifts
from services.gateway.adapters.final import routes as final
from services.gateway.own_api import routes as own_api
from services.platform.http.query import check_query

ROUTERS = [module.router for module in (own_api, sign_in, final, jethings, shifts)]


def dependencies(dependant: Dependant) -> Iterator[object]:
    yield dependant.call
    for inner in dependant.dependencies:
        yield from dependencies(inner)


@pytest.mark.parametrize("router", ROUTERS, ids=lambda router: router.prefix or "-")
def test_every_dependency_runs_in_the_loop(router: APIRouter) -> None:
    calls = {call for route in router.routes if isinstance(route, APIRoute) for call in dependencies(route.dependant)}

    in_threads = [
        call
        for call in {*calls, check_query}
        if not inspect.iscoroutinefunction(call) and not inspect.iscoroutinefunction(type(call).__call__)
    ]

    assert calls
    assert in_threads == []
