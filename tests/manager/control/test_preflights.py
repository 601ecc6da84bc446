from typing import Any

import pytest

from manager.control.preflights import (
    eligible_nodes,
    have_image,
    needs_nodes,
    shared_problems,
)
from swarm.ids import NodeId
from swarm.specs import Availability, ContainerSpec, Device, Mount, MountKind, Placement, TaskSpec
from tests.manager.world import World

N1, N2 = NodeId("n1"), NodeId("n2")
NO_BIND = "container.mounts[0].source: /x does not exist"
NO_IMAGE = "container.image: not on this node"


def binding(source: str) -> TaskSpec:
    mount = Mount(kind=MountKind.BIND, source=source, target="/t")
    return TaskSpec(container=ContainerSpec(mounts=(mount,)))


def test_only_nodes_know_of_bind_sources() -> None:
    assert needs_nodes(binding("/x"))
    assert not needs_nodes(binding("/srv/{{.Task.Slot}}"))
    assert not needs_nodes(TaskSpec())


@pytest.mark.parametrize(
    "fields",
    [
        {"devices": (Device(source="/dev/fuse", target="/dev/fuse"),)},
        {"privileged": True},
        {"apparmor": "mine"},
    ],
)
def test_only_nodes_know_of_devices_and_of_what_they_admit(fields: dict[str, Any]) -> None:
    assert needs_nodes(TaskSpec(container=ContainerSpec(**fields)))


def test_those_are_asked_that_could_be_given_the_task() -> None:
    world = World()
    world.node("away", ready=False)
    world.node("east", labels={"zone": "east"})
    world.node("west", labels={"zone": "west"})
    world.node("paused", availability=Availability.PAUSE)
    task = TaskSpec(placement=Placement(constraints=("node.labels.zone != west",)))

    assert eligible_nodes(world.view, task) == ("east",)


def test_a_problem_counts_when_every_asked_node_reports_it() -> None:
    assert shared_problems({N1: (NO_BIND,), N2: (NO_BIND,)}) == (NO_BIND,)
    assert shared_problems({N1: (NO_BIND,), N2: ()}) == ()


def test_silence_is_no_problem() -> None:
    assert shared_problems({N1: (NO_BIND,), N2: None}) == ()
    assert shared_problems({}) == ()


def test_a_missing_image_is_no_problem_because_it_may_be_pulled() -> None:
    assert shared_problems({N1: (NO_IMAGE, NO_BIND)}) == (NO_BIND,)


def test_one_node_with_the_image_is_enough() -> None:
    assert have_image({N1: (NO_IMAGE,), N2: (NO_BIND,)})
    assert not have_image({N1: (NO_IMAGE,), N2: None})
