"""Wishes about places are added, replaced and removed by what they are about."""

from typing import Any

import pytest

from swarm.errors import Invalid
from swarm.specs import (
    Affinity,
    Dependency,
    DependencyCondition,
    GenericResource,
    Placement,
    Platform,
    Resources,
    TaskSpec,
    Toleration,
)
from swarmctl.flags import UpdateFlags
from swarmctl.placing import parse_dependency, placed

OLD = TaskSpec(
    placement=Placement(
        constraints=("node.id==a", "node.role == worker"),
        preferences=("node.labels.zone", "node.labels.rack"),
        platforms=(Platform(os="linux", arch="amd64"),),
        affinities=(
            Affinity(service="db"),
            Affinity(service="db", anti=True, topology="node.labels.rack"),
            Affinity(service="web", anti=True, required=False),
        ),
        tolerations=(Toleration(key="gpu", any_value=True), Toleration(key="team", value="red")),
    ),
    reservations=Resources(
        cpu_millis=5,
        generic=(GenericResource(kind="gpu", count=1), GenericResource(kind="ssd", count=2)),
    ),
    depends_on=(Dependency(service="db"), Dependency(service="mq")),
)


def edited(**flags: Any) -> TaskSpec:
    return placed(OLD, UpdateFlags(**flags))


def test_without_flags_all_stays() -> None:
    assert edited() == OLD


def test_a_removal_names_what_the_wish_is_about() -> None:
    task = edited(
        affinity_rm=("db",),
        toleration_rm=("gpu", "team=red"),
        generic_resource_rm=("gpu", "ssd=2"),
        depends_on_rm=("mq",),
        platform_rm=("linux/amd64",),
        placement_pref_rm=("spread=node.labels.zone",),
        constraint_rm=("node.role==worker",),
    )

    assert task.placement == Placement(
        constraints=("node.id==a",),
        preferences=("node.labels.rack",),
        affinities=(Affinity(service="web", anti=True, required=False),),
    )
    assert task.reservations == Resources(cpu_millis=5)
    assert task.depends_on == (Dependency(service="db"),)


def test_one_affinity_of_several_to_a_service_is_removed_in_full() -> None:
    task = edited(affinity_rm=("service!=db,topology=node.labels.rack",))

    assert [(each.service, each.anti) for each in task.placement.affinities] == [
        ("db", False),
        ("web", True),
    ]


def test_what_is_added_replaces_what_it_contradicts() -> None:
    task = edited(
        generic_resource_add=("gpu=4",),
        depends_on_add=("db=healthy", "cache"),
        affinity_add=("service!=web",),
        toleration_add=("gpu:no-execute",),
    )

    assert task.reservations.generic[0] == GenericResource(kind="gpu", count=4)
    assert task.depends_on == (
        Dependency(service="db", condition=DependencyCondition.HEALTHY),
        Dependency(service="mq"),
        Dependency(service="cache"),
    )
    assert task.placement.affinities[2] == Affinity(service="web", anti=True)
    assert len(task.placement.tolerations) == 2


def test_preferences_keep_their_order() -> None:
    task = edited(placement_pref_add=("spread=node.hostname",))

    assert task.placement.preferences == ("node.labels.zone", "node.labels.rack", "node.hostname")


@pytest.mark.parametrize("text", ["=healthy", "db=", "db=well"])
def test_a_dependency_needs_a_service_and_a_condition(text: str) -> None:
    with pytest.raises(Invalid):
        parse_dependency(text)
