"""Serve rollouts: bring back an earlier spec, let a rollout go on, tell what a service was."""

from manager.io.mirror import Mirror
from manager.io.services import Services
from swarm.api.v1 import control_pb2


class Rollouts:
    """What operators do about rollouts."""

    def __init__(self, mirror: Mirror, services: Services) -> None:
        self._mirror = mirror
        self._services = services

    async def rollback(
        self, request: control_pb2.RollbackServiceRequest
    ) -> control_pb2.RollbackServiceResponse:
        """Bring back the previous spec, or a revision."""
        raise NotImplementedError

    async def promote(
        self, request: control_pb2.PromoteServiceRequest
    ) -> control_pb2.PromoteServiceResponse:
        """Let a rollout go on."""
        raise NotImplementedError

    async def revisions(
        self, request: control_pb2.ListRevisionsRequest
    ) -> control_pb2.ListRevisionsResponse:
        """What a service was, the newest first."""
        raise NotImplementedError
