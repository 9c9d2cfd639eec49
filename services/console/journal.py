"""A session's journal as people read it: who did what, when, and how much it was. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.console.words import KINDS, MOVEMENTS

SHOWN_MAX: Final = 200
"""So many entries stand on a page, the latest of them."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `title` is a phrase, `detail` what somebody wrote, `amount_minor` as the drawer sees it."""

    sequence: int
    occurred_at: str
    who: str
    title: str
    detail: str
    amount_minor: int | None
    answer: str


def entries(journal: Iterable[Mapping[str, Any]]) -> list[Entry]:
    """The latest entries, latest first."""
    return [_entry(one) for one in list(journal)[-SHOWN_MAX:]][::-1]


def counted_by(journal: Iterable[Mapping[str, Any]]) -> str | None:
    """The id of whoever counted for the latest attempt to close."""
    ids = [one["command"]["actor"]["id"] for one in journal if one["command"]["kind"] == "close_session"]
    return ids[-1] if ids else None


def _entry(one: Mapping[str, Any]) -> Entry:
    command, answer = one["command"], one["answer"]
    kind, actor = command["kind"], command["actor"]
    title, detail, amount = KINDS.get(kind, kind), command.get("reason") or "", None
    if kind == "move_cash":
        title, detail, amount = MOVEMENTS[command["movement"]], command["category"], command["amount_minor"]
    elif kind == "record_order":
        detail, amount = command["order_id"], sum(payment["amount_minor"] for payment in command["payments"])
    elif kind == "hand_over":
        detail = command["to"].get("name") or command["to"]["id"]
    elif kind in {"close_session", "count_drawer", "recount"}:
        amount = sum(line["amount_minor"] for line in command["counted"])
    elif kind == "open_session":
        amount = sum(line["amount_minor"] for line in command["opening"])
    who = actor.get("name") or actor["id"]
    return Entry(one["sequence"], answer["occurred_at"], who, title, detail, amount, answer["kind"])
