"""See a service's tasks as attempts: what each still means for its replica.

The phase answers the one question of planning: does this attempt run, will it, or may it
still be running? Only an attempt whose node is lost or gone may be replaced without having
ended.
"""

from collections.abc import Iterable, Mapping
from enum import Enum, auto

from msgspec import Struct

from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Observation, Task
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


class Attempt(Struct, frozen=True, kw_only=True, gc=False):
    """A task with what is observed of it: `state`, since `at`; it ran from `up_at`, if ever.

    `unsure` is a task on a node that a new leader has not heard of yet.
    """

    task: Task
    state: TaskState
    phase: Phase
    unsure: bool = False
    at: float = 0.0
    up_at: float = 0.0

    @property
    def is_wanted(self) -> bool:
        """Whether it has not been asked to stop."""
        return self.task.desired <= TaskState.RUNNING

    @property
    def may_run(self) -> bool:
        """Whether a process of it may be left, on a node that can be asked."""
        return self.phase in (Phase.LIVE, Phase.LEAVING)


def attempts_of(view: ClusterView, service_id: ServiceId) -> list[Attempt]:
    """The service's attempts, in no particular order."""
    return seen_as_attempts(view, view.tasks_of(service_id).values())


def seen_as_attempts(view: ClusterView, tasks: Iterable[Task]) -> list[Attempt]:
    """These tasks with what is observed of them."""
    standings: dict[NodeId, _Standing] = {}
    found: list[Attempt] = []
    for task in tasks:
        standing = standings.get(task.node_id)
        if standing is None:
            standing = standings[task.node_id] = _standing(view, task.node_id)
        seen = standing.observations.get(task.id)
        state = max(seen.state, standing.least) if seen is not None else standing.least
        found.append(
            Attempt(
                task=task,
                state=state,
                phase=_phase(task, state, standing),
                unsure=standing.is_unsure,
                at=seen.at if seen is not None else 0.0,
                up_at=_up_at(seen) if seen is not None else 0.0,
            )
        )
    return found


def _up_at(seen: Observation) -> float:
    if seen.running_at > 0.0:
        return min(seen.running_at, seen.at)  # times of ends and beginnings are of one clock
    return seen.at if seen.state is TaskState.RUNNING else 0.0


def in_order(attempts: list[Attempt]) -> list[Attempt]:
    """The attempts of one replica, oldest first."""
    if len(attempts) > 1:
        attempts.sort(key=lambda each: (each.task.attempt, each.task.created_at, each.task.id))
    return attempts


class _Standing(Struct, frozen=True, kw_only=True):
    """What tasks on one node have in common: the phase of those without an end."""

    wanted: Phase
    unwanted: Phase
    is_gone: bool
    is_unsure: bool
    least: TaskState
    observations: Mapping[TaskId, Observation]


def _standing(view: ClusterView, node_id: NodeId) -> _Standing:
    state = view.node_state(node_id)
    is_gone = node_id not in view.nodes
    wanted, unwanted = Phase.LIVE, Phase.LEAVING
    if not node_id:
        wanted = unwanted = Phase.WAITING
    elif state is NodeState.DOWN:
        wanted = unwanted = Phase.GONE if is_gone else Phase.LOST
    return _Standing(
        wanted=wanted,
        unwanted=unwanted,
        is_gone=is_gone and bool(node_id),
        is_unsure=state is NodeState.UNKNOWN,
        least=TaskState.ASSIGNED if node_id else TaskState.PENDING,
        observations=view.observations_on(node_id),
    )


def _phase(task: Task, state: TaskState, standing: _Standing) -> Phase:
    if state > TaskState.RUNNING and not standing.is_gone:
        return Phase.ENDED
    return standing.wanted if task.desired <= TaskState.RUNNING else standing.unwanted
