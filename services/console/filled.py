"""What people fill in for an action, read as the members of its command. Pure.

Amounts are read as the reader writes them: 1,234.50 is not what 1.234,50 is. What can't be read is an objection in a
sentence; what could is shown once more before it is sent.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from babel import Locale

from contracts.money import AMOUNT_MAX, CURRENCY_EXPONENTS
from services.console.actions import REASON_BYTES_MAX, Action
from services.console.denominations import DENOMINATIONS
from services.console.formats import read_minor
from services.console.languages import phrase
from services.platform.errors import TillError

PERSON_BYTES_MAX: Final = 128
"""Of an id or a name, as the wire has them."""
DESCRIPTION_BYTES_MAX: Final = 2_000
"""Of what the wire calls a note."""
MOVABLE: Final = ("pay_in", "float_loan", "pay_out", "safe_drop", "bank_pickup", "tip_out")
"""Movements that people make here. That a drawer was opened without a sale is for its register to say."""

NO_COUNT: Final = phrase("Fill in what was counted.")
NO_AMOUNT: Final = phrase("%(what)s can't be read as an amount of %(currency)s.")
NO_NUMBER: Final = phrase("%(what)s is no number of notes or coins.")
NOT_THE_SUM: Final = phrase("The notes and coins of %(tender)s come to another sum than the one that is filled in.")
TOO_MUCH_LEFT: Final = phrase("More of %(tender)s would stay in the drawer than was counted.")
NO_MOVEMENT: Final = phrase("Choose what is done with the cash.")
NOTHING_MOVED: Final = phrase("Fill in an amount above 0.")
NO_TENDER: Final = phrase("Choose the cash that is moved.")
NO_CATEGORY: Final = phrase("Say what for: it stands in the journal for good.")
NO_PERSON: Final = phrase("Say who gets the drawer.")
NO_REASON: Final = phrase("Say why: the reason stands in the journal for good.")
TOO_LONG: Final = phrase("“%(what)s…” is too long.")

_COUNT: Final = re.compile(r"[0-9]{1,7}")
_SHOWN_AGAIN: Final = 24
"""So many characters of what can't be read are shown in the sentence."""


class Unreadable(TillError):
    """Something filled in can't be taken; `sentence` is a phrase for these values."""

    def __init__(self, sentence: str, **values: str) -> None:
        super().__init__(sentence)
        self.sentence = sentence
        self.values = values


@dataclass(frozen=True, slots=True)
class Countable:
    """A means of payment of a session, with the names of its fields in the form."""

    tender: Mapping[str, Any]
    amount: str
    left: str
    notes: tuple[tuple[str, int], ...]
    """Of each note and coin the field's name and its value in minor units; only cash has any."""


def countables(action: Action, session: Mapping[str, Any]) -> list[Countable]:
    """What is counted for this action, cash first: cash alone while a session goes on, at its end whatever can be."""
    if not action.asks & {"cash", "count"}:
        return []
    all_of_them = [
        Countable(
            tender,
            f"amount-{number}",
            f"left-{number}" if "left" in action.asks and tender["type"] == "cash" else "",
            tuple((f"notes-{number}-{value}", value) for value in _values(tender)),
        )
        for number, tender in enumerate(session["tenders"])
        if tender["type"] == "cash" or ("count" in action.asks and tender["type"] != "third_party")
    ]
    return sorted(all_of_them, key=lambda one: one.tender["type"] != "cash")


def members_of(action: Action, session: Mapping[str, Any], filled: Mapping[str, str], locale: Locale) -> dict[str, Any]:
    """The members that this action asks for. Raises Unreadable."""
    members: dict[str, Any] = {}
    if action.reason:
        _text(filled, "reason", REASON_BYTES_MAX, NO_REASON if action.reason == "needed" else "")
    if "person" in action.asks:
        name = _text(filled, "to-name", PERSON_BYTES_MAX)
        members["to"] = {"id": _text(filled, "to-id", PERSON_BYTES_MAX, NO_PERSON)} | ({"name": name} if name else {})
    if "movement" in action.asks:
        members |= _movement(session, filled, locale)
    if action.asks & {"cash", "count"}:
        members |= _counts(action, session, filled, locale)
    return members


def read_amount(text: str, currency: str, locale: Locale) -> int:
    """An amount in minor units, written as the locale writes it. Raises Unreadable."""
    minor = read_minor(text, CURRENCY_EXPONENTS[currency], locale)
    if minor is None or minor > AMOUNT_MAX:
        raise Unreadable(NO_AMOUNT, what=text[:_SHOWN_AGAIN], currency=currency)
    return minor


def _counts(
    action: Action, session: Mapping[str, Any], filled: Mapping[str, str], locale: Locale
) -> Iterator[tuple[str, Any]]:
    """What was counted, and what stays where anything is said of it. Raises Unreadable."""
    counted, left = [], []
    for one in countables(action, session):
        row = _counted(one, filled, locale)
        if row is not None:
            counted.append(row)
        stays = filled.get(one.left, "").strip() if one.left else ""
        if stays:
            tender = one.tender
            minor = read_amount(stays, tender["currency"], locale)
            if row is None or minor > row["amount_minor"]:
                raise Unreadable(TOO_MUCH_LEFT, tender=tender["name"])
            left.append({"tender": tender["id"], "amount_minor": minor})
    # Who gets a drawer may take it uncounted.
    if not counted and "person" not in action.asks:
        raise Unreadable(NO_COUNT)
    if counted:
        yield "counted", counted
    if left:
        yield "left", left


def _counted(one: Countable, filled: Mapping[str, str], locale: Locale) -> dict[str, Any] | None:
    """What was counted of one tender; None where nothing is filled in. Raises Unreadable."""
    tender, denominations = one.tender, []
    for name, value in one.notes:
        text = filled.get(name, "").strip()
        if text and not _COUNT.fullmatch(text):
            raise Unreadable(NO_NUMBER, what=text[:_SHOWN_AGAIN])
        if text and int(text):
            denominations.append({"value_minor": value, "count": int(text)})
    text = filled.get(one.amount, "").strip()
    typed = read_amount(text, tender["currency"], locale) if text else None
    if not denominations:
        return None if typed is None else {"tender": tender["id"], "amount_minor": typed}
    added = sum(row["value_minor"] * row["count"] for row in denominations)
    if typed not in {None, added}:
        raise Unreadable(NOT_THE_SUM, tender=tender["name"])
    return {"tender": tender["id"], "amount_minor": added, "denominations": denominations}


def _movement(session: Mapping[str, Any], filled: Mapping[str, str], locale: Locale) -> dict[str, Any]:
    movement = filled.get("movement", "")
    if movement not in MOVABLE:
        raise Unreadable(NO_MOVEMENT)
    cash = {tender["id"]: tender for tender in session["tenders"] if tender["type"] == "cash"}
    tender = cash.get(filled.get("tender", ""))
    if tender is None:
        raise Unreadable(NO_TENDER)
    text = filled.get("amount", "").strip()
    minor = read_amount(text, tender["currency"], locale) if text else 0
    if not minor:
        raise Unreadable(NOTHING_MOVED)
    description = _text(filled, "description", DESCRIPTION_BYTES_MAX)
    return {
        "movement": movement,
        "tender": tender["id"],
        "amount_minor": minor,
        "category": _text(filled, "category", REASON_BYTES_MAX, NO_CATEGORY),
    } | ({"description": description} if description else {})


def _text(filled: Mapping[str, str], name: str, bytes_max: int, needed: str = "") -> str:
    """A text of the form. Raises Unreadable where it is missing, by the sentence `needed`, or too long."""
    text = filled.get(name, "").strip()
    if needed and not text:
        raise Unreadable(needed)
    if len(text.encode()) > bytes_max:
        raise Unreadable(TOO_LONG, what=text[:_SHOWN_AGAIN])
    return text


def _values(tender: Mapping[str, Any]) -> tuple[int, ...]:
    return DENOMINATIONS.get(tender["currency"], ()) if tender["type"] == "cash" else ()
