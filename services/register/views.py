"""What the agent says of entries and of itself, as JSON."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import orjson

from contracts.money import CURRENCY_EXPONENTS

from . import __version__
from .entries import Entry, Till
from .outbox_rows import TillState
from .register import Status

CASH: Final = "cash"


def entry_view(entry: Entry, currency: str | None = None) -> dict[str, Any]:
    """An entry; `currency` is its till's.

    `sentence` says why it waits, or why it was refused, `reason` in one word of the wire. `money` is the amount that it
    is about, where it is about one in the till's currency: of a sale its total, else the cash.
    """
    answer = None if entry.answer is None else orjson.loads(entry.answer)
    command = orjson.loads(entry.body)
    return {
        "number": entry.number,
        "event": entry.event,
        "command_id": entry.command_id,
        "store_id": entry.till.store_id,
        "profile_id": entry.till.profile_id,
        "session_id": entry.session_id,
        "kind": entry.kind,
        "state": entry.state,
        "refused": entry.refused,
        "reason": _reason(entry, answer),
        "sentence": entry.trouble,
        "seen": entry.seen,
        "taken_at": written(entry.taken_at),
        "answered_at": written(entry.answered_at),
        "attempts": entry.attempts,
        "about": command.get("order_id") or command.get("movement"),
        "money": money(amount_of(command), command.get("currency") or currency),
        "answer": answer,
    }


def amount_of(command: Mapping[str, Any]) -> int | None:
    """What a command is about in money, in minor units of its till's currency; None where it is about none."""
    match command["kind"]:
        case "record_order":
            total = command["gross_minor"]
            for sign, name in ((-1, "discounts"), (1, "service_charges")):
                total += sign * sum(row["amount_minor"] for row in command[name])
            return -int(total) if command.get("refund_of") else int(total)
        case "move_cash":
            # What another tender holds may be in another currency.
            return int(command["amount_minor"]) if command.get("tender", CASH) == CASH else None
        case "open_session":
            return _cash_in(command["opening"])
        case _:
            return _cash_in(command.get("counted") or [])


def money(amount_minor: int | None, currency: str | None) -> dict[str, Any] | None:
    """An amount with all that is needed to write it; `exponent` is how many decimals its currency has."""
    if amount_minor is None or currency is None:
        return None
    return {"amount_minor": amount_minor, "currency": currency, "exponent": CURRENCY_EXPONENTS[currency]}


def status_view(status: Status, tills: Mapping[Till, TillState], own: Till) -> dict[str, Any]:
    """How the register stands; `own` is the till of commands that name none."""
    return {
        "version": __version__,
        "store_id": own.store_id or None,
        "profile_id": own.profile_id or None,
        "line": {"state": line_state(status), "sentence": status.line, "since": written(status.line_since)},
        "queued": status.counts.queued,
        "set_aside": status.counts.set_aside,
        "refused": status.counts.refused_unseen,
        "held": status.counts.held,
        "oldest_queued_at": written(status.counts.oldest_queued_at),
        "last_answered_at": written(status.counts.last_answered_at),
        "clock": {
            "lead_s": status.clock_lead_s,
            "uncertainty_s": status.clock_uncertainty_s,
            "heard_s_ago": status.clock_heard_s,
        },
        "tills": [
            {"store_id": till.store_id, "profile_id": till.profile_id, "session_id": state.session_id}
            for till, state in tills.items()
        ],
        "last_event": status.last_event,
    }


def line_state(status: Status) -> str:
    """The line in one word: unknown before anything was sent, up, down, or not_let_in."""
    if status.line_up is None:
        return "unknown"
    if status.line_up:
        return "up"
    return "down" if status.let_in else "not_let_in"


def written(moment: float | None) -> str | None:
    """A moment in seconds since 1970 as RFC 3339 in UTC."""
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds")


def _reason(entry: Entry, answer: dict[str, Any] | None) -> str | None:
    if answer is None:
        return "not_taken" if entry.refused else None
    if answer["kind"] == "command_parked":
        return "command_parked"
    reason: str | None = answer.get("reason") if answer["kind"] == "command_rejected" else None
    return reason


def _cash_in(amounts: list[dict[str, Any]]) -> int | None:
    return next((int(row["amount_minor"]) for row in amounts if row["tender"] == CASH), None)
