"""Tell which tasks are where they must not be, why, and how long they may stay all the same.

A drained node keeps nothing, a paused one keeps what it has. A task whose node no longer
satisfies its placement has to go as well: constraints say where a service may run, not only
where it may start. So does one that does not bear a taint which also drives out what runs. A
replica is judged by the wishes of its own version, so that new ones move it in its turn of
the rollout. A node of a global service is judged by those of the current version: there is
no other place to move to, and so nothing to roll.

Having to go is no hurry, so a replacement may be started first; only a drain may have a
deadline.
"""

from math import inf

from manager.view import ClusterView
from swarm.constraints import constraints_of
from swarm.ids import NodeId
from swarm.objects import Service, Task
from swarm.specs import Availability, Global, TaintEffect, TaskSpec
from swarm.wishes import print_taint, unborne


class Whereabouts:
    """Which nodes may keep tasks of one service; each node is judged once per version."""

    def __init__(self, view: ClusterView, service: Service) -> None:
        self._view = view
        self._service = service
        self._is_global = isinstance(service.spec.mode, Global)
        self._judged: dict[tuple[NodeId, int], str] = {}

    def may_stay(self, task: Task) -> bool:
        """Whether the task may go on running where it is."""
        return not self.objection(task)

    def objection(self, task: Task) -> str:
        """Why the task may not stay where it is; empty when it may."""
        version = self._service.spec_version if self._is_global else task.spec_version
        found = self._judged.get((task.node_id, version))
        if found is None:
            found = self._judged[task.node_id, version] = self._judge(task.node_id, version)
        return task.eviction or found

    def deadline(self, task: Task) -> float:
        """Until when it may stay although it has to go."""
        node = self._view.nodes.get(task.node_id)
        if node is None or node.spec.availability is not Availability.DRAIN:
            return inf
        timeout_s = node.spec.drain_timeout_s
        return node.availability_at + timeout_s if timeout_s > 0 else inf

    def _judge(self, node_id: NodeId, version: int) -> str:
        node = self._view.nodes.get(node_id)
        if node is None:
            return "its node has left the swarm"
        if node.spec.availability is Availability.DRAIN:
            return "its node is drained"
        spec = self._view.task_spec(self._service.id, version) or TaskSpec()
        for constraint in constraints_of(spec):
            if not constraint.admits(node):
                return f"its node no longer satisfies constraint {constraint}"
        tolerations = spec.placement.tolerations
        for taint in unborne(tolerations, node.spec.taints, TaintEffect.NO_EXECUTE):
            return f"it does not tolerate taint {print_taint(taint)} of its node"
        return ""
