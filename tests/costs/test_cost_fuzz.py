"""A search for dear inputs, guided by what they cost: `make fuzz` searches long, and shows the dearest of each kind."""

import os
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import pytest
import structlog

from tests.costs.cost_fuzzer import Search, Target, table
from tests.costs.http_targets import gateway, http_targets, reporting
from tests.costs.measure import as_a_worker_collects
from tests.costs.targets import batch_targets, file_targets, record_targets

BRIEF_S: Final = 0.15
"""Of processor time, for each target: all of them take less than five seconds."""
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
    "batch, as fetched",
    "batch, own decoder",
    "file of profiles",
    "file of noted heads",
    "own API, command",
    "Final, session",
    "Jethings, session",
    "Shifts, cash",
    "own API, settings",
    "own API, user",
    "own API, rotation",
    "signing in",
    "own API, packed command",
    "own API, sessions asked",
    "own API, stream asked",
    "reporting, closings asked",
    "reporting, sessions asked",
    "reporting, stream asked",
    "reporting, stream by ticket",
    "reporting, changes asked",
    "gateway, headers",
    "gateway, headers of a stream",
    "reporting, headers",
)

pytestmark = pytest.mark.timeout(0)


@pytest.fixture(scope="module")
def targets(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Target]]:
    home = tmp_path_factory.mktemp("targets")
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(CRITICAL))
    with pytest.MonkeyPatch.context() as patch:
        app, headers = gateway(home, patch.setattr)
        everything = [
            *record_targets(home),
            *batch_targets(),
            *file_targets(home),
            *http_targets(app, headers, reporting()),
        ]
        yield {target.name: target for target in everything}
    structlog.reset_defaults()


def test_every_way_in_is_searched(targets: dict[str, Target]) -> None:
    assert tuple(targets) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_no_input_is_found_that_costs_more_for_its_bytes_than_its_bound(
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

    paths = [tmp_path / f"{number}" for number in range(len(dearest))]
    for path, dear in zip(paths, dearest, strict=True):
        path.write_bytes(dear.data)
    if at_length:
        lines = [f"{name}: {search.tried} inputs, TILL_FUZZ_SEED={seed}, the dearest in {tmp_path}"]
        for line in (*lines, *table(dearest[:SHOWN])):
            record_property("fuzz", line)
    assert not too_dear, "\n".join([f"seed {seed}, kept in {tmp_path}", *table(too_dear)])
