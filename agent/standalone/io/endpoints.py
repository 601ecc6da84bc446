"""Show how containers are connected, and who is in a network."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from agent.attachments import Connection
from agent.containers import SHORT_ID
from agent.io.connections import Connections
from agent.network.addressing import container_mac, is_ipv6
from agent.standalone import memberships
from agent.standalone.found import Found
from agent.standalone.io.lives import Lives
from agent.standalone.io.local_networks import LocalNetworks, Place
from agent.standalone.io.members import meaning
from agent.standalone.record import Record
from agent.topology import Table
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import localnetworks_pb2
from swarm.codec import to_message
from swarm.errors import SwarmError
from swarm.ids import NetworkId, TaskId
from swarm.objects import Attachment
from swarm.specs import Port
from swarm.standalone import ContainerNetwork, endpoint_id_of

OVERLAY = "overlay"


class Shown(Struct, frozen=True, kw_only=True):
    """How a container is connected, or asks to be while it does not run."""

    endpoints: tuple[pb.ContainerEndpoint, ...] = ()
    ports: tuple[Port, ...] = ()
    sandbox_key: str = ""


class Endpoints:
    """Containers in networks, as users see them. What is the swarm's is found in `table`."""

    def __init__(
        self, networks: LocalNetworks, connections: Connections, lives: Lives, table: Table
    ) -> None:
        self._networks = networks
        self._table = table
        self._connections = connections
        self._lives = lives

    def shown(self, record: Record) -> Shown:
        """How a container is connected."""
        pid = record.life.pid if record.life.is_up else 0
        sandbox_key = f"/proc/{pid}/ns/net" if pid else ""
        if memberships.is_apart(record.spec):
            endpoints = tuple(self._apart(record, is_up=pid > 0))
            return Shown(endpoints=endpoints, sandbox_key=sandbox_key)
        known = self._connections.connection(TaskId(record.id)) if pid else None
        return Shown(
            endpoints=tuple(
                self._endpoint(record, each, known) for each in memberships.memberships(record.spec)
            ),
            ports=known.ports if known and self._is_led(known) else (),
            sandbox_key=sandbox_key,
        )

    def of_task(self, task_id: TaskId) -> tuple[pb.ContainerEndpoint, ...]:
        """How the container of a task is connected."""
        known = self._connections.connection(task_id)
        return tuple(
            self._connected(place, each, known, task_id)
            for each in (known.attachments if known else ())
            if known and (place := self._place(each.network_id)) is not None
        )

    def members(self, place: Place) -> Iterator[localnetworks_pb2.LocalEndpoint]:
        """The containers that run in a network, those of tasks too."""
        for found in self._lives.all():
            for each in self._attachments(found, place) if found.is_running else ():
                known = self._connections.connection(TaskId(found.runtime_id))
                yield localnetworks_pb2.LocalEndpoint(
                    container_id=found.id,
                    container_name=found.name,
                    endpoint_id=endpoint_id_of(found.runtime_id, each.network_id),
                    mac_address=_mac(known, each) if known else "",
                    addresses=_with_prefixes(place, each),
                )

    def users(self, place: Place) -> list[str]:
        """The names of all containers that are to be in a network, whether they run or not."""
        means = meaning(self._networks, place)
        return [each.name for each in self._lives.records() if _is_to_be_in(each, place, means)]

    def _attachments(self, found: Found, place: Place) -> Iterator[Attachment]:
        if place.has_addresses:
            known = self._connections.connection(TaskId(found.runtime_id))
            for each in known.attachments if known else ():
                if each.network_id == place.network.id:
                    yield each
        elif found.record is not None and memberships.mode(found.record.spec) == place.name:
            yield Attachment(network_id=place.network.id)

    def _endpoint(
        self, record: Record, asked: ContainerNetwork, known: Connection | None
    ) -> pb.ContainerEndpoint:
        """One that it asks for, and has if it runs."""
        place, shown = self._found(asked.network), pb.ContainerEndpoint(network_name=asked.network)
        held = known.attachments if known and place else ()
        for each in held:
            if known and place and each.network_id == place.network.id:
                shown = self._connected(place, each, known, TaskId(record.id))
        if place is not None:
            shown.network_name = place.name
            shown.network_id = place.id if record.life.has_run else ""
        if place is not None and place.has_names:
            shown.names.extend(dict.fromkeys((record.name, *asked.aliases, record.id[:SHORT_ID])))
        shown.mac_address = shown.mac_address or memberships.mac(asked.mac_address)
        shown.aliases.extend(asked.aliases)
        shown.asked.CopyFrom(to_message(asked))
        return shown

    def _connected(
        self, place: Place, held: Attachment, known: Connection, task_id: TaskId
    ) -> pb.ContainerEndpoint:
        has_gateway = not place.network.spec.internal
        return pb.ContainerEndpoint(
            network_name=place.name,
            network_id=place.id,
            endpoint_id=endpoint_id_of(task_id, held.network_id),
            addresses=_with_prefixes(place, held),
            gateways=[each.gateway for each in place.network.subnets if has_gateway],
            mac_address=_mac(known, held),
        )

    def _apart(self, record: Record, *, is_up: bool) -> Iterator[pb.ContainerEndpoint]:
        """That of a container in `host` or `none`; one that joins another has none."""
        if not memberships.joined(record.spec):
            place = self._networks.find(memberships.mode(record.spec))
            yield pb.ContainerEndpoint(
                network_name=place.name,
                network_id=place.id if record.life.has_run else "",
                endpoint_id=endpoint_id_of(record.id, place.network.id) if is_up else "",
            )

    def _is_led(self, known: Connection) -> bool:
        """Whether its ports lead anywhere; networks without a way out have no way in."""
        places = (self._networks.of(each.network_id) for each in known.attachments)
        return any(place is None or not place.network.spec.internal for place in places)

    def _place(self, network_id: NetworkId) -> Place | None:
        """A network of this node or of the swarm."""
        network = self._table.network(network_id)
        if network is None:
            return self._networks.of(network_id)
        return Place(id=network_id, driver=OVERLAY, network=network)

    def _found(self, text: str) -> Place | None:
        try:
            return self._networks.find(text)
        except SwarmError:
            return None


def _is_to_be_in(record: Record, place: Place, means: Callable[[str], bool]) -> bool:
    if memberships.is_apart(record.spec):
        return memberships.mode(record.spec) == place.name
    return any(means(each.network) for each in memberships.memberships(record.spec))


def _with_prefixes(place: Place, held: Attachment) -> Iterator[str]:
    bits = {is_ipv6(each.subnet): each.subnet.rpartition("/")[2] for each in place.network.subnets}
    for each in held.addresses:
        yield f"{each}/{bits.get(is_ipv6(each), '')}"


def _mac(known: Connection, held: Attachment) -> str:
    return known.macs.get(held.network_id) or (
        container_mac(held.addresses[0]) if held.addresses else ""
    )
