"""What the closings of a simulated till must say, worked out from what was sent and when the broker had it. Pure.

Of the answers only `received_at` counts, which nobody else can know. All else follows from the till's own commands: the
figures by its paper tape (`deploy/demo/tape.py`), and what is accepted, late or refused by the page on states
(`contracts/WIRE.md`, section 5), written down here a second time. It shares no line with the services.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Final, Literal
from zoneinfo import ZoneInfo

from deploy.demo.register import REFUSED, amounts, gaps
from deploy.demo.tape import Body, Shift, is_cash, moved, order_total

State = Literal["open", "suspended", "pending", "counting", "closed"]
"""Of a session; `counting` where a manager asked for another count."""

MONEY: Final = {"move_cash": "cash_moved", "void_movement": "movement_voided", "record_order": "order_recorded"}
LATE: Final = {"move_cash": "late_movement", "void_movement": "late_void", "record_order": "late_order"}
WORDS: Final = {"count_drawer": "drawer_counted", "hand_over": "session_handed_over"}
SHUT: Final = {
    "suspended": "session_suspended",
    "pending": "awaiting_approval",
    "counting": "awaiting_approval",
    "closed": "session_closed",
}
"""Why a session that is not open takes no command."""


@dataclass
class Session:
    """One session as the wire's rules have it. `border` is what late commands must be earlier than."""

    tape: Shift
    opening: Body
    opened_at: datetime
    state: State = "open"
    border: datetime = field(init=False)
    latest: datetime = field(init=False)
    sequence: int = 1
    attempt: Body = field(default_factory=dict)
    counted: dict[str, int] = field(default_factory=dict)
    origin: str = "register"
    corrections: int = 0
    needs_review: bool = False

    def __post_init__(self) -> None:
        """Nothing has happened in it yet but its opening."""
        self.latest = self.border = self.opened_at


class TillRecount:
    """One till. `take` is called for every command in the order in which they were sent, once each.

    `faults` are sentences: answers that are not what the rules say. `closings` and `corrections` are what must come of
    it all.
    """

    def __init__(self, settings: Body) -> None:
        """`settings` are the till's, as a `set_profile` has them."""
        self.settings = settings
        self.sessions: dict[str, Session] = {}
        self.closings: list[Body] = []
        self.corrections: list[Body] = []
        self.faults: list[str] = []
        self.refused = 0

    def take(self, body: Body, answer: Body) -> None:
        """Take in a command with the answer that it got."""
        occurred_at, received_at = _instant(body["occurred_at"]), _instant(answer["received_at"])
        session = self.sessions.get(body["session_id"])
        before = session.corrections if session else 0
        outcome = self._outcome(session, body, min(occurred_at, received_at))
        session = self.sessions.get(body["session_id"])
        late = session is not None and session.corrections > before
        expected = {"outcome": outcome, "late": late, "sequence": session.sequence if session else None}
        rejected = answer["kind"] == "command_rejected"
        got = {
            "outcome": REFUSED + answer["reason"] if rejected else answer["kind"],
            "late": answer.get("correction_id") is not None,
            "sequence": answer.get("sequence"),
        }
        if outcome.startswith(REFUSED):
            self.refused += 1
            expected["sequence"] = None
        if got != expected:
            name = f"{body['kind']} {body['command_id']} at {body['store_id']}/{body['profile_id']}"
            self.faults.append(f"{name}: the answer is {got} and not {expected}.")

    def unclosed(self) -> list[str]:
        """The sessions that have no closing."""
        return [session_id for session_id, session in self.sessions.items() if session.state != "closed"]

    def as_it_stands(self) -> dict[str, Body]:
        """Of each closed session what the reader must say of it now: cash over or short, and whether to look at it."""
        return {
            session_id: {"over_short_minor": self._cash_off(session), "needs_review": session.needs_review}
            for session_id, session in self.sessions.items()
            if session.state == "closed"
        }

    def _outcome(self, session: Session | None, body: Body, at: datetime) -> str:
        """The kind of the answer, or why it is a refusal; `at` is the command's counted time."""
        if body["kind"] == "open_session":
            return self._open(body, at)
        if session is None:
            return REFUSED + "session_unknown"
        if "register_seq" in body:
            session.tape.numbers.append(body["register_seq"])
        decide: dict[State, Callable[[Session, Body, datetime], str]] = {
            "open": self._when_open,
            "suspended": self._when_suspended,
            "pending": self._when_pending,
            "counting": self._when_pending,
            "closed": self._when_closed,
        }
        outcome = decide[session.state](session, body, at)
        session.sequence += not outcome.startswith(REFUSED)
        return outcome

    def _open(self, body: Body, at: datetime) -> str:
        if any(session.state in {"open", "suspended"} for session in self.sessions.values()):
            return REFUSED + "session_already_open"
        last = list(self.sessions.values())[-1:]
        rates = {row["id"]: row["exchange_rate"] for row in self.settings["tenders"]}
        tape = Shift(body["session_id"], amounts(body["opening"]), _left(last[0]) if last else None, rates)
        if "register_seq" in body:
            tape.numbers.append(body["register_seq"])
        self.sessions[body["session_id"]] = Session(tape, body, at)
        return "session_opened"

    def _when_open(self, session: Session, body: Body, at: datetime) -> str:
        kind = body["kind"]
        if kind in MONEY:
            return self._move(session, body, at)
        if kind in WORDS:
            session.latest = max(session.latest, at) if kind == "count_drawer" else session.latest
            return WORDS[kind]
        if kind == "suspend_session":
            session.state, session.border = "suspended", max(at, session.latest)
            return "session_suspended"
        if kind == "close_session":
            return self._close(session, body, at)
        if kind == "force_close":
            session.border, session.attempt, session.origin = max(at, session.latest), body, "manager"
            return self._end(session)
        return REFUSED + {"approve_closing": "not_awaiting_approval", "recount": "session_not_closed"}[kind]

    def _when_suspended(self, session: Session, body: Body, at: datetime) -> str:
        if body["kind"] == "resume_session":
            session.state = "open"
            return "session_resumed"
        if body["kind"] in MONEY and at < session.border:
            return self._move(session, body, at)
        return REFUSED + SHUT[session.state]

    def _when_pending(self, session: Session, body: Body, at: datetime) -> str:
        kind = body["kind"]
        if kind == "approve_closing" and session.state == "pending":
            if body["decision"] == "approve":
                return self._end(session)
            session.state = "counting"
            return "count_requested"
        if kind == "close_session" and session.state == "counting":
            return self._close(session, body, at)
        if kind in MONEY and (at < session.border or _leaves_the_cash(session.tape, body)):
            return self._move(session, body, at)
        return REFUSED + SHUT[session.state]

    def _when_closed(self, session: Session, body: Body, at: datetime) -> str:
        if body["kind"] == "recount":
            return self._correct(session, body, "recount", lambda: self._count_anew(session, body))
        late = at < session.border or _leaves_the_cash(session.tape, body)
        if session.origin != "register":
            following = list(self.sessions)[list(self.sessions).index(body["session_id"]) + 1 :]
            late = late or not following or at < self.sessions[following[0]].opened_at
        if body["kind"] in MONEY and late:
            return self._correct(session, body, LATE[body["kind"]], lambda: self._move(session, body, at))
        return REFUSED + SHUT[session.state]

    def _move(self, session: Session, body: Body, at: datetime) -> str:
        """Put a movement, its void, or an order on the tape."""
        session.latest = max(session.latest, at)
        tape = session.tape
        if body["kind"] == "move_cash":
            tape.movements[body["command_id"]] = {"tender": "cash"} | body
        elif body["kind"] == "void_movement":
            tape.voided.add(body["movement_id"])
        else:
            tape.take(body, body["actor"])
        return MONEY[body["kind"]]

    def _close(self, session: Session, body: Body, at: datetime) -> str:
        """A count: it waits for a manager where a tender is off by more than the till's limit."""
        session.border, session.attempt, session.counted = max(at, session.latest), body, amounts(body["counted"])
        left = amounts(body["left"]) if "left" in body else None
        session.tape.count(session.counted, left)
        limit = self.settings.get("over_short_limit_minor")
        missing = {t["id"]: 0 for t in self.settings["tenders"] if is_cash(t["id"])}
        off = _off(session.tape, missing | session.counted)
        if limit is not None and any(abs(minor) > limit for minor in off.values()):
            session.state = "pending"
            return "closing_pending"
        return self._end(session)

    def _end(self, session: Session) -> str:
        """Note what the closing must say, of what is known by now."""
        session.state, attempt = "closed", session.attempt
        left = amounts(attempt["left"]) if attempt.get("left") is not None else None
        opened_at, closed_at = session.opened_at, session.border
        adjusted = opened_at != _instant(session.opening["occurred_at"])
        session.tape.clock_adjusted = adjusted or closed_at != _instant(attempt["occurred_at"])
        self.closings.append(
            {name: attempt[name] for name in ("store_id", "profile_id", "session_id")}
            | {
                "z_number": len(self.closings) + 1,
                "opened_at": _written(opened_at),
                "closed_at": _written(closed_at),
                "business_date": self._business_date(opened_at),
                "time_zone": self.settings["time_zone"],
                "clock_adjusted": session.tape.clock_adjusted,
                "register_seq_gaps": gaps(sorted(session.tape.numbers)),
                "tenders": session.tape.count(session.counted, left),
                "cash_expected_minor": sum(_expected(session.tape).values()),
                **session.tape.figures(),
            }
        )
        return "session_closed"

    def _count_anew(self, session: Session, body: Body) -> str:
        session.counted |= amounts(body["counted"])
        session.tape.count(session.counted, None)
        return "closing_corrected"

    def _correct(self, session: Session, body: Body, correction: str, change: Callable[[], str]) -> str:
        """Make a change to what is closed, and note what it changes; whether somebody should look at it."""
        tape = session.tape
        numbers = [(_own_off(tape, session.counted), _off(tape, session.counted), _sales(tape))]
        outcome = change()
        numbers.append((_own_off(tape, session.counted), _off(tape, session.counted), _sales(tape)))
        (own_before, base_before, sales_before), (own, base, sales) = numbers
        limit = self.settings.get("over_short_limit_minor")
        much = limit is not None and any(abs(base[t] - base_before.get(t, 0)) > limit for t in base)
        by_who_counted = session.attempt["kind"] == "close_session" and session.attempt["actor"] == body["actor"]
        session.corrections += 1
        session.needs_review |= much or by_who_counted
        over_short = {t: minor - own_before.get(t, 0) for t, minor in own.items() if minor != own_before.get(t, 0)}
        self.corrections.append(
            {name: body[name] for name in ("store_id", "profile_id", "session_id")}
            | {
                "correction_number": session.corrections,
                "correction": correction,
                "needs_review": much or by_who_counted,
                "sales_minor": sales - sales_before,
                "over_short_minor": over_short,
            }
        )
        return outcome

    def _cash_off(self, session: Session) -> int | None:
        """By how much the cash is off, in base currency, by what is known now; None where nobody counted."""
        cash = {tender: minor for tender, minor in session.counted.items() if is_cash(tender)}
        return sum(_off(session.tape, cash).values()) if cash else None

    def _business_date(self, opened_at: datetime) -> str:
        wall = opened_at.astimezone(ZoneInfo(self.settings["time_zone"]))
        starts_at = time.fromisoformat(self.settings.get("business_day_starts_at", "00:00"))
        return (wall.date() - timedelta(days=wall.time() < starts_at)).isoformat()


def _instant(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _written(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _left(session: Session) -> dict[str, int] | None:
    """What a session hands on: nothing is known while it is counted anew, and all of it goes where nobody counted."""
    if session.state == "counting":
        return None
    if session.counted and session.tape.left is not None:
        return session.tape.left
    return {tender: session.tape.drawer(tender) for tender in session.tape.rates if is_cash(tender)}


def _expected(tape: Shift) -> dict[str, int]:
    """What should lie in each drawer of cash, in base currency."""
    return {tender: tape.base(tender, tape.drawer(tender)) for tender in tape.rates if is_cash(tender)}


def _own_off(tape: Shift, counted: dict[str, int]) -> dict[str, int]:
    """Counted minus expected of each tender, in its own currency."""
    return {tender: minor - tape.drawer(tender) for tender, minor in counted.items()}


def _off(tape: Shift, counted: dict[str, int]) -> dict[str, int]:
    """Counted minus expected of each tender, in base currency, each side rounded on its own."""
    return {
        tender: tape.base(tender, minor) - tape.base(tender, tape.drawer(tender)) for tender, minor in counted.items()
    }


def _sales(tape: Shift) -> int:
    """What was sold, refunds left out."""
    sold = [order for order in tape.orders.values() if order["status"] == "finished" and "refund_of" not in order]
    return sum(map(order_total, sold))


def _leaves_the_cash(tape: Shift, body: Body) -> bool:
    """Whether this is a later word of an order that was told before, and every cash drawer is as it was."""
    earlier = tape.orders.get(body.get("order_id", ""))
    if body["kind"] != "record_order" or earlier is None or body["revision"] <= earlier["revision"]:
        return False
    return all(moved(earlier, tender) == moved(body, tender) for tender in tape.rates if is_cash(tender))
