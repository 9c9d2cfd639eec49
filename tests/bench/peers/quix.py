"""The peer: the same service on Quix Streams, exactly once, its state in RocksDB with a changelog topic."""

import importlib.util
import json
import sys
from pathlib import Path
from typing import Final

from services.platform.settings import Settings
from tests.bench.peers import PeerMissing
from tests.bench.peers.topic import create_answers_topic

NAME: Final = "quix"


def answers_topic(settings: Settings) -> str:
    """Where the Quix Streams way answers."""
    return f"{settings.topic_prefix}{NAME}"


def folder(settings: Settings) -> Path:
    """What the worker finds and keeps on disk."""
    return settings.home / f"{settings.topic_prefix}{NAME}"


def tills_file(settings: Settings) -> Path:
    """The tills that are known, as a JSON array of [store, profile]."""
    return folder(settings) / "tills.json"


async def prepare(settings: Settings, tills: list[tuple[str, str]]) -> None:
    """Make the answers topic and note the tills. State and changelog topic are made by Quix Streams itself."""
    if importlib.util.find_spec("quixstreams") is None:
        raise PeerMissing("Quix Streams is not installed: `make install` brings it.")
    folder(settings).mkdir(parents=True)
    tills_file(settings).write_text(json.dumps(tills))
    await create_answers_topic(settings, answers_topic(settings))


def command_line(_settings: Settings) -> tuple[str, ...]:
    """How the worker is started."""
    return sys.executable, "-m", "tests.bench.peers.quix_worker"
