"""A node's tasks through snapshots, restarts of the agent and reboots of the host."""

from hypothesis import given
from hypothesis import strategies as st

from agent.assignments import Gap
from agent.effects import (
    Abandon,
    Connect,
    Delete,
    Effect,
    Kill,
    Leave,
    Prepare,
    Route,
    Signal,
    Start,
    Wait,
)
from agent.events import Abandoned, Examined, Exited, GraceExpired, Left, Prepared, Started
from agent.tasks import Stray, Tasks
from agent.topology import Changes
from swarm.dispatch import Assignment, Diff, Snapshot, Welcome
from swarm.ids import NetworkId, ServiceId, TaskId
from swarm.objects import Attachment, Network, NodeDescription, SpecVersion, Task
from swarm.specs import ContainerSpec, TaskSpec
from swarm.states import HealthState, TaskState
from swarm.topology import Topology

RUNNING = TaskState.RUNNING
NET = Attachment(network_id=NetworkId("n1"), addresses=("10.0.1.2",))
SERVICE = ServiceId("s1")
SPEC = SpecVersion(
    service_id=SERVICE,
    version=1,
    task=TaskSpec(container=ContainerSpec(image="a", stop_grace_s=3.0)),
)


def assignment(
    name: str,
    *,
    desired: TaskState = TaskState.RUNNING,
    observed: TaskState = TaskState.NEW,
    attachments: tuple[Attachment, ...] = (),
) -> Assignment:
    task = Task(
        id=TaskId(name),
        service_id=SERVICE,
        spec_version=1,
        desired=desired,
        attachments=attachments,
    )
    return Assignment(task=task, revision=1, observed=observed)


def stray(
    name: str,
    *,
    exit: Exited | None = None,  # noqa: A002
    examined: Examined | None = None,
) -> Stray:
    return Stray(task_id=TaskId(name), pid=5, started_at=1.0, exit=exit, examined=examined)


def connected(*strays: Stray, in_sync: bool = False) -> tuple[Tasks, tuple[Effect, ...]]:
    tasks = Tasks(strays)
    return tasks, tasks.welcomed(Welcome(in_sync=in_sync), at=10.0, now=0.0)


def take(tasks: Tasks, *assignments: Assignment) -> tuple[Effect, ...]:
    effects = tasks.take(
        Snapshot(sequence=1, assignments=assignments, specs=(SPEC,)), at=10.0, now=0.0
    )
    tasks.check()
    assert not isinstance(effects, Gap)
    return effects


def statuses(tasks: Tasks) -> dict[str, TaskState]:
    batch = tasks.reports.batch(now=100.0)
    return {each.task_id: each.state for each in batch.statuses} if batch else {}


def test_an_assigned_task_is_prepared_and_its_state_is_told() -> None:
    tasks, _ = connected()

    assert take(tasks, assignment("a")) == (Prepare(TaskId("a")),)
    assert tasks.tell(TaskId("a"), Prepared(), at=10.0, now=0.0) == (Start(TaskId("a")),)
    tasks.tell(TaskId("a"), Started(pid=9, started_at=10.0), at=10.0, now=0.0)

    assert statuses(tasks) == {"a": TaskState.RUNNING}
    assert tasks.states() == {TaskState.RUNNING: 1}


def test_the_same_snapshot_again_does_nothing() -> None:
    tasks, _ = connected()
    take(tasks, assignment("a"))

    assert take(tasks, assignment("a")) == ()


def test_strays_wait_for_the_word_of_a_manager() -> None:
    """The agent was restarted while no manager can be reached: containers go on."""
    tasks = Tasks([stray("a")])

    tasks.disconnected(now=0.0)

    assert tasks.lives == {}


def test_after_a_restart_wanted_containers_go_on_and_doubles_are_stopped() -> None:
    """The agent was away; one of its two tasks was replaced elsewhere meanwhile.

    1. A new agent finds the containers of both.
    2. The snapshot names only one.
    3. That one is reported as running, with its old process.
    4. The other is asked to stop, and deleted when it has.
    """
    tasks, effects = connected(stray("mine"), stray("double"))
    assert effects == ()

    effects = take(tasks, assignment("mine", observed=TaskState.RUNNING))

    assert effects == (Signal(TaskId("double")), Wait(TaskId("double"), 10.0))
    assert statuses(tasks) == {"mine": TaskState.RUNNING}
    ended = tasks.tell(TaskId("double"), Exited(exit_code=143), at=11.0, now=1.0)
    assert ended == (Delete(TaskId("double")),)
    assert list(tasks.lives) == ["mine"]


def test_an_agent_in_sync_holds_nothing_so_every_stray_is_a_double() -> None:
    _, effects = connected(stray("double"), in_sync=True)

    assert effects == (Signal(TaskId("double")), Wait(TaskId("double"), 10.0))


def test_an_exit_while_the_agent_was_away_is_reported() -> None:
    tasks, _ = connected(stray("a", exit=Exited(exit_code=4, finished_at=8.0)))

    assert take(tasks, assignment("a", observed=TaskState.RUNNING)) == ()
    assert statuses(tasks) == {"a": TaskState.FAILED}


def test_a_stray_goes_on_being_checked() -> None:
    """The agent was away while containers started and got well, or did not.

    1. Three containers with checks are found: one is not healthy yet, one became healthy, one ran
       before and is unhealthy since.
    2. The snapshot names all; each is reported as far as it is.
    3. The unhealthy one is asked to stop, and fails.
    """
    strays = [
        stray("young", examined=Examined(health=HealthState.STARTING)),
        stray("well", examined=Examined(health=HealthState.HEALTHY)),
        stray("ill", examined=Examined(health=HealthState.STARTING)),
    ]
    tasks, _ = connected(*strays)
    ill = Examined(health=HealthState.UNHEALTHY, failing_streak=3)
    assert tasks.tell(TaskId("ill"), ill, at=9.0, now=0.0) == ()

    effects = take(
        tasks, assignment("young"), assignment("well"), assignment("ill", observed=RUNNING)
    )

    assert effects == (Signal(TaskId("ill")), Wait(TaskId("ill"), 3.0))
    assert tasks.states() == {TaskState.STARTING: 1, RUNNING: 2}
    tasks.tell(TaskId("ill"), Exited(exit_code=0), at=11.0, now=0.0)
    assert tasks.states() == {TaskState.STARTING: 1, RUNNING: 1, TaskState.FAILED: 1}


def test_a_stray_that_exits_before_the_snapshot_is_not_forgotten() -> None:
    tasks = Tasks([stray("a")])
    tasks.tell(TaskId("a"), Exited(exit_code=0), at=9.0, now=0.0)
    tasks.welcomed(Welcome(), at=10.0, now=0.0)

    take(tasks, assignment("a", observed=TaskState.RUNNING))

    assert statuses(tasks) == {"a": TaskState.COMPLETE}


def test_a_stray_that_ended_and_should_have_is_no_failure() -> None:
    tasks, _ = connected(stray("a", exit=Exited(exit_code=137)))

    effects = take(tasks, assignment("a", desired=TaskState.SHUTDOWN, observed=TaskState.RUNNING))

    assert effects == ()
    assert statuses(tasks) == {"a": TaskState.SHUTDOWN}


def test_after_a_reboot_a_task_that_ran_has_failed_and_one_that_did_not_starts() -> None:
    tasks, _ = connected()

    effects = take(
        tasks, assignment("ran", observed=TaskState.RUNNING), assignment("new")
    )  # fmt: skip

    assert effects == (Prepare(TaskId("new")),)
    assert statuses(tasks)["ran"] is TaskState.FAILED


def test_after_a_reboot_a_completed_task_stays_completed() -> None:
    tasks, _ = connected()

    assert take(tasks, assignment("job", observed=TaskState.COMPLETE)) == ()
    assert statuses(tasks) == {}
    assert tasks.states() == {TaskState.COMPLETE: 1}


def test_a_container_that_runs_although_its_end_was_told_is_stopped() -> None:
    tasks, _ = connected(stray("a"))

    effects = take(tasks, assignment("a", observed=TaskState.FAILED))

    assert effects == (Signal(TaskId("a")), Wait(TaskId("a"), 3.0))


def test_a_withdrawn_task_is_deleted_and_not_reported() -> None:
    tasks, _ = connected()
    take(tasks, assignment("a"))
    tasks.tell(TaskId("a"), Prepared(), at=10.0, now=0.0)
    tasks.tell(TaskId("a"), Started(pid=9, started_at=10.0), at=10.0, now=0.0)

    assert take(tasks) == (Signal(TaskId("a")), Wait(TaskId("a"), 3.0))
    assert tasks.tell(TaskId("a"), Exited(exit_code=0), at=11.0, now=1.0) == (Delete(TaskId("a")),)

    assert statuses(tasks) == {}
    assert tasks.lives == {}


def test_a_stop_is_asked_once_however_often_it_is_said() -> None:
    tasks, _ = connected()
    take(tasks, assignment("a"))
    stop = assignment("a", desired=TaskState.SHUTDOWN)

    first = tasks.take(Diff(sequence=2, changed=(stop,)), at=10.0, now=0.0)
    second = tasks.take(Diff(sequence=3, changed=(stop,)), at=10.0, now=0.0)

    assert first == (Abandon(TaskId("a")),)
    assert second == ()


def test_networks_follow_before_the_tasks_of_the_same_message() -> None:
    tasks, _ = connected()
    network = Network(id=NET.network_id)

    effects = tasks.take(
        Snapshot(
            sequence=1,
            assignments=(assignment("a", attachments=(NET,)),),
            specs=(SPEC,),
            topology=Topology(is_complete=True, networks=(network,)),
        ),
        at=10.0,
        now=0.0,
    )

    assert effects == (Route(Changes(put=(network,))), Prepare(TaskId("a")))


def test_a_stray_in_a_network_leaves_it_if_it_is_known_and_else_is_stopped() -> None:
    """The agent was away; nobody calls a task any more that the managers have forgotten."""
    tasks, _ = connected(stray("mine"), stray("double"))
    take(tasks, assignment("mine", attachments=(NET,)))

    stop = assignment("mine", desired=TaskState.SHUTDOWN, attachments=(NET,))
    effects = tasks.take(Diff(sequence=2, changed=(stop,)), at=10.0, now=0.0)

    assert effects == (Leave(TaskId("mine")),)
    assert tasks.tell(TaskId("mine"), Left(), at=11.0, now=1.0) == (
        Signal(TaskId("mine")),
        Wait(TaskId("mine"), 3.0),
    )


def test_a_task_that_runs_is_put_into_other_networks_and_leaves_those_at_its_end() -> None:
    """Somebody connects a running task to a network, which gives it an address a moment later."""
    a, bare = TaskId("a"), Attachment(network_id=NET.network_id)
    tasks, _ = connected()
    take(tasks, assignment("a"))
    tasks.tell(a, Prepared(), at=10.0, now=0.0)
    tasks.tell(a, Started(pid=9, started_at=10.0), at=10.0, now=0.0)

    assert take(tasks, assignment("a", attachments=(bare,))) == (Connect(a),)
    assert take(tasks, assignment("a", attachments=(NET,))) == (Connect(a),)
    assert take(tasks, assignment("a", attachments=(NET,))) == ()

    stop = assignment("a", desired=TaskState.SHUTDOWN, attachments=(NET,))
    assert take(tasks, stop) == (Leave(a),)


def test_what_an_adopted_task_was_connected_to_meanwhile_is_looked_at() -> None:
    tasks, _ = connected(stray("mine"), stray("plain"))

    effects = take(tasks, assignment("mine", attachments=(NET,)), assignment("plain"))

    assert effects == (Connect(TaskId("mine")),)


def test_a_gap_is_said_and_the_next_hello_asks_for_everything() -> None:
    tasks, _ = connected()
    take(tasks, assignment("a"))

    assert isinstance(tasks.take(Diff(sequence=9), at=10.0, now=0.0), Gap)

    assert tasks.hello(NodeDescription()).digest == ""


NAMES = st.sampled_from("abcd")
FOUND = st.sampled_from([HealthState.STARTING, HealthState.HEALTHY, HealthState.UNHEALTHY])
DESIRED = st.sampled_from([TaskState.RUNNING, TaskState.SHUTDOWN])
SCRIPT = st.lists(
    st.one_of(
        st.tuples(st.just("snapshot"), st.dictionaries(NAMES, DESIRED)),
        st.tuples(st.just("perform"), st.integers(0, 5)),
        st.tuples(st.just("exit"), NAMES),
        st.tuples(st.just("check"), st.tuples(NAMES, FOUND)),
        st.tuples(st.just("break"), st.none()),
    ),
    max_size=30,
)


class Shell:
    """Perform effects as the executor does, but only when told to."""

    def __init__(self) -> None:
        self.tasks, _ = connected()
        self.todo: list[Effect] = []
        self.running: set[TaskId] = set()
        self.leftovers: set[TaskId] = set()

    def do(self, effects: tuple[Effect, ...] | Gap) -> None:
        assert not isinstance(effects, Gap)
        self.todo += effects
        self.tasks.check()

    def tell(self, task_id: TaskId, event: object) -> None:
        self.do(self.tasks.tell(task_id, event, at=10.0, now=0.0))  # type: ignore[arg-type]

    def exit(self, task_id: TaskId) -> None:
        if task_id in self.running:
            self.running.discard(task_id)
            self.tell(task_id, Exited(exit_code=137))

    def perform(self) -> None:
        match self.todo.pop(0):
            case Prepare(task_id):
                self.leftovers.add(task_id)
                self.tell(task_id, Prepared())
            case Start(task_id):
                assert task_id not in self.running
                self.running.add(task_id)
                self.tell(task_id, Started(pid=1, started_at=1.0, is_checked=task_id > "b"))
            case Abandon(task_id):
                self.tell(task_id, Abandoned())
            case Wait(task_id):
                self.tell(task_id, GraceExpired())
            case Leave(task_id):
                self.tell(task_id, Left())
            case Kill(task_id):
                self.exit(task_id)
            case Delete(task_id):
                assert task_id not in self.running
                self.leftovers.discard(task_id)
            case _:
                pass


@given(SCRIPT)
def test_law_once_nothing_is_wanted_nothing_runs_and_nothing_is_left(
    script: list[tuple[str, object]],
) -> None:
    shell = Shell()
    for act, what in script:
        if act == "snapshot" and isinstance(what, dict):
            wanted = [
                assignment(name, desired=state, attachments=(NET,) * (name in "bd"))
                for name, state in sorted(what.items())
            ]
            shell.do(take(shell.tasks, *wanted))
        elif act == "perform" and isinstance(what, int):
            for _ in range(min(what, len(shell.todo))):
                shell.perform()
        elif act == "exit":
            shell.exit(TaskId(str(what)))
        elif act == "check" and isinstance(what, tuple):
            name, health = what
            if TaskId(name) in shell.running and name > "b":
                shell.tell(TaskId(name), Examined(health=health))
        elif act == "break":
            shell.tasks.disconnected(now=0.0)
            shell.tasks.welcomed(Welcome(in_sync=True), at=10.0, now=0.0)

    shell.do(take(shell.tasks))
    while shell.todo:
        shell.perform()

    assert shell.tasks.lives == {}
    assert not shell.running
    assert not shell.leftovers


def test_a_node_without_a_swarm_ends_what_is_left_of_tasks() -> None:
    """One runs and one has ended: the first is asked to end, of both everything goes."""
    ended = stray("b", exit=Exited(exit_code=0))
    tasks = Tasks((stray("a"), ended))

    effects = tasks.alone(at=10.0, now=0.0)
    tasks.check()

    assert not tasks.strays
    assert any(isinstance(each, Signal | Leave) and each.task_id == "a" for each in effects)
    assert any(each.task_id == "b" for each in effects)
    gone = tasks.tell(TaskId("a"), Exited(exit_code=143), at=11.0, now=1.0)
    assert any(isinstance(each, Abandon | Delete) for each in gone)
