"""What the dearest bodies and queries cost for their bytes over HTTP: above any request, no more than on the topic."""

from collections.abc import Callable, Iterator
from functools import partial
from time import process_time_ns

import pytest
import structlog

from services.platform.http.connection import PARAMETERS_MAX
from services.sessions.worker.read_record import read
from tests.costs.cost_fuzzer import Work
from tests.costs.http_apps import gateway, reporting, request
from tests.costs.http_targets import BODIES
from tests.costs.measure import as_a_worker_collects, nanoseconds
from tests.costs.targets import GOOD, anybody, record
from tests.support.dear_bodies import DEAR, DEAR_QUERIES, DEAR_REQUESTS

TIMES_A_GOOD_BYTE = 12
"""As on the topic: so many times what a byte of a good command costs to read."""
SIZE = 32_768
ROUNDS = 2
CRITICAL = 50

CASES = [(to, name, make) for to in BODIES for name, make in DEAR.items()]
CASES += [(to, name, make) for name, (to, make) in DEAR_REQUESTS.items()]
PATHS = ("/api/closings", "/api/closings/stream", "/v1/cashier-sessions/")
Send = Callable[[str, bytes], Work]


@pytest.fixture(scope="module")
def send(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Send]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    with pytest.MonkeyPatch.context() as patch, as_a_worker_collects():
        app, headers = gateway(tmp_path_factory.mktemp("gateway"), patch.setattr)
        yield lambda to, body: request(app, "POST", BODIES[to].path, headers, body=body)
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def good_byte_ns() -> float:
    return nanoseconds(partial(read, record(GOOD), anybody), rounds=10, clock=process_time_ns) / len(GOOD)


@pytest.mark.parametrize(("to", "make"), [case[::2] for case in CASES], ids=[f"{case[0]}: {case[1]}" for case in CASES])
def test_a_byte_of_any_body_costs_no_more_than_some_bytes_of_a_good_command(
    send: Send, good_byte_ns: float, to: str, make: Callable[[int], bytes]
) -> None:
    body = make(min(SIZE, BODIES[to].bytes_max))
    any_request_ns = nanoseconds(send(to, BODIES[to].good), ROUNDS, process_time_ns)

    cost_ns = nanoseconds(send(to, body), ROUNDS, process_time_ns) - 2 * any_request_ns

    assert cost_ns < TIMES_A_GOOD_BYTE * good_byte_ns * len(body)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", DEAR_QUERIES)
def test_nor_does_a_byte_of_any_query(send: Send, good_byte_ns: float, path: str, name: str) -> None:
    app, query = reporting(), DEAR_QUERIES[name](PARAMETERS_MAX)
    any_request_ns = nanoseconds(request(app, "GET", path, {}, query=b"store=a"), ROUNDS, process_time_ns)

    cost_ns = nanoseconds(request(app, "GET", path, {}, query=query), ROUNDS, process_time_ns) - 2 * any_request_ns

    assert cost_ns < TIMES_A_GOOD_BYTE * good_byte_ns * len(query)
