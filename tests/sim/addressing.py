"""Count who has which address, one by one: an oracle for what leaders give and nodes are told.

It shares no line with `manager.networks`: what is held follows from tasks, what was observed of
them, and endpoints alone.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from ipaddress import ip_address, ip_network

from manager import layout
from manager.decoding import read_key
from manager.store import Batch
from manager.view import ClusterView
from swarm.codec import unpack
from swarm.ids import NetworkId
from swarm.objects import Network, ServiceEndpoint, SpecVersion, Task
from swarm.specs import NetworkSpec, PublishMode, Subnet
from tests.sim.room import version_of

Objection = Callable[[str, str], None]

NETWORKS = (
    Network(
        id=NetworkId("back"),
        spec=NetworkSpec(name="back"),
        vni=4098,
        subnets=(Subnet(subnet="10.0.1.0/29", gateway="10.0.1.1"),),
    ),
    Network(
        id=NetworkId("front"),
        spec=NetworkSpec(name="front", ipv6=True),
        vni=4099,
        subnets=(
            Subnet(subnet="10.0.2.0/28", gateway="10.0.2.1"),
            Subnet(subnet="fd00:2::/64", gateway="fd00:2::1"),
        ),
    ),
    Network(
        id=NetworkId("ingress"),
        spec=NetworkSpec(name="ingress", ingress=True),
        vni=4097,
        subnets=(Subnet(subnet="10.255.0.0/28", gateway="10.255.0.1"),),
    ),
)
"""What simulated tasks may be in: too small for all that may be asked for at once."""


def wanted_networks(version: SpecVersion) -> list[NetworkId]:
    """The networks that a task of a version is in, in order."""
    found = [NetworkId(each.target) for each in version.task.networks if each.target != "host"]
    is_published = any(each.mode is PublishMode.INGRESS for each in version.ports)
    return [NetworkId("ingress"), *found] if is_published else found


def held(view: ClusterView) -> Counter[tuple[NetworkId, str]]:
    """The addresses of tasks that may run on nodes there are, and of services: how many have it."""
    found: Counter[tuple[NetworkId, str]] = Counter()
    for task in view.tasks.values():
        if not view.state(task).is_terminal and task.node_id in view.nodes:
            for each in task.attachments:
                found.update((each.network_id, text) for text in each.addresses)
    for endpoint in view.endpoints.values():
        for own in endpoint.virtual_addresses:
            found.update((own.network_id, text) for text in own.addresses)
    return found


def full_network(view: ClusterView, task: Task) -> str:
    """The name of a network without an address for one more such task; empty if there is none."""
    versions = [version_of(view, task)]
    if (service := view.services.get(task.service_id)) is not None:
        versions.append(SpecVersion.of(service))
    counts = Counter((network, ":" in text) for network, text in held(view))
    for network_id in {each for version in versions for each in wanted_networks(version)}:
        for subnet in view.networks[network_id].subnets:
            size = ip_network(subnet.subnet).num_addresses
            if counts[network_id, ":" in subnet.subnet] >= size - 3:
                return network_id
    return ""


class Addressing:
    """What must hold of addresses and ports after each commit."""

    def __init__(self, objects: Objection) -> None:
        self._objects = objects

    def committed(self, before: ClusterView, batch: Batch) -> None:
        """Something is about to be known; what it was is in the view still."""
        for change in batch.changes:
            key = read_key(change.key)
            if key is None or change.value is None:
                continue
            if key.kind == layout.TASKS:
                self._check_task(before, unpack(Task, change.value))
            elif key.kind == layout.ENDPOINTS:
                known = before.endpoints.get(key.service_id)
                self._check_kept(known, unpack(ServiceEndpoint, change.value))

    def check(self, view: ClusterView) -> None:
        """Nobody has what is another's."""
        for (network, text), count in held(view).items():
            if count > 1:
                self._objects("addresses", f"{text} in {network} is held {count} times")
        ports = Counter(
            (port.protocol, port.published)
            for endpoint in view.endpoints.values()
            for port in endpoint.ports
        )
        for (_, number), count in ports.items():
            if count > 1:
                self._objects("ports", f"{number} is published {count} times")

    def _check_task(self, view: ClusterView, task: Task) -> None:
        version = view.version_of(task.service_id, task.spec_version)
        wanted = wanted_networks(version) if version is not None and task.node_id else []
        has = [each.network_id for each in task.attachments]
        if version is not None and view.networks and has != wanted:
            self._objects("networks", f"{task.id[:6]} is in {has}, not in {wanted}")
        for each in task.attachments:
            subnets = view.networks[each.network_id].subnets
            if len(each.addresses) != len(subnets):
                self._objects("networks", f"{task.id[:6]} has {each.addresses} of {subnets}")
            for text, subnet in zip(each.addresses, subnets, strict=True):
                if ip_address(text) not in ip_network(subnet.subnet) or text == subnet.gateway:
                    self._objects("networks", f"{text} is nobody's in {subnet.subnet}")

    def _check_kept(self, old: ServiceEndpoint | None, new: ServiceEndpoint) -> None:
        """What clients may remember of a service stays what it was."""
        if old is None:
            return
        had = {each.network_id: each.addresses for each in old.virtual_addresses}
        for each in new.virtual_addresses:
            if had.get(each.network_id, each.addresses) != each.addresses:
                self._objects("addresses", f"{had[each.network_id]} became {each.addresses}")
        if old.ports and new.ports and old.ports != new.ports:
            self._objects("ports", f"{old.ports} became {new.ports}")


def left_over(view: ClusterView) -> Iterator[str]:
    """What is still held of services that are no more; nothing once everything has settled."""
    for service_id in view.endpoints.keys() - view.services.keys():
        yield f"service {service_id} is gone but has an endpoint"
    published = {layout.port_name(port) for each in view.endpoints.values() for port in each.ports}
    for kind, name in view.names:
        if kind == layout.PORT_NAMES and name not in published:
            yield f"port {name} is taken by nobody"
