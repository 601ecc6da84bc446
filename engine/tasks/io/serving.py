"""Serve tasks: show them."""

import asyncio

from engine import replies
from engine.cluster.io.managing import managing, status
from engine.io.exchange import Exchange, Handler
from engine.networks.io.gathering import by_id
from engine.networks.showing import Known
from engine.replies import Reply
from engine.routing import Route
from engine.tasks.choosing import choose
from engine.tasks.io.finding import find_task
from engine.tasks.showing import task_json
from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.objects import Service

_AT_ONCE = 500


async def list_tasks(ask: Exchange) -> Reply:
    """GET /tasks"""
    filters = ask.query.filters()
    nodes = list(filters.get("node", ()))
    if "self" in nodes:
        own = (await status(ask)).node_id
        nodes = [own if each == "self" else each for each in nodes]
    async with managing(ask) as control:
        found = await control.ListTasks(
            control_pb2.ListTasksRequest(services=filters.get("service", ()), nodes=nodes)
        )
        # Every service, or those that are asked for: labels, jobs and versions are theirs.
        asked = control_pb2.ListServicesRequest(services=filters.get("service", ()))
        services = {
            each.service.id: from_message(Service, each.service)
            for each in (await control.ListServices(asked)).services
        }
    chosen = choose(found.tasks, filters, services)
    networks = await _networks(ask, chosen)
    shown: list[replies.JsonObject] = []
    for start in range(0, len(chosen), _AT_ONCE):
        shown += [_shown(each, services, networks) for each in chosen[start : start + _AT_ONCE]]
        await asyncio.sleep(0)  # a swarm may have a hundred thousand, and others wait
    return replies.json(shown)


async def inspect_task(ask: Exchange) -> Reply:
    """GET /tasks/{id}"""
    view = await find_task(ask, ask.params["id"])
    async with managing(ask) as control:
        found = (await control.ListServices(control_pb2.ListServicesRequest())).services
    services = {
        each.service.id: from_message(Service, each.service)
        for each in found
        if each.service.id == view.task.service_id
    }
    return replies.json(_shown(view, services, await _networks(ask, [view])))


async def _networks(ask: Exchange, views: list[control_pb2.TaskView]) -> dict[str, Known]:
    return await by_id(ask) if any(each.task.attachments for each in views) else {}


def _shown(
    view: control_pb2.TaskView, services: dict[str, Service], networks: dict[str, Known]
) -> replies.JsonObject:
    service = services.get(view.task.service_id)
    return task_json(view, service.spec if service is not None else None, networks)


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/tasks", list_tasks),
    Route("GET", "/tasks/{id}", inspect_task),
)
