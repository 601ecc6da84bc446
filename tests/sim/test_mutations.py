"""Deliberate bugs, each of which the simulation has to find.

Those that take long to find are left to `make mutations`, which prints where each was found.
"""

import os

import pytest

from tests.sim.farm import outcome_of_seed
from tests.sim.mutations import MUTATIONS

WITHIN = 500
RARE = {"late echoes count"}
FOUND_AT = {
    "commits are not fenced": 300,
    "statuses rely on nothing": 61,
    "tasks of silent nodes seem to answer": 49,
}
"""The seeds that found them last, to begin with. Others may find them when the code changes."""


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_simulation_notices_that(name: str) -> None:
    if name in RARE and "ALL_MUTATIONS" not in os.environ:
        pytest.skip("it takes hundreds of seeds: make mutations")
    first = FOUND_AT.get(name, 0)
    for seed in (*range(first, WITHIN), *range(first)):
        found = outcome_of_seed(seed, name)
        if found.rule:
            print(f"{name}: found by seed {seed}: {found.what[:200]}")
            return
    pytest.fail(f"{name}: not found within {WITHIN} seeds")
