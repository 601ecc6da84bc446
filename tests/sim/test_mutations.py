"""Deliberate bugs, each of which the simulation has to find.

Those that take long to find are left to `make mutations`, which prints where each was found.
"""

import os

import pytest

from tests.sim.farm import outcome_of_seed
from tests.sim.mutations import MUTATIONS

WITHIN = 500
RARE = {"late echoes count"}


@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_simulation_notices_that(name: str) -> None:
    if name in RARE and "ALL_MUTATIONS" not in os.environ:
        pytest.skip("it takes hundreds of seeds: make mutations")
    for seed in range(WITHIN):
        found = outcome_of_seed(seed, name)
        if found.rule:
            print(f"{name}: found by seed {seed}: {found.what[:200]}")
            return
    pytest.fail(f"{name}: not found within {WITHIN} seeds")
