"""Snapshots and diffs, and what happens when one is missing."""

from hypothesis import given
from hypothesis import strategies as st

from agent.assignments import Assignments, Change, Gap
from agent.topology import Changes
from swarm import assignments as digests
from swarm.dispatch import Assignment, Diff, Snapshot
from swarm.ids import NetworkId, ServiceId, TaskId
from swarm.objects import Network, SpecVersion, Task
from swarm.specs import ContainerSpec, TaskSpec
from swarm.topology import Topology

SERVICE = ServiceId("s1")
SPEC = SpecVersion(service_id=SERVICE, version=1, task=TaskSpec(container=ContainerSpec(image="a")))


def assignment(name: str, *, revision: int = 1, version: int = 1) -> Assignment:
    task = Task(id=TaskId(name), service_id=SERVICE, spec_version=version)
    return Assignment(task=task, revision=revision)


def holding(*names: str) -> Assignments:
    held = Assignments()
    assignments = tuple(assignment(name) for name in names)
    held.take(Snapshot(sequence=1, assignments=assignments, specs=(SPEC,)))
    return held


def test_a_snapshot_withdraws_what_it_does_not_name() -> None:
    held = holding("a", "b")

    change = held.take(Snapshot(sequence=1, assignments=(assignment("b"),), specs=(SPEC,)))

    assert change == Change(withdrawn=(TaskId("a"),))


def test_a_diff_uses_the_specs_sent_before() -> None:
    held = holding("a")

    change = held.take(Diff(sequence=2, changed=(assignment("b"),), removed=(TaskId("a"),)))

    assert isinstance(change, Change)
    assert [each.spec.container.image for each in change.wanted] == ["a"]
    assert change.withdrawn == (TaskId("a"),)
    assert list(held.wanted) == ["b"]


def test_a_missing_diff_changes_nothing_and_spoils_the_digest() -> None:
    held = holding("a")

    gap = held.take(Diff(sequence=3, removed=(TaskId("a"),)))

    assert isinstance(gap, Gap)
    assert list(held.wanted) == ["a"]
    assert held.digest() == ""


def test_after_a_gap_only_a_snapshot_helps() -> None:
    held = holding("a")
    held.take(Diff(sequence=3))

    held.restart()

    assert isinstance(held.take(Diff(sequence=1)), Gap)
    assert (
        held.take(Snapshot(sequence=1, assignments=(assignment("a"),), specs=(SPEC,))) == Change()
    )
    assert held.digest() == digests.digest({TaskId("a"): 1})


def test_a_spec_that_was_never_sent_is_a_gap() -> None:
    gap = holding("a").take(Diff(sequence=2, changed=(assignment("b", version=2),)))

    assert isinstance(gap, Gap)
    assert "s1/2" in gap.reason


def test_a_new_session_in_sync_goes_on_with_diffs_of_its_own_count() -> None:
    held = holding("a")
    held.restart()

    assert isinstance(held.take(Diff(sequence=1, removed=(TaskId("a"),))), Change)
    assert isinstance(held.take(Diff(sequence=1)), Gap)


def test_removing_what_we_never_had_is_nothing() -> None:
    change = holding("a").take(Diff(sequence=2, removed=(TaskId("z"), TaskId("z"))))

    assert change == Change()


def test_a_topology_is_taken_with_its_message_or_not_at_all() -> None:
    held, network = holding("a"), Network(id=NetworkId("n1"))

    gap = held.take(Diff(sequence=9, topology=Topology(networks=(network,))))
    assert isinstance(gap, Gap)
    assert not held.topology.records

    held.restart()
    change = held.take(
        Snapshot(sequence=1, topology=Topology(is_complete=True, networks=(network,)))
    )
    assert change == Change(withdrawn=(TaskId("a"),), topology=Changes(put=(network,)))


def test_networks_are_remembered_from_one_session_to_the_next() -> None:
    held, network = holding("a"), Network(id=NetworkId("n1"))
    held.take(Diff(sequence=2, topology=Topology(networks=(network,))))

    held.restart()
    change = held.take(Diff(sequence=1, topology=Topology(is_complete=True, networks=(network,))))

    assert change == Change()


NAMES = st.sampled_from("abcdef")
Steps = list[tuple[dict[str, int], list[str]]]
STEPS = st.lists(
    st.tuples(st.dictionaries(NAMES, st.integers(1, 9)), st.lists(NAMES, max_size=3)), max_size=8
)


@given(STEPS)
def test_law_diffs_lead_where_a_snapshot_would(
    steps: list[tuple[dict[str, int], list[str]]],
) -> None:
    held, model, sequence = holding(), dict[TaskId, int](), 1

    for changed, removed in steps:
        sequence += 1
        gone = tuple(TaskId(each) for each in removed)
        assignments = tuple(assignment(k, revision=v) for k, v in changed.items())
        held.take(Diff(sequence=sequence, changed=assignments, removed=gone))
        model |= {TaskId(k): v for k, v in changed.items()}
        model = {k: v for k, v in model.items() if k not in gone}

    assert held.digest() == digests.digest(model)
