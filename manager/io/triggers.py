"""Start runs of scheduled jobs when an operator says so."""

from manager.control.triggering import trigger
from manager.finding import find_service
from manager.io.mirror import Mirror
from manager.io.rendering import service_view
from manager.io.services import Services
from manager.store import Commit
from swarm.api.v1 import control_pb2


class Triggers:
    """Runs by hand."""

    def __init__(self, mirror: Mirror, services: Services) -> None:
        self._mirror = mirror
        self._services = services

    async def trigger(
        self, request: control_pb2.TriggerServiceRequest
    ) -> control_pb2.TriggerServiceResponse:
        """Start a run now; tells its number."""
        view = self._mirror.view
        service_id = find_service(view, request.service_id)
        number, at = 0, 0.0

        def decide() -> Commit:
            nonlocal number, at
            ledger = view.ledgers.get(service_id)
            if ledger and any((run.number, run.due_at) == (number, at) for run in ledger.runs):
                return Commit()  # the answer was lost, not the commit
            at = self._mirror.clock()
            commit, number = trigger(view, find_service(view, service_id), now=at)
            return commit

        await self._services.commit(decide)
        return control_pb2.TriggerServiceResponse(
            service=service_view(view, service_id), run=number
        )
