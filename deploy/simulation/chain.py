"""A chain of shops: its stores and tills, how they are set up, who works there, when the line is down. Pure."""

import csv
import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from deploy.demo.day import PROFILES
from deploy.demo.register import Dice, Register
from deploy.demo.shops import BAKERY, CAFE, CORNER_SHOP, KIOSK, Shop
from deploy.demo.tape import Body

Outage = tuple[timedelta, timedelta]
"""From when to when a line is down, from the day's beginning on."""
OPENS_AT_H: Final = 8
"""The hour of each shop's own clock at which the day begins, as its ids have it."""
WHOLE: Final = 10_000
"""Shares are drawn in hundredths of a percent."""


@dataclass(frozen=True)
class Plan:
    """What was asked for. `orders_per_minute` are of a till; shares are in percent; `skew_s` is how far clocks err."""

    stores: int = 3
    tills: int = 2
    orders_per_minute: float = 2
    minutes: float = 10
    offline_percent: float = 0
    skew_s: float = 0
    duplicates_percent: float = 0
    seed: int = 1
    run: str = "sim"

    @property
    def day(self) -> timedelta:
        """How long the shops are open."""
        return timedelta(minutes=self.minutes)

    def dice(self, *words: object) -> Dice:
        """Chance of its own for whoever these words name: what one does never moves what another does."""
        text = "/".join(map(str, (self.seed, *words)))
        return Dice(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]))


@dataclass(frozen=True)
class Kind:
    """A kind of shop. `like` is the till of the demo whose settings its tills have; `handset` is who sells by one.

    The words of a movement are its categories: what money goes out and comes in for.
    """

    name: str
    shop: Shop
    like: tuple[str, str]
    utc_offset_h: int
    time_zone: str
    float_minor: int
    till: str
    staff: tuple[str, ...]
    manager: str
    buys: tuple[str, ...]
    change: str
    safe: str
    handset: str | None = None


KINDS: Final = (
    Kind(
        *("cafe", CAFE, ("parrot-cafe", "caja-2"), -6, "America/Mexico_City", 50_000),
        till="Caja",
        staff=("Ana Torres", "Luis Mejía", "Sofía Ruiz", "Diego Paz", "Elena Cruz"),
        manager="Marta Gil",
        buys=("leche", "hielo", "servilletas"),
        change="cambio",
        safe="caja fuerte",
        handset="Iván Soto",
    ),
    Kind(
        *("bakery", BAKERY, ("fournil-lyon", "marche"), 1, "Europe/Paris", 15_000),
        till="Caisse",
        staff=("Camille Roche", "Hugo Blanchet", "Inès Faure", "Noé Faure", "Léa Girard", "Sami Haddad"),
        manager="Claire Morel",
        buys=("œufs", "farine", "parking"),
        change="monnaie",
        safe="coffre",
    ),
    Kind(
        *("duka", CORNER_SHOP, ("duka-nairobi", "till-1"), 3, "Africa/Nairobi", 200_000),
        till="Till",
        staff=("Wanjiru Kamau", "Brian Otieno", "Amina Hassan", "Joseph Kiptoo", "Faith Achieng"),
        manager="Grace Njeri",
        buys=("bread delivery", "water", "airtime"),
        change="change",
        safe="safe",
        handset="Peter Mwangi",
    ),
    Kind(
        *("kiosk", KIOSK, ("kiosco-linea", "ventanilla-1"), -8, "America/Tijuana", 40_000),
        till="Ventanilla",
        staff=("Marisol Vega", "Jesús Ibarra", "Lupita Cano", "Raúl Ochoa"),
        manager="Rosa Luna",
        buys=("agua", "bolsas"),
        change="cambio",
        safe="caja fuerte",
    ),
)


@dataclass(frozen=True)
class Store:
    """One store of the chain; `number` counts from 1."""

    kind: Kind
    number: int
    store_id: str
    name: str
    outages: tuple[Outage, ...]


@dataclass(frozen=True)
class Till:
    """One till. `clock` is by how much its register's is ahead; its handset has a clock and outages of its own."""

    store: Store
    number: int
    profile_id: str
    clock: timedelta
    handset_clock: timedelta
    handset_outages: tuple[Outage, ...]

    @property
    def settings(self) -> Body:
        """The `profile` of a `set_profile`."""
        like = _settings(self.store.kind.like)
        name = f"{self.store.kind.till} {self.number}"
        return {**like, "name": name, "store_name": self.store.name, "time_zone": self.store.kind.time_zone}

    def register(self, seed: int) -> Register:
        """A device at this till; its ids follow from the seed."""
        profile = (self.store.store_id, self.profile_id)
        return Register(profile, self.store.kind.utc_offset_h, seed, numbered=True)


def stores(plan: Plan) -> list[Store]:
    """The chain's stores: of each kind one, and again from the first."""
    chain = []
    for number in range(1, plan.stores + 1):
        kind = KINDS[(number - 1) % len(KINDS)]
        name = f"{_settings(kind.like)['store_name']} {number}"
        outages = _outages(plan, plan.dice("line", number))
        chain.append(Store(kind, number, f"{plan.run}-{kind.name}-{number}", name, outages))
    return chain


def tills(plan: Plan) -> Iterator[Till]:
    """The chain's tills, store by store."""
    for store in stores(plan):
        for number in range(1, plan.tills + 1):
            dice = plan.dice("devices", store.number, number)
            clock, handset_clock = _skew(plan, dice), _skew(plan, dice)
            outages = (*store.outages, *_outages(plan, dice)) if store.kind.handset else ()
            yield Till(store, number, f"till-{number}", clock, handset_clock, tuple(sorted(outages)))


def person(name: str) -> Body:
    """Somebody as commands name them."""
    return {"id": name.lower().replace(" ", "."), "name": name}


def _skew(plan: Plan, dice: Dice) -> timedelta:
    """How far a clock errs, to either side, in whole seconds."""
    whole = int(plan.skew_s)
    return timedelta(seconds=dice.below(2 * whole + 1) - whole)


def _outages(plan: Plan, dice: Dice) -> tuple[Outage, ...]:
    """One to three outages that take up the share of the day that was asked for, each in a part of its own."""
    count = 1 + dice.below(3)
    part = plan.day / count
    length = part * plan.offline_percent / 100
    begins = [part * number + (part - length) * dice.below(WHOLE) / WHOLE for number in range(count)]
    return tuple((begin, begin + length) for begin in begins) if length else ()


@cache
def _settings(like: tuple[str, str]) -> dict[str, Any]:
    """The settings of a till of the demo, as a command has them."""
    with PROFILES.open(encoding="utf-8", newline="") as rows:
        row = next(row for row in csv.DictReader(rows) if (row["store_id"], row["profile_id"]) == like)
    words: dict[str, Any] = {name: value for name, value in row.items() if value and not name.endswith("_id")}
    for name in {"tenders", "over_short_limit_minor", "blind", "allow_negative_drawer", "enabled"} & words.keys():
        words[name] = json.loads(words[name])
    return {name: int(value) if name.endswith("_s") else value for name, value in words.items()}
