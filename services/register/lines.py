"""The way to the service that the settings name."""

from collections.abc import Callable

from .entries import Entry
from .errors import LineDown
from .line import Line
from .settings import RegisterSettings


def line_of(settings: RegisterSettings, heard: Callable[[float, float, float], None]) -> Line:
    """A line by the settings; `heard` is told of the service's clock, as `RegisterClock.heard`."""
    del settings, heard
    return NoLine()


class NoLine:
    """No service is named: everything waits."""

    async def send(self, _: Entry) -> bytes | None:
        """Nothing goes out."""
        raise LineDown("No service is named: set TILL_REGISTER_GATEWAY_URL.")

    async def ask(self, _: Entry) -> bytes | None:
        """Nothing is there."""
        raise LineDown("No service is named: set TILL_REGISTER_GATEWAY_URL.")

    async def close(self) -> None:
        """Nothing is to be closed."""
