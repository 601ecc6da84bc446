"""Clusters in trouble, each drawn from a seed, and proof that a failure can be read.

`make sim SEEDS=20000` runs more of them.
"""

from collections.abc import Iterator
from multiprocessing import get_context
from multiprocessing.pool import Pool

import pytest
from msgspec import structs

from tests.sim.cluster import Simulation, run
from tests.sim.engine import Violated
from tests.sim.farm import outcome, outcome_of_seed
from tests.sim.faults import Faults
from tests.sim.operators import Operators
from tests.sim.scenario import COMMANDS, FAULTS, OPTIONAL_COMMANDS, draw
from tests.sim.shrinking import Shrinking

SEEDS = 400
CHUNK = 50


@pytest.fixture(scope="module")
def farm() -> Iterator[Pool]:
    """Two processes: what CI has."""
    with get_context("spawn").Pool(2) as pool:
        yield pool
        pool.terminate()
        pool.join()


@pytest.mark.timeout(300)
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_clusters_in_trouble_break_no_promise_and_recover(first: int, farm: Pool) -> None:
    outcomes = farm.map(outcome_of_seed, range(first, first + CHUNK), chunksize=5)

    failed = [each for each in outcomes if each.rule]
    if failed:
        found = Shrinking(failed[0], within_s=60.0).run()
        pytest.fail(
            "\n".join((*(f"seed {each.seed}: {each.what}" for each in failed), *found.told()))
        )


def test_a_seed_is_a_run_to_the_last_detail() -> None:
    assert run(3).engine.story == run(3).engine.story


def test_whatever_a_scenario_draws_can_happen() -> None:
    simulation = Simulation(draw(0))

    assert COMMANDS.keys() | OPTIONAL_COMMANDS.keys() == simulation.operators.names
    assert FAULTS.keys() == simulation.faults.names
    assert isinstance(simulation.operators, Operators)
    assert isinstance(simulation.faults, Faults)


def test_a_failure_tells_its_seed_its_commit_and_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulation, "_converge", lambda self: _object())

    with pytest.raises(Violated) as caught:
        run(5)
    told = "\n".join(outcome(draw(5)).told())

    assert "make sim SEED=5" in "\n".join(caught.value.__notes__)
    assert "seed 5, commit " in told
    assert "is elected" in told


@pytest.mark.timeout(600)
def test_a_failure_is_shrunk_to_what_it_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Objecting to the second update leaves its two commands and a service to update.

    1. The run is as drawn: tens of commands and faults.
    2. Of these, an update needs a service, and the objection needs a second update.
    3. All else goes, the faults and all machines but one of each kind among them.
    """
    real = Operators._update

    def update(self: Operators, *args: object) -> None:
        real(self, *args)  # type: ignore[arg-type]
        story = self._engine.story
        if not self._engine.is_calm and sum("operator wants" in line for line in story) >= 3:
            raise Violated("updates", "there were two")

    monkeypatch.setattr(Operators, "_update", update)
    failure = next(each for each in map(outcome, map(draw, range(20))) if each.rule == "updates")

    found = Shrinking(failure, within_s=300.0).run()

    assert len(found.scenario.happenings) <= 3
    assert found.scenario.nodes == found.scenario.managers == 1
    assert not found.scenario.rates
    assert len(found.story) < len(failure.story)
    assert outcome(structs.replace(found.scenario)).story == found.story


def _object() -> None:
    raise Violated("test", "an objection")
