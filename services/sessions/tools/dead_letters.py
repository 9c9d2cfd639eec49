"""What was put aside: looking at dead letters, and bringing the readable ones back.

Of two kinds of dead letters only one can come back. What can't be read would be put aside again. A command that the
service kept failing on was answered `command_parked`, which claims nothing: sent once more, after what was wrong has
been mended, it is answered for good.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

from aiokafka import ConsumerRecord

from contracts.topics import key_of
from services.platform.auth.tokens import COMMANDS_AUDIENCE, mint
from services.platform.kafka.read_topic import Progress, records
from services.platform.settings import Settings
from services.sessions.rules.model import Received
from services.sessions.worker.publications import Publication
from services.sessions.worker.read_record import read

OWN_HEADERS: Final = frozenset(
    {"till-topic", "till-partition", "till-offset", "till-error", "till-headers-left-out", "authorization"}
)
SPEAKER: Final = "key:dead-letters"
"""Who the tokens are for; no API key has this name."""
TOKEN_TTL_S: Final = 300


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """One dead letter; `command` is None where it holds no readable command."""

    record: ConsumerRecord
    command: Received | None

    @property
    def position(self) -> str:
        """Where it lies on the dead-letters topic."""
        return f"{self.record.partition}/{self.record.offset}"

    def header(self, name: str) -> str:
        """A header of its own as text; empty where it is missing."""
        value = next((content for key, content in self.record.headers if key == name), None)
        return (value or b"").decode("utf-8", "backslashreplace")

    @property
    def came_from(self) -> str:
        """The place of the record that was put aside."""
        return "/".join(self.header(f"till-{part}") for part in ("topic", "partition", "offset"))


async def letters(settings: Settings, progress: Progress) -> AsyncGenerator[DeadLetter, None]:
    """All dead letters that are still kept, in the order of each partition. Raises TopicUnread."""
    async with aclosing(records(settings, settings.topics.dead_letters, {}, progress)) as stream:
        async for record in stream:
            taken = read(record, None)
            yield DeadLetter(record, taken if isinstance(taken, Received) else None)


def sent_again(settings: Settings, letter: DeadLetter) -> Publication:
    """The record as it came, to be put on the commands topic once more. Raises ValueError with a sentence.

    Its credential was not kept, and where tokens are required it gets one that may name any actor. That gives nobody a
    right that they did not have: a record whose sender had no right is refused before anything can fail on it, so it
    never becomes a dead letter.
    """
    command, record = letter.command, letter.record
    if command is None:
        raise ValueError(f"{letter.position} holds no readable command: it would be put aside again.")
    headers = [(name, value) for name, value in record.headers if name.lower() not in OWN_HEADERS]
    if settings.auth == "required":
        stores = [command.store_id]
        token = mint(
            settings,
            sub=SPEAKER,
            role="admin",
            stores=stores,
            via="key",
            ttl_s=TOKEN_TTL_S,
            audiences=[COMMANDS_AUDIENCE],
        )
        headers.append(("authorization", b"Bearer " + token.encode()))
    key = record.key if record.key is not None else key_of(command.store_id, command.profile_id)
    return Publication(settings.topics.commands, key, record.value, headers)
