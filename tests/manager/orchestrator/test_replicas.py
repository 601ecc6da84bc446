"""How attempts stand, in literals."""

from manager.decisions import SetDesired
from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.draft import Draft
from manager.orchestrator.reaping import bury_gone
from manager.orchestrator.replicas import Frame, Replica, Settled, Standing, settle
from manager.orchestrator.rollout import Course, conclude
from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Rollout, Service, Task
from swarm.specs import ServiceSpec, UpdatePolicy
from swarm.states import TaskState


def test_an_attempt_is_proven_at_the_very_time_at_which_we_asked_to_be_woken() -> None:
    """Found by seed 9 of the simulation: a leader planned a service over and over.

    At today's times a difference of two floats is not what was added to one of them.
    """
    up_at = 1_700_000_025.77678
    task = Task(id=TaskId("t"), service_id=ServiceId("s"), node_id=NodeId("n"))
    found = Attempt(task=task, state=TaskState.RUNNING, phase=Phase.LIVE, up_at=up_at)
    service = Service(id=ServiceId("s"), spec=ServiceSpec())

    for proven_s in (0.1, 0.3, 0.7, 1.0):
        frame = Frame(
            service=service, now=up_at + proven_s, may_stay=lambda task: True, proven_s=proven_s
        )
        assert frame.is_proven(found), proven_s


def attempt(number: int, phase: Phase, state: TaskState, *, version: int = 1) -> Attempt:
    task = Task(
        id=TaskId(f"t{number}"),
        service_id=ServiceId("s"),
        slot=1,
        attempt=number,
        node_id=NodeId("n"),
        spec_version=version,
    )
    return Attempt(task=task, state=state, phase=phase, up_at=5.0)


def test_nothing_starts_beside_a_replacement_that_is_given_up_before_it_has_ended() -> None:
    """Found by seed 52 of the simulation: three containers of one slot at once.

    1. A slot runs version 1, and version 2 starts beside it.
    2. Version 3 is wanted instead, so the task of version 2 is stopped.
    3. It may run until it has ended, so the slot gets no third task yet.
    """
    service = Service(id=ServiceId("s"), spec=ServiceSpec(), spec_version=3)
    draft = Draft(ClusterView(), service.id, now=10.0)
    frame = Frame(service=service, now=10.0, may_stay=lambda task: True, start_first=True)
    old = attempt(1, Phase.LIVE, TaskState.RUNNING)
    given_up = attempt(2, Phase.LIVE, TaskState.ASSIGNED, version=2)

    settled = settle(Replica(slot=1, attempts=[old, given_up]), frame, draft)

    assert draft.finished().decisions == (SetDesired(TaskId("t2"), TaskState.SHUTDOWN),)
    assert settled.standing is Standing.REPLACING
    assert settled.need is None


def test_an_attempt_on_a_removed_node_is_remembered_until_another_can_follow() -> None:
    """Found by seeds 43 and 71 of the simulation: a task got the id of one that had run before.

    1. Attempt 3 of a slot has been asked to stop; attempt 4 ran on a node that was removed.
    2. The next one cannot start before attempt 3 has ended, or before it is its turn.
    3. Were attempt 4 forgotten by then, the next would be number 4 again, and have its name.
    """
    draft = Draft(ClusterView(), ServiceId("s"), now=10.0)
    gone = attempt(4, Phase.GONE, TaskState.RUNNING)

    bury_gone([attempt(3, Phase.LEAVING, TaskState.RUNNING), gone], draft, is_followed=False)
    assert not draft.is_forgotten(gone)
    bury_gone([attempt(3, Phase.ENDED, TaskState.SHUTDOWN), gone], draft, is_followed=True)

    assert draft.is_forgotten(gone)


def test_canaries_are_looked_at_again_when_they_are_proven_though_nothing_else_is_left() -> None:
    """Found by seed 540 of the simulation: canaries that nobody was told of.

    1. Two canaries are up, but not for long enough yet.
    2. All other replicas wait for room, so none is of an earlier version any more.
    3. Only time will tell when the canaries are proven, so somebody has to look again.
    """
    service = Service(id=ServiceId("s"), spec=ServiceSpec())
    policy = UpdatePolicy(canary=2, monitor_s=5.0)
    course = Course(service=service, policy=policy, rollout=Rollout(total=3))
    canary = attempt(1, Phase.LIVE, TaskState.RUNNING)
    up = [
        Settled(replica=Replica(slot=slot, attempts=[canary]), standing=Standing.UP, up_since=since)
        for slot, since in ((1, 5.0), (2, 9.5))
    ]
    waiting = Settled(replica=Replica(slot=3, attempts=[]), standing=Standing.UNTRIED)
    draft = Draft(ClusterView(), service.id, now=10.0)

    conclude(course, [*up, waiting], draft)

    assert draft.finished().wake_at == 10.5
