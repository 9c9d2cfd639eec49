"""When several reasons hold, the one that stands above is given (wire, section 4).

The table shows for each kind of command which reasons it knows; each has its spoiler, which makes that reason hold, and
only that. Any two of a column are then brought together, whatever lies between them. Pairs that can't hold at once are
named, with why.
"""

import dataclasses
import itertools
from collections.abc import Callable
from typing import Any, NamedTuple, get_args

import pytest

from contracts.events import Reason
from services.platform.auth.claims import Claims
from tests.rules.grid import columns, read_grid, rows
from tests.support.till import CARD, NOBODY, Body, Till, amounts, order

SESSION = "0195e3a0-1111-7000-8000-000000000001"
PAID_IN = "0195e3a0-2222-7000-8000-000000000001"
TRIED = "0195e3a0-3333-7000-8000-000000000001"
STRANGER = Claims("x", "register", frozenset({"another store"}), None, None, None, 4e9)


def unchanged(_: Any) -> None:
    """What came before, or what the command says, is as it was."""


class Spoiler(NamedTuple):
    """How a reason comes to hold: by what happened before, by what the command says, or by who sends it."""

    before: Callable[[Till], Any] = unchanged
    body: Callable[[Body], Any] = unchanged
    token: bool = True
    stranger: bool = False

    @property
    def way(self) -> str:
        """The word for it in the table."""
        if self.stranger or not self.token:
            return "token"
        ways = {"before": self.before is not unchanged, "body": self.body is not unchanged}
        return "both" if all(ways.values()) else next(way for way, taken in ways.items() if taken)


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

ORDER = read_grid("""
                            open_session   move_cash   void_movement   record_order   close_session  amend_session
unauthenticated             token          token       token           token          token          token
forbidden                   token          token       token           token          token          token
command_id_reused           before         before      before          before         before         before
malformed                   body           body        body            body           body           body
profile_unknown             body           body        body            body           body           body
profile_disabled            before         -           -               -              -              -
session_already_open        before         -           -               -              -              -
session_unknown             -              body        body            body           body           body
session_closed              body           before      before          before         before         before
tender_unknown              body           body        -               body           body           -
tender_in_use               -              -           -               -              -              body
currency_mismatch           body           -           -               -              -              body
amount_invalid              body           both        -               body           body           body
movement_unknown            -              -           body            -              -              -
movement_already_voided     -              -           before          -              -              -
order_revision_stale        -              -           -               before         -              -
not_enough_cash             -              body        before          both           -              -
""")
"""The reasons in the order of the wire, and by what each comes to hold for a kind: the token, what happened before, the
body, or both of these. Of two that hold, the upper one is given."""

SPOILERS: dict[str, dict[str, Spoiler]] = {
    "any kind": {
        "unauthenticated": Spoiler(token=False),
        "forbidden": Spoiler(stranger=True),
        "command_id_reused": Spoiler(before=lambda till: till.says("nonsense", command_id=TRIED)),
        "malformed": Spoiler(body=lambda body: body.update(surprise=1)),
        "profile_unknown": Spoiler(body=lambda body: body.update(profile_id="nobody")),
        "session_unknown": Spoiler(body=lambda body: body.update(session_id=NOBODY)),
        "session_closed": Spoiler(before=lambda till: till.closed({"cash": 0})),
    },
    "open_session": {
        "profile_disabled": Spoiler(before=disable),
        "session_already_open": Spoiler(before=lambda till: till.open()),
        "session_closed": Spoiler(body=lambda body: body.update(session_id=SESSION)),
        "tender_unknown": Spoiler(body=add("opening", GOLD)),
        "currency_mismatch": Spoiler(body=lambda body: body.update(currency="USD")),
        "amount_invalid": Spoiler(body=add("opening", *TWICE)),
    },
    "move_cash": {
        "tender_unknown": Spoiler(body=lambda body: body.update(tender="card")),
        "amount_invalid": Spoiler(before=fill_up, body=lambda body: body.update(amount_minor=10**15)),
        "not_enough_cash": Spoiler(body=lambda body: body.update(movement="pay_out", amount_minor=10**15)),
    },
    "void_movement": {
        "movement_unknown": Spoiler(body=lambda body: body.update(movement_id=NOBODY)),
        "movement_already_voided": Spoiler(before=lambda till: till.void(PAID_IN)),
        "not_enough_cash": Spoiler(before=lambda till: till.move("pay_out", 1_000)),
    },
    "record_order": {
        "tender_unknown": Spoiler(body=add("payments", GOLD)),
        "amount_invalid": Spoiler(body=lambda body: body.update(tax_minor=10**12)),
        "order_revision_stale": Spoiler(before=lambda till: till.order("A", {"card": 1}, revision=7)),
        "not_enough_cash": Spoiler(
            before=lambda till: till.move("pay_out", 1_000),
            body=lambda body: body.update(change=amounts({"cash": 1})),
        ),
    },
    "close_session": {
        "tender_unknown": Spoiler(body=add("counted", {"tender": "rappi", "amount_minor": 0})),
        "amount_invalid": Spoiler(body=add("counted", *TWICE)),
    },
    "amend_session": {
        "tender_in_use": Spoiler(body=add("add_tenders", CARD)),
        "currency_mismatch": Spoiler(body=add("add_tenders", {**CARD, "id": "dear", "exchange_rate": "2"})),
        "amount_invalid": Spoiler(body=add("add_tenders", *({**CARD, "id": f"card-{n}"} for n in range(44)))),
    },
}
KINDS = list(columns(ORDER))
REASONS = {kind: [reason for reason in rows(ORDER) if ORDER[reason, kind] != "-"] for kind in KINDS}
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
        "amend_session": {"add_tenders": [{**CARD, "id": "amex"}]},
    }
    return till.body(kind, command_id=TRIED, **members[kind])


def answered(kind: str, *reasons: str) -> Body:
    """The answer to such a command where these reasons hold, on a till with 1,000 that may not go below 0."""
    spoilers = [spoiler_of(kind, reason) for reason in reasons]
    till = Till(allow_negative_drawer=False)
    till.open(session_id=SESSION)
    till.move("pay_in", 1_000, command_id=PAID_IN)
    if kind == "open_session":
        till.closed({"cash": 1_000})
    # Backwards, because a session must be open for what lies below `session_closed`.
    for spoiler in reversed(spoilers):
        spoiler.before(till)
    body = command(till, kind)
    for spoiler in spoilers:
        spoiler.body(body)
    if any(spoiler.stranger for spoiler in spoilers):
        return till.send(body, verify=lambda *_: STRANGER)
    return till.send(body, verify=None if all(spoiler.token for spoiler in spoilers) else lambda *_: "missing")


def spoiler_of(kind: str, reason: str) -> Spoiler:
    return SPOILERS[kind].get(reason) or SPOILERS["any kind"][reason]


def test_the_table_stands_in_the_order_of_the_wire() -> None:
    ranks = [get_args(Reason).index(reason) for reason in rows(ORDER)]
    assert ranks == sorted(set(ranks))


@pytest.mark.parametrize("kind", KINDS)
def test_the_table_says_how_each_reason_comes_to_hold(kind: str) -> None:
    assert {reason: ORDER[reason, kind] for reason in REASONS[kind]} == {
        reason: spoiler_of(kind, reason).way for reason in REASONS[kind]
    }
    assert SPOILERS[kind].keys() <= set(REASONS[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_a_command_that_nothing_spoils_is_accepted(kind: str) -> None:
    assert answered(kind)["kind"] != "command_rejected"


ALONE = [(kind, reason) for kind in KINDS for reason in REASONS[kind]]


@pytest.mark.parametrize(("kind", "reason"), ALONE)
def test_each_reason_is_given_when_it_alone_holds(kind: str, reason: str) -> None:
    answer = answered(kind, reason)
    assert (answer["kind"], answer["reason"]) == ("command_rejected", reason)
    assert answer["message"]
    assert "sequence" not in answer


PAIRS = [
    (kind, above, below)
    for kind in KINDS
    for above, below in itertools.combinations(REASONS[kind], 2)
    if (above, below) not in NEVER_TOGETHER
]


@pytest.mark.parametrize(("kind", "above", "below"), PAIRS)
def test_of_two_reasons_the_one_above_is_given(kind: str, above: str, below: str) -> None:
    assert answered(kind, above, below)["reason"] == above


def test_a_movement_voided_before_is_already_voided_even_where_the_drawer_is_too_empty_for_it() -> None:
    till = Till(allow_negative_drawer=False)
    till.open()
    paid_in = till.move("pay_in", 100)["command_id"]
    till.void(paid_in)
    assert till.void(paid_in)["reason"] == "movement_already_voided"
