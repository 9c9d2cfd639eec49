"""How the tills of a store stand: what each card shows, and which comes first. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

WAITS: Final = ("pending", "open", "suspended", "counting", "closed", "off")
"""What a manager looks at first."""
HOLDS: Final = frozenset({"open", "suspended"})


@dataclass(frozen=True, slots=True)
class Card:
    """One till. `session` is the one that holds it, else None; `pending` are those whose closing waits."""

    till: Mapping[str, Any]
    session: Mapping[str, Any] | None
    pending: tuple[Mapping[str, Any], ...]

    @property
    def state(self) -> str:
        """A word of `words.STATES`: an approval that waits is the till's, whoever has its drawer by now."""
        if any(session["waits_for"] == "approval" for session in self.pending):
            return "pending"
        if self.session is not None:
            return str(self.session["state"])
        if self.pending:
            return "counting"
        return "closed" if self.till["enabled"] else "off"

    @property
    def is_live(self) -> bool:
        """Whether anything goes on at it."""
        return self.session is not None or bool(self.pending)

    @property
    def anchor(self) -> str:
        """What the card is called on its page."""
        return f"till-{self.till['profile_id']}"


@dataclass(frozen=True, slots=True)
class Total:
    """What open tills of one currency have sold together; None where one may not be known."""

    currency: str
    sales_minor: int
    expected_minor: int
    hidden: int


def cards(tills: Iterable[Mapping[str, Any]]) -> list[Card]:
    """A card a till, in the order of what needs a person first, then by name."""
    return sorted(map(_card, tills), key=lambda card: (WAITS.index(card.state), card.till["name"].casefold()))


def totals(shown: Iterable[Card]) -> list[Total]:
    """What the sessions that hold a till have sold so far, by currency; `hidden` tells how many may not be known."""
    by_currency: dict[str, Total] = {}
    for card in shown:
        if card.session is None:
            continue
        currency, figures = card.till["currency"], card.session["figures"]
        total = by_currency.get(currency, Total(currency, 0, 0, 0))
        by_currency[currency] = (
            Total(currency, total.sales_minor, total.expected_minor, total.hidden + 1)
            if figures is None
            else Total(
                currency,
                total.sales_minor + figures["sales_minor"],
                total.expected_minor + figures["cash_expected_minor"],
                total.hidden,
            )
        )
    return [by_currency[currency] for currency in sorted(by_currency)]


def _card(till: Mapping[str, Any]) -> Card:
    sessions = till["sessions"]
    holding = next((session for session in sessions if session["state"] in HOLDS), None)
    return Card(till, holding, tuple(session for session in sessions if session["state"] == "pending"))
