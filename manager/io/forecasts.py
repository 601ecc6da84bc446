"""Serve what-if questions: what a change would do, why a task is where it is, what to move."""

from manager.io.leader import Leader
from manager.io.mirror import Mirror
from swarm.api.v1 import control_pb2


class Forecasts:
    """Questions that the planners answer without anything being changed, and moves."""

    def __init__(self, mirror: Mirror, leader: Leader) -> None:
        self._mirror = mirror
        self._leader = leader

    async def plan(
        self, request: control_pb2.PlanServiceRequest
    ) -> control_pb2.PlanServiceResponse:
        """What creating or changing a service would do."""
        raise NotImplementedError

    async def explain(
        self, request: control_pb2.ExplainPlacementRequest
    ) -> control_pb2.ExplainPlacementResponse:
        """What each node says of a task or a service."""
        raise NotImplementedError

    async def rebalance(
        self, request: control_pb2.RebalanceRequest
    ) -> control_pb2.RebalanceResponse:
        """Move tasks from full nodes to empty ones."""
        raise NotImplementedError
