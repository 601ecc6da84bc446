from hypothesis import given
from hypothesis import strategies as st

from agent.assignments import Assignments as Held
from agent.assignments import Gap
from manager import layout
from manager.dispatch.assignments import Assignments
from swarm.dispatch import Diff, Snapshot
from swarm.ids import NodeId, TaskId
from swarm.objects import Task
from swarm.states import TaskState
from tests.manager.world import World


def make_task(world: World, name: str, node: str = "n1", **fields: object) -> Task:
    task = Task(
        id=TaskId(name), service_id="s-web", service_name="web", node_id=NodeId(node), **fields
    )
    world.task(task)
    return task


def make_world() -> World:
    world = World()
    world.node("n1")
    world.node("n2")
    world.service("web")
    return world


def test_a_new_agent_is_sent_its_tasks_and_no_others() -> None:
    world = make_world()
    make_task(world, "t1")
    make_task(world, "t2", node="n2")

    snapshot = Assignments(NodeId("n1")).open(world.view, "")

    assert snapshot is not None
    assert [each.task.id for each in snapshot.assignments] == ["t1"]
    assert [(each.service_id, each.version) for each in snapshot.specs] == [("s-web", 1)]


def test_an_agent_that_holds_the_same_is_sent_nothing() -> None:
    world = make_world()
    make_task(world, "t1")
    held = Held()
    snapshot = Assignments(NodeId("n1")).open(world.view, held.digest())
    assert snapshot is not None
    held.take(snapshot)

    again = Assignments(NodeId("n1")).open(world.view, held.digest())

    assert again is None


def test_a_change_while_the_agent_was_away_is_a_snapshot() -> None:
    world = make_world()
    task = make_task(world, "t1")
    held = Held()
    held.take(Assignments(NodeId("n1")).open(world.view, ""))
    make_task(world, "t1", desired=TaskState.SHUTDOWN)

    snapshot = Assignments(NodeId("n1")).open(world.view, held.digest())

    assert snapshot is not None
    assert snapshot.assignments[0].task.desired is TaskState.SHUTDOWN
    assert snapshot.assignments[0].revision == world.view.version(
        layout.task_key(task.service_id, task.id)
    )


def test_a_spec_is_sent_once_per_session() -> None:
    world = make_world()
    session = Assignments(NodeId("n1"))
    session.open(world.view, "")
    make_task(world, "t1")
    first = session.diff(world.view, [TaskId("t1")])
    make_task(world, "t2")

    second = session.diff(world.view, [TaskId("t2")])

    assert first is not None
    assert second is not None
    assert len(first.specs) == 1
    assert not second.specs
    assert (first.sequence, second.sequence) == (1, 2)


def test_an_ended_task_stays_assigned_until_its_object_is_gone() -> None:
    """The agent keeps the logs of what is assigned, and history is read for a while."""
    world = make_world()
    task = make_task(world, "t1", desired=TaskState.SHUTDOWN)
    world.report(task, TaskState.SHUTDOWN)
    session = Assignments(NodeId("n1"))

    snapshot = session.open(world.view, "")
    world.write((layout.task_key("s-web", "t1"), None))
    diff = session.diff(world.view, [TaskId("t1")])

    assert snapshot is not None
    assert snapshot.assignments[0].observed is TaskState.SHUTDOWN
    assert diff is not None
    assert diff.removed == ("t1",)


def test_nothing_is_sent_of_what_was_sent_already() -> None:
    world = make_world()
    make_task(world, "t1")
    session = Assignments(NodeId("n1"))
    session.open(world.view, "")

    assert session.diff(world.view, [TaskId("t1"), TaskId("t2")]) is None
    assert session.sequence == 0


def test_a_lost_spec_does_not_take_the_task_with_it() -> None:
    world = make_world()
    make_task(world, "t1", spec_version=7)

    snapshot = Assignments(NodeId("n1")).open(world.view, "")

    assert snapshot is not None
    assert [(each.service_id, each.version) for each in snapshot.specs] == [("s-web", 7)]


actions = st.tuples(
    st.sampled_from(["t1", "t2", "t3"]),
    st.sampled_from(["run", "stop", "move", "remove", "reconnect", "send"]),
)


@given(st.lists(actions, max_size=40))
def test_law_an_agent_that_heard_everything_holds_exactly_its_tasks(
    story: list[tuple[str, str]],
) -> None:
    world, held = make_world(), Held()
    session, touched = Assignments(NodeId("n1")), set[TaskId]()
    held.take(session.open(world.view, "nothing yet"))

    for name, action in [*story, ("t1", "send")]:
        if action == "reconnect":
            session, touched = Assignments(NodeId("n1")), set()
            held.restart()
            tell(held, session.open(world.view, held.digest()))
        elif action == "send":
            tell(held, session.diff(world.view, touched))
            touched = set()
            session.check(world.view)
        else:
            change(world, name, action)
            touched.add(TaskId(name))

    assert held.wanted.keys() == world.view.tasks_on(NodeId("n1")).keys()
    assert Assignments(NodeId("n1")).open(world.view, held.digest()) is None


def tell(held: Held, message: Snapshot | Diff | None) -> None:
    if message is not None:
        assert not isinstance(held.take(message), Gap)


def change(world: World, name: str, action: str) -> None:
    match action:
        case "remove":
            world.write((layout.task_key("s-web", name), None))
        case "move":
            make_task(world, name, node="n2")
        case _:
            wanted = TaskState.RUNNING if action == "run" else TaskState.SHUTDOWN
            make_task(world, name, desired=wanted)
