"""Headers as no decent client of Kafka writes them."""


class NotUtf8(str):
    """A header name as a client in C may write it."""

    __slots__ = ()

    def encode(self, *_: object) -> bytes:
        return b"\xff\xfe"
