"""The flags of `node update` change what they name."""

import pytest

from swarm.errors import Invalid
from swarm.specs import Availability, NodeSpec, Role, Taint, TaintEffect
from swarmctl.nodes import NodeFlags, updated

SPEC = NodeSpec(labels={"zone": "east", "disk": "ssd"})


def test_labels_are_removed_then_added() -> None:
    flags = NodeFlags(label_rm=("disk",), label_add=("zone=west", "gpu"))

    assert updated(SPEC, flags).labels == {"zone": "west", "gpu": ""}


def test_availability_and_role_are_set() -> None:
    spec = updated(SPEC, NodeFlags(availability="drain", role="manager"))

    assert (spec.availability, spec.role) == (Availability.DRAIN, Role.MANAGER)
    assert spec.labels == SPEC.labels


def test_a_label_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(Invalid, match="no label 'zoen'") as caught:
        updated(SPEC, NodeFlags(label_rm=("zoen",)))

    assert caught.value.hint == "it has disk, zone"


@pytest.mark.parametrize("text", ["=x", "a b=c", ""])
def test_a_label_needs_a_key(text: str) -> None:
    with pytest.raises(Invalid, match="--label-add"):
        updated(SPEC, NodeFlags(label_add=(text,)))


NO_EXECUTE = Taint(key="disk", value="bad", effect=TaintEffect.NO_EXECUTE)
NO_SCHEDULE = Taint(key="disk", effect=TaintEffect.NO_SCHEDULE)
GPU = Taint(key="gpu", effect=TaintEffect.PREFER_NO_SCHEDULE)
TAINTED = NodeSpec(taints=(NO_EXECUTE, NO_SCHEDULE, GPU))


@pytest.mark.parametrize(
    ("gone", "left"),
    [
        ("disk", (GPU,)),
        ("disk:no-schedule", (NO_EXECUTE, GPU)),
        ("disk=bad:no-execute", (NO_SCHEDULE, GPU)),
    ],
)
def test_taints_are_removed_by_key_or_in_full(gone: str, left: tuple[Taint, ...]) -> None:
    assert updated(TAINTED, NodeFlags(taint_rm=(gone,))).taints == left


def test_a_taint_replaces_what_has_its_key_and_effect() -> None:
    spec = updated(TAINTED, NodeFlags(taint_add=("disk=new:no-execute", "x:no-schedule")))

    assert spec.taints == (
        Taint(key="disk", value="new", effect=TaintEffect.NO_EXECUTE),
        NO_SCHEDULE,
        GPU,
        Taint(key="x", effect=TaintEffect.NO_SCHEDULE),
    )


def test_a_taint_that_is_not_there_cannot_be_removed() -> None:
    with pytest.raises(Invalid, match="no taint 'gpu:no-execute'") as caught:
        updated(TAINTED, NodeFlags(taint_rm=("gpu:no-execute",)))

    assert "gpu:prefer-no-schedule" in caught.value.hint


def test_the_time_of_a_drain_is_bounded() -> None:
    assert updated(SPEC, NodeFlags(drain_timeout=90.0)).drain_timeout_s == 90.0
