"""What real libraries wrote when they were run, byte for byte: `tests/support/recorded` says how."""

import base64
from typing import Any

import pytest
from fastapi import Depends, FastAPI, Request

from contracts.jsontext import read_object
from services.gateway.adapters.amounts import minor_of_number
from services.platform.auth.tokens import bearer
from services.platform.http.query import check_query, read_list
from services.platform.http.server import serve
from services.platform.kafka.partitioners import by_fnv1a
from services.sessions.worker.framing import recognised
from tests.platform.raw_http import Door
from tests.support.recorded import recorded

KNOWN = [
    {"name": "limit", "in": "query", "schema": {"type": "integer"}},
    {"name": "store", "in": "query", "schema": {"type": "array"}},
]
BOTH = (200, ["s1", "s2"])
LISTS: list[tuple[str, int, Any]] = [
    ("an array, as axios comes", *BOTH),
    ("an array, indexes: true", *BOTH),
    ("an array, indexes: null", *BOTH),
    ("JSON.stringify", *BOTH),
    ("join", *BOTH),
    ("an array with an empty item", 400, None),
    # axios leaves these out: nobody has named a list.
    ("an empty array", 200, []),
    ("null and undefined", 200, []),
    ("letters and an ampersand", 200, ["ñ á&b"]),
    ("a misspelt name", 400, None),
]


@pytest.mark.parametrize(("number", "what"), [*enumerate(LISTS)], ids=[each[0] for each in LISTS])
async def test_what_axios_writes_of_a_list(number: int, what: tuple[str, int, Any]) -> None:
    app = FastAPI(dependencies=[Depends(check_query)])

    async def listed(request: Request) -> Any:
        return read_list(request.query_params, "store")

    app.add_api_route("/list", listed, openapi_extra={"parameters": KNOWN})
    async with serve("127.0.0.1:0", app) as address:
        client = await (door := Door(address)).client()
        await client.send(recorded("axios")["requests"][number].encode())
        status, body = await client.reply()
        await door.close()

    _, expected, items = what
    assert status == expected
    if items is not None:
        assert read_object(b'{"items":%s}' % body) == {"items": items}


@pytest.mark.parametrize(("number", "minor"), [(10, 30), (11, 18_245)], ids=["0.1 + 0.2", "text of one's own"])
def test_what_axios_writes_of_a_sum(number: int, minor: int) -> None:
    body = recorded("axios")["requests"][number].encode().partition(b"\r\n\r\n")[2]
    assert minor_of_number(read_object(body)["amount"], "MXN") == minor


@pytest.mark.parametrize("library", ["sarama", "kafka-go"])
def test_where_sarama_and_kafka_go_put_keys(library: str) -> None:
    placed = recorded("sarama")["placed"][library]
    assert len(placed) == 40
    assert {key: by_fnv1a(key.encode(), 12) for key in placed} == placed


def of_spring(name: str) -> dict[str, bytes]:
    return {part: base64.b64decode(text) for part, text in recorded("spring")["records"][name].items()}


@pytest.mark.parametrize(
    ("name", "header"), [("map", b"Bearer TOKEN"), ("map, header mapper that encodes strings", b'"Bearer TOKEN"')]
)
def test_what_spring_makes_of_a_header(name: str, header: bytes) -> None:
    record = of_spring(name)
    assert record["authorization"] == header
    assert bearer([*record.items()]) == b"TOKEN"
    assert read_object(record["value"]) == {"kind": "move_cash"}


def test_what_springs_serializer_makes_of_a_text_is_named() -> None:
    assert "StringSerializer" in str(recognised(of_spring("text")["value"], {}))
