"""Publishing and following on a real broker, where no service answers: the demo must come to an end and say why."""

import io

import pytest
from rich.console import Console

from deploy.demo import play, stream
from deploy.demo.day import read_day, read_expected
from deploy.embedded.stack import StackError
from services.platform.auth import signing_keys
from services.platform.kafka.topics import create_topics
from services.platform.settings import Settings


@pytest.fixture
async def unserved(corner: Settings, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Topics that nobody consumes, and little patience."""
    monkeypatch.setattr(stream, "SILENCE_LIMIT_S", 1.0)
    signing_keys.ensure_key(corner)
    await create_topics(corner)
    return corner


async def test_silence_ends_the_demo_and_names_commands_without_an_answer(unserved: Settings) -> None:
    async with stream.producer_of(unserved) as producer:
        await producer.send_and_wait(unserved.topics.events, b'{"kind":"profile_set","command_id":"c"}')

    tally, _ = await stream.play(Console(file=io.StringIO()), unserved, read_day(), read_expected())

    missing = tally.unanswered()
    assert 0 < len(missing) == tally.published
    sentences = play.silence(tally, stream.SILENCE_LIMIT_S)
    assert len(sentences) == 1
    assert f"{tally.published} commands had no answer after 1 s" in sentences[0]
    assert missing[0] in sentences[0]


async def test_a_day_that_was_played_before_is_refused(unserved: Settings) -> None:
    async with stream.producer_of(unserved) as producer:
        await producer.send_and_wait(unserved.topics.events, b"{}")

    with pytest.raises(StackError, match="needs an empty ledger"):
        await stream.play(Console(file=io.StringIO()), unserved, read_day(), read_expected())
