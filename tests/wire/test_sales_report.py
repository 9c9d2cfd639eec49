"""The one free field of the wire: limited in size, and to what every JSON reader keeps exactly."""

from typing import Any

import pytest

from contracts.commands import read_command
from contracts.jsontext import Digits, compact, read_object
from tests.support.full_commands import body, errors_of


def report_of(length: int) -> dict[str, str]:
    return {"a": "x" * (length - 8)}


def test_a_sales_report_has_32_kib_and_is_kept_as_it_came() -> None:
    assert len(compact(report_of(32_768))) == 32_768
    for report in (report_of(32_768), {}, {"b": 1, "a": [{}, None, True, ""]}, {"Ñ": "\x01\n"}):
        assert read_command(body("close_session", sales_report=report)).sales_report == report
    members = body("close_session", sales_report=report_of(32_769))
    assert list(errors_of(members)) == ["sales_report"]
    members = body("close_session", sales_report={"a": "€" * 10_921})
    assert list(errors_of(members)) == ["sales_report"]


@pytest.mark.parametrize(
    "leaf",
    ["1.0", "1.5", "1e3", "-0.0", str(2**53), str(-(2**53)), "9" * 19, "9" * 20, "9" * 5_000,
     '"\\u0000"', '"\\ud800"', '{"\\u0000":1}', '{"\\udfff":1}'],
)  # fmt: skip
@pytest.mark.parametrize("around", ['{"a":%s}', '{"a": %s}', '{"a":[[{"b":%s}]]}'])
def test_a_sales_report_refuses_what_no_reader_keeps(leaf: str, around: str) -> None:
    report = read_object((around % leaf).encode())

    assert list(errors_of(body("close_session", sales_report=report))) == ["sales_report"]


@pytest.mark.parametrize("leaf", [2**53 - 1, -(2**53 - 1), "\x01\x7f\n", "😀", True, None, 0])
def test_a_sales_report_takes_what_every_reader_keeps(leaf: Any) -> None:
    assert errors_of(body("close_session", sales_report={"a": [leaf]})) == {}


@pytest.mark.parametrize("report", [[], "a", 1, True, Digits("1.5")])
def test_a_sales_report_is_an_object(report: Any) -> None:
    assert list(errors_of(body("close_session", sales_report=report))) == ["sales_report"]
