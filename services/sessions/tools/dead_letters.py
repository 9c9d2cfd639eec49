"""What was put aside: looking at dead letters, and bringing the readable ones back.

What can't be read would be put aside again. A command that the service kept failing on was answered `command_parked`,
which claims nothing: sent once more, after what was wrong has been mended, it is answered for good.

A record that could not be decoded was never answered, and nobody looked at its sender's right. It comes back from its
place on the commands topic, while that is kept: there its credential still is, which counts as of when it was sent.
"""

from collections.abc import AsyncGenerator, AsyncIterable, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final, Literal

from aiokafka import ConsumerRecord

from contracts.topics import key_of
from services.platform.access_log import read_now
from services.platform.auth.claims import VIA_KEY
from services.platform.auth.tokens import COMMANDS_AUDIENCE, mint, open_verifier
from services.platform.kafka.read_topic import Progress, records, records_at
from services.platform.kafka.undecodable import Undecodable
from services.platform.settings import Settings
from services.sessions.rules.answers import actor_or_none, refused_sender
from services.sessions.rules.model import Received
from services.sessions.worker.publications import Publication
from services.sessions.worker.read_record import Parked, Verify, read, verify_with

OWN_HEADERS: Final = frozenset(
    {"till-topic", "till-partition", "till-offset", "till-why", "till-error", "till-headers-left-out", "authorization"}
)
STAYED_AT_ITS_PLACE: Final = "stays at its place."
"""So ended the error of undecodable records, and of good ones behind them, that were parked without their value."""
SPEAKER: Final = "key:dead-letters"
"""Who the tokens are for; no API key has this name."""
TOKEN_TTL_S: Final = 300
PORTION_LETTERS_MAX: Final = 500
PORTION_BYTES_MAX: Final = 16 * 1_024 * 1_024
"""So many letters are held and signed for at a time when all are brought back, however many there are."""


@dataclass(frozen=True, slots=True)
class NotSentAgain:
    """Why a letter can't be brought back, in a sentence."""

    why: str


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
    def why(self) -> str:
        """Why it was put aside; letters have had a header of that since they hold undecodable records whole."""
        if named := self.header("till-why"):
            return named
        if self.record.value is None and self.header("till-error").endswith(STAYED_AT_ITS_PLACE):
            return "undecodable"
        return "failing" if self.command else "unreadable"

    @property
    def may_come_back(self) -> bool:
        """Whether there is, or may be at its place, a command."""
        return self.command is not None or self.why == "undecodable"

    @property
    def origin(self) -> tuple[str, int, int]:
        """The topic, partition and offset of the record that was put aside. Raises ValueError where none is named."""
        return self.header("till-topic"), int(self.header("till-partition")), int(self.header("till-offset"))

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


async def with_each_letter(settings: Settings, progress: Progress, work: Callable[[DeadLetter], None]) -> int:
    """Do it with one letter after the other, as all of them may be more than memory holds; how many there are.

    Raises TopicUnread.
    """
    count = 0
    async with aclosing(letters(settings, progress)) as stream:
        async for letter in stream:
            work(letter)
            count += 1
    return count


async def bring_all_back(
    settings: Settings,
    progress: Progress,
    publish: Callable[[Sequence[Publication]], Awaitable[None]],
    stays: Callable[[str], None],
) -> int:
    """Bring back all letters that may come back, a portion at a time; how many that were.

    `stays` hears of each that stays why. What fails half-way has brought back the portions before: done again, they are
    only answered again. Raises as `letters`, `sent_again` and `publish` do.
    """
    count = 0
    async with aclosing(letters(settings, progress)) as stream:
        async for portion in _portions(letter async for letter in stream if letter.may_come_back):
            results = await sent_again(settings, portion)
            publications = [result for result in results if not isinstance(result, NotSentAgain)]
            for result in results:
                if isinstance(result, NotSentAgain):
                    stays(result.why)
            await publish(publications)
            count += len(publications)
    return count


async def _portions(letters: AsyncIterable[DeadLetter]) -> AsyncGenerator[list[DeadLetter], None]:
    portion, size = list[DeadLetter](), 0
    async for letter in letters:
        portion.append(letter)
        size += len(letter.record.value or b"")
        if len(portion) >= PORTION_LETTERS_MAX or size >= PORTION_BYTES_MAX:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


async def sent_again(settings: Settings, letters: Sequence[DeadLetter]) -> list[Publication | NotSentAgain]:
    """Of each letter its record, to be put on the commands topic once more, or why that can't be.

    Raises TopicUnread and TopicsWrong.
    """
    unchecked = [letter for letter in letters if letter.may_come_back and letter.why != "failing"]
    checked = await _checked_at_their_places(settings, unchecked) if unchecked else {}
    results: list[Publication | NotSentAgain] = []
    for letter in letters:
        command = checked.get(letter.position, letter.command)
        if isinstance(command, NotSentAgain):
            results.append(command)
        elif command is None:
            results.append(_no_command(letter.position))
        else:
            results.append(_publication(settings, command))
    return results


async def _checked_at_their_places(
    settings: Settings, letters: Sequence[DeadLetter]
) -> dict[str, Received | NotSentAgain]:
    """The commands of these letters as they came, with the rights that their senders had then, by the letters."""
    topic = settings.topics.commands
    origins = {letter.position: letter.origin for letter in letters}
    here = {(partition, offset) for name, partition, offset in origins.values() if name == topic}
    records = await records_at(settings, topic, here)
    verify = None if settings.auth == "off" else await _verify(settings)
    checked: dict[str, Received | NotSentAgain] = {}
    for position, (name, partition, offset) in origins.items():
        record = records.get((partition, offset)) if name == topic else None
        if record is None:
            gone = f"{position}: its record is no longer on {topic}, where its sender's right could be looked up."
            checked[position] = NotSentAgain(gone)
            continue
        taken = read(record.escaped() if isinstance(record, Undecodable) else record, verify)
        checked[position] = _entitled(position, taken)
    return checked


async def _verify(settings: Settings) -> Verify:
    """Whose token counted, by all that the access topic says now."""
    revocations, _ = await read_now(settings)
    return verify_with(open_verifier(settings), lambda: revocations)


def _entitled(position: str, taken: Received | Parked) -> Received | NotSentAgain:
    if isinstance(taken, Parked):
        return _no_command(position)
    if taken.refused_right is not None:
        return NotSentAgain(
            f"{position}: its sender had no right to it ({refused_sender(taken.refused_right).reason})."
        )
    return taken


def _no_command(position: str) -> NotSentAgain:
    return NotSentAgain(f"{position} holds no readable command: it would be put aside again.")


def _publication(settings: Settings, command: Received) -> Publication:
    """The record as it came.

    Where tokens are required it gets one that may name any actor, or one of its own actor's where no key may send it.
    That gives nobody a right that they did not have: of what the service kept failing on the sender's right was looked
    at before, and of the others just now.
    """
    record = command.raw
    headers = [(name, value) for name, value in record.headers if name.lower() not in OWN_HEADERS]
    if settings.auth == "required":
        speaker, via = _speaker(command)
        token = mint(
            settings,
            sub=speaker,
            role="admin",
            stores=[command.store_id],
            via=via,
            ttl_s=TOKEN_TTL_S,
            audiences=[COMMANDS_AUDIENCE],
        )
        headers.append(("authorization", b"Bearer " + token.encode()))
    key = record.key if record.key is not None else key_of(command.store_id, command.profile_id)
    return Publication(settings.topics.commands, key, record.value, headers)


def _speaker(command: Received) -> tuple[str, Literal["key"] | None]:
    """Whom the token of a command that comes back is for, and by which way they speak.

    A till is set by people alone, who speak for themselves: whoever set it had that right, and is named in the command.
    One who was revoked since has it no longer.
    """
    read = command.command
    kind = command.members.get("kind") if read is None else read.kind
    actor = actor_or_none(command.members.get("actor")) if read is None else read.actor
    return (actor.id, None) if kind == "set_profile" and actor is not None else (SPEAKER, VIA_KEY)
