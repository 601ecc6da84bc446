"""Tell which tasks are where they must not be.

A drained node keeps nothing, a paused one keeps what it has. A task whose node no longer
satisfies its placement has to go as well: constraints say where a service may run, not only
where it may start. A replica is judged by the constraints of its own version, so that new
ones move it in its turn of the rollout. A node of a global service is judged by those of
the current version: there is no other place to move to, and so nothing to roll.
"""

from manager.view import ClusterView
from swarm.constraints import Constraint, constraints_of
from swarm.ids import NodeId
from swarm.objects import Service, Task
from swarm.specs import Availability, Replicated


class Whereabouts:
    """Which nodes may keep tasks of one service; each node is judged once per version."""

    def __init__(self, view: ClusterView, service: Service) -> None:
        self._view = view
        self._service = service
        self._is_replicated = isinstance(service.spec.mode, Replicated)
        self._judged: dict[tuple[NodeId, int], bool] = {}

    def may_stay(self, task: Task) -> bool:
        """Whether the task may go on running where it is."""
        version = task.spec_version if self._is_replicated else self._service.spec_version
        found = self._judged.get((task.node_id, version))
        if found is None:
            found = self._judged[task.node_id, version] = self._judge(task.node_id, version)
        return found

    def _judge(self, node_id: NodeId, version: int) -> bool:
        node = self._view.nodes.get(node_id)
        if node is None or node.spec.availability is Availability.DRAIN:
            return False
        return all(constraint.admits(node) for constraint in self._constraints(version))

    def _constraints(self, version: int) -> tuple[Constraint, ...]:
        spec = self._view.task_spec(self._service.id, version)
        return constraints_of(spec) if spec is not None else ()
