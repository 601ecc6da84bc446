"""Serve networks, of this node and of the swarm, as one."""

import asyncio
import time

from engine import replies
from engine.cluster.io.managing import NO_SWARM, is_manager, managing, status
from engine.containers.creating import read_network as read_endpoint
from engine.filters import Filters
from engine.io.exchange import Exchange, Handler
from engine.networks.choosing import choose, find, prunable
from engine.networks.io.gathering import everything, here
from engine.networks.showing import (
    BUILT_IN_DRIVERS,
    SWARM,
    Known,
    container_json,
    members_json,
    network_json,
    summary_json,
)
from engine.networks.specs import read_network, scope_of
from engine.refusals import CONFLICT, FORBIDDEN, UNAVAILABLE, Denied
from engine.replies import JsonObject, Reply
from engine.routing import Route
from engine.times import moment
from engine.wire.containers import EndpointJson
from engine.wire.networks import ConnectJson, DisconnectJson, NetworkJson
from swarm.api.v1 import containers_pb2, control_pb2, localnetworks_pb2
from swarm.codec import to_message
from swarm.errors import Invalid, Missing, Refused
from swarm.ids import NetworkId
from swarm.objects import Network
from swarm.specs import NetworkSpec

LEAVE_WITHIN_S = 60.0
_LOOK_AGAIN_S = 0.1


async def list_networks(ask: Exchange) -> Reply:
    """GET /networks"""
    filters = ask.query.filters()
    return replies.json([summary_json(each) for each in choose(await everything(ask), filters)])


async def inspect_network(ask: Exchange) -> Reply:
    """GET /networks/{id}"""
    term, scope = ask.params["id"], ask.query.text("scope")
    if scope == SWARM and term in BUILT_IN_DRIVERS:
        return replies.json(network_json(_every_nodes_own(term)))
    known = find(await everything(ask), term, scope=scope)
    found = network_json(known)
    if known.scope == SWARM:
        found |= await _members(ask, known)
    return replies.json(found)


async def create_network(ask: Exchange) -> Reply:
    """POST /networks/create"""
    asked = await ask.decoded(NetworkJson)
    scope, spec = scope_of(asked), read_network(asked)
    manages = await is_manager(ask)
    if scope == SWARM and not manages:
        raise Denied(UNAVAILABLE, NO_SWARM)
    if any(
        each.network.spec.name == spec.name and each.scope == SWARM
        for each in (await everything(ask) if manages else ())
    ):
        raise Denied(CONFLICT, f"network with name {spec.name} already exists")
    if scope == SWARM:
        async with managing(ask) as control:
            request = control_pb2.CreateNetworkRequest(spec=to_message(spec))
            made = (await control.CreateNetwork(request)).network.network.id
            warnings = list[str]()
    else:
        answer = await ask.backends.local_networks.CreateLocalNetwork(
            localnetworks_pb2.CreateLocalNetworkRequest(spec=to_message(spec))
        )
        made, warnings = answer.network.network.id, list(answer.warnings)
    return replies.json({"Id": made, "Warning": "; ".join(warnings)}, status=201)


async def remove_network(ask: Exchange) -> Reply:
    """DELETE /networks/{id}"""
    known = find(await everything(ask), ask.params["id"])
    if known.is_built_in:
        name = known.network.spec.name
        raise Denied(FORBIDDEN, f"{name} is a pre-defined network and cannot be removed")
    await _remove_patiently(ask, known)
    return replies.nothing()


async def prune_networks(ask: Exchange) -> Reply:
    """POST /networks/prune"""
    filters = ask.query.filters()
    removed: list[str] = []
    for known in prunable(await everything(ask), filters, until=_until(filters)):
        try:
            await _remove(ask, known)
        except (Refused, Missing):
            continue  # somebody uses it after all, or has removed it
        removed.append(known.network.spec.name)
    return replies.json({"NetworksDeleted": removed or None})


async def connect_network(ask: Exchange) -> Reply:
    """POST /networks/{id}/connect"""
    asked = await ask.decoded(ConnectJson)
    view = await _container(ask, asked.container)
    known, endpoint = await _meant(ask), asked.endpoint_config or EndpointJson()
    network = known.network.id if known is not None else ask.params["id"]
    if known is not None and known.scope == SWARM:
        if view.task_id:
            async with managing(ask) as control:
                await control.ConnectNetwork(
                    control_pb2.ConnectNetworkRequest(
                        network=network, task=view.task_id, aliases=endpoint.aliases
                    )
                )
            return replies.nothing(200)
        if not known.network.spec.attachable:
            raise Denied(
                FORBIDDEN,
                f"Could not attach to network {known.network.spec.name}: not manually attachable",
                hint="create it with Attachable",
            )
    await ask.backends.containers.ConnectContainer(
        containers_pb2.ConnectContainerRequest(
            container=view.id, network=to_message(read_endpoint(network, endpoint))
        )
    )
    return replies.nothing(200)


async def disconnect_network(ask: Exchange) -> Reply:
    """POST /networks/{id}/disconnect"""
    asked = await ask.decoded(DisconnectJson)
    view = await _container(ask, asked.container)
    known = await _meant(ask)
    network = known.network.id if known is not None else ask.params["id"]
    if known is not None and known.scope == SWARM and view.task_id:
        async with managing(ask) as control:
            await control.DisconnectNetwork(
                control_pb2.DisconnectNetworkRequest(
                    network=network, task=view.task_id, force=asked.force
                )
            )
        return replies.nothing(200)
    await ask.backends.containers.DisconnectContainer(
        containers_pb2.DisconnectContainerRequest(
            container=view.id, network=network, force=asked.force
        )
    )
    return replies.nothing(200)


async def _members(ask: Exchange, known: Known) -> JsonObject:
    network_id = known.network.id
    async with managing(ask) as control:
        answer = await control.InspectNetwork(control_pb2.InspectNetworkRequest(network=network_id))
    own = (await status(ask)).node_id
    found = members_json(answer, node_id=own, verbose=ask.query.flag("verbose"))
    for view in await here(ask, network_id):
        found["Containers"][view.id] = container_json(view, network_id)
    return found


async def _meant(ask: Exchange) -> Known | None:
    """The network that the path names; None where a worker cannot see whether there is one."""
    try:
        return find(await everything(ask), ask.params["id"])
    except Missing:
        if await is_manager(ask) or not (await status(ask)).node_id:
            raise
        return None


async def _container(ask: Exchange, name: str) -> containers_pb2.ContainerView:
    if not name:
        raise Invalid("Container: must be given", hint="name the container that is meant")
    request = containers_pb2.InspectContainerRequest(container=name)
    return (await ask.backends.containers.InspectContainer(request)).container


async def _remove_patiently(ask: Exchange, known: Known) -> None:
    """Remove a network, once tasks of services that are gone have left it.

    Docker removes it under them. Whoever removes a stack asks for both in one breath.
    """
    clock = asyncio.get_running_loop().time
    deadline = clock() + LEAVE_WITHIN_S
    while True:
        try:
            return await _remove(ask, known)
        except Refused:
            is_ours = known.scope == SWARM and clock() < deadline
            if not is_ours or not await _is_being_left(ask, known):
                raise
        await asyncio.sleep(_LOOK_AGAIN_S)


async def _is_being_left(ask: Exchange, known: Known) -> bool:
    """Whether all that is left in a network are tasks of services that there are no more."""
    request = control_pb2.InspectNetworkRequest(network=known.network.id)
    async with managing(ask) as control:
        found = await control.InspectNetwork(request)
        if found.network.services or found.guests:
            return False
        listed = await control.ListServices(control_pb2.ListServicesRequest())
    services = {each.service.id for each in listed.services}
    return not any(each.tasks and each.service_id in services for each in found.services)


async def _remove(ask: Exchange, known: Known) -> None:
    if known.scope == SWARM:
        async with managing(ask) as control:
            await control.RemoveNetwork(control_pb2.RemoveNetworkRequest(network=known.network.id))
        return
    await ask.backends.local_networks.RemoveLocalNetwork(
        localnetworks_pb2.RemoveLocalNetworkRequest(network=known.network.id)
    )


def _until(filters: Filters) -> float:
    given = filters.get("until", ())
    if len(given) > 1:
        raise Invalid("more than one until filter specified", hint="give one")
    return moment(given[0], now=time.time(), name="until") if given else 0.0


def _every_nodes_own(name: str) -> Known:
    """What the swarm's clients are told of a network that every node has by itself."""
    network = Network(id=NetworkId(name), spec=NetworkSpec(name=name))
    return Known(network=network, driver=BUILT_IN_DRIVERS[name], scope=SWARM)


ROUTES: tuple[Route[Handler], ...] = (
    Route("GET", "/networks", list_networks),
    Route("POST", "/networks/create", create_network),
    Route("POST", "/networks/prune", prune_networks),
    Route("GET", "/networks/{id}", inspect_network),
    Route("DELETE", "/networks/{id}", remove_network),
    Route("POST", "/networks/{id}/connect", connect_network),
    Route("POST", "/networks/{id}/disconnect", disconnect_network),
)
