"""How attempts stand, in literals."""

from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.replicas import Frame
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Service, Task
from swarm.specs import ServiceSpec
from swarm.states import TaskState


def test_an_attempt_is_proven_at_the_very_time_at_which_we_asked_to_be_woken() -> None:
    """Found by seed 9 of the simulation: a leader planned a service over and over.

    At today's times a difference of two floats is not what was added to one of them.
    """
    up_at = 1_700_000_025.77678
    task = Task(id=TaskId("t"), service_id=ServiceId("s"), node_id=NodeId("n"))
    attempt = Attempt(task=task, state=TaskState.RUNNING, phase=Phase.LIVE, up_at=up_at)
    service = Service(id=ServiceId("s"), spec=ServiceSpec())

    for proven_s in (0.1, 0.3, 0.7, 1.0):
        frame = Frame(
            service=service, now=up_at + proven_s, may_stay=lambda task: True, proven_s=proven_s
        )
        assert frame.is_proven(attempt), proven_s
