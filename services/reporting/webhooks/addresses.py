"""Which addresses a webhook may be sent to: those of the public internet, and what the settings allow beyond it.

Whoever names a receiver must not reach what only the sender can: neighbours in its network, the machine itself, what a
cloud tells its machines. Judged is the address that is connected to, whatever name it was found by.
"""

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final
from urllib.parse import SplitResult, urlsplit

from services.platform.errors import TillError

URL_CHARACTERS_MAX: Final = 2_048

Network = IPv4Network | IPv6Network

# What Python calls global and yet is nobody's receiver, or says so only in its later versions.
_INSIDE: Final = tuple(
    ip_network(words)
    for words in (
        "192.0.0.0/24", "192.88.99.0/24", "168.63.129.16/32",  # protocol assignments, 6to4's relay, Azure's wire server
        "2001::/23", "2001:db8::/32", "3fff::/20",  # protocol assignments and Teredo, documentation
    )
)  # fmt: skip
_UNICAST: Final = IPv6Network("2000::/3")
"""All of IPv6 that anybody was given: what lies outside is inside of something, by whatever way of writing it."""
_NAT64: Final = IPv6Network("64:ff9b::/96")


class BadUrl(TillError, ValueError):
    """This is no address of a receiver; the message says why."""


def is_allowed(address: str, private: Sequence[Network] = ()) -> bool:
    """Whether this IP address may be connected to; `private` are networks that may be although nobody outside can."""
    return _is_public(_plain(address)) or is_private_allowed(address, private)


def is_private_allowed(address: str, private: Sequence[Network]) -> bool:
    """Whether the settings allow this address by name of its network."""
    return any(_plain(address) in network for network in private)


def _plain(address: str) -> IPv4Address | IPv6Address:
    # Behind a % stands the interface of a link-local address.
    parsed = ip_address(address.partition("%")[0])
    return parsed.ipv4_mapped or parsed if isinstance(parsed, IPv6Address) else parsed


def _is_public(address: IPv4Address | IPv6Address) -> bool:
    if isinstance(address, IPv6Address):
        # An IPv4 address inside is where the packet ends up.
        if address in _NAT64:
            return _is_public(IPv4Address(address.packed[-4:]))
        if address not in _UNICAST or (address.sixtofour is not None and not _is_public(address.sixtofour)):
            return False
    return address.is_global and not address.is_multicast and not any(address in network for network in _INSIDE)


def read_url(text: str, private: Sequence[Network] = ()) -> SplitResult:
    """The address of a receiver. Raises BadUrl with a sentence.

    Only https, where no private network is allowed; no user or password, and no IP address that may not be reached.
    """
    if len(text) > URL_CHARACTERS_MAX or not text.isascii() or any(sign <= " " or sign == "\x7f" for sign in text):
        raise BadUrl(f"A URL has at most {URL_CHARACTERS_MAX} characters, all of them ASCII and visible.")
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadUrl("This is no URL.") from None
    if parts.scheme not in ("https", "http") or not host:
        raise BadUrl("A URL begins with https:// and names a host.")
    if parts.scheme == "http" and not private:
        raise BadUrl(
            "Without https anybody between could read it; http is for networks of TILL_WEBHOOKS_PRIVATE_NETWORKS."
        )
    if "@" in parts.netloc or "#" in text or "\\" in text:
        raise BadUrl("A URL has no user, no password and no #fragment: receivers know messages by their signature.")
    try:
        refused = not is_allowed(host, private)
    except ValueError:
        # A name: where it leads is looked at whenever it is connected to.
        return parts
    if refused:
        raise BadUrl(f"{host} is not on the public internet, and TILL_WEBHOOKS_PRIVATE_NETWORKS does not allow it.")
    return parts
