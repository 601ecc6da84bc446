"""Two hundred clusters in trouble, each drawn from a seed, and proof that trouble is noticed."""

from collections.abc import Callable

import pytest

from agent.reports import Reports
from manager.orchestrator import replicas
from manager.orchestrator.attempts import Attempt, Phase
from manager.scheduler import placement
from manager.scheduler.filters import PLENTY
from tests.sim.cluster import Simulation, run
from tests.sim.engine import Violated

SEEDS = 200


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_cluster_in_trouble_breaks_no_promise_and_recovers(seed: int) -> None:
    run(seed)


def test_a_seed_is_a_run_to_the_last_detail() -> None:
    assert run(3).engine.story == run(3).engine.story


def test_a_failure_tells_its_seed_and_its_story(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Simulation, "_converge", lambda self: _object())

    with pytest.raises(Violated) as caught:
        run(5)

    notes = "\n".join(caught.value.__notes__)
    assert "seed 5; replay it with: python -m tests.sim --seed 5" in notes
    assert "is elected" in notes


def first_violation(limit: int = 40) -> str:
    """What the first seed objects to that objects at all."""
    for seed in range(limit):
        try:
            run(seed)
        except Violated as err:
            return str(err)
    return ""


def without_leaving(original: Callable[..., list[Attempt]]) -> Callable[..., list[Attempt]]:
    return lambda self, phase: [] if phase is Phase.LEAVING else original(self, phase)


def test_starting_before_the_old_one_has_stopped_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(replicas.Replica, "having", without_leaving(replicas.Replica.having))

    assert "may run" in first_violation()


def test_placing_without_regard_to_room_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    real = placement.capacity
    monkeypatch.setattr(placement, "capacity", lambda *a, **k: real(*a, **k) + PLENTY)

    assert first_violation() == "a node is overcommitted"


def test_forgetting_what_was_not_acknowledged_is_noticed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def forgetful(reports: Reports, *, now: float) -> None:
        reports.__init__()

    monkeypatch.setattr(Reports, "closed", forgetful)

    assert "does not converge" in first_violation()


def _object() -> None:
    raise Violated("an objection")
