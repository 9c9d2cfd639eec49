"""The ways that are compared: this service first, then its peers."""

from types import BuiltinFunctionType, SimpleNamespace
from typing import Final, Protocol

from services.platform.settings import Settings
from services.sessions.rules import decide
from tests.bench.corner import OURS, prepare
from tests.bench.peers import kafka_streams, quix, textbook

TOKENS_NAME: Final = "ours, tokens verified"
SOURCES_NAME: Final = "ours, not compiled"
COMPILED: Final = isinstance(decide.answer, BuiltinFunctionType)
"""Whether `make compile` was run: workers of the bench run what its own process would."""


class Way(Protocol):
    """What the bench knows of a way: a module of `tests.bench.peers`, or an object with the same names."""

    NAME: str

    def answers_topic(self, settings: Settings) -> str:
        """Where it answers."""

    async def prepare(self, settings: Settings, tills: list[tuple[str, str]]) -> None:
        """Make what it needs. Raises PeerMissing where this machine lacks something."""

    def command_line(self, settings: Settings) -> tuple[str, ...]:
        """How its worker is started."""


async def _prepare(settings: Settings, tills: list[tuple[str, str]]) -> None:
    await prepare(settings, tills, settings.home / "logs")


ours: Final[Way] = SimpleNamespace(
    NAME="ours",
    answers_topic=lambda settings: settings.topics.events,
    prepare=_prepare,
    command_line=lambda _settings: OURS,
)
STREAMS: Final[tuple[Way, ...]] = (quix, *kafka_streams.WAYS)
"""The stream processors."""
PEERS: Final[tuple[Way, ...]] = (textbook, *STREAMS)
