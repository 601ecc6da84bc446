"""Deliberate bugs, each of which the simulation has to find."""

import pytest

from tests.sim.farm import outcome_of_seed
from tests.sim.mutations import MUTATIONS

WITHIN = 500


@pytest.mark.timeout(300)
@pytest.mark.parametrize("name", MUTATIONS)
def test_the_simulation_notices_when(name: str) -> None:
    for seed in range(WITHIN):
        found = outcome_of_seed(seed, name)
        if found.rule:
            print(f"{name}: found at seed {seed}: {found.what}")
            return
    pytest.fail(f"{name}: not found within {WITHIN} seeds")
