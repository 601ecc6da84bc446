from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from manager.roster import Roster
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task


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
