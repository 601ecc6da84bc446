"""Decide how a service is reached: its own addresses in its networks, and what it publishes.

A service with a virtual address has it before its first task and for as long as it lives: in a
network that it leaves, until its last task there is gone. Which address it was is what clients
remember, so an update never changes it. A port that the spec leaves open gets a number that
nobody has, and keeps it. What cannot be had is told as a shortage, for tasks must not start
that nobody would reach; what the service has already it keeps meanwhile.
"""

from collections.abc import Iterable, Iterator, Mapping
from hashlib import sha256

from msgspec import Struct, structs

from manager import layout
from manager.decisions import Decision, RemoveEndpoint, WriteEndpoint
from manager.networks.addresses import Addresses, Shortage
from manager.networks.attaching import networks_of_version, publishes_everywhere
from manager.view import ClusterView
from swarm.ids import NetworkId, ServiceId
from swarm.objects import Service, ServiceEndpoint, SpecVersion, VirtualAddress
from swarm.specs import ClusterSpec, EndpointMode, Port, Protocol, PublishMode

FIRST_PORT, LAST_PORT = 30000, 32767


class Reach(Struct, frozen=True):
    """What to change about how a service is reached, and what it lacks, if anything."""

    decision: Decision | None = None
    shortage: Shortage | None = None


def plan_reach(view: ClusterView, service_id: ServiceId, addresses: Addresses) -> Reach:
    """How a service is to be reached, whether it exists or not; takes what it needs."""
    service, known = view.services.get(service_id), view.endpoints.get(service_id)
    if service is None:
        return _without_service(view, service_id, known)
    networks = _own_networks(view, service)
    if known is None and not networks and not service.spec.endpoint.ports:
        return Reach()
    kept = {each.network_id: each for each in known.virtual_addresses} if known else {}
    virtual, shortage = _virtual(view, service, networks, kept, addresses)
    ports, lacking = _ports(view, service, known.ports if known else ())
    endpoint = ServiceEndpoint(service_id=service_id, virtual_addresses=virtual, ports=ports)
    decision = _decided(view, service_id, known, endpoint)
    return Reach(decision, shortage or lacking)


def _without_service(
    view: ClusterView, service_id: ServiceId, known: ServiceEndpoint | None
) -> Reach:
    """Nothing is reached any more, but what is left of its tasks may still be."""
    if known is None or any(_may_be_there(view, service_id)):
        return Reach()
    frees = tuple(name for name in _names(known.ports) if _is_own(view, name, service_id))
    return Reach(RemoveEndpoint(service_id, frees))


def _decided(
    view: ClusterView,
    service_id: ServiceId,
    known: ServiceEndpoint | None,
    endpoint: ServiceEndpoint,
) -> Decision | None:
    is_empty = not endpoint.virtual_addresses and not endpoint.ports
    if endpoint == known or (known is None and is_empty):
        return None
    before = set(_names(known.ports if known is not None else ()))
    after = set(_names(endpoint.ports))
    takes = [each for each in sorted(after) if not _is_own(view, each, service_id)]
    frees = [each for each in sorted(before - after) if _is_own(view, each, service_id)]
    if is_empty:
        return RemoveEndpoint(service_id, tuple(frees))
    return WriteEndpoint(endpoint, tuple(takes), tuple(frees))


# -- virtual addresses -----------------------------------------------------------------------


def _own_networks(view: ClusterView, service: Service) -> list[NetworkId]:
    """The networks in which the service itself is found, by its present spec.

    Nobody asks for it in the one that carries what is published: that leads to its tasks.
    """
    ingress = view.ingress.id if view.ingress is not None else None
    named = networks_of_version(SpecVersion.of(service), ingress)
    return [each for each in named if each != ingress]


def _virtual(
    view: ClusterView,
    service: Service,
    networks: Iterable[NetworkId],
    kept: Mapping[NetworkId, VirtualAddress],
    addresses: Addresses,
) -> tuple[tuple[VirtualAddress, ...], Shortage | None]:
    if service.spec.endpoint.mode is not EndpointMode.VIP:
        return (), None
    wanted = list(networks)
    left = [each for each in kept if each not in wanted and each in view.networks]
    if left:
        there = set(_may_be_there(view, service.id))
        wanted += [each for each in left if each in there]
    found, shortage = list[VirtualAddress](), None
    for network_id in wanted:
        has = kept.get(network_id) or addresses.virtual(network_id, service.spec.name)
        if isinstance(has, Shortage):
            shortage = has
        else:
            found.append(has)
    return tuple(found), shortage


def _may_be_there(view: ClusterView, service_id: ServiceId) -> Iterator[NetworkId]:
    """The networks in which a task of the service may still be, or come to be again."""
    for task in view.tasks_of(service_id).values():
        if task.attachments and not view.state(task).is_terminal:
            yield from (each.network_id for each in task.attachments)
    ledger = view.ledgers.get(service_id)
    if ledger is not None and ledger.rollout is not None and not ledger.rollout.state.is_over:
        ingress = view.ingress.id if view.ingress is not None else None
        for version in view.versions_of(service_id).values():
            yield from networks_of_version(version, ingress)


# -- ports -----------------------------------------------------------------------------------


def _ports(
    view: ClusterView, service: Service, known: Iterable[Port]
) -> tuple[tuple[Port, ...], Shortage | None]:
    """What the service publishes on every node, and what it lacks for that."""
    if not publishes_everywhere(service.spec.task, service.spec.endpoint.ports):
        return (), None
    asked = [each for each in service.spec.endpoint.ports if each.mode is PublishMode.INGRESS]
    left, taken = list(known), {_number(each) for each in asked if each.published}
    found, shortage = list[Port](), None
    for each in asked:
        if each.published:
            has: Port | Shortage = _fixed_port(view, service.id, each)
        else:
            has = _kept_port(each, left, taken) or _free_port(view, service.id, each, taken)
        if isinstance(has, Shortage):
            shortage = has
        else:
            taken.add(_number(has))
            found.append(has)
    return tuple(found), shortage


def _fixed_port(view: ClusterView, service_id: ServiceId, asked: Port) -> Port | Shortage:
    """The port as it is, unless somebody else has it after all."""
    holder = view.port_holders(asked.protocol, asked.published).get(asked.ip)
    if holder in (None, service_id):
        return asked
    other = view.services.get(holder)
    name = other.spec.name if other is not None else holder
    word = asked.protocol.word
    return Shortage(f"port {asked.published}/{word} is already published by service {name}")


def _kept_port(asked: Port, left: list[Port], taken: set[str]) -> Port | None:
    """What a port that the spec leaves open was published as before."""
    for each in left:
        if structs.replace(each, published=0) == asked and _number(each) not in taken:
            left.remove(each)
            return each
    return None


def data_path_ports(view: ClusterView) -> tuple[int, int]:
    """The UDP ports that the nodes have for themselves: of tunnels, and of what encrypts them."""
    port = view.cluster.spec.data_path_port if view.cluster is not None else 0
    port = port or ClusterSpec().data_path_port
    return port, port + 1


def _free_port(
    view: ClusterView, service_id: ServiceId, asked: Port, taken: set[str]
) -> Port | Shortage:
    """One that nobody publishes on any address, the same whoever looks for it."""
    count = LAST_PORT - FIRST_PORT + 1
    basis = f"{service_id}/{asked.target}/{asked.protocol.word}/{asked.ip}"
    start = int.from_bytes(sha256(basis.encode()).digest()[:4])
    own = data_path_ports(view) if asked.protocol is Protocol.UDP else ()
    for step in range(count):
        found = structs.replace(asked, published=FIRST_PORT + (start + step) % count)
        is_free = found.published not in own and not view.port_holders(
            found.protocol, found.published
        )
        if is_free and _number(found) not in taken:
            return found
    word = asked.protocol.word
    return Shortage(f"no {word} port of {FIRST_PORT}-{LAST_PORT} is free for {asked.target}/{word}")


def _number(port: Port) -> str:
    return f"{port.protocol.word}-{port.published}"


def _names(ports: Iterable[Port]) -> Iterator[str]:
    """The names that ports of every node are taken by."""
    return (layout.port_name(each) for each in ports if each.mode is PublishMode.INGRESS)


def _is_own(view: ClusterView, name: str, service_id: ServiceId) -> bool:
    return view.names.get((layout.PORT_NAMES, name)) == service_id
