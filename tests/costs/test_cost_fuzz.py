"""A search for dear inputs, guided by what they cost: `make fuzz` searches long, and shows the dearest of each kind."""

import os
import random
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Final

import pytest
import structlog
from fastapi import FastAPI

from tests.costs.console_targets import PASSED_ON, ROUTES, console_targets
from tests.costs.cost_fuzzer import Search, Target, table
from tests.costs.head_targets import head_targets
from tests.costs.http_apps import gateway, reporting
from tests.costs.http_targets import LIKE, http_targets
from tests.costs.measure import as_a_worker_collects
from tests.costs.targets import batch_targets, file_targets, other_record_targets, record_targets
from tests.costs.ways import Ways, documented, forms

BRIEF_S: Final = 0.08
"""Of processor time, for each target: all of them search less than five seconds."""
BRIEF_BYTES: Final = 16_384
LONG_S: Final = 60.0
BRIEF_SEED: Final = 1
SHOWN: Final = 3
CRITICAL: Final = 50

Record = Callable[[str, object], None]

NAMES: Final = (
    "record, no token",
    "record, good token",
    "record, headers",
    "record of access",
    "record of closings",
    "batch, as fetched",
    "batch, own decoder",
    "file of profiles",
    "file of public keys",
    "file of noted heads",
    "own API, command",
    "Final, session",
    "Final, update",
    "Jethings, session",
    "Shifts, cash",
    "Shifts, start",
    "Shifts, end",
    "own API, settings",
    "own API, user",
    "own API, key",
    "own API, rotation",
    "signing in",
    "trading a key",
    "own API, packed command",
    "own API, sessions asked",
    "own API, stream asked",
    "own API, tills asked",
    "own API, journal asked",
    "reporting, closings asked",
    "reporting, sessions asked",
    "reporting, stream asked",
    "reporting, stream by ticket",
    "reporting, changes asked",
    "reporting, over and short",
    "reporting, export asked",
    "gateway, headers",
    "gateway, headers of a stream",
    "reporting, headers",
    "one connection",
    "console, signing in",
    "console, new till",
    "console, count",
    "console, cash moved",
    "console, closings searched",
    "console, headers",
)

pytestmark = pytest.mark.timeout(0)


@pytest.fixture(scope="module")
def apis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FastAPI, Mapping[str, str], FastAPI]]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    with pytest.MonkeyPatch.context() as patch:
        yield *gateway(tmp_path_factory.mktemp("gateway"), patch.setattr), reporting()
    structlog.reset_defaults()


@pytest.fixture(scope="module")
def ways(apis: tuple[FastAPI, Mapping[str, str], FastAPI]) -> Ways:
    app, _, reader = apis
    return documented(app, reader)


@pytest.fixture(scope="module")
def targets(
    apis: tuple[FastAPI, Mapping[str, str], FastAPI], ways: Ways, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Target]:
    home = tmp_path_factory.mktemp("targets")
    everything = [
        *record_targets(home),
        *other_record_targets(),
        *batch_targets(),
        *file_targets(home),
        *http_targets(*apis, ways),
        *head_targets(),
        *console_targets(home),
    ]
    return {target.name: target for target in everything}


def test_every_target_is_searched(targets: dict[str, Target]) -> None:
    assert tuple(targets) == NAMES


def test_every_body_and_query_of_the_apis_is_searched(targets: dict[str, Target], ways: Ways) -> None:
    """By a target of its own, or because one that is searched has all its parameters."""
    searched = {way for target in targets.values() for way in target.ways if not way.endswith("form")}

    assert sorted(ways) == sorted({*searched, *LIKE})
    assert [way for way, like in LIKE.items() if like not in searched or not ways[way] <= ways[like]] == []


def test_every_form_of_the_console_is_searched(targets: dict[str, Target]) -> None:
    searched = {way for target in targets.values() for way in target.ways if way.endswith("form")}

    assert sorted(forms(ROUTES)) == sorted({*searched, *PASSED_ON})


@pytest.mark.parametrize("name", NAMES)
def test_no_input_is_found_that_costs_more_or_leaves_more_for_its_bytes_than_its_bounds(
    targets: dict[str, Target], name: str, request: pytest.FixtureRequest, record_property: Record, tmp_path: Path
) -> None:
    at_length = request.config.getoption("--fuzz-at-length")
    drawn = random.SystemRandom().randrange(2**32) if at_length else BRIEF_SEED
    seed = int(os.environ.get("TILL_FUZZ_SEED", drawn))
    cpu_s = float(os.environ.get("TILL_FUZZ_S", LONG_S)) if at_length else BRIEF_S

    with as_a_worker_collects():
        search = Search(targets[name], seed, targets[name].size_max if at_length else BRIEF_BYTES)
        dearest = search.run(cpu_s)
        too_dear = [dear for dear in dearest if search.too_dear(dear)]
        remains = search.remains(cpu_s / 5 if at_length else 0)

    paths = [tmp_path / f"{number}" for number in range(len(dearest))]
    for path, dear in zip(paths, dearest, strict=True):
        path.write_bytes(dear.data)
    (tmp_path / "kept").write_bytes(remains.most)
    if at_length:
        lines = [f"{name}: {search.tried} inputs, TILL_FUZZ_SEED={seed}, the dearest in {tmp_path}"]
        for line in (*lines, *table(dearest[:SHOWN]), str(remains)):
            record_property("fuzz", line)
    assert not too_dear, "\n".join([f"seed {seed}, kept in {tmp_path}", *table(too_dear)])
    assert remains.per_byte <= targets[name].kept_max, f"seed {seed}, kept in {tmp_path}: {remains}"
