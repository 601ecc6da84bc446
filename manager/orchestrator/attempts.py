"""See a service's tasks as attempts: what each still means for its replica.

The phase answers the one question of planning: does this attempt run, will it, or may it
still be running? Only an attempt whose node is lost or gone may be replaced without having
ended.
"""

from enum import Enum, auto

from msgspec import Struct

from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId
from swarm.objects import Task
from swarm.states import NodeState, TaskState


class Phase(Enum):
    """What an attempt still means."""

    WAITING = auto()
    """It has no node yet."""
    LIVE = auto()
    """It is wanted, and runs or is about to."""
    LEAVING = auto()
    """It was asked to stop and has not ended yet."""
    LOST = auto()
    """Its node is down: it may run or not, and nobody can ask."""
    GONE = auto()
    """Its node is no longer part of the swarm."""
    ENDED = auto()
    """No process of it is left."""


class Attempt(Struct, frozen=True, kw_only=True):
    """A task with what is observed of it: `state`, since `at`.

    `unsure` is a task on a node that a new leader has not heard of yet.
    """

    task: Task
    state: TaskState
    phase: Phase
    unsure: bool = False
    at: float = 0.0

    @property
    def is_wanted(self) -> bool:
        """Whether it has not been asked to stop."""
        return self.task.desired <= TaskState.RUNNING

    @property
    def may_run(self) -> bool:
        """Whether a process of it may be left, on a node that can be asked."""
        return self.phase in (Phase.LIVE, Phase.LEAVING)


def attempts_of(view: ClusterView, service_id: ServiceId) -> list[Attempt]:
    """The service's attempts, oldest first within each replica."""
    states = {NodeId(""): NodeState.UNKNOWN}
    found: list[Attempt] = []
    for task in view.tasks_of(service_id).values():
        if task.node_id not in states:
            states[task.node_id] = view.node_state(task.node_id)
        found.append(_attempt(view, task, states[task.node_id]))
    found.sort(key=lambda each: (each.task.attempt, each.task.created_at, each.task.id))
    return found


def _attempt(view: ClusterView, task: Task, node: NodeState) -> Attempt:
    state = view.state(task)
    seen = view.observation(task)
    return Attempt(
        task=task,
        state=state,
        phase=_phase(view, task, state, node),
        unsure=node is NodeState.UNKNOWN,
        at=seen.at if seen is not None else 0.0,
    )


def _phase(view: ClusterView, task: Task, state: TaskState, node: NodeState) -> Phase:
    if not task.node_id:
        return Phase.WAITING
    if task.node_id not in view.nodes:
        return Phase.GONE
    if state.is_terminal:
        return Phase.ENDED
    if node is NodeState.DOWN:
        return Phase.LOST
    return Phase.LIVE if task.desired <= TaskState.RUNNING else Phase.LEAVING
