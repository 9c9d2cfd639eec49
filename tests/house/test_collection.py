"""The tests have the same names in every process: those who share them out compare what each has collected."""

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).parents[2]
# Nothing is run, so no assertion needs to be rewritten: that takes a third of the time.
COLLECT = [sys.executable, "-m", "pytest", "tests", "--collect-only", "-q", "-p", "no:cacheprovider", "--assert=plain"]


def test_names_do_not_depend_on_the_order_of_a_set() -> None:
    # A set of texts has another order in every process, and so has a name made of one. What somebody has the outer run
    # print is not for these.
    own = os.environ | {"PYTEST_ADDOPTS": ""}
    collecting = [
        subprocess.Popen(COLLECT, cwd=TOP, env=own | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE, text=True)
        for seed in ("1", "2")
    ]
    printed = [process.communicate()[0].splitlines() for process in collecting]
    first, second = ([line for line in lines if "::" in line] for lines in printed)
    assert len(first) > 1_000
    assert [pair for pair in zip(first, second, strict=True) if pair[0] != pair[1]] == []
