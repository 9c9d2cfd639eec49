"""Adds the demo day up from `day.jsonl` and `profiles.csv` alone, in one pass, by the wire's rules.

It shares no line with the program that wrote the day and none with the sessions service; it covers
what the day holds and raises where it holds something else.
"""

import csv
import json
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from contracts.commands import Malformed, read_command

Body = dict[str, Any]
ADDS = ("pay_in", "float_loan")
COUNTS = ("finished", "forced_close")


@dataclass
class Till:
    """One profile: its rules, its sessions, what they hold."""

    rules: dict[str, str]
    open_session: str | None = None
    closed: list[Body] = field(default_factory=list)


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
    over: bool = False


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
        if session.over:
            return "refused: session_closed"
        rules = {
            "move_cash": self.move_cash,
            "void_movement": self.void_movement,
            "record_order": self.record_order,
            "close_session": self.close_session,
        }
        return rules[body["kind"]](till, session, body)

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
        tenders = {}
        for line in body["counted"]:
            assert "denominations" not in line or notes(line) == line["amount_minor"]
            expected = session.drawer[line["tender"]]
            tenders[line["tender"]] = {
                "expected_minor": expected,
                "counted_minor": line["amount_minor"],
                "over_short_minor": line["amount_minor"] - expected,
            }
        worst = max(abs(row["over_short_minor"]) for row in tenders.values())
        limit = till.rules["over_short_limit_minor"]
        assert not limit or worst <= int(limit), "the day holds no closing above its limit"
        session.over, till.open_session = True, None
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
                "tenders": tenders,
                "sales_minor": sums["sales"],
                "orders": sums["orders"],
                "by_provider": {
                    name: {"total_minor": sums[f"sales/{name}"], "count": sums[f"orders/{name}"]} for name in providers
                },
                "canceled": sums["canceled_by_pos"] + sums["canceled_by_external"],
            }
        )
        return "session_closed"


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
        kept = payment["amount_minor"] - payment.get("tip_minor", 0)
        sums[f"paid/{payment['tender']}"] += sign * kept
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
