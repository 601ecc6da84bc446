import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from manager import layout
from manager.applied import Applied
from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Observation, Task
from swarm.specs import Availability, Global
from swarm.states import HealthState, NodeState, TaskState
from tests.manager.world import Changed, World


def make_task(name: str = "t1", *, node: str = "a", service: str = "s-web", **more: object) -> Task:
    return Task(
        id=TaskId(name),
        service_id=ServiceId(service),
        service_name="web",
        slot=1,
        node_id=NodeId(node),
        **more,
    )


def running_world() -> tuple[World, Task]:
    world = World()
    world.node("a")
    world.service()
    task = make_task()
    world.task(task)
    world.report(task, TaskState.RUNNING)
    return world, task


def test_our_own_commit_counts_at_once_and_its_echo_is_skipped() -> None:
    world, task = running_world()
    changes = world.commit((layout.task_key(task.service_id, TaskId("t2")), make_task("t2")))

    first = world.view.apply(changes, world.revision, now=world.now, ahead=True)
    echo = world.view.apply(changes, world.revision, now=world.now)

    assert first.tasks == ("t2",)
    assert [event.action for event in first.events] == ["create"]
    assert not echo.tasks
    assert not echo.events
    assert world.view.revision == world.revision


def test_an_echo_is_told_by_its_revision_and_not_even_decoded() -> None:
    world, _ = running_world()
    key = layout.task_key(ServiceId("s-web"), TaskId("t2"))
    put = world.commit((key, make_task("t2")))
    world.view.apply(put, world.revision, now=world.now, ahead=True)

    garbled = Changed(key, b"\xff", world.revision)
    applied = world.view.apply((garbled,), world.revision, now=world.now)

    assert applied.unreadable == ()
    assert TaskId("t2") in world.view.tasks


def test_the_late_echo_of_a_put_does_not_bring_a_deleted_task_back() -> None:
    """We put and delete a key before the watch delivers the put."""
    world, _ = running_world()
    key = layout.task_key(ServiceId("s-web"), TaskId("t2"))
    put = world.commit((key, make_task("t2")))
    put_at = world.revision
    world.view.apply(put, put_at, now=world.now, ahead=True)
    gone = world.commit((key, None))
    world.view.apply(gone, world.revision, now=world.now, ahead=True)

    world.view.apply(put, put_at, now=world.now)

    assert TaskId("t2") not in world.view.tasks
    world.view.apply(gone, world.revision, now=world.now)
    assert TaskId("t2") not in world.view.tasks
    world.view.check()


def test_an_answer_that_the_watch_has_overtaken_is_ignored() -> None:
    """Our commit's answer is slow: the watch has delivered it and a later deletion."""
    world, _ = running_world()
    key = layout.task_key(ServiceId("s-web"), TaskId("t2"))
    put = world.commit((key, make_task("t2")))
    world.view.apply(put, world.revision, now=world.now)
    world.view.apply(world.commit((key, None)), world.revision, now=world.now)

    world.view.apply(put, put[0].mod_revision, now=world.now, ahead=True)

    assert TaskId("t2") not in world.view.tasks


def test_a_start_is_progress_but_nothing_to_plan() -> None:
    world = World()
    world.node("a")
    service = world.service()
    task = make_task()
    world.task(task)

    applied = world.report(task, TaskState.RUNNING)

    assert applied.services == frozenset()
    assert applied.progressed == {service}
    assert applied.tasks == (task.id,)
    assert applied.assigned == {}


def test_a_start_during_a_rollout_has_to_be_planned() -> None:
    world, _ = running_world()
    world.new_version(ServiceId("s-web"))
    newer = make_task("t2", spec_version=2)
    world.task(newer)

    applied = world.report(newer, TaskState.RUNNING)

    assert applied.services == {"s-web"}


def test_an_end_makes_its_service_dirty_and_those_that_wait_for_room() -> None:
    world, task = running_world()
    world.service("waiting", replicas=1)
    world.task(make_task("t9", node="", service="s-waiting"))
    world.service("idle")

    applied = world.report(task, TaskState.FAILED, exit_code=3)

    assert applied.services == {"s-web", "s-waiting"}
    assert applied.events[0].attributes["exit_code"] == "3"


def test_health_is_an_event_when_it_changes_and_calls_for_no_planning() -> None:
    world, task = running_world()

    def reported(health: HealthState, streak: int = 0) -> Applied:
        return world.report(task, TaskState.RUNNING, health=health, failing_streak=streak)

    well = reported(HealthState.HEALTHY)
    failing = reported(HealthState.HEALTHY, 1)
    ill = reported(HealthState.UNHEALTHY, 3)

    assert [event.action for event in well.events] == ["health_status: healthy"]
    assert failing.events == ()
    assert [event.action for event in ill.events] == ["health_status: unhealthy"]
    assert ill.events[0].attributes["failing_streak"] == "3"
    assert not well.services | ill.services


def test_states_that_come_late_are_dropped() -> None:
    world, task = running_world()

    applied = world.report(task, TaskState.STARTING)

    assert world.view.state(task) is TaskState.RUNNING
    assert not applied.tasks


def test_a_node_without_its_session_is_down_and_its_tasks_do_not_count() -> None:
    world, task = running_world()

    applied = world.disconnect(NodeId("a"))

    assert world.view.node_state(NodeId("a")) is NodeState.DOWN
    assert applied.services == {"s-web"}
    assert [event.action for event in applied.events] == ["down"]
    assert world.view.tally(task.service_id) == {(TaskState.RUNNING, 1, TaskState.ORPHANED): 1}
    world.connect(NodeId("a"))
    assert world.view.tally(task.service_id) == {(TaskState.RUNNING, 1, TaskState.RUNNING): 1}


def test_sessions_that_vanish_with_their_manager_leave_nodes_in_doubt() -> None:
    """A manager's lease ends, and all its keys with it, in one revision.

    1. Two nodes have sessions at manager m2, which says that it is there.
    2. Its lease expires.
    3. The nodes are UNKNOWN, not DOWN: nobody has waited for their heartbeats.
    4. One is heard by another manager; the other is given up.
    """
    world = World()
    world.write((layout.manager_key(NodeId("m2")), "10.0.0.2:2377"))
    for name in ("a", "b"):
        world.connect(world.node(name, ready=False), manager="m2")

    applied = world.write(
        (layout.session_key(NodeId("a")), None),
        (layout.session_key(NodeId("b")), None),
        (layout.manager_key(NodeId("m2")), None),
    )

    assert world.view.doubted == {"a", "b"} == applied.nodes
    assert {event.action for event in applied.events} == {"unknown"}
    world.connect(NodeId("a"), manager="m1")
    given_up = world.view.give_up(["a", "b"], now=world.now)
    assert world.view.node_state(NodeId("a")) is NodeState.READY
    assert world.view.node_state(NodeId("b")) is NodeState.DOWN
    assert [event.action for event in given_up.events] == ["down"]
    world.view.check()


def test_a_manager_that_is_back_before_its_loss_is_known_does_not_take_its_nodes_along() -> None:
    """Found by seed 27 of the simulation: a leader rescheduled all of its own nodes' tasks.

    1. Manager m1 serves a node; its lease ends, and the deletions are under way to its view.
    2. It is granted another lease and says again that it is there. That commit of its own is
       known at once, ahead of the deletions.
    3. The deletions arrive. That of its key is old news, but the session went with the lease:
       nobody has waited for the node's heartbeats.
    """
    world = World()
    world.write((layout.manager_key(NodeId("m1")), "10.0.0.1:2377"))
    node = world.connect(world.node("a", ready=False), manager="m1") and NodeId("a")
    lost = world.commit((layout.session_key(node), None), (layout.manager_key(NodeId("m1")), None))
    lost_at = world.revision

    world.write((layout.manager_key(NodeId("m1")), "10.0.0.1:2377"), ahead=True)
    world.view.apply(lost, lost_at, now=world.now)

    assert world.view.node_state(node) is NodeState.UNKNOWN
    world.view.check()


def test_a_node_is_unknown_until_it_is_first_heard_of() -> None:
    world = World()
    node = world.node("a", ready=False)
    assert world.view.node_state(node) is NodeState.UNKNOWN

    applied = world.connect(node)

    assert world.view.node_state(node) is NodeState.READY
    assert [event.action for event in applied.events] == ["ready"]


def test_a_changed_node_concerns_its_services_the_global_and_the_waiting_ones() -> None:
    world, _ = running_world()
    world.service("everywhere", mode=Global())
    world.service("waiting")
    world.task(make_task("t9", node="", service="s-waiting"))
    world.service("elsewhere")
    world.node("b")
    world.task(make_task("t8", node="b", service="s-elsewhere"))

    applied = world.set_node(NodeId("a"), availability=Availability.DRAIN)

    assert applied.services == {"s-web", "s-everywhere", "s-waiting"}


def test_what_an_agent_says_of_its_images_concerns_no_service() -> None:
    world, _ = running_world()
    node = world.view.nodes[NodeId("a")]
    described = type(node.description)(
        hostname=node.description.hostname,
        os=node.description.os,
        arch=node.description.arch,
        resources=node.description.resources,
        engine_version="9",
    )

    applied = world.write(
        (layout.node_key(node.id), type(node)(id=node.id, spec=node.spec, description=described))
    )

    assert applied.services == frozenset()
    assert applied.events == ()
    assert world.view.nodes[node.id].description.engine_version == "9"


def test_the_node_of_an_orphaned_report_is_named() -> None:
    world, task = running_world()
    world.write((layout.task_key(task.service_id, task.id), None))

    late = world.write((layout.observed_key(task.node_id, task.id), Observation(task_id=task.id)))

    assert late.nodes == {"a"}
    assert task.id in world.view.observations_on(NodeId("a"))


def test_times_of_a_clock_that_is_ahead_are_those_of_arrival() -> None:
    world, task = running_world()

    world.report(task, TaskState.FAILED, at=world.now + 3600)

    seen = world.view.observation(task)
    assert seen is not None
    assert seen.at == world.now


def test_an_end_cannot_be_older_than_the_task() -> None:
    world = World()
    world.node("a")
    task = make_task(created_at=world.now)
    world.task(task)

    world.report(task, TaskState.FAILED, at=5.0)

    seen = world.view.observation(task)
    assert seen is not None
    assert seen.at == world.now


def test_a_value_that_cannot_be_read_is_named_and_left_out() -> None:
    world, _ = running_world()
    world.revision += 1
    broken = Changed("nodes/b", b"\xff\xff", world.revision)

    applied = world.view.apply([broken], world.revision, now=world.now)

    assert "b" not in world.view.nodes
    assert applied.unreadable[0].startswith("nodes/b: not a Node")


def test_keys_of_a_newer_manager_are_passed_over() -> None:
    world, _ = running_world()
    world.revision += 1

    applied = world.view.apply(
        [Changed("widgets/x", b"?", world.revision)], world.revision, now=world.now
    )

    assert not applied.unreadable
    assert world.view.revision == world.revision


def test_the_first_listing_makes_no_events() -> None:
    world, task = running_world()
    fresh = ClusterView()

    applied = fresh.replace(world.listing(), world.revision, now=world.now)

    assert applied.events == ()
    assert fresh.tasks == world.view.tasks
    assert fresh.state(task) is TaskState.RUNNING
    fresh.check()


def test_a_later_listing_tells_the_difference() -> None:
    """The watch was compacted away while we were cut off."""
    world, task = running_world()
    world.commit((layout.task_key(task.service_id, task.id), None))
    world.commit((layout.observed_key(task.node_id, task.id), None))
    world.commit((layout.task_key(task.service_id, TaskId("t2")), make_task("t2")))

    applied = world.view.replace(world.listing(), world.revision, now=world.now)

    assert set(world.view.tasks) == {"t2"}
    assert {(event.action, event.id) for event in applied.events} == {
        ("remove", "t1"),
        ("create", "t2"),
    }
    world.view.check()


def test_a_listing_older_than_our_own_commit_does_not_undo_it() -> None:
    world, task = running_world()
    listing, listed_at = world.listing(), world.revision
    newer = world.commit((layout.task_key(task.service_id, TaskId("t2")), make_task("t2")))
    world.view.apply(newer, world.revision, now=world.now, ahead=True)

    world.view.replace(listing, listed_at, now=world.now)

    assert set(world.view.tasks) == {"t1", "t2"}


@pytest.mark.parametrize("revision", [0, 3])
def test_the_version_of_a_key_is_the_revision_of_its_last_change(revision: int) -> None:
    world, _ = running_world()
    key = "nodes/none" if revision == 0 else layout.service_key(ServiceId("s-web"))

    assert world.view.version(key) == revision


NAMES = st.sampled_from(["t1", "t2", "t3"])
NODES = st.sampled_from(["a", "b"])


class AnyHistory(RuleBasedStateMachine):
    """Whatever changes, in whatever order they are seen, the view agrees with the store."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.unseen: list[tuple[list[Changed], int]] = []

    @rule(name=NAMES, node=st.sampled_from(["", "a", "b"]), ahead=st.booleans())
    def put_task(self, name: str, node: str, ahead: bool) -> None:
        task = make_task(name, node=node)
        self._commit((layout.task_key(task.service_id, task.id), task), ahead=ahead)

    @rule(name=NAMES, ahead=st.booleans())
    def drop_task(self, name: str, ahead: bool) -> None:
        self._commit((layout.task_key(ServiceId("s-web"), TaskId(name)), None), ahead=ahead)

    @rule(name=NAMES, node=NODES, state=st.sampled_from(list(TaskState)), ahead=st.booleans())
    def report(self, name: str, node: str, state: TaskState, ahead: bool) -> None:
        key = layout.observed_key(NodeId(node), TaskId(name))
        self._commit((key, Observation(task_id=TaskId(name), state=state)), ahead=ahead)

    @rule(node=NODES, kind=st.sampled_from(["node", "session"]), there=st.booleans())
    def change_node(self, node: str, kind: str, there: bool) -> None:
        other = World()
        other.node(node)
        value = None
        if there:
            found = other.view.nodes if kind == "node" else other.view.sessions
            value = found[NodeId(node)]
        key = layout.node_key(NodeId(node)) if kind == "node" else layout.session_key(NodeId(node))
        self._commit((key, value), ahead=False)

    @rule()
    def watch(self) -> None:
        for changes, revision in self.unseen:
            self.world.view.apply(changes, revision, now=self.world.now)
        self.unseen.clear()

    @rule()
    def list_again(self) -> None:
        self.world.view.replace(self.world.listing(), self.world.revision, now=self.world.now)
        self.unseen.clear()

    def _commit(self, pair: tuple[str, object], *, ahead: bool) -> None:
        changes = self.world.commit(pair)
        self.unseen.append((changes, self.world.revision))
        if ahead:
            self.world.view.apply(changes, self.world.revision, now=self.world.now, ahead=True)

    @invariant()
    def indexes_agree(self) -> None:
        self.world.view.check()

    def teardown(self) -> None:
        self.watch()
        fresh = ClusterView()
        fresh.replace(self.world.listing(), self.world.revision, now=self.world.now)
        assert fresh.tasks == self.world.view.tasks
        assert fresh.nodes == self.world.view.nodes
        assert fresh.sessions == self.world.view.sessions


TestAnyHistory = AnyHistory.TestCase
TestAnyHistory.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)


def test_what_happens_to_a_task_touches_its_slot_alone() -> None:
    world, task = running_world()

    applied = world.report(task, TaskState.FAILED)

    assert applied.slots == {task.service_id: frozenset({task.slot})}
    assert task.service_id in applied.services


def test_a_changed_service_is_touched_as_a_whole() -> None:
    world, task = running_world()

    applied = world.scale(task.service_id, 9)

    assert task.service_id in applied.services
    assert not applied.slots
