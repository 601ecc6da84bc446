from manager.dispatch.subscriptions import PICKED_UP_WITHIN_S, Query, Reading
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Task
from swarm.states import TaskState
from tests.manager.world import World

WEB = ServiceId("s-web")
SESSIONS = {NodeId("n1"): "s1", NodeId("n2"): "s2"}


def make_world(*tasks: tuple[str, str]) -> World:
    world = World()
    world.node("n1")
    world.node("n2")
    world.service("web")
    for name, node in tasks:
        start(world, name, node)
    return world


def start(world: World, name: str, node: str) -> None:
    world.task(Task(id=TaskId(name), service_id=WEB, node_id=NodeId(node)))
    world.report(TaskId(name), TaskState.RUNNING)


def reading(*, follow: bool = False, **fields: object) -> Reading:
    return Reading("r", Query(services=frozenset({WEB}), follow=follow, **fields))


def test_each_node_is_asked_for_its_tasks() -> None:
    world = make_world(("t1", "n1"), ("t2", "n1"), ("t3", "n2"))

    asked = reading(tail=5).advance(world.view, SESSIONS, now=0.0)

    assert [(each.node_id, each.subscription.task_ids) for each in asked] == [
        ("n1", ("t1", "t2")),
        ("n2", ("t3",)),
    ]
    assert {each.subscription.tail for each in asked} == {5}


def test_nodes_that_are_away_are_not_waited_for() -> None:
    world = make_world(("t1", "n1"))
    logs = reading()

    assert logs.advance(world.view, {}, now=0.0) == ()
    assert logs.is_over(world.view)


def test_a_reading_is_over_with_its_parts() -> None:
    world = make_world(("t1", "n1"), ("t2", "n2"))
    logs = reading()
    first, second = logs.advance(world.view, SESSIONS, now=0.0)

    logs.ended(first.subscription.subscription_id)
    assert not logs.is_over(world.view)
    logs.session_ended("s2")

    assert second.session_id == "s2"
    assert logs.is_over(world.view)


def test_a_part_that_nobody_picks_up_ends() -> None:
    world = make_world(("t1", "n1"))
    logs = reading()
    logs.advance(world.view, SESSIONS, now=0.0)

    assert logs.next_deadline() == PICKED_UP_WITHIN_S
    logs.expired(now=PICKED_UP_WITHIN_S)

    assert logs.is_over(world.view)


def test_only_the_node_that_was_asked_may_answer() -> None:
    world = make_world(("t1", "n1"))
    logs = reading()
    (asked,) = logs.advance(world.view, SESSIONS, now=0.0)
    name = asked.subscription.subscription_id

    assert not logs.picked_up(name, NodeId("n2"))
    assert logs.picked_up(name, NodeId("n1"))
    assert logs.line(name, TaskId("t1"), 1.0) is not None
    assert logs.line(name, TaskId("someone-elses"), 1.0) is None


def test_a_follower_reads_tasks_as_they_start() -> None:
    world = make_world(("t1", "n1"))
    logs = reading(follow=True)
    logs.advance(world.view, SESSIONS, now=0.0)
    world.task(Task(id=TaskId("t2"), service_id=WEB, node_id=NodeId("n2")))
    assert logs.advance(world.view, SESSIONS, now=0.0) == ()  # it has no container yet

    world.report(TaskId("t2"), TaskState.RUNNING)
    (asked,) = logs.advance(world.view, SESSIONS, now=0.0)

    assert asked.subscription.task_ids == ("t2",)


def test_a_task_that_waits_for_its_first_health_check_is_read() -> None:
    world = make_world()
    for name, pid in (("pulls", 0), ("proves", 7)):
        world.task(Task(id=TaskId(name), service_id=WEB, node_id=NodeId("n1")))
        world.report(TaskId(name), TaskState.STARTING, pid=pid)

    (asked,) = reading().advance(world.view, SESSIONS, now=0.0)

    assert asked.subscription.task_ids == ("proves",)


def test_a_follower_goes_on_from_its_last_line_when_a_node_returns() -> None:
    """The agent restarts while we follow.

    1. A line of second 7 was read.
    2. The session ends, and with it the subscription.
    3. In the next session only what comes after that line is asked for and taken.
    """
    world = make_world(("t1", "n1"))
    logs = reading(follow=True, tail=3)
    (asked,) = logs.advance(world.view, SESSIONS, now=0.0)
    logs.line(asked.subscription.subscription_id, TaskId("t1"), 7.0)
    logs.session_ended("s1")

    (again,) = logs.advance(world.view, {NodeId("n1"): "s9"}, now=1.0)

    name = again.subscription.subscription_id
    assert (again.subscription.since, again.subscription.tail) == (7.0, -1)
    assert logs.line(name, TaskId("t1"), 7.0) is None
    assert logs.line(name, TaskId("t1"), 7.5) is not None


def test_an_end_within_a_session_is_not_asked_for_again() -> None:
    """The publisher ends because the task did; the status comes a moment later."""
    world = make_world(("t1", "n1"))
    logs = reading(follow=True)
    (asked,) = logs.advance(world.view, SESSIONS, now=0.0)

    logs.ended(asked.subscription.subscription_id)

    assert logs.advance(world.view, SESSIONS, now=0.0) == ()
    assert not logs.is_over(world.view)


def test_following_ends_with_the_service() -> None:
    world = make_world(("t1", "n1"))
    logs = reading(follow=True)
    (asked,) = logs.advance(world.view, SESSIONS, now=0.0)
    world.remove_service(WEB)
    logs.ended(asked.subscription.subscription_id)
    assert not logs.is_over(world.view)

    world.report(TaskId("t1"), TaskState.SHUTDOWN)

    assert logs.is_over(world.view)


def test_following_a_task_ends_with_the_task() -> None:
    world = make_world(("t1", "n1"))
    logs = Reading("r", Query(tasks=frozenset({TaskId("t1")}), follow=True))
    (asked,) = logs.advance(world.view, SESSIONS, now=0.0)

    logs.ended(asked.subscription.subscription_id)
    world.report(TaskId("t1"), TaskState.COMPLETE)

    assert logs.is_over(world.view)
