"""What a line to the service has to do, whichever way it goes."""

from typing import Protocol

from .entries import Entry


class Line(Protocol):
    """A way to the service. All raise LineDown and NotLetIn; what is sent again counts once."""

    async def send(self, entry: Entry, /) -> bytes | None:
        """Send a command; its answer as JSON, or None where it is on its way. Raises NotTaken, too."""

    async def ask(self, entry: Entry, /) -> bytes | None:
        """The answer to a command that was sent; None where there is none yet."""

    async def close(self) -> None:
        """End its connections."""
