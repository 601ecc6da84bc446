"""Tell which tasks are where they must not be.

A drained node keeps nothing, a paused one keeps what it has. A task whose node no longer
satisfies its placement has to go as well: constraints say where a service may run, not only
where it may start. They are those of the current version, so a node's label moves old tasks
and new ones alike.
"""

from manager.view import ClusterView
from swarm.constraints import parse_stored
from swarm.ids import NodeId
from swarm.objects import Service
from swarm.specs import Availability


class Whereabouts:
    """Which nodes may keep tasks of one service; each node is judged once."""

    def __init__(self, view: ClusterView, service: Service) -> None:
        self._view = view
        self._constraints = parse_stored(service.spec.task.placement.constraints)
        self._judged: dict[NodeId, bool] = {}

    def may_stay(self, node_id: NodeId) -> bool:
        """Whether a task of the service may go on running on this node."""
        found = self._judged.get(node_id)
        if found is None:
            found = self._judged[node_id] = self._judge(node_id)
        return found

    def _judge(self, node_id: NodeId) -> bool:
        node = self._view.nodes.get(node_id)
        if node is None or node.spec.availability is Availability.DRAIN:
            return False
        return all(constraint.admits(node) for constraint in self._constraints)
