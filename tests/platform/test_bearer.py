"""WIRE.md section 7: which headers of a record bring a token, and what they lack that bring none."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.platform.auth.claims import Flaw
from services.platform.auth.tokens import bearer, bearer_or_flaw


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ([("authorization", b"Bearer a.b.c")], b"a.b.c"),
        ([("x", None), ("Authorization", b"bearer a.b.c "), ("y", b"\xff")], b"a.b.c"),
        ([], None),
        ([("authorization", None)], None),
        ([("authorization", b"")], None),
        ([("authorization", b"Bearer ")], None),
        ([("authorization", b"Bearer a b")], None),
        ([("authorization", b"Bearer a.\xff.c")], None),
        ([("authorization", b"Basic a.b.c")], None),
        ([("authorization", b"a.b.c")], None),
        ([("authorization", b'"Bearer a.b.c"')], b"a.b.c"),
        ([("authorization", b'"Bearer a.b.c \t" \r\n')], b"a.b.c"),
        ([("authorization", b"Bearer a.b.c\r\n")], b"a.b.c"),
        ([("authorization", b'"Bearer a.b.c')], None),
        ([("authorization", b'"')], None),
        ([("authorization", b'Bearer a.b.c"')], b'a.b.c"'),
        ([("authorization", b' "Bearer a.b.c"')], None),
        ([("authorization", b'""Bearer a.b.c""')], None),
        ([("authorization", b"Bearer a.b.c"), ("AUTHORIZATION", b"Bearer a.b.c")], b"a.b.c"),
        ([("authorization", b'"Bearer a.b.c"'), ("authorization", b"Bearer a.b.c\n")], b"a.b.c"),
        ([("authorization", b"Bearer a.b.c"), ("authorization", b"bearer a.b.c")], None),
        ([("authorization", b"Bearer a.b.c"), ("authorization", b"Bearer a.b.d")], None),
        ([("authorization", b"Bearer a.b.c"), ("authorization", None)], None),
        ([("authorization", None), ("authorization", b"Bearer a.b.c")], None),
        ([("proxy-authorization", b"Bearer a.b.c")], None),
    ],
)
def test_a_record_brings_one_bearer_token_or_none(headers: list[tuple[str, bytes | None]], token: bytes | None) -> None:
    assert bearer(headers) == token


@pytest.mark.parametrize(
    ("headers", "flaw"),
    [
        ([], "missing"),
        ([("x", b"Bearer a.b.c")], "missing"),
        ([("authorization", None)], "missing"),
        ([("authorization", b" ")], "missing"),
        ([("authorization", b'""')], "missing"),
        ([("authorization", b"Bearer ")], "unreadable"),
        ([("authorization", b"Basic a.b.c")], "unreadable"),
        ([("authorization", b"Bearer a.b.c"), ("authorization", b"Bearer a.b.d")], "unreadable"),
    ],
)
def test_what_a_header_lacks_is_told(headers: list[tuple[str, bytes | None]], flaw: Flaw) -> None:
    assert bearer_or_flaw(headers) == flaw


@given(st.lists(st.tuples(st.text() | st.just("authorization"), st.none() | st.binary())))
def test_reading_the_header_is_total(headers: list[tuple[str, bytes | None]]) -> None:
    assert bearer(headers) is None or isinstance(bearer(headers), bytes)
