"""The flags of `node update` change what they name."""

import pytest

from swarm.errors import Invalid
from swarm.specs import Availability, NodeSpec, Role
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
