from manager.dispatch.arrivals import arrive, describe
from manager.store import Absent, LeaseId, Put, Unchanged
from swarm.dispatch import Hello
from swarm.ids import NodeId, TaskId
from swarm.objects import NodeDescription, Observation, Session, Task
from swarm.states import TaskState
from tests.manager.world import World

N1 = NodeId("n1")
SESSION = Session(node_id=N1, manager_id=NodeId("m1"), session_id="s1", since=1.0)


def make_world() -> World:
    world = World()
    world.node("n1")
    return world


def keys(operations: tuple[object, ...]) -> list[str]:
    return [each.key for each in operations if isinstance(each, Put)]


def test_a_session_is_bound_to_its_managers_lease() -> None:
    world = make_world()
    hello = Hello(description=world.view.nodes[N1].description)

    commit = arrive(world.view, hello, SESSION, lease=LeaseId(9), now=1.0)

    (put,) = commit.operations
    assert isinstance(put, Put)
    assert (put.key, put.lease) == ("sessions/n1", 9)


def test_a_removed_node_gets_no_session() -> None:
    """The node may be removed between our look and our commit."""
    world = make_world()

    commit = arrive(world.view, Hello(), SESSION, lease=LeaseId(9), now=1.0)

    assert Unchanged("nodes/n1", world.view.version("nodes/n1")) in commit.compares


def test_a_session_replaces_only_the_one_that_was_seen() -> None:
    """A commit that was given up must not take a newer session's place when it is done late."""
    world = make_world()

    later = arrive(world.view, Hello(), SESSION, lease=LeaseId(9), now=1.0)
    world.disconnect(N1)
    first = arrive(world.view, Hello(), SESSION, lease=LeaseId(9), now=1.0)

    assert Absent("sessions/n1") in first.compares
    assert Unchanged("sessions/n1", 2) in later.compares


def test_what_happened_meanwhile_comes_in_the_same_commit() -> None:
    world = make_world()
    world.service("web")
    world.task(Task(id=TaskId("t1"), service_id="s-web", node_id=N1))
    seen = Observation(task_id=TaskId("t1"), state=TaskState.FAILED)

    commit = arrive(world.view, Hello(statuses=(seen,)), SESSION, lease=LeaseId(9), now=1.0)

    assert keys(commit.operations) == ["sessions/n1", "nodes/n1", "observed/n1/t1"]


def test_a_description_is_stored_only_when_it_changed() -> None:
    world = make_world()
    known = world.view.nodes[N1].description

    same = describe(world.view, N1, known, now=1.0)
    other = describe(world.view, N1, NodeDescription(hostname="renamed"), now=1.0)

    assert not same.operations
    assert keys(other.operations) == ["nodes/n1"]
    assert other.compares == (Unchanged("nodes/n1", world.view.version("nodes/n1")),)
