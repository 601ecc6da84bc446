import pytest

from manager.decisions import (
    AT_ONCE,
    AssignTask,
    CreateTask,
    Plan,
    RemoveEndpoint,
    RemoveObserved,
    RemoveTask,
    RemoveVersion,
    SetDesired,
    UpdateMessage,
    WriteEndpoint,
    changes_made,
    commit_for,
    commits_for,
)
from manager.orchestrator.reaping import plan_node
from manager.store import Absent, Commit, Delete, DeletePrefix, Put, Unchanged
from swarm.codec import pack, unpack
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Node, ServiceEndpoint, Task
from swarm.specs import Port
from swarm.states import TaskState
from tests.manager.world import World

WEB = ServiceId("s-web")


def world_with_task(**fields: object) -> World:
    world = World()
    world.node("a")
    world.service()
    world.task(Task(id=TaskId("t1"), service_id=WEB, slot=1, **fields))
    return world


def test_a_commit_compares_the_service_and_each_task_it_changes() -> None:
    world = world_with_task(node_id=NodeId("a"))
    plan = Plan(service_id=WEB, decisions=(SetDesired(TaskId("t1"), TaskState.SHUTDOWN),))

    commit = commit_for(world.view, plan, now=5.0)

    service_at = world.keys["services/s-web"][1]
    task_at = world.keys["tasks/s-web/t1"][1]
    assert commit.compares == (
        Unchanged("services/s-web", service_at),
        Unchanged("tasks/s-web/t1", task_at),
    )
    (put,) = commit.operations
    assert isinstance(put, Put)
    written = unpack(Task, put.value)
    assert (written.desired, written.updated_at, written.slot) == (TaskState.SHUTDOWN, 5.0, 1)


def test_cleaning_up_after_a_service_relies_on_its_absence() -> None:
    world = world_with_task(node_id=NodeId("a"))
    world.remove_service(WEB)
    plan = Plan(service_id=WEB, decisions=(RemoveTask(TaskId("t1")), RemoveVersion(WEB, 1)))

    commit = commit_for(world.view, plan, now=5.0)

    assert commit.compares[0] == Absent("services/s-web")
    assert commit.operations == (
        Delete("tasks/s-web/t1"),
        Delete("observed/a/t1"),
        Delete("versions/s-web/0000000001"),
    )


def test_stops_come_before_starts_and_removals_last() -> None:
    world = world_with_task(node_id=NodeId("a"))
    world.task(Task(id=TaskId("t2"), service_id=WEB, slot=2))
    created = Task(id=TaskId("t3"), service_id=WEB, slot=1, node_id=NodeId("a"))
    world.task(Task(id=TaskId("t4"), service_id=WEB, slot=4, node_id=NodeId("a")))
    plan = Plan(
        service_id=WEB,
        decisions=(
            RemoveTask(TaskId("t4")),
            CreateTask(created),
            AssignTask(TaskId("t2"), NodeId("a")),
            SetDesired(TaskId("t1"), TaskState.SHUTDOWN),
        ),
    )

    commit = commit_for(world.view, plan, now=5.0)

    keys = [each.key for each in commit.operations if isinstance(each, Put | Delete)]
    assert keys == [
        "tasks/s-web/t1",
        "tasks/s-web/t2",
        "tasks/s-web/t3",
        "tasks/s-web/t4",
        "observed/a/t4",
    ]


def test_an_assigned_task_does_not_say_any_more_why_it_waits() -> None:
    world = world_with_task(message="no suitable node")
    assign = Plan(service_id=WEB, decisions=(AssignTask(TaskId("t1"), NodeId("a")),))
    explain = Plan(service_id=WEB, decisions=(UpdateMessage(TaskId("t1"), "other"),))

    (assigned,) = commit_for(world.view, assign, now=5.0).operations
    (explained,) = commit_for(world.view, explain, now=5.0).operations

    assert isinstance(assigned, Put)
    assert isinstance(explained, Put)
    assert unpack(Task, assigned.value).message == ""
    assert unpack(Task, explained.value).message == "other"


def test_a_plan_for_no_service_compares_nothing() -> None:
    plan = Plan(decisions=(RemoveObserved(NodeId("a"), TaskId("t9")),))

    commit = commit_for(World().view, plan, now=5.0)

    assert commit == Commit((), (Delete("observed/a/t9"),))


def test_a_successful_commit_tells_what_it_changed() -> None:
    commit = Commit((), (Put("nodes/a", b"x"), Delete("nodes/b")))

    changes = changes_made(commit, 9)

    assert [(each.key, each.value, each.mod_revision) for each in changes] == [
        ("nodes/a", b"x", 9),
        ("nodes/b", None, 9),
    ]
    with pytest.raises(AssertionError):
        changes_made(Commit((), (DeletePrefix("nodes/"),)), 9)


def test_a_large_plan_is_cut_into_commits_that_rely_on_the_same_service() -> None:
    """Somebody updates the service between the first commit of a plan and the second."""
    world = World()
    world.service()
    created = [
        CreateTask(Task(id=TaskId(f"t{n}"), service_id=ServiceId("s-web"), slot=n + 1))
        for n in range(AT_ONCE + 1)
    ]
    plan = Plan(service_id=ServiceId("s-web"), decisions=tuple(created))

    commits = commits_for(world.view, plan, now=1.0)
    first = next(commits)
    world.scale(ServiceId("s-web"), 7)
    second = next(commits)

    assert len(first.operations) == AT_ONCE
    assert len(second.operations) == 1
    assert first.compares[0] == second.compares[0]
    assert list(commits) == []


def test_each_commit_of_a_plan_sees_what_the_one_before_made_of_a_task() -> None:
    """The same task is stopped early in a plan and removed late."""
    world = world_with_task()
    filling = [
        CreateTask(Task(id=TaskId(f"t{n}"), service_id=ServiceId("s-web"), slot=n + 9))
        for n in range(AT_ONCE)
    ]
    decisions = (SetDesired(TaskId("t1"), TaskState.SHUTDOWN), *filling, RemoveTask(TaskId("t1")))
    commits = commits_for(
        world.view, Plan(service_id=ServiceId("s-web"), decisions=decisions), now=1.0
    )

    first = next(commits)
    changes = changes_made(first, world.revision + 1)
    world.view.apply(changes, world.revision + 1, now=world.now, ahead=True)
    second = next(commits)

    assert Unchanged("tasks/s-web/t1", world.revision + 1) in second.compares


def test_an_endpoint_takes_its_ports_in_the_same_commit_and_only_if_they_are_free() -> None:
    world = world_with_task()
    world.write(("names/port/tcp-30001", "s-web"))
    freed_at = world.revision
    endpoint = ServiceEndpoint(service_id=WEB, ports=(Port(target=80, published=30000),))
    decision = WriteEndpoint(endpoint, takes=("tcp-30000",), frees=("tcp-30001",))

    commit = commit_for(world.view, Plan(service_id=WEB, decisions=(decision,)), now=5.0)

    assert commit.compares[1:] == (
        Absent("endpoints/s-web"),
        Absent("names/port/tcp-30000"),
        Unchanged("names/port/tcp-30001", freed_at),
    )
    assert commit.operations == (
        Put("endpoints/s-web", pack(endpoint)),
        Put("names/port/tcp-30000", b"s-web"),
        Delete("names/port/tcp-30001"),
    )


def test_an_endpoint_is_there_before_the_tasks_that_answer_for_it() -> None:
    world = world_with_task()
    task = Task(id=TaskId("t2"), service_id=WEB, node_id=NodeId("a"))
    decisions = (CreateTask(task), WriteEndpoint(ServiceEndpoint(service_id=WEB)))

    commit = commit_for(world.view, Plan(service_id=WEB, decisions=decisions), now=5.0)

    assert [each.key for each in commit.operations] == ["endpoints/s-web", "tasks/s-web/t2"]


def test_a_service_of_which_nothing_is_left_gives_up_its_ports() -> None:
    world = world_with_task()
    world.write(("names/port/tcp-30001", "s-web"))
    taken_at = world.revision

    decisions = (RemoveEndpoint(WEB, ("tcp-30001",)),)
    commit = commit_for(world.view, Plan(service_id=WEB, decisions=decisions), now=5.0)

    assert Unchanged("names/port/tcp-30001", taken_at) in commit.compares
    assert commit.operations == (Delete("endpoints/s-web"), Delete("names/port/tcp-30001"))


def test_a_node_from_before_there_were_numbers_gets_one() -> None:
    world = world_with_task()
    world.write(("nodes/b", Node(id=NodeId("b"))))
    version = world.revision

    commit = commit_for(world.view, plan_node(world.view, NodeId("b")), now=5.0)

    put, named = commit.operations
    assert commit.compares == (Unchanged("nodes/b", version), Absent("names/number/2"))
    assert unpack(Node, put.value).number == 2
    assert named == Put("names/number/2", b"b")
    assert plan_node(world.view, NodeId("a")).decisions == ()
