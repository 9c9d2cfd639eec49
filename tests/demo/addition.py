"""Adds the demo day up from `day.jsonl` and `profiles.csv` alone, in one pass, by the wire's rules.

It shares no line with the program that wrote the day and none with the sessions service; it covers
what the day holds and raises where it holds something else.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from contracts.commands import Malformed, read_command
from tests.demo.figures import Body, Session, minors, moved, over_short, total

ADDS = ("pay_in", "float_loan")
MANAGERS = ("approve_closing", "force_close", "recount", "set_profile", "void_session")
MONEY = ("move_cash", "record_order")
WORDS = {
    "count_drawer": "drawer_counted",
    "hand_over": "session_handed_over",
}
"""What changes no figure, and its answer."""
CLAIMLESS = [f"refused: {what}_unknown" for what in ("profile", "session", "tender", "movement")]
"""What is missing may come: the command is decided afresh when it is sent again."""
DEFAULTS = {"over_short_limit_minor": None, "allow_negative_drawer": True, "enabled": True, "time_zone": None}


@dataclass
class Till:
    """One profile: its rules, its sessions, what they hold."""

    rules: dict[str, str]
    open_session: str | None = None
    last: Session | None = None
    closed: list[Body] = field(default_factory=list)
    corrections: list[Body] = field(default_factory=list)


class Addition:
    """The day's outcomes and closings."""

    def __init__(self, folder: Path) -> None:
        self.outcomes: Counter[str] = Counter()
        self.seen: dict[str, Body] = {}
        self.sessions: dict[tuple[str, str, str], Session] = {}
        with (folder / "profiles.csv").open(encoding="utf-8", newline="") as rows:
            self.tills = {(r["store_id"], r["profile_id"]): Till(r) for r in csv.DictReader(rows)}
        for line in (folder / "day.jsonl").read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            self.outcomes[self.outcome(record)] += 1

    def outcome(self, record: Body) -> str:
        """The answer's kind, the reason of a refusal, "repeated" or "parked"."""
        if "raw" in record:
            return "parked"
        body = record["value"]
        signed_by = record.get("token", body["store_id"])
        if signed_by is None:
            return "refused: unauthenticated"
        if signed_by != body["store_id"]:
            return "refused: forbidden"
        manager = record.get("manager")
        assert manager == (body["actor"]["id"] if body["kind"] in MANAGERS or "add_tenders" in body else None)
        before = self.seen.setdefault(body["command_id"], body)
        if before is not body:
            return "repeated" if before == body else "refused: command_id_reused"
        outcome = self.fresh(body)
        if outcome in CLAIMLESS:
            del self.seen[body["command_id"]]
        return outcome

    def fresh(self, body: Body) -> str:
        """The outcome of a command that has the right to speak and comes for the first time."""
        try:
            read_command(body)
        except Malformed:
            return "refused: malformed"
        till = self.tills.get((body["store_id"], body["profile_id"]))
        if till is None:
            return "refused: profile_unknown"
        if body["kind"] == "set_profile":
            settings = {**dict.fromkeys(till.rules), **DEFAULTS, **body["profile"]}
            till.rules = {name: written(value) for name, value in settings.items()}
            return "profile_set"
        if body["kind"] == "open_session":
            return self.opened(till, body)
        session = self.sessions.get((body["store_id"], body["profile_id"], body["session_id"]))
        if session is None:
            return "refused: session_unknown"
        return self.in_session(till, session, body)

    def in_session(self, till: Till, session: Session, body: Body) -> str:
        """The outcome of a command that names a session of its own profile."""
        if "register_seq" in body:
            session.numbers.add(body["register_seq"])
        kind = body["kind"]
        early = kind in MONEY and before(body, session.border)
        if session.state == "suspended" and early:
            session.clock_adjusted |= never_set(body)
        elif session.state == "closed" and (early or leaves_the_cash(session, body)):
            return self.late(
                till, session, body, {"move_cash": self.move_cash, "record_order": self.record_order}[kind]
            )
        elif session.state != "open":
            return self.not_open(till, session, body)
        if kind in WORDS:
            return WORDS[kind]
        if kind == "suspend_session":
            session.state, session.border = "suspended", body["occurred_at"]
            return "session_suspended"
        rules = {
            "amend_session": self.amend_session,
            "move_cash": self.move_cash,
            "void_movement": self.void_movement,
            "record_order": self.record_order,
            "close_session": self.close_session,
            "force_close": self.force_close,
            "void_session": self.void_session,
        }
        return rules[kind](till, session, body)

    def not_open(self, till: Till, session: Session, body: Body) -> str:
        """The outcome where the session is suspended, pending, closed or voided."""
        state, kind = session.state, body["kind"]
        if (state, kind) == ("suspended", "resume_session"):
            session.state = "open"
            return "session_resumed"
        if (state, kind) == ("pending", "approve_closing"):
            assert body["actor"]["id"] != session.attempt["actor"]["id"]
            if body["decision"] == "recount":
                session.state = "counting"
                return "count_requested"
            return self.end(till, session, session.attempt)
        if (state, kind) == ("counting", "close_session"):
            return self.close_session(till, session, body)
        if (state, kind) == ("closed", "recount"):
            assert "left" not in body
            off = over_short(session)
            session.counted |= counts(body)
            session.left |= counts(body)
            session.corrections += 1
            till.corrections.append(correction(till, session, body, "recount", (off, 0)))
            return "closing_corrected"
        assert kind not in MANAGERS, "the day holds no refusal of a manager"
        return {"pending": "refused: awaiting_approval"}.get(state, f"refused: session_{state}")

    def late(self, till: Till, session: Session, body: Body, rule: Callable[[Till, Session, Body], str]) -> str:
        """The outcome of what occurred before the closing and came after it: a correction."""
        figures = over_short(session), session.sums["sales"]
        outcome = rule(till, session, body)
        session.corrections += 1
        name = {"move_cash": "late_movement", "record_order": "late_order"}[body["kind"]]
        till.corrections.append(correction(till, session, body, name, figures))
        return outcome

    def opened(self, till: Till, body: Body) -> str:
        if till.rules["enabled"] != "true":
            return "refused: profile_disabled"
        if till.open_session is not None:
            return "refused: session_already_open"
        if body["currency"] != till.rules["currency"]:
            return "refused: currency_mismatch"
        tenders = body.get("tenders") or json.loads(till.rules["tenders"])
        last = till.last
        left = (
            {tender: (last.tenders[tender]["currency"], minor) for tender, minor in last.left.items()} if last else {}
        )
        by_id = {tender["id"]: tender for tender in tenders}
        opening = Counter({tender["id"]: 0 for tender in tenders} | counts(body, "opening"))
        assert all(notes(line) == line["amount_minor"] for line in body["opening"])
        session = Session(body["currency"], by_id, "tenders" not in body, day_of(till, body), opening, left)
        session.drawer.update(opening)
        if "register_seq" in body:
            session.numbers.add(body["register_seq"])
        till.open_session = body["session_id"]
        self.sessions[body["store_id"], body["profile_id"], body["session_id"]] = session
        return "session_opened"

    def amend_session(self, _: Till, session: Session, body: Body) -> str:
        for tender in body.get("add_tenders", []):
            assert tender["id"] not in session.tenders
            session.tenders[tender["id"]] = tender
        return "session_amended"

    def move_cash(self, till: Till, session: Session, body: Body) -> str:
        tender = session.tenders.get(body.get("tender", "cash"))
        if tender is None or tender["type"] != "cash":
            return "refused: tender_unknown"
        if (body["amount_minor"] == 0) != (body["movement"] == "no_sale"):
            return "refused: amount_invalid"
        change = body["amount_minor"] * (1 if body["movement"] in ADDS else -1)
        if short(till, session, tender["id"], change):
            return "refused: not_enough_cash"
        session.drawer[tender["id"]] += change
        session.moves[body["command_id"]] = (tender["id"], change)
        return "cash_moved"

    def void_movement(self, till: Till, session: Session, body: Body) -> str:
        if body["movement_id"] not in session.moves:
            return "refused: movement_unknown"
        if body["movement_id"] in session.voided:
            return "refused: movement_already_voided"
        tender, change = session.moves[body["movement_id"]]
        assert not short(till, session, tender, -change)
        session.drawer[tender] -= change
        session.voided.add(body["movement_id"])
        return "movement_voided"

    def record_order(self, till: Till, session: Session, body: Body) -> str:
        named = [line["tender"] for line in (*body["payments"], *body.get("change", []))]
        theirs = {tender["id"]: tender for tender in json.loads(till.rules["tenders"]) if session.follows_profile}
        added = {tender: theirs[tender] for tender in named if tender in theirs and tender not in session.tenders}
        if any(tender not in session.tenders | added for tender in named):
            return "refused: tender_unknown"
        for payment in body["payments"]:
            back = payment.get("change_minor", 0)
            if payment.get("tendered_minor", payment["amount_minor"]) - back != payment["amount_minor"]:
                return "refused: amount_invalid"
        assert body["tax_minor"] <= total(body)
        assert minors(body["discounts"]) <= body["gross_minor"]
        assert not body.get("taxes") or sum(tax["tax_minor"] for tax in body["taxes"]) == body["tax_minor"]
        earlier = session.orders.get(body["order_id"])
        if earlier is not None and body["revision"] <= earlier["revision"]:
            return "refused: order_revision_stale"
        session.tenders |= added
        session.revise(body)
        return "order_recorded"

    def close_session(self, till: Till, session: Session, body: Body) -> str:
        assert all("denominations" not in line or notes(line) == line["amount_minor"] for line in body["counted"])
        till.open_session = None
        worst = max(abs(amount - session.drawer[tender]) for tender, amount in counts(body).items())
        limit = till.rules["over_short_limit_minor"]
        if limit and worst > int(limit):
            session.state, session.attempt = "pending", body
            return "closing_pending"
        return self.end(till, session, body)

    def force_close(self, till: Till, session: Session, body: Body) -> str:
        till.open_session = None
        return self.end(till, session, body)

    def void_session(self, till: Till, session: Session, _: Body) -> str:
        till.open_session, session.state = None, "voided"
        return "session_voided"

    def end(self, till: Till, session: Session, body: Body) -> str:
        """Close the session with the count of `body`, or without one."""
        session.state, session.border, till.last = "closed", body["occurred_at"], session
        session.settle(counts(body), body.get("left"))
        session.counter = body["actor"]["id"] if session.counted else None
        till.closed.append(
            {
                "store_id": body["store_id"],
                "profile_id": body["profile_id"],
                "session_id": body["session_id"],
                "z_number": len(till.closed) + 1,
                "time_zone": till.rules["time_zone"] or None,
                "register_seq_gaps": missing(session.numbers),
                **session.closing(),
            }
        )
        return "session_closed"


def counts(body: Body, member: str = "counted") -> dict[str, int]:
    """What a command counted, by tender; nothing where it counts nothing."""
    return {line["tender"]: line["amount_minor"] for line in body.get(member, [])}


def written(setting: Any) -> str:
    """A setting as the file of the profiles has it."""
    if setting is None or isinstance(setting, str):
        return setting or ""
    return json.dumps(setting)


def never_set(body: Body) -> bool:
    """Whether the clock that a command was written by begins before there were such registers."""
    return datetime.fromisoformat(body["occurred_at"]).year < 2015


def before(body: Body, border: str) -> bool:
    """Whether a command is earlier than a border; the word of a clock that was never set is earlier than any."""
    return bool(border) and datetime.fromisoformat(body["occurred_at"]) < datetime.fromisoformat(border)


def day_of(till: Till, body: Body) -> str:
    """The trading day of an opening by the shop's clock; by the register's where the shop's zone is not known."""
    when = datetime.fromisoformat(body["occurred_at"])
    if till.rules["time_zone"]:
        when = when.astimezone(ZoneInfo(till.rules["time_zone"]))
    early = when.time() < time.fromisoformat(till.rules["business_day_starts_at"])
    day: date = when.date() - timedelta(days=early)
    return day.isoformat()


def leaves_the_cash(session: Session, body: Body) -> bool:
    """Whether this is a new revision of an order of the session that moves no cash; the day takes no sale back so."""
    earlier = session.orders.get(body.get("order_id", ""))
    if body["kind"] != "record_order" or earlier is None or body["revision"] <= earlier["revision"]:
        return False
    assert earlier["status"] == body["status"] == "finished"
    assert total(body) >= total(earlier)
    now, then = moved(body), moved(earlier)
    return all(now[tender] == then[tender] for tender in session.cash())


def correction(till: Till, session: Session, body: Body, name: str, before: tuple[Counter[str], int]) -> Body:
    """What a correction must say, from the figures `before` it and those of now."""
    off, sales = before
    now = over_short(session)
    changes = {tender: now[tender] - off[tender] for tender in now if now[tender] != off[tender]}
    limit = till.rules["over_short_limit_minor"]
    much = bool(limit) and any(abs(change) > int(limit) for change in changes.values())
    return {
        "store_id": body["store_id"],
        "profile_id": body["profile_id"],
        "session_id": body["session_id"],
        "correction_number": session.corrections,
        "correction": name,
        "needs_review": much or session.counter == body["actor"]["id"],
        "sales_minor": 0 if name == "recount" else session.sums["sales"] - sales,
        "over_short_minor": changes,
    }


def notes(line: Body) -> int:
    return sum(stack["value_minor"] * stack["count"] for stack in line["denominations"])


def short(till: Till, session: Session, tender: str, change: int) -> bool:
    """Whether a drawer that may not be negative would be."""
    forbidden = till.rules["allow_negative_drawer"] == "false"
    return forbidden and change < 0 and session.drawer[tender] + change < 0


def missing(numbers: set[int]) -> list[list[int]]:
    """Runs of numbers that are not there, between the lowest and the highest."""
    runs: list[list[int]] = []
    for number in range(min(numbers, default=0), max(numbers, default=0)):
        if number not in numbers:
            if runs and runs[-1][1] == number - 1:
                runs[-1][1] = number
            else:
                runs.append([number, number])
    return runs
