"""How much of everything a run does: the long one and the quick one."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from tests.bench.attacks import NAMES
from tests.bench.scaling import Steps


@dataclass(frozen=True, slots=True)
class Sizes:
    """Commands, seconds and rounds of every part."""

    commands: int
    rounds: int
    """Every way has its turn once in each round; the median counts."""
    every: int
    """One answer in so many is compared byte by byte; all are counted by kind."""
    million: int
    million_every: int
    textbook_commands: int
    latency_s: Mapping[int, int]
    """Seconds by commands a second."""
    gateway_per_s: int
    gateway_s: int
    neighbours_s: int
    """How long a store is watched beside each attack."""
    attacks: tuple[str, ...]
    """Their names in `tests.bench.attacks`."""
    close_orders: tuple[int, int]
    closings: int
    listed: int
    """Sessions in the ledger whose lists are asked for."""
    list_calls: int
    closings_listed: tuple[int, ...]
    """Closings that a reader holds whose pages are asked for."""
    closings_exported: tuple[int, ...]
    """Closings that a reader holds which are written to files."""
    ingested: int
    """Closings that a reader takes in from the topic."""
    rebuilt: int
    """Closings whose tables are read anew."""
    pushed: int
    """Deliveries to one endpoint, and to ten together."""
    analysed: int
    """Closings that analysts ask about."""
    analyst_calls: int
    console_closings: int
    """Of the one store whose pages are asked for."""
    console_calls: int
    console_pages: tuple[int, ...]
    """Live pages at once."""
    register_puts: int
    """Commands whose acknowledgement is timed, of each kind."""
    register_queued: tuple[int, ...]
    """Commands that wait in a register."""
    stages_commands: int
    limits_commands: int
    steps: Steps
    rest_s: float
    """The longest rest before a way; a calm machine rests for two seconds."""


FULL: Final = Sizes(
    commands=200_000,
    rounds=2,
    every=4,
    million=1_000_000,
    million_every=16,
    textbook_commands=4_000,
    latency_s={1: 60, 100: 30, 1_000: 20},
    gateway_per_s=200,
    gateway_s=15,
    neighbours_s=15,
    attacks=NAMES,
    close_orders=(10, 100_000),
    closings=100,
    listed=1_000_000,
    list_calls=300,
    closings_listed=(10_000, 1_000_000),
    closings_exported=(10_000, 100_000),
    ingested=100_000,
    rebuilt=100_000,
    pushed=20_000,
    analysed=100_000,
    analyst_calls=20,
    console_closings=100_000,
    console_calls=100,
    console_pages=(1, 200),
    register_puts=2_000,
    register_queued=(100_000, 1_000_000),
    stages_commands=100_000,
    limits_commands=100_000,
    steps=Steps(
        commands=100_000,
        workers=(1, 2, 4),
        profiles=((10, 10), (1_000, 1_000), (100_000, 1_000), (100_000, 5_000)),
        stored=(10_000, 1_000_000),
        stored_rounds=2,
    ),
    rest_s=12,
)
QUICK: Final = replace(
    FULL,
    listed=20_000,
    closings_listed=(10_000, 20_000),
    closings_exported=(1_000, 10_000),
    ingested=10_000,
    rebuilt=10_000,
    pushed=2_000,
    analysed=10_000,
    analyst_calls=10,
    list_calls=50,
    commands=20_000,
    rounds=1,
    every=1,
    million=100_000,
    textbook_commands=1_000,
    latency_s={100: 5, 1_000: 3},
    gateway_s=5,
    neighbours_s=5,
    close_orders=(10, 20_000),
    console_closings=10_000,
    console_calls=20,
    console_pages=(1, 20),
    register_puts=500,
    register_queued=(5_000, 20_000),
    stages_commands=40_000,
    limits_commands=20_000,
    steps=Steps(
        commands=20_000,
        workers=(1, 2),
        profiles=((10, 10), (1_000, 1_000)),
        stored=(10_000, 100_000),
        stored_rounds=1,
    ),
    rest_s=0,
)


def sizes_of(
    *,
    quick: bool,
    commands: int | None,
    stored: int | None,
    closings: int | None = None,
    attacks: tuple[str, ...] = NAMES,
) -> Sizes:
    """The sizes of a run, where given: `commands` for the comparison of speed, `stored` sessions of the larger ledger,
    and `closings` that the reporting reader holds at most, takes in, reads anew and pushes."""
    sizes = replace(QUICK if quick else FULL, attacks=attacks)
    if commands is not None:
        sizes = replace(sizes, commands=commands)
    if stored is not None:
        smaller = [size for size in sizes.steps.stored if size < stored]
        sizes = replace(sizes, steps=replace(sizes.steps, stored=(*smaller, stored)))
    if closings is not None:
        fewer = [size for size in sizes.closings_listed if size < closings]
        exported = [size for size in sizes.closings_exported if size < closings]
        sizes = replace(
            sizes,
            closings_listed=(*fewer, closings),
            closings_exported=(*exported, closings),
            ingested=closings,
            rebuilt=closings,
            pushed=closings,
            analysed=closings,
            console_closings=closings,
        )
    return sizes
