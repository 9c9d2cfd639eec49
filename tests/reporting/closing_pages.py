"""Pages of closings over HTTP, and what is wrong where there is none."""

from collections.abc import Callable

import httpx

from contracts.events import correction_id_of
from tests.reporting.closing_messages import Row, session_id_of, voided

PATH = "/api/closings"
Token = Callable[..., dict[str, str]]


def z_numbers(reply: httpx.Response) -> list[int]:
    assert reply.status_code == 200, reply.text
    return [item["z_number"] for item in reply.json()["items"]]


def problem(reply: httpx.Response) -> tuple[int, str]:
    assert reply.headers["content-type"] == "application/problem+json"
    body = reply.json()
    assert list(body) == ["type", "title", "status", "detail"]
    assert body["status"] == reply.status_code
    return reply.status_code, body["detail"]


def corrected(of: Row, number: int) -> Row:
    command_id = session_id_of(1000 + number)
    return voided(
        of,
        correction="late_order",
        correction_number=number,
        command_id=command_id,
        correction_id=correction_id_of(of["store_id"], command_id),
    )
