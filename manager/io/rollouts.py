"""Serve rollouts: bring back an earlier spec, let a rollout go on, tell what a service was.

The history is read from the store when it is asked for: nothing is planned by it.
"""

from manager import layout
from manager.finding import find_service
from manager.io.mirror import Mirror
from manager.io.rendering import service_view
from manager.io.services import Services
from swarm.api.v1 import control_pb2
from swarm.codec import to_message, unpack
from swarm.errors import Missing
from swarm.ids import ServiceId
from swarm.objects import Revision


class Rollouts:
    """What operators do about rollouts."""

    def __init__(self, mirror: Mirror, services: Services) -> None:
        self._mirror = mirror
        self._services = services

    async def rollback(
        self, request: control_pb2.RollbackServiceRequest
    ) -> control_pb2.RollbackServiceResponse:
        """Bring back the previous spec, or a revision."""
        service_id = find_service(self._mirror.view, request.service_id)
        revision = None
        if request.revision:
            revision = await self._revision(service_id, request.revision)
        await self._services.rollback(service_id, request.version, revision)
        find_service(self._mirror.view, service_id)  # it may be gone by now
        return control_pb2.RollbackServiceResponse(
            service=service_view(self._mirror.view, service_id)
        )

    async def promote(
        self, request: control_pb2.PromoteServiceRequest
    ) -> control_pb2.PromoteServiceResponse:
        """Let a rollout go on."""
        service_id = find_service(self._mirror.view, request.service_id)
        await self._services.promote(service_id)
        find_service(self._mirror.view, service_id)
        return control_pb2.PromoteServiceResponse(
            service=service_view(self._mirror.view, service_id)
        )

    async def revisions(
        self, request: control_pb2.ListRevisionsRequest
    ) -> control_pb2.ListRevisionsResponse:
        """What a service was, the newest first."""
        service_id = find_service(self._mirror.view, request.service_id)
        found = await self._history(service_id)
        return control_pb2.ListRevisionsResponse(revisions=[to_message(each) for each in found])

    async def _revision(self, service_id: ServiceId, number: int) -> Revision:
        found = await self._history(service_id)
        for each in found:
            if each.number == number:
                return each
        name = self._mirror.view.services[service_id].spec.name
        kept = ", ".join(str(each.number) for each in reversed(found)) or "none"
        raise Missing(
            f"service {name} has no revision {number}",
            hint=f"the history goes back to: {kept}",
        )

    async def _history(self, service_id: ServiceId) -> list[Revision]:
        snapshot = await self._mirror.store.read(f"{layout.HISTORY}{service_id}/")
        revisions = [unpack(Revision, item.value) for item in snapshot.items]
        return sorted(revisions, key=lambda each: -each.number)
