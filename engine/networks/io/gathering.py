"""Gather the networks that there are: this node's, and the swarm's where managers may be asked.

Beside a worker there are this node's alone, as nobody there may look at the swarm.
"""

from collections.abc import Iterable

from msgspec import structs

from engine.cluster.io.managing import is_manager, managing
from engine.io.exchange import Exchange
from engine.networks.showing import Known, local_network, swarm_network
from engine.refusals import FORBIDDEN, Denied
from swarm.api.v1 import containers_pb2, control_pb2, localnetworks_pb2
from swarm.checking.networks import BUILT_IN
from swarm.errors import Missing
from swarm.specs import NetworkAttachment, ServiceSpec


async def of_this_node(ask: Exchange) -> list[Known]:
    """The networks of this node alone."""
    request = localnetworks_pb2.ListLocalNetworksRequest()
    found = await ask.backends.local_networks.ListLocalNetworks(request)
    return [local_network(each) for each in found.networks]


async def of_the_swarm(ask: Exchange) -> list[Known]:
    """The networks of the swarm; raises where no manager may be asked."""
    async with managing(ask) as control:
        found = await control.ListNetworks(control_pb2.ListNetworksRequest())
    return [swarm_network(each) for each in found.networks]


async def everything(ask: Exchange) -> list[Known]:
    """All networks that may be seen from here."""
    found = await of_this_node(ask)
    return [*(await of_the_swarm(ask)), *found] if await is_manager(ask) else found


async def by_id(ask: Exchange) -> dict[str, Known]:
    """The swarm's networks by their ids."""
    return {each.network.id: each for each in await of_the_swarm(ask)}


async def here(ask: Exchange, network_id: str) -> tuple[containers_pb2.ContainerView, ...]:
    """The containers of this node that are in a network of the swarm."""
    request = containers_pb2.ListContainersRequest()
    found = await ask.backends.containers.ListContainers(request)
    return tuple(
        view
        for view in found.containers
        if any(each.network_id == network_id and each.endpoint_id for each in view.endpoints)
    )


async def targets(ask: Exchange, spec: ServiceSpec) -> ServiceSpec:
    """`spec` with networks as managers know them.

    What every node has by itself is meant by its id on this node, too. Another network of this
    node alone is refused, and one that nobody knows is `Missing`.
    """
    asked = spec.task.networks
    if all(each.target in BUILT_IN for each in asked):
        return spec
    swarm = [each.network for each in await of_the_swarm(ask)]
    known = {each.id for each in swarm} | {each.spec.name for each in swarm}
    if not known.issuperset(each.target for each in asked):
        local = await of_this_node(ask)
        asked = tuple(_target(each, known, local) for each in asked)
    return structs.replace(spec, task=structs.replace(spec.task, networks=asked))


def _target(asked: NetworkAttachment, known: set[str], local: Iterable[Known]) -> NetworkAttachment:
    if asked.target in known or asked.target in BUILT_IN:
        return asked
    for each in local:
        name = each.network.spec.name
        if asked.target not in (each.network.id, name):
            continue
        if each.is_built_in:
            return structs.replace(asked, target=name)
        raise Denied(
            FORBIDDEN,
            f"The network {name} cannot be used with services. Only networks scoped to the swarm "
            "can be used, such as those created with the overlay driver.",
        )
    raise Missing(f"network {asked.target} not found")
