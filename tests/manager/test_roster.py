from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from manager.roster import Roster
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState


def make_task(name: str = "t", node: str = "") -> Task:
    return Task(id=TaskId(name), service_id=ServiceId("s"), node_id=NodeId(node))


def test_a_task_that_gets_its_node_waits_no_more() -> None:
    roster = Roster()
    roster.put(make_task())
    assert list(roster.waiting()) == ["s"]

    old = roster.put(structs.replace(make_task(), node_id=NodeId("a")))

    assert old == make_task()
    assert not list(roster.waiting())
    assert list(roster.on(NodeId("a"))) == ["t"]


@given(
    st.lists(
        st.tuples(st.sampled_from("xyz"), st.sampled_from(["", "a", "b"]), st.booleans()),
        max_size=20,
    )
)
def test_law_the_lists_agree_after_any_history(history: list[tuple[str, str, bool]]) -> None:
    roster = Roster()
    expected: dict[str, str] = {}
    for name, node, is_there in history:
        if is_there:
            roster.put(make_task(name, node))
            expected[name] = node
        else:
            roster.drop(TaskId(name))
            expected.pop(name, None)
        roster.check()

    assert {task.id: task.node_id for task in roster.of(ServiceId("s")).values()} == expected


def in_slot(name: str, slot: int, desired: TaskState = TaskState.RUNNING, run: int = 0) -> Task:
    return structs.replace(make_task(name, "a"), slot=slot, desired=desired, run=run)


def test_a_slot_lists_its_attempts_and_nobody_elses() -> None:
    roster = Roster()
    for each in (in_slot("x", 1), in_slot("y", 1), in_slot("z", 2), in_slot("r", 2, run=7)):
        roster.put(each)

    assert {each.id for each in roster.within(ServiceId("s"), 1)} == {"x", "y"}
    assert [each.id for each in roster.within(ServiceId("s"), 2)] == ["z"]
    assert roster.within(ServiceId("s"), 3) == ()


def test_a_slot_is_held_until_all_its_tasks_are_to_be_removed() -> None:
    roster = Roster()
    roster.put(in_slot("x", 1))
    roster.put(in_slot("y", 1))

    roster.put(in_slot("x", 1, TaskState.REMOVE))
    assert roster.held(ServiceId("s")) == 1
    roster.put(in_slot("y", 1, TaskState.REMOVE))
    assert roster.held(ServiceId("s")) == 0


@given(
    st.lists(
        st.tuples(
            st.sampled_from("uvwxyz"),
            st.sampled_from([TaskState.RUNNING, TaskState.SHUTDOWN, TaskState.REMOVE]),
            st.booleans(),
        ),
        max_size=30,
    )
)
def test_law_slots_list_what_there_is_after_any_history(
    history: list[tuple[str, TaskState, bool]],
) -> None:
    roster = Roster()
    for name, desired, is_there in history:
        if is_there:
            roster.put(in_slot(name, "uvwxyz".index(name) // 3 + 1, desired))
        else:
            roster.drop(TaskId(name))

        roster.check()
