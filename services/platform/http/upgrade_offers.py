"""Offers to go on in another protocol, which nobody here takes."""

import re
from typing import Final

_OFFER: Final = re.compile(rb"\r\nupgrade:", re.IGNORECASE)


def without_offer(piece: bytes) -> bytes:
    """A head that offers to go on in another protocol, so that the parser goes on in this one.

    Some programs offer HTTP/2 with every first request, and send its body along.
    """
    head, end, rest = piece.partition(b"\r\n\r\n")
    return _OFFER.sub(b"\r\nupgrade-offered:", head) + end + rest
