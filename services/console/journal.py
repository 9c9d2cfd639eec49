"""A session's journal as people read it: who did what, when, and how much it was. Pure."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.console.words import KINDS, MOVEMENTS, OTHER, TAKEN_OUT

SHOWN_MAX: Final = 200
"""So many entries stand on a page, the latest of them."""
_CASH: Final = "cash"
"""What a movement moves that names no tender."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One line. `title` is a phrase, `detail` what somebody wrote, `amounts` what came in or was counted, by currency.

    What went out is below zero.
    """

    sequence: int
    occurred_at: str
    who: str
    title: str
    detail: str
    amounts: tuple[tuple[str, int], ...]
    movement_id: str | None
    """Where it is a movement: the id by which it is voided."""
    is_voided: bool


def entries(journal: Iterable[Mapping[str, Any]], session: Mapping[str, Any]) -> list[Entry]:
    """The latest entries of this session, latest first."""
    currencies = {tender["id"]: tender["currency"] for tender in session["tenders"]}
    latest = list(journal)[-SHOWN_MAX:]
    # A movement is voided after it was made, so the latest entries hold the void of each that they hold.
    voided = {one["command"]["movement_id"] for one in latest if one["command"]["kind"] == "void_movement"}
    return [_entry(one, currencies, session["currency"], voided) for one in latest[::-1]]


def counted_by(journal: Iterable[Mapping[str, Any]]) -> str | None:
    """The id of whoever counted for the latest attempt to close; None where it is not among these entries."""
    ids = [one["command"]["actor"]["id"] for one in journal if one["command"]["kind"] == "close_session"]
    return ids[-1] if ids else None


def _entry(one: Mapping[str, Any], currencies: Mapping[str, str], base: str, voided: Collection[str]) -> Entry:
    command, answer = one["command"], one["answer"]
    kind, actor = command["kind"], command["actor"]
    title, detail, movement_id = KINDS.get(kind, OTHER), command.get("reason") or "", None
    if kind == "move_cash":
        title, detail, movement_id = MOVEMENTS[command["movement"]], command["category"], command["command_id"]
    elif kind == "record_order":
        detail = command["order_id"]
    elif kind == "hand_over":
        detail = command["to"].get("name") or command["to"]["id"]
    sums: Counter[str] = Counter()
    for tender, minor in _amounts(command):
        sums[currencies.get(tender, base)] += minor
    amounts = tuple(sorted(sums.items(), key=lambda item: (item[0] != base, item[0])))
    who = actor.get("name") or actor["id"]
    return Entry(
        one["sequence"],
        answer["occurred_at"],
        who,
        title,
        detail,
        amounts,
        movement_id,
        movement_id in voided,
    )


def _amounts(command: Mapping[str, Any]) -> list[tuple[str, int]]:
    """Tenders with what came into them, or was counted, in their own currency; below zero what went out."""
    kind = command["kind"]
    if kind == "move_cash":
        sign = -1 if command["movement"] in TAKEN_OUT else 1
        return [(command.get("tender") or _CASH, sign * command["amount_minor"])]
    if kind == "record_order":
        sign = -1 if command.get("refund_of") else 1
        paid = [(line["tender"], sign * line["amount_minor"]) for line in command["payments"]]
        return paid + [(line["tender"], -line["amount_minor"]) for line in command.get("change") or ()]
    lines = command["opening"] if kind == "open_session" else command.get("counted") or ()
    return [(line["tender"], line["amount_minor"]) for line in lines]
