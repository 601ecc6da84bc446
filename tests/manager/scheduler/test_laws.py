from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from manager.scheduler.fleet import Fleet
from manager.scheduler.placement import Placement, place
from manager.scheduler.verdicts import verdicts
from tests.manager.scheduler.naive import Naive
from tests.manager.scheduler.scenes import Scene, make_scene

SCENES = st.integers(0, 2**32).map(Random).map(make_scene)


def placed(scene: Scene, wanted: int) -> Placement:
    fleet = Fleet.of(scene.view)
    fleet.check(scene.view)
    return place(
        fleet,
        scene.ask,
        wanted,
        failures=scene.failures,
        leaving=scene.leaving,
        avoid=scene.avoid,
    )


def naive(scene: Scene) -> Naive:
    return Naive(
        scene.view,
        scene.ask,
        scene.asks,
        failures=scene.failures,
        leaving=scene.leaving,
        avoid=scene.avoid,
    )


@settings(deadline=None, max_examples=300)
@given(SCENES, st.integers(0, 12))
def test_law_placing_in_bulk_chooses_what_choosing_one_by_one_chooses(
    scene: Scene, wanted: int
) -> None:
    found = placed(scene, wanted)

    assert list(found.nodes) == list(naive(scene).place(wanted))
    assert bool(found.reason) is (found.missing > 0)


@settings(deadline=None, max_examples=100)
@given(SCENES)
def test_law_a_node_admits_one_more_exactly_when_it_can_be_given_one(scene: Scene) -> None:
    fleet = Fleet.of(scene.view)
    everything = frozenset(fleet.rows)

    for verdict in verdicts(fleet, scene.ask):
        others = everything - {verdict.node_id}
        found = place(fleet, scene.ask, 1, avoid=others)
        assert found.nodes == ((verdict.node_id,) if verdict.admits else ())
        assert bool(verdict.filter) is bool(verdict.detail) is not verdict.admits
        assert verdict.room != 0 or not verdict.admits
