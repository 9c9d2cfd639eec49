"""The way to the service that the settings name."""

from collections.abc import Callable

from .entries import Entry
from .errors import LineDown
from .gateway_line import GatewayLine
from .line import Line
from .settings import RegisterSettings


def line_of(
    settings: RegisterSettings, heard: Callable[[float, float, float], None], steady: Callable[[], float]
) -> Line:
    """A line by the settings; `heard` is told of the service's clock by readings of `steady`, as `RegisterClock.heard`.

    Raises ValueError with a sentence for settings that make no line.
    """
    if settings.kafka and not settings.gateway_url:
        raise ValueError("Answers are asked for at the gateway, with Kafka too: set TILL_REGISTER_GATEWAY_URL.")
    if settings.kafka:
        # Its client is installed with the extra `kafka` alone.
        from .kafka_line import KafkaLine

        return KafkaLine(settings, heard, steady)
    return GatewayLine(settings, heard, steady) if settings.gateway_url else NoLine()


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
