"""Serve what-if questions: what a change would do, why a task is where it is, what to move."""

import asyncio

from manager import layout
from manager.explaining import Explanation, explain
from manager.finding import find_node, find_service, find_task
from manager.forecasting import Forecast, forecast, question
from manager.io.leader import Leader
from manager.io.mirror import Mirror
from manager.io.rebalancing import Rebalancing
from manager.io.rendering import task_view
from manager.io.services import Services
from manager.rebalancing import Moves
from manager.view import ClusterView
from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.errors import Invalid, Missing
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.specs import ServiceSpec


class Forecasts:
    """Questions that the planners answer without anything being changed, and moves."""

    def __init__(
        self, mirror: Mirror, leader: Leader, services: Services, rebalancing: Rebalancing
    ) -> None:
        self._mirror = mirror
        self._leader = leader
        self._services = services
        self._rebalancing = rebalancing

    async def plan(
        self, request: control_pb2.PlanServiceRequest
    ) -> control_pb2.PlanServiceResponse:
        """What creating or changing a service would do."""
        view, spec = self._mirror.view, from_message(ServiceSpec, request.spec)
        service_id: ServiceId | None = None
        if request.service_id:
            service_id = find_service(view, request.service_id)
            accepted, warnings = await self._services.accept_change(
                service_id,
                view.version(layout.service_key(service_id)),
                spec,
                resolve_image=request.resolve_image,
                registry_auth=request.registry_auth,
            )
        else:
            accepted, warnings = await self._services.accept_new(
                spec, resolve_image=request.resolve_image, registry_auth=request.registry_auth
            )
        if service_id is not None and service_id not in view.services:
            raise Missing(f"service {spec.name} was removed meanwhile")
        now = self._mirror.clock()
        fleet, addresses = self._leader.fleet, self._leader.addresses
        asked = question(view, fleet, addresses, service_id, accepted, now=now)
        # Thousands of tasks take seconds; heartbeats must not wait for that.
        found = await asyncio.to_thread(forecast, asked, now=now)
        return _plan_message(found, warnings)

    async def explain(
        self, request: control_pb2.ExplainPlacementRequest
    ) -> control_pb2.ExplainPlacementResponse:
        """What each node says of a task or a service."""
        view = self._mirror.view
        task_id, service_id = _target(view, request.target)
        found = explain(
            view,
            self._leader.fleet,
            service_id,
            task_id=task_id,
            node_id=find_node(view, request.node) if request.node else None,
        )
        return _explanation_message(view, found, task_id)

    async def rebalance(
        self, request: control_pb2.RebalanceRequest
    ) -> control_pb2.RebalanceResponse:
        """Move tasks from full nodes to empty ones."""
        if request.max_moves < 0:
            raise Invalid(
                f"max_moves: {request.max_moves} is negative", hint="0 moves as many as help"
            )
        found = await self._rebalancing.wave(max_moves=request.max_moves, dry_run=request.dry_run)
        return _moves_message(self._mirror.view, found)


def _target(view: ClusterView, text: str) -> tuple[TaskId | None, ServiceId]:
    """A service, or a task of one."""
    if not text:
        raise Invalid("target: name a task or a service", hint="as in `swarmctl why web`")
    try:
        return None, find_service(view, text)
    except Missing:
        try:
            task_id = find_task(view, text)
        except Missing:
            raise Missing(
                f"no such service or task: {text}", hint="`swarmctl service ls` lists the services"
            ) from None
    return task_id, view.tasks[task_id].service_id


def _plan_message(found: Forecast, warnings: tuple[str, ...]) -> control_pb2.PlanServiceResponse:
    response = control_pb2.PlanServiceResponse(
        warnings=(*warnings, *found.warnings),
        revision=found.revision,
        is_new_version=found.is_new_version,
    )
    for change in found.changes:
        response.changes.add(path=change.path, before=change.before, after=change.after)
    for task in found.tasks:
        response.tasks.add(
            action=task.action,
            name=task.name,
            node_hostname=task.hostname,
            from_hostname=task.from_hostname,
            reason=task.reason,
        )
    return response


def _explanation_message(
    view: ClusterView, found: Explanation, task_id: TaskId | None
) -> control_pb2.ExplainPlacementResponse:
    response = control_pb2.ExplainPlacementResponse(
        service_name=found.service_name,
        summary=found.summary,
        task=task_view(view, task_id) if task_id is not None else None,
    )
    for each in found.verdicts:
        response.verdicts.add(
            node_id=each.node_id,
            hostname=each.hostname,
            admits=each.admits,
            filter=each.filter,
            detail=each.detail,
            tasks=each.tasks,
            room=each.room,
        )
    return response


def _moves_message(view: ClusterView, found: Moves) -> control_pb2.RebalanceResponse:
    response = control_pb2.RebalanceResponse(held_back=found.held_back)
    for move in found.moves:
        response.moves.add(
            task_id=move.task_id,
            name=move.name,
            from_hostname=_hostname(view, move.from_node),
            to_hostname=_hostname(view, move.to_node),
            reason=move.reason,
        )
    return response


def _hostname(view: ClusterView, node_id: NodeId) -> str:
    node = view.nodes.get(node_id)
    return (node.description.hostname or node_id) if node is not None else node_id
