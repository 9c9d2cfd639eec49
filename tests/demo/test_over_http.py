"""The shift over HTTP where the gateway is not as it must be: the demo says so and goes on to its end."""

import http.server
import threading
from collections.abc import Iterator

import pytest

from deploy.demo.day import read_expected
from deploy.demo.over_http import ANSWERS, Visit
from deploy.demo.tally import Tally


class Refusing(http.server.BaseHTTPRequestHandler):
    """Says 503 to everybody, as a gateway does whose Kafka is away."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_error(503, "Kafka is away")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def refusing() -> Iterator[str]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Refusing)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def worked(url: str) -> Visit:
    visit = Visit(url, "a password", Tally(), pytest.fail)
    visit.work()
    return visit


def test_another_status_is_a_fault_and_nothing_more_is_waited_for(refusing: str) -> None:
    visit = worked(refusing)

    assert len(visit.faults) == 1
    assert visit.faults[0].startswith("POST /auth/token gave 503 and not 200: ")
    assert visit.tally.unanswered() == []
    assert visit.expect_more(read_expected()) == read_expected()


def test_a_gateway_that_is_not_there_is_a_fault() -> None:
    visit = worked("http://127.0.0.1:1")

    assert "could not be had" in visit.faults[0]


def test_a_good_shift_adds_its_answers_its_repeat_and_its_closing() -> None:
    day = read_expected()
    both = Visit("", "", Tally(), print).expect_more(day)

    assert sum(both["accepted"].values()) == sum(day["accepted"].values()) + sum(ANSWERS.values())
    assert both["repeated"] == day["repeated"] + 1
    assert both["closings"][-1]["tenders"]["cash"] == {
        "expected_minor": 185_000,
        "counted_minor": 184_000,
        "over_short_minor": -1_000,
        "prepaid_minor": 0,
        "change_given_minor": 0,
        "left_minor": 184_000,
        "opening_difference_minor": None,
    }
