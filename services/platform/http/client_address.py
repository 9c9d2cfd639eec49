"""From where a request comes, also where a proxy stands before the service."""

from collections.abc import Mapping, Sequence
from ipaddress import IPv4Address, IPv6Address, IPv6Network, ip_address
from typing import Any, Final

from fastapi import Request

from services.platform.settings import Network

FORWARDED_FOR: Final = "x-forwarded-for"
HOPS_MAX: Final = 32
"""So many proxies are looked through; what stands before them is whatever a client wrote."""
IPV6_PREFIX_BITS: Final = 64
"""Whoever has one IPv6 address mostly has all of these beside it: they are one address here."""


def client_address(request: Request, trusted: Sequence[Network]) -> str:
    """The address of whoever asks, as text; empty where there is none.

    It is the connection's other end, unless that is a trusted proxy: then the last address in X-Forwarded-For that is
    none of them. What a client writes into that header itself stands before it, and is never looked at.
    """
    peer = _read(request.client.host) if request.client is not None else None
    if peer is None:
        return ""
    hops = ",".join(request.headers.getlist(FORWARDED_FOR)).rsplit(",", HOPS_MAX)
    while _is_trusted(peer, trusted) and hops and (before := _read(hops.pop())) is not None:
        peer = before
    if isinstance(peer, IPv6Address):
        return str(IPv6Network((peer, IPV6_PREFIX_BITS), strict=False))
    return str(peer)


def is_from(scope: Mapping[str, Any], trusted: Sequence[Network]) -> bool:
    """Whether the connection's other end is one of these."""
    client = scope.get("client")
    peer = _read(client[0]) if client else None
    return peer is not None and _is_trusted(peer, trusted)


def is_forwarded(request: Request) -> bool:
    """Whether a proxy, or somebody who poses as one, says where the request comes from."""
    return FORWARDED_FOR in request.headers


def _is_trusted(address: IPv4Address | IPv6Address, trusted: Sequence[Network]) -> bool:
    return any(address in network for network in trusted)


def _read(words: str) -> IPv4Address | IPv6Address | None:
    """An address with or without its port; IPv4 in IPv6 is IPv4.

    The console says on what `client_address` gave it: of IPv6 that is a network, whose first address stands for all.
    """
    host = words.strip().partition("/")[0]
    if host.startswith("["):
        host = host[1:].partition("]")[0]
    elif host.count(":") == 1:
        host = host.partition(":")[0]
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
