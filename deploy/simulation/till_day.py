"""What happens at one till in a day, from the first opening to the last closing, and what it sends when. Pure.

Everything happens in the time of the day itself; whoever plays it says how fast that goes. A till's day follows from
its plan alone, but for what a manager does once a closing waits: that follows the answer, and moves nothing else.
"""

import heapq
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Final

from deploy.demo.register import Line
from deploy.demo.tape import Body
from deploy.simulation.chain import OPENS_AT_H, Plan, Till, person
from deploy.simulation.till_shift import TillShift

SOON: Final = 40
"""A manager decides a fortieth of the day after a closing began to wait: of eight hours twelve minutes."""
SENT_BACK_PERCENT: Final = 25


@dataclass(frozen=True, slots=True)
class Due:
    """Something that happens: `needed` where it must also when the day is cut short."""

    act: Callable[[datetime], object]
    needed: bool


class TillDay:
    """The day of one till: what is due next, a line to be sent or something that happens."""

    def __init__(self, plan: Plan, till: Till, manager: Body | None = None) -> None:
        """`begins_at` is in the day's own time; `manager` decides in place of the store's own."""
        self.plan, self.till, self.manager = plan, till, manager or person(till.store.kind.manager)
        self.register = till.register(plan.dice("register", till.store.number, till.number).below(1 << 30))
        self.office = till.register(plan.dice("office", till.store.number, till.number).below(1 << 30))
        self.begins_at = self.register.at(OPENS_AT_H)
        self._due: list[tuple[datetime, int, Due | Line]] = []
        self._numbers = count()
        self._shifts: dict[str, TillShift] = {}
        self._sent_back: set[str] = set()
        self._cut_short = False
        self._plan_shifts()

    def set_clocks(self, moved: timedelta) -> None:
        """`moved` is by how much the clocks of the world are ahead of the day's; those of the devices err from that."""
        self.register.clock = moved + self.till.clock
        self.register.other_clock = moved + self.till.handset_clock
        self.office.other_clock = moved

    @property
    def due_at(self) -> datetime | None:
        """When something is due next; None where the day is over."""
        return self._due[0][0] if self._due else None

    @property
    def elapsed(self) -> float:
        """How much of the day is over, from 0 to 1."""
        return min(1.0, (self._due[0][0] - self.begins_at) / self.plan.day) if self._due else 1.0

    @property
    def waiting(self) -> int:
        """How many lines wait for the line to come back."""
        return sum(isinstance(thing, Line) for _, _, thing in self._due)

    def advance(self) -> Line | None:
        """Do what is due next, or give it where it is a line to be sent. Raises IndexError where nothing is due."""
        when, _, thing = heapq.heappop(self._due)
        if isinstance(thing, Line):
            return replace(thing, sent_at=when)
        thing.act(when)
        self._take_lines()
        return None

    def answered(self, body: Body, kind: str, when: datetime) -> None:
        """What an answer at `when` leads to: a manager decides about a closing, or has a drawer counted."""
        shift = self._shifts[body["session_id"]]
        reactions: dict[tuple[str, str], Callable[[datetime], object]] = {
            ("close_session", "closing_pending"): lambda at: self._decide(at, shift),
            ("approve_closing", "count_requested"): lambda at: shift.count_again(at, self.office),
            ("force_close", "session_closed"): lambda at: shift.count_at_the_office(at, self.office),
        }
        react = reactions.get((body["kind"], kind))
        if react is not None:
            self.put(when if self._cut_short else when + self.plan.day / SOON, react, needed=True)

    def cut_short(self, now: datetime) -> None:
        """Close what is open and send what waits, all of it `now`; nobody else is served."""
        self._cut_short = True
        due, self._due = sorted(self._due, key=lambda one: one[:2]), []
        for when, number, thing in due:
            if isinstance(thing, Line) or thing.needed:
                heapq.heappush(self._due, (min(when, now), number, thing))

    def put(self, when: datetime, act: Callable[[datetime], object], *, needed: bool = False) -> None:
        """Have something happen at `when`."""
        heapq.heappush(self._due, (when, next(self._numbers), Due(act, needed)))

    def _plan_shifts(self) -> None:
        """One to three shifts; each begins by opening the drawer, and all that follows is planned then.

        Tills open one after the other, in the first fiftieth of the day, and leave a fortieth for what comes after it.
        """
        number = self.register.dice.pick((1, 2, 2, 3))
        customers = round(self.plan.orders_per_minute * self.plan.minutes)
        opens_after = self.plan.day * self.register.dice.below(1_000) / 50_000
        length = (self.plan.day * (1 - 1 / SOON) - opens_after) / number
        for turn in range(number):
            served = customers * (turn + 1) // number - customers * turn // number
            begins_at = self.begins_at + opens_after + length * turn
            self.put(begins_at, partial(self._begin, length, served))

    def _begin(self, length: timedelta, customers: int, begins_at: datetime) -> None:
        shift = TillShift(self.till, self.register, self.manager, (begins_at, begins_at + length), customers)
        self._shifts[self.register.shift.session_id] = shift
        for happening in shift.happenings():
            self.put(*happening)
        self.put(shift.counted_at, lambda at: self._end(at, shift), needed=True)

    def _end(self, when: datetime, shift: TillShift) -> None:
        """Close the drawer; what is keyed in from card slips comes after."""
        shift.may_be_forgotten = not self._cut_short
        slips = shift.close(when, self.office)
        if slips is not None:
            self.put(when + self.plan.day / SOON, slips)

    def _decide(self, when: datetime, shift: TillShift) -> None:
        """Approve a closing, or send it back to be counted again, once."""
        session_id = shift.tape.session_id
        decision: Body = {"decision": "approve"}
        if session_id not in self._sent_back and self.office.dice.chance(SENT_BACK_PERCENT):
            self._sent_back.add(session_id)
            decision = {"decision": "recount", "reason": "count it again"}
        outcome = "session_closed" if decision["decision"] == "approve" else "count_requested"
        self.office.managed("approve_closing", when, self.manager, outcome, session_id=session_id, **decision)

    def _take_lines(self) -> None:
        """What the devices wrote waits for its device's line."""
        for device in (self.register, self.office):
            for line in device.lines:
                heapq.heappush(self._due, (self._sent_at(line), next(self._numbers), line))
            device.lines.clear()

    def _sent_at(self, line: Line) -> datetime:
        """When the line is there. A register goes by its store's, a handset by its own too.

        The office is always on line, but a drawer that is forgotten must have been heard of.
        """
        body = line.value or {}
        hears_of_it = body.get("kind") == "force_close"
        if self._cut_short or (line.manager is not None and not hears_of_it):
            return line.sent_at
        of_store = hears_of_it or "register_seq" in body or not self.till.store.kind.handset
        outages = self.till.store.outages if of_store else self.till.handset_outages
        elapsed = line.sent_at - self.begins_at
        for begin, end in outages:
            if begin <= elapsed < end:
                elapsed = end
        return self.begins_at + elapsed
