"""How the tills of a store stand: what each card shows, and which comes first. Pure."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
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
class Sum:
    """Of the tills whose figure may be known, None where that is none; `hidden` is how many others there are."""

    minor: int | None
    hidden: int


@dataclass(frozen=True, slots=True)
class Total:
    """What open tills of one currency have sold together, and the cash that should be in their drawers."""

    currency: str
    sales: Sum
    expected: Sum


def cards(tills: Iterable[Mapping[str, Any]]) -> list[Card]:
    """A card a till, in the order of what needs a person first, then by name."""
    return sorted(map(_card, tills), key=lambda card: (WAITS.index(card.state), card.till["name"].casefold()))


def totals(shown: Iterable[Card]) -> list[Total]:
    """What the sessions that hold a till come to so far, by currency."""
    by_currency: defaultdict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for card in shown:
        if card.session is not None:
            figures = card.session["figures"] or {"currency": card.till["currency"]}
            by_currency[figures["currency"]].append(figures)
    return [
        Total(currency, _sum(figures, "sales_minor"), _sum(figures, "cash_expected_minor"))
        for currency, figures in sorted(by_currency.items())
    ]


def _sum(figures: Sequence[Mapping[str, Any]], name: str) -> Sum:
    known = [one[name] for one in figures if one.get(name) is not None]
    return Sum(sum(known) if known else None, len(figures) - len(known))


def _card(till: Mapping[str, Any]) -> Card:
    sessions = till["sessions"]
    holding = next((session for session in sessions if session["state"] in HOLDS), None)
    return Card(till, holding, tuple(session for session in sessions if session["state"] == "pending"))
