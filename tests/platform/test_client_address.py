"""From where a request comes, by the proxies that are believed and no others."""

from typing import Any

import pytest
from fastapi import Request
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from services.platform.http.client_address import client_address
from services.platform.settings import Settings


def seen(peer: str | None, *forwarded: str, trusted: str = "10.0.0.0/8, 2001:db8::/32") -> str:
    headers = [(b"x-forwarded-for", words.encode("latin-1", "replace")) for words in forwarded]
    scope: dict[str, Any] = {"type": "http", "headers": headers, "client": None if peer is None else (peer, 1)}
    return client_address(Request(scope), Settings(trusted_proxies=trusted).proxy_networks)


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("192.0.2.1", [], "192.0.2.1"),
        ("192.0.2.1", ["198.51.100.1"], "192.0.2.1"),
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["what I say, 198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9, 198.51.100.1, 10.2.3.4"], "198.51.100.1"),
        ("10.0.0.1", ["203.0.113.9", "198.51.100.1"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1:4711"], "198.51.100.1"),
        ("10.0.0.1", ["[2001:db9::1]:4711"], "2001:db9::/64"),
        ("10.0.0.1", ["nonsense"], "10.0.0.1"),
        ("10.0.0.1", [", ,"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.1," + "10.0.0.2," * 31 + "10.0.0.3"], "198.51.100.1"),
        ("10.0.0.1", ["198.51.100.1," + "10.0.0.2," * 40 + "10.0.0.3"], "10.0.0.2"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("::ffff:10.0.0.1", ["198.51.100.1"], "198.51.100.1"),
        ("2001:db9:1:2:3:4:5:6", [], "2001:db9:1:2::/64"),
        ("2001:db8::1", ["198.51.100.1"], "198.51.100.1"),
        ("fe80::1%eth0", [], "fe80::/64"),
        ("/run/a.sock", [], ""),
        (None, ["198.51.100.1"], ""),
    ],
)
def test_the_last_address_that_is_no_trusted_proxy(peer: str | None, forwarded: list[str], address: str) -> None:
    assert seen(peer, *forwarded) == address


@pytest.mark.parametrize("peer", ["192.0.2.1", "2001:db9:1:2:3:4:5:6"])
def test_what_the_console_says_on_counts_at_the_gateway_as_it_does_at_the_console(peer: str) -> None:
    """Of IPv6 it was no address there: all who came by it were one, the console."""
    assert seen("10.0.0.1", seen(peer)) == seen(peer)


def test_nobody_is_believed_where_no_proxy_is_named() -> None:
    assert seen("127.0.0.1", "198.51.100.1", trusted="") == "127.0.0.1"


@given(st.lists(st.text(max_size=60), max_size=3))
def test_reading_the_header_is_total(forwarded: list[str]) -> None:
    assert seen("10.0.0.1", *forwarded)


@pytest.mark.parametrize("words", ["x", "10.0.0.1/8", "10.0.0.0/8,y", "http://10.0.0.1"])
def test_what_is_no_network_is_said_in_a_sentence(words: str) -> None:
    with pytest.raises(ValidationError, match="is no address and no network"):
        Settings(trusted_proxies=words)
