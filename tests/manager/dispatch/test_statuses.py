from hypothesis import given
from hypothesis import strategies as st

from manager.dispatch.statuses import LONGEST_TEXT, Reported, admit, record
from manager.store import Absent, Put, Unchanged
from swarm.ids import NodeId, TaskId
from swarm.objects import Observation, Task
from swarm.states import TaskState
from tests.manager.world import World

N1 = NodeId("n1")


def make_world() -> World:
    world = World()
    world.node("n1")
    world.node("n2")
    world.service("web")
    for name, node in (("t1", "n1"), ("t2", "n1"), ("other", "n2")):
        world.task(Task(id=TaskId(name), service_id="s-web", node_id=NodeId(node)))
    return world


def seen(name: str, state: TaskState, **fields: object) -> Observation:
    return Observation(task_id=TaskId(name), state=state, at=5.0, **fields)


def test_a_worker_can_only_speak_for_itself() -> None:
    world = make_world()

    admitted = admit(world.view, N1, [seen("other", TaskState.FAILED), seen("t1", TaskState.READY)])

    assert [each.task_id for each in admitted] == ["t1"]


def test_what_nobody_knows_is_dropped() -> None:
    assert not admit(make_world().view, N1, [seen("unknown", TaskState.RUNNING)])


def test_late_and_repeated_statuses_change_nothing() -> None:
    world = make_world()
    world.report(TaskId("t1"), TaskState.RUNNING, pid=7)

    late = admit(world.view, N1, [seen("t1", TaskState.PREPARING)])
    repeated = admit(world.view, N1, [seen("t1", TaskState.RUNNING, pid=7)])

    assert not late
    assert not repeated


def test_the_first_end_is_the_end() -> None:
    world = make_world()
    world.report(TaskId("t1"), TaskState.COMPLETE)

    assert not admit(world.view, N1, [seen("t1", TaskState.FAILED)])


def test_the_same_state_with_other_words_is_news() -> None:
    world = make_world()
    world.report(TaskId("t1"), TaskState.PREPARING, message="pulling")

    admitted = admit(world.view, N1, [seen("t1", TaskState.PREPARING, message="unpacking")])

    assert admitted[0].message == "unpacking"


def test_of_several_statuses_of_a_task_the_furthest_counts() -> None:
    batch = [
        seen("t1", TaskState.STARTING),
        seen("t1", TaskState.FAILED),
        seen("t1", TaskState.READY),
    ]

    admitted = admit(make_world().view, N1, batch)

    assert [each.state for each in admitted] == [TaskState.FAILED]


def test_states_that_only_managers_give_are_not_an_agents_to_report() -> None:
    batch = [seen("t1", TaskState.ORPHANED), seen("t2", TaskState.PENDING)]

    assert not admit(make_world().view, N1, batch)


def test_one_message_cannot_fill_the_store() -> None:
    (admitted,) = admit(make_world().view, N1, [seen("t1", TaskState.FAILED, error="x" * 100_000)])

    assert len(admitted.error) == LONGEST_TEXT


def test_statuses_count_only_while_their_session_does() -> None:
    report = Reported(node_id=N1, session_revision=42, statuses=(seen("t1", TaskState.RUNNING),))

    commit = record(make_world().view, [report])

    assert Unchanged("sessions/n1", 42) in commit.compares
    assert [each.key for each in commit.operations if isinstance(each, Put)] == ["observed/n1/t1"]


def test_a_status_replaces_only_the_one_that_was_seen() -> None:
    """RUNNING is given up, SHUTDOWN is acknowledged, and then RUNNING is done after all."""
    world = make_world()
    report = Reported(node_id=N1, session_revision=42, statuses=(seen("t1", TaskState.RUNNING),))
    given_up = record(world.view, [report])

    world.report(TaskId("t1"), TaskState.SHUTDOWN)

    assert Absent("observed/n1/t1") in given_up.compares
    assert world.view.version("observed/n1/t1")


def test_no_news_is_no_commit() -> None:
    report = Reported(node_id=N1, session_revision=42, statuses=())

    assert not record(make_world().view, [report]).operations


@given(st.lists(st.lists(st.sampled_from(sorted(TaskState)), max_size=4), max_size=12))
def test_law_whatever_is_reported_a_task_only_moves_forward(batches: list[list[TaskState]]) -> None:
    world, reached = make_world(), [TaskState.NEW]

    for batch in batches:
        for each in admit(world.view, N1, [seen("t1", state) for state in batch]):
            world.report(TaskId("t1"), each.state)
            reached.append(each.state)

    assert reached == sorted(reached)
    assert sum(state.is_terminal for state in reached) <= 1


def test_when_a_task_became_running_is_not_forgotten_when_its_agent_is_restarted() -> None:
    world = make_world()
    world.report(TaskId("t1"), TaskState.RUNNING, pid=7, running_at=100.0)

    again = seen("t1", TaskState.RUNNING, pid=7, running_at=900.0)
    (ended,) = admit(world.view, N1, [again, seen("t1", TaskState.FAILED, running_at=900.0)])

    assert not admit(world.view, N1, [again])
    assert ended.running_at == 100.0
