"""Adds the demo day up from `day.jsonl` and `profiles.csv` alone, in one pass, by the wire's rules.

It shares no line with the program that wrote the day and none with the sessions service; it covers
what the day holds and raises where it holds something else.
"""

import csv
import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.commands import Malformed, read_command

Body = dict[str, Any]
ADDS = ("pay_in", "float_loan")
COUNTS = ("finished", "forced_close")
MANAGERS = ("approve_closing", "force_close", "recount", "void_session")
MONEY = ("move_cash", "record_order")
WORDS = {
    "count_drawer": "drawer_counted",
    "hand_over": "session_handed_over",
    "amend_session": "session_amended",
}
"""What changes no figure, and its answer."""


@dataclass
class Till:
    """One profile: its rules, its sessions, what they hold."""

    rules: dict[str, str]
    open_session: str | None = None
    closed: list[Body] = field(default_factory=list)
    corrections: list[Body] = field(default_factory=list)


@dataclass
class Session:
    """Running sums, taken back and added anew when an order changes."""

    currency: str
    tenders: dict[str, Body]
    drawer: Counter[str] = field(default_factory=Counter)
    sums: Counter[str] = field(default_factory=Counter)
    orders: dict[str, Body] = field(default_factory=dict)
    moves: dict[str, tuple[str, int]] = field(default_factory=dict)
    voided: set[str] = field(default_factory=set)
    numbers: set[int] = field(default_factory=set)
    state: str = "open"
    attempt: Body = field(default_factory=dict)
    ended_at: str = ""
    counter: str | None = None
    counted: dict[str, int] = field(default_factory=dict)
    corrections: int = 0


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
        assert manager == (body["actor"]["id"] if body["kind"] in MANAGERS else None)
        before = self.seen.setdefault(body["command_id"], body)
        if before is not body:
            return "repeated" if before == body else "refused: command_id_reused"
        return self.fresh(body)

    def fresh(self, body: Body) -> str:
        """The outcome of a command that has the right to speak and comes for the first time."""
        try:
            read_command(body)
        except Malformed:
            return "refused: malformed"
        till = self.tills.get((body["store_id"], body["profile_id"]))
        if till is None:
            return "refused: profile_unknown"
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
        late = kind in MONEY and session.state == "closed" and body["occurred_at"] < session.ended_at
        if session.state != "open" and not late:
            return self.not_open(till, session, body)
        if kind in WORDS:
            return WORDS[kind]
        if kind == "suspend_session":
            session.state = "suspended"
            return "session_suspended"
        rules = {
            "move_cash": self.move_cash,
            "void_movement": self.void_movement,
            "record_order": self.record_order,
            "close_session": self.close_session,
            "force_close": self.force_close,
            "void_session": self.void_session,
        }
        return self.late(till, session, body, rules[kind]) if late else rules[kind](till, session, body)

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
            before = over_short(session)
            session.counted |= counts(body)
            session.corrections += 1
            till.corrections.append(correction(till, session, body, "recount", (before, 0)))
            return "closing_corrected"
        assert kind not in MANAGERS, "the day holds no refusal of a manager"
        return {"pending": "refused: awaiting_approval"}.get(state, f"refused: session_{state}")

    def late(self, till: Till, session: Session, body: Body, rule: Callable[[Till, Session, Body], str]) -> str:
        """The outcome of what occurred before the closing and came after it: a correction."""
        before = over_short(session), session.sums["sales"]
        outcome = rule(till, session, body)
        session.corrections += 1
        name = {"move_cash": "late_movement", "record_order": "late_order"}[body["kind"]]
        till.corrections.append(correction(till, session, body, name, before))
        return outcome

    def opened(self, till: Till, body: Body) -> str:
        if till.rules["enabled"] != "true":
            return "refused: profile_disabled"
        if till.open_session is not None:
            return "refused: session_already_open"
        if body["currency"] != till.rules["currency"]:
            return "refused: currency_mismatch"
        tenders = body.get("tenders") or json.loads(till.rules["tenders"])
        session = Session(body["currency"], {tender["id"]: tender for tender in tenders})
        for line in body["opening"]:
            assert notes(line) == line["amount_minor"]
            session.drawer[line["tender"]] += line["amount_minor"]
        if "register_seq" in body:
            session.numbers.add(body["register_seq"])
        till.open_session = body["session_id"]
        self.sessions[body["store_id"], body["profile_id"], body["session_id"]] = session
        return "session_opened"

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

    def record_order(self, _: Till, session: Session, body: Body) -> str:
        if any(payment["tender"] not in session.tenders for payment in body["payments"]):
            return "refused: tender_unknown"
        for payment in body["payments"]:
            back = payment.get("change_minor", 0)
            if payment.get("tendered_minor", payment["amount_minor"]) - back != payment["amount_minor"]:
                return "refused: amount_invalid"
        assert body["tax_minor"] <= total(body)
        assert minors(body["discounts"]) <= body["gross_minor"]
        before = session.orders.get(body["order_id"])
        if before is not None:
            if body["revision"] <= before["revision"]:
                return "refused: order_revision_stale"
            count(session, before, -1)
        count(session, body, 1)
        session.orders[body["order_id"]] = body
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
        session.state, session.ended_at, session.counted = "closed", body["occurred_at"], counts(body)
        session.counter = body["actor"]["id"] if session.counted else None
        sums = session.sums
        providers = sorted({name.split("/")[1] for name in sums if name.startswith("sales/")})
        till.closed.append(
            {
                "store_id": body["store_id"],
                "profile_id": body["profile_id"],
                "session_id": body["session_id"],
                "z_number": len(till.closed) + 1,
                "business_date": "2025-01-01",
                "register_seq_gaps": missing(session.numbers),
                "tenders": {
                    tender: {
                        "expected_minor": session.drawer[tender],
                        "counted_minor": amount,
                        "over_short_minor": amount - session.drawer[tender],
                    }
                    for tender, amount in session.counted.items()
                },
                "sales_minor": sums["sales"],
                "orders": sums["orders"],
                "by_provider": {
                    name: {"total_minor": sums[f"sales/{name}"], "count": sums[f"orders/{name}"]} for name in providers
                },
                "canceled": sums["canceled_by_pos"] + sums["canceled_by_external"],
            }
        )
        return "session_closed"


def counts(body: Body) -> dict[str, int]:
    """What a command counted, by tender; nothing where it counts nothing."""
    return {line["tender"]: line["amount_minor"] for line in body.get("counted", [])}


def over_short(session: Session) -> Counter[str]:
    """By how much each counted tender is off; one that was not counted is off by nothing."""
    return Counter({tender: amount - session.drawer[tender] for tender, amount in session.counted.items()})


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


def count(session: Session, order: Body, sign: int) -> None:
    """Add an order to the session's sums, or take it out again."""
    sums = session.sums
    sums[order["status"]] += sign
    if order["status"] not in COUNTS:
        return
    refund = order.get("refund_of") is not None
    for payment in order["payments"]:
        session.drawer[payment["tender"]] += sign * payment["amount_minor"] * (-1 if refund else 1)
    if refund:
        return
    for name in ("sales", f"sales/{order['provider']}"):
        sums[name] += sign * total(order)
    for name in ("orders", f"orders/{order['provider']}"):
        sums[name] += sign
    for payment in order["payments"]:
        without_tip = payment["amount_minor"] - payment.get("tip_minor", 0)
        sums[f"paid/{payment['tender']}"] += sign * without_tip
    for tender in {payment["tender"] for payment in order["payments"]}:
        sums[f"payers/{tender}"] += sign
    side = "own" if order["provider"] == "PARROT" else "providers"
    sums[f"{side}/gross"] += sign * order["gross_minor"]
    sums[f"{side}/tax"] += sign * order["tax_minor"]
    sums[f"{side}/discounts"] += sign * minors(order["discounts"])
    for entry in order["discounts"]:
        sums[f"discount/{order['provider']}/{entry['name']}"] += sign * entry["amount_minor"]
        sums[f"discounts/{order['provider']}/{entry['name']}"] += sign


def total(order: Body) -> int:
    gross: int = order["gross_minor"]
    return gross - minors(order["discounts"]) + minors(order["service_charges"])


def minors(entries: list[Body]) -> int:
    return sum(entry["amount_minor"] for entry in entries)


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
