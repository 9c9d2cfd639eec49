"""When several reasons hold, the one that stands above is given (wire, section 4).

Each kind of command has its row of spoilers in the order of the wire: what makes that reason hold, and only that. Any
two of a row are then brought together, whatever lies between them. Pairs that can't hold at once are named, with why.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import pytest

from contracts.events import Reason
from services.platform.auth.claims import Claims
from tests.support.till import NOBODY, Body, Till, amounts, order

SESSION = "0195e3a0-1111-7000-8000-000000000001"
PAID_IN = "0195e3a0-2222-7000-8000-000000000001"
TRIED = "0195e3a0-3333-7000-8000-000000000001"
STRANGER = Claims("x", "register", frozenset({"another store"}), None, None, None, 4e9)


def unchanged(_: Any) -> None:
    """What came before, or what the command says, is as it was."""


class Spoiler(NamedTuple):
    """How a reason comes to hold: by what happened before, by what the command says, or by who sends it."""

    reason: Reason
    scene: Callable[[Till], Any] = unchanged
    says: Callable[[Body], Any] = unchanged
    token: bool = True
    stranger: bool = False


def disable(till: Till) -> None:
    row = till.batch_state.tills[till.store, till.name]
    row.profile = dataclasses.replace(row.profile, enabled=False)


def fill_up(till: Till) -> None:
    """So much was paid in and out already that no kind of movement takes 10^15 more."""
    for movement in ("pay_in", "pay_out") * 9:
        till.move(movement, 10**15)


def add(member: str, *entries: Body) -> Callable[[Body], None]:
    return lambda body: body.update({member: [*body[member], *entries]})


GOLD, TWICE = {"tender": "gold", "amount_minor": 0}, amounts({"card": 1}) * 2

FOR_ALL = (
    Spoiler("unauthenticated", token=False),
    Spoiler("forbidden", stranger=True),
    Spoiler("command_id_reused", scene=lambda till: till.says("nonsense", command_id=TRIED)),
    Spoiler("malformed", says=lambda body: body.update(surprise=1)),
    Spoiler("profile_unknown", says=lambda body: body.update(profile_id="nobody")),
)
ON_A_SESSION = (
    *FOR_ALL,
    Spoiler("session_unknown", says=lambda body: body.update(session_id=NOBODY)),
    Spoiler("session_closed", scene=lambda till: till.closed({"cash": 0})),
)
ROWS: dict[str, tuple[Spoiler, ...]] = {
    "open_session": (
        *FOR_ALL,
        Spoiler("profile_disabled", scene=disable),
        Spoiler("session_already_open", scene=lambda till: till.open()),
        Spoiler("session_closed", says=lambda body: body.update(session_id=SESSION)),
        Spoiler("tender_unknown", says=add("opening", GOLD)),
        Spoiler("currency_mismatch", says=lambda body: body.update(currency="USD")),
        Spoiler("amount_invalid", says=add("opening", *TWICE)),
    ),
    "move_cash": (
        *ON_A_SESSION,
        Spoiler("tender_unknown", says=lambda body: body.update(tender="card")),
        Spoiler("amount_invalid", scene=fill_up, says=lambda body: body.update(amount_minor=10**15)),
        Spoiler("not_enough_cash", says=lambda body: body.update(movement="pay_out", amount_minor=10**15)),
    ),
    "void_movement": (
        *ON_A_SESSION,
        Spoiler("movement_unknown", says=lambda body: body.update(movement_id=NOBODY)),
        Spoiler("movement_already_voided", scene=lambda till: till.void(PAID_IN)),
        Spoiler("not_enough_cash", scene=lambda till: till.move("pay_out", 1_000)),
    ),
    "record_order": (
        *ON_A_SESSION,
        Spoiler("tender_unknown", says=add("payments", GOLD)),
        Spoiler("amount_invalid", says=lambda body: body.update(tax_minor=10**12)),
        Spoiler("order_revision_stale", scene=lambda till: till.order("A", {"card": 1}, revision=7)),
        Spoiler(
            "not_enough_cash",
            scene=lambda till: till.move("pay_out", 1_000),
            says=lambda body: body.update(refund_of="x", payments=body["payments"] + amounts({"cash": 1})),
        ),
    ),
    "close_session": (
        *ON_A_SESSION,
        Spoiler("tender_unknown", says=add("counted", {"tender": "rappi", "amount_minor": 0})),
        Spoiler("amount_invalid", says=add("counted", *TWICE)),
    ),
}
NEVER_TOGETHER = {
    ("unauthenticated", "forbidden"): "without a token nobody is known who could be forbidden",
    ("session_unknown", "session_closed"): "what is not there is not closed",
    ("movement_unknown", "movement_already_voided"): "what is not there was not voided",
    ("movement_unknown", "not_enough_cash"): "a movement that is not there takes no money",
    ("movement_already_voided", "not_enough_cash"): "a void that took too much was refused; see the last test here",
}


def command(till: Till, kind: str) -> Body:
    """A command of this kind that would be accepted."""
    members: dict[str, Body] = {
        "open_session": {"currency": "MXN", "opening": [], "session_id": till.new_id()},
        "move_cash": {"movement": "pay_in", "amount_minor": 5, "category": "change"},
        "void_movement": {"movement_id": PAID_IN, "reason": "typo"},
        "record_order": order("A", {"card": 100}),
        "close_session": {"counted": amounts({"cash": 1_000})},
    }
    return till.body(kind, command_id=TRIED, **members[kind])


def answered(kind: str, *spoilers: Spoiler) -> Body:
    """The answer to such a command after these spoilers, on a till with 1,000 in its drawer that may not go below 0."""
    till = Till(allow_negative_drawer=False)
    till.open(session_id=SESSION)
    till.move("pay_in", 1_000, command_id=PAID_IN)
    if kind == "open_session":
        till.closed({"cash": 1_000})
    # Backwards, because a session must be open for what lies below `session_closed`.
    for spoiler in reversed(spoilers):
        spoiler.scene(till)
    body = command(till, kind)
    for spoiler in spoilers:
        spoiler.says(body)
    if any(spoiler.stranger for spoiler in spoilers):
        return till.send(body, verify=lambda *_: STRANGER)
    return till.send(body, verify=None if all(spoiler.token for spoiler in spoilers) else lambda *_: None)


@pytest.mark.parametrize("kind", ROWS)
def test_the_rows_stand_in_the_order_of_the_wire(kind: str) -> None:
    places = [get_args(Reason).index(spoiler.reason) for spoiler in ROWS[kind]]
    assert places == sorted(set(places))


@pytest.mark.parametrize("kind", ROWS)
def test_a_command_that_nothing_spoils_is_accepted(kind: str) -> None:
    assert answered(kind)["kind"] != "command_rejected"


ALONE = [(kind, spoiler) for kind, row in ROWS.items() for spoiler in row]


@pytest.mark.parametrize(("kind", "spoiler"), ALONE, ids=[f"{kind}-{spoiler.reason}" for kind, spoiler in ALONE])
def test_each_reason_is_given_when_it_alone_holds(kind: str, spoiler: Spoiler) -> None:
    answer = answered(kind, spoiler)
    assert (answer["kind"], answer["reason"]) == ("command_rejected", spoiler.reason)
    assert answer["message"]
    assert "sequence" not in answer


PAIRS = [
    (kind, above, below)
    for kind, row in ROWS.items()
    for above, below in itertools.combinations(row, 2)
    if (above.reason, below.reason) not in NEVER_TOGETHER
]


@pytest.mark.parametrize(
    ("kind", "above", "below"), PAIRS, ids=[f"{kind}-{above.reason}-{below.reason}" for kind, above, below in PAIRS]
)
def test_of_two_reasons_the_one_above_is_given(kind: str, above: Spoiler, below: Spoiler) -> None:
    assert answered(kind, above, below)["reason"] == above.reason


def test_a_movement_voided_before_is_already_voided_even_where_the_drawer_is_too_empty_for_it() -> None:
    till = Till(allow_negative_drawer=False)
    till.open()
    paid_in = till.move("pay_in", 100)["command_id"]
    till.void(paid_in)
    assert till.void(paid_in)["reason"] == "movement_already_voided"
