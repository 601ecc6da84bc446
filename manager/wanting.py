"""Count how many tasks of a service ought to run.

Of a global service that is one on every node that admits it and is ready. A node that would
get none today still counts while it may keep the one it has: that is what it is to have.
"""

from collections.abc import Iterable

from manager.orchestrator.scaling import replicas_of
from manager.view import ClusterView
from swarm.constraints import Constraint, constraints_of
from swarm.ids import NodeId
from swarm.objects import Service
from swarm.specs import Availability, Placement, Replicated, ReplicatedJob, TaintEffect
from swarm.states import NodeState, TaskState
from swarm.wishes import same_platform, unborne

_KEEPING_AWAY = (TaintEffect.NO_SCHEDULE, TaintEffect.NO_EXECUTE)


def wanted_replicas(view: ClusterView, service: Service) -> int:
    """How many tasks ought to run; of a global service, one on every node that admits it."""
    if isinstance(service.spec.mode, Replicated):
        return replicas_of(view, service)
    if isinstance(service.spec.mode, ReplicatedJob):
        return service.spec.mode.total
    spec = service.spec.task
    constraints = constraints_of(spec)
    keeping = {
        task.node_id
        for task in view.tasks_of(service.id).values()
        if task.desired <= TaskState.RUNNING
    }
    return sum(
        _wants_one(view, node_id, spec.placement, constraints, keeping) for node_id in view.nodes
    )


def _wants_one(
    view: ClusterView,
    node_id: NodeId,
    placement: Placement,
    constraints: Iterable[Constraint],
    keeping: set[NodeId],
) -> bool:
    node, is_there = view.nodes[node_id], node_id in keeping
    if view.node_state(node_id) is not NodeState.READY:
        return False
    if node.spec.availability is Availability.PAUSE and not is_there:
        return False
    if node.spec.availability is Availability.DRAIN:
        return False
    # What runs already is sent away by the strictest taints only.
    effects = (TaintEffect.NO_EXECUTE,) if is_there else _KEEPING_AWAY
    if unborne(placement.tolerations, node.spec.taints, *effects):
        return False
    is_fit = not placement.platforms or any(
        same_platform(each, os=node.description.os, arch=node.description.arch)
        for each in placement.platforms
    )
    return is_fit and all(each.admits(node) for each in constraints)
