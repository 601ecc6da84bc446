"""Every value survives the wire, and mirrors its message field by field."""

from typing import get_args

import pytest

from swarm import codec
from swarm.dispatch import Assignment, Diff, FromAgent, FromManager, Hello, Snapshot
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Observation, SpecVersion, Task
from swarm.specs import ContainerSpec, TaskSpec
from swarm.states import TaskState

TASK = Task(id=TaskId("t1"), service_id=ServiceId("s1"), node_id=NodeId("n1"), slot=3)


@pytest.mark.parametrize("kind", [*get_args(FromAgent), *get_args(FromManager), Assignment])
def test_each_value_has_the_fields_of_its_message(kind: type) -> None:
    described = codec.message_class(kind).DESCRIPTOR

    names = {each.name for each in described.fields}

    assert names == set(kind.__struct_fields__)


def test_a_diff_survives_the_wire() -> None:
    diff = Diff(
        sequence=7,
        changed=(Assignment(task=TASK, revision=9, observed=TaskState.RUNNING),),
        removed=(TaskId("t0"),),
        specs=(
            SpecVersion(
                service_id=ServiceId("s1"),
                version=2,
                task=TaskSpec(container=ContainerSpec(image="web:1", args=("serve",))),
            ),
        ),
    )

    assert codec.unpack(Diff, codec.pack(diff)) == diff


def test_a_snapshot_and_a_hello_survive_the_wire() -> None:
    snapshot = Snapshot(sequence=1, assignments=(Assignment(task=TASK),))
    hello = Hello(digest="d", statuses=(Observation(task_id=TaskId("t1"), exit_code=137),))

    assert codec.unpack(Snapshot, codec.pack(snapshot)) == snapshot
    assert codec.unpack(Hello, codec.pack(hello)) == hello
