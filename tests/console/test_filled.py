"""What people fill in, read as members of a command: amounts as they write them, notes and coins added up."""

from typing import Any

import pytest
from babel import Locale

from contracts.commands import read_command
from contracts.money import AMOUNT_MAX, CURRENCY_EXPONENTS
from services.console.actions import ACTIONS, command_of
from services.console.denominations import DENOMINATIONS
from services.console.filled import (
    MOVABLE,
    NO_AMOUNT,
    NO_CATEGORY,
    NO_COUNT,
    NO_MOVEMENT,
    NO_NUMBER,
    NO_PERSON,
    NO_REASON,
    NO_TENDER,
    NOT_THE_SUM,
    NOTHING_MOVED,
    TOO_LONG,
    TOO_MUCH_LEFT,
    Unreadable,
    countables,
    members_of,
    read_amount,
)
from services.console.person import Person
from services.console.words import MOVEMENTS

US, SPAIN = Locale.parse("en_US"), Locale.parse("es_ES")
SESSION: dict[str, Any] = {
    "store_id": "s1",
    "profile_id": "p1",
    "session_id": "0195e3a0-0040-7000-8000-000000000001",
    "tenders": [
        {"id": "cash", "name": "Cash", "type": "cash", "currency": "MXN"},
        {"id": "usd", "name": "Dollars", "type": "cash", "currency": "USD"},
        {"id": "card", "name": "Card", "type": "debit_card", "currency": "MXN"},
        {"id": "dash", "name": "Dash", "type": "third_party", "currency": "MXN"},
    ],
}
MOVED = {"movement": "pay_out", "tender": "cash", "amount": "12.50", "category": "ice"}


@pytest.mark.parametrize(
    ("text", "currency", "locale", "minor"),
    [
        ("1,234.50", "MXN", US, 123_450),
        ("1234.5", "MXN", US, 123_450),
        ("1.234,50", "EUR", SPAIN, 123_450),
        ("0", "MXN", US, 0),
        ("1,250", "JPY", US, 1_250),
        ("1.234", "KWD", US, 1_234),
        ("10,000,000,000,000.00", "MXN", US, AMOUNT_MAX),
    ],
)
def test_an_amount_is_read_as_its_reader_writes_it(text: str, currency: str, locale: Locale, minor: int) -> None:
    assert read_amount(text, currency, locale) == minor


@pytest.mark.parametrize(
    "text", ["1.500", "1.234,50", "12,34", "-5", "NaN", "1e5", "Infinity", "10,000,000,000,000.01"]
)
def test_an_amount_that_may_mean_another_is_asked_for_again(text: str) -> None:
    with pytest.raises(Unreadable) as caught:
        read_amount(text, "MXN", US)
    assert (caught.value.sentence, caught.value.values["what"]) == (NO_AMOUNT, text[:24])


def test_a_count_has_its_notes_and_what_stays() -> None:
    filled = {"notes-0-50000": "2", "notes-0-50": "3", "notes-0-100": "", "notes-0-20": "0", "left-0": "500"}
    filled |= {"amount-1": "7", "amount-2": "1,000.00", "amount-3": "9", "reason": "late"}
    members = members_of(ACTIONS["recount"], SESSION, filled, US)
    assert members == {
        "counted": [
            {
                "tender": "cash",
                "amount_minor": 100_150,
                "denominations": [{"value_minor": 50_000, "count": 2}, {"value_minor": 50, "count": 3}],
            },
            {"tender": "usd", "amount_minor": 700},
            {"tender": "card", "amount_minor": 100_000},
        ],
        "left": [{"tender": "cash", "amount_minor": 50_000}],
    }
    assert "left" not in members_of(ACTIONS["new-count"], SESSION, {"amount-0": "1"}, US)


def test_a_count_in_between_is_of_cash_alone() -> None:
    assert [one.tender["id"] for one in countables(ACTIONS["count"], SESSION)] == ["cash", "usd"]
    turned = SESSION | {"tenders": SESSION["tenders"][::-1]}
    assert [one.tender["id"] for one in countables(ACTIONS["recount"], turned)] == ["usd", "cash", "card"]
    assert members_of(ACTIONS["hand-over"], SESSION, {"to-id": "ben"}, US) == {"to": {"id": "ben"}}


@pytest.mark.parametrize(
    ("name", "filled", "sentence"),
    [
        ("count", {}, NO_COUNT),
        ("count", {"amount-2": "5"}, NO_COUNT),
        ("count", {"amount-0": "5,5"}, NO_AMOUNT),
        ("count", {"notes-0-50000": "-1"}, NO_NUMBER),
        ("count", {"notes-0-50000": "9" * 8}, NO_NUMBER),
        ("count", {"notes-0-50000": "1", "amount-0": "501"}, NOT_THE_SUM),
        ("recount", {"amount-0": "5"}, NO_REASON),
        ("recount", {"amount-0": "5", "left-0": "5.01", "reason": "x"}, TOO_MUCH_LEFT),
        ("recount", {"left-0": "0", "amount-1": "5", "reason": "x"}, TOO_MUCH_LEFT),
        ("hand-over", {"to-id": " "}, NO_PERSON),
        ("hand-over", {"to-id": "\N{LATIN SMALL LETTER E WITH ACUTE}" * 65}, TOO_LONG),
        ("move-cash", MOVED | {"movement": "no_sale"}, NO_MOVEMENT),
        ("move-cash", MOVED | {"tender": "card"}, NO_TENDER),
        ("move-cash", MOVED | {"amount": "0.00"}, NOTHING_MOVED),
        ("move-cash", MOVED | {"amount": ""}, NOTHING_MOVED),
        ("move-cash", MOVED | {"category": ""}, NO_CATEGORY),
        ("move-cash", MOVED | {"category": "x" * 65}, TOO_LONG),
        ("move-cash", MOVED | {"description": "x" * 2_001}, TOO_LONG),
    ],
)
def test_what_can_not_be_taken_is_a_sentence(name: str, filled: dict[str, str], sentence: str) -> None:
    with pytest.raises(Unreadable) as caught:
        members_of(ACTIONS[name], SESSION, filled, US)
    assert caught.value.sentence == sentence


@pytest.mark.parametrize("name", list(ACTIONS))
def test_every_action_makes_a_command_of_the_wire(name: str) -> None:
    action, person = ACTIONS[name], Person("t", "mona", "manager", ("s1",), 0.0)
    filled = MOVED | {"command_id": "0195e3a0-0040-7000-8000-000000000002", "sequence": "3", "reason": "because"}
    filled |= {"amount-0": "5", "left-0": "5", "to-id": "ben", "to-name": "Ben"}
    members = members_of(action, SESSION, filled, US) | (
        {"movement_id": filled["command_id"]} if action.of_line else {}
    )
    command = command_of(action, SESSION, person, filled, members)
    assert read_command(command | {"occurred_at": "2026-11-27T12:00:00Z"}).kind == action.members["kind"]


def test_movements_and_notes_are_those_of_the_wire() -> None:
    assert set(MOVABLE) == set(MOVEMENTS) - {"no_sale"}
    assert set(DENOMINATIONS) <= set(CURRENCY_EXPONENTS)
    for values in DENOMINATIONS.values():
        assert list(values) == sorted(set(values), reverse=True)
