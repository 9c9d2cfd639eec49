"""A register of the demo day: it writes commands as a real one would and keeps a paper tape."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, TypeVar
from uuid import UUID

from deploy.demo.tape import Body, Shift

T = TypeVar("T")

REFUSED = "refused: "
"""What the outcome of a refused record begins with; the reason follows."""
REPEATED = "repeated"
PARKED = "parked"
OWN_TOKEN = "own"  # noqa: S105 - a word of the script, not a secret


class Dice:
    """Seeded chance. Built on `random()` alone, the one method whose results every Python keeps."""

    def __init__(self, seed: int) -> None:
        """Equal seeds give equal days."""
        self._random = random.Random(seed)  # noqa: S311 - the day must come out the same each time

    def below(self, limit: int) -> int:
        """A whole number from 0 to `limit` - 1."""
        return int(self._random.random() * limit)

    def pick(self, choices: Sequence[T]) -> T:
        """One of `choices`."""
        return choices[self.below(len(choices))]

    def chance(self, percent: int) -> bool:
        """True in `percent` of a hundred cases."""
        return self.below(100) < percent

    def uuid7(self, when: datetime) -> str:
        """An id as registers mint them: the time first, so that an index grows at its end."""
        millis = int(when.timestamp()) * 1000 + self.below(1000)
        tail = (self.below(1 << 30) << 32) | self.below(1 << 32)
        head = (millis << 80) | (0x7 << 76) | (self.below(1 << 12) << 64)
        return str(UUID(int=head | (0b10 << 62) | tail))


@dataclass(frozen=True)
class Line:
    """One record of the day: when it is sent, what it holds, and what must come of it.

    `manager` is who sends it with a token of their own, from the office and not from the till.
    """

    sent_at: datetime
    key: str
    outcome: str
    value: Body | None = None
    raw: bytes | None = None
    token: str | None = OWN_TOKEN
    manager: str | None = None


class Register:
    """One device at one profile. `numbered` devices count their commands (register_seq)."""

    def __init__(self, profile: tuple[str, str], utc_offset_h: int, seed: int, *, numbered: bool = False) -> None:
        """`profile` is store and profile id; the day's local times are `utc_offset_h` from UTC."""
        self.store_id, self.profile_id = profile
        self.utc_offset = timedelta(hours=utc_offset_h)
        self.dice = Dice(seed)
        self.numbered = numbered
        self.seq = 0
        self.lines: list[Line] = []
        self.shifts: list[Shift] = []
        self.closings: list[Body] = []
        self.corrections: list[Body] = []
        self.offline: tuple[datetime, datetime] | None = None
        self.time_zone: str | None = None
        self.rates: dict[str, str] = {}
        self.clock = self.other_clock = timedelta()

    @property
    def key(self) -> str:
        """The right key of this profile's records."""
        return f"{self.store_id}/{self.profile_id}"

    @property
    def shift(self) -> Shift:
        """The session the register is in, or was in last."""
        return self.shifts[-1]

    def at(self, hour: int, minute: int = 0, second: int = 0, *, day: int = 1) -> datetime:
        """A local time of the demo's day, 1 January 2025 (or the day after)."""
        return datetime(2025, 1, day, hour, minute, second, tzinfo=UTC) - self.utc_offset

    def body(self, kind: str, when: datetime, actor: Body, *, numbered: bool = True, **members: Any) -> Body:
        """A command; what another device or a stranger sends takes no number of this register, and has its own clock.

        `clock` and `other_clock` are by how much these are ahead of the day's own time.
        """
        clock = self.clock if numbered else self.other_clock
        local = (when + self.utc_offset + clock).strftime("%Y-%m-%dT%H:%M:%S")
        hours = int(self.utc_offset / timedelta(hours=1))
        command: Body = {
            "kind": kind,
            "command_id": self.dice.uuid7(when),
            "store_id": self.store_id,
            "profile_id": self.profile_id,
            "session_id": self.shift.session_id if self.shifts else None,
            "occurred_at": f"{local}{hours:+03d}:00",
            "actor": actor,
        }
        if self.numbered and numbered:
            self.seq += 1
            command["register_seq"] = self.seq
            self.shift.numbers.append(self.seq)
        return command | members

    def send(self, when: datetime, value: Body, outcome: str, **how: Any) -> Body:
        """Put a record on the day's list; while the line is down it waits until it is back."""
        if self.offline and self.offline[0] <= when < self.offline[1]:
            when = self.offline[1]
        self.lines.append(Line(when, how.pop("key", self.key), outcome, value, **how))
        return value

    def refuse(self, when: datetime, reason: str, value: Body, **how: Any) -> Body:
        """Put a command on the day's list that must be refused for `reason`."""
        return self.send(when, value, REFUSED + reason, **how)

    def send_raw(self, when: datetime, raw: bytes) -> None:
        """Put bytes that are no command on the day's list."""
        self.lines.append(Line(when, self.key, PARKED, raw=raw))

    def repeat(self, when: datetime, values: Sequence[Body]) -> None:
        """Send commands again, as a register does that heard no answer."""
        for value in values:
            self.send(when, value, REPEATED)

    def sent(self, last: int) -> list[Body]:
        """The last commands that were answered for the first time."""
        fresh = [line.value for line in self.lines if line.value and line.outcome != REPEATED]
        return fresh[-last:]

    def open(self, when: datetime, actor: Body, currency: str, opening: list[Body], **words: Any) -> Body:
        """Open the drawer with what was counted into it."""
        session_id = words.pop("session_id", None) or self.dice.uuid7(when)
        left = [shift.left for shift in self.shifts if shift.left is not None]
        self.shifts.append(Shift(session_id, amounts(opening), left[-1] if left else None, self.rates))
        members = {"currency": currency, "opening": opening, **words}
        command = self.body("open_session", when, actor, **members)
        return self.send(when, command, "session_opened")

    def move(self, when: datetime, actor: Body, movement: str, amount: int, category: str, **more: Any) -> Body:
        """Money in or out that is no sale; `more` may name tender, description, key."""
        how = {"key": more.pop("key")} if "key" in more else {}
        tender = more.get("tender", "cash")
        command = self.body(
            "move_cash",
            when,
            actor,
            movement=movement,
            amount_minor=amount,
            category=category,
            **more,
        )
        self.shift.movements[command["command_id"]] = command | {"tender": tender}
        return self.send(when, command, "cash_moved", **how)

    def void(self, when: datetime, actor: Body, movement: Body, reason: str) -> Body:
        """Take a movement back."""
        self.shift.voided.add(movement["command_id"])
        command = self.body("void_movement", when, actor, movement_id=movement["command_id"], reason=reason)
        return self.send(when, command, "movement_voided")

    def order(self, when: datetime, actor: Body, order: Body, late: timedelta | None = None) -> Body:
        """An order as it stands now; one from another device comes `late` and without a number."""
        self.shift.take(order, actor)
        command = self.body("record_order", when, actor, numbered=late is None, **order)
        return self.send(when + (late or timedelta()), command, "order_recorded")

    def close(self, when: datetime, actor: Body, counted: list[Body], **words: Any) -> Body:
        """Close with what was counted, and note what the closing must say; `words` may name what is left."""
        command = self.body("close_session", when, actor, counted=counted, **words)
        self.fill_in(counted, words.get("left"))
        return self.send(when, command, "session_closed")

    def close_for_approval(self, when: datetime, actor: Body, counted: list[Body], **words: Any) -> Body:
        """Close with a count that is off by more than the profile's limit: it waits for a manager."""
        return self.send(when, self.body("close_session", when, actor, counted=counted, **words), "closing_pending")

    def managed(self, kind: str, when: datetime, manager: Body, outcome: str, **members: Any) -> Body:
        """What only a manager may do, sent with the manager's own token and without the register's number."""
        command = self.body(kind, when, manager, numbered=False, **members)
        return self.send(when, command, outcome, manager=manager["id"])

    def fill_in(self, counted: list[Body], left: list[Body] | None = None) -> None:
        """Note what the closing of this shift must say; an empty count is a drawer that nobody counted."""
        tenders = self.shift.count(amounts(counted), None if left is None else amounts(left))
        self.closings.append(
            {
                "store_id": self.store_id,
                "profile_id": self.profile_id,
                "session_id": self.shift.session_id,
                "z_number": len(self.closings) + 1,
                "business_date": "2025-01-01",
                "time_zone": self.time_zone,
                "clock_adjusted": self.shift.clock_adjusted,
                "register_seq_gaps": gaps(self.shift.numbers),
                "tenders": tenders,
                **self.shift.figures(),
            }
        )

    def correct(self, correction: str, *, needs_review: bool, over_short: dict[str, int], sales_minor: int = 0) -> None:
        """Note what a correction of this shift's closing must say; `over_short` are the changes by tender."""
        self.shift.corrections += 1
        self.corrections.append(
            {
                "store_id": self.store_id,
                "profile_id": self.profile_id,
                "session_id": self.shift.session_id,
                "correction_number": self.shift.corrections,
                "correction": correction,
                "needs_review": needs_review,
                "sales_minor": sales_minor,
                "over_short_minor": over_short,
            }
        )


def amounts(lines: list[Body]) -> dict[str, int]:
    """What each tender of a count holds."""
    return {line["tender"]: line["amount_minor"] for line in lines}


def gaps(numbers: Sequence[int]) -> list[list[int]]:
    """The runs of numbers missing between the first and the last of `numbers`."""
    return [[one + 1, other - 1] for one, other in pairwise(numbers) if other - one > 1]
