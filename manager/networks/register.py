"""Hold what is known of networks: they themselves, who is in them, and who has which port.

A service is a member of a network while any version of it is, whether it has tasks or not: so
no look at tasks is needed to know where a change of the network matters.

A service is unreached while it lacks an address of its own, or a port, that its spec asks for:
whoever frees some has it planned again, also when none of its tasks waits.
"""

from collections.abc import Iterable

from msgspec import Struct

from manager import layout
from manager.applied import Notes
from manager.decoding import Key, Value
from manager.events import network_event
from manager.networks.attaching import ingress_of, networks_of_version, publishes_everywhere
from manager.networks.roll import Roll
from swarm.ids import NetworkId, ServiceId
from swarm.objects import Guest, Network, Sealed, Service, ServiceEndpoint, SpecVersion
from swarm.specs import EndpointMode, Protocol, PublishMode

INGRESS = NetworkId("ingress")
"""Whichever network carries what is published everywhere. No network has it for an id."""
KINDS = frozenset({layout.NETWORKS, layout.ENDPOINTS, layout.POOLS, layout.KEYS, layout.GUESTS})


class Asked(Struct, frozen=True):
    """The networks in which a service wants an address of its own, and how many ports."""

    networks: frozenset[NetworkId] = frozenset()
    ports: int = 0

    def is_met_by(self, endpoint: ServiceEndpoint | None) -> bool:
        """Whether there is no more to ask for."""
        if endpoint is None:
            return not self.networks and not self.ports
        has = {each.network_id for each in endpoint.virtual_addresses}
        return self.networks <= has and self.ports <= len(endpoint.ports)


class Register:
    """The networks. `pools` is where the search for a subnet goes on (`manager.networks.pools`).

    `ports` says who publishes a port on every node, by address: the empty one stands for all.
    `keys` are the sealed secrets that encrypted networks derive theirs from, by number; `roll`
    has the guests.
    """

    def __init__(self) -> None:
        self.networks: dict[NetworkId, Network] = {}
        self.endpoints: dict[ServiceId, ServiceEndpoint] = {}
        self.pools = ""
        self.ports: dict[tuple[Protocol, int], dict[str, ServiceId]] = {}
        self.ingress: NetworkId | None = None
        self.keys: dict[int, Sealed] = {}
        self.roll = Roll()
        self._members: dict[NetworkId, set[ServiceId]] = {}
        self._joined: dict[ServiceId, set[NetworkId]] = {}
        self._asked: dict[ServiceId, Asked] = {}
        self.unreached: set[ServiceId] = set()

    def learn(self, key: Key, value: Value, notes: Notes) -> None:
        """`key`, of one of our `KINDS`, has this value now."""
        match value:
            case Network():
                self._put(value, notes)
            case ServiceEndpoint():
                notes.freed |= key.service_id in self.endpoints
                self.endpoints[key.service_id] = value
                self._reconsider(key.service_id)
                notes.endpoints.add(key.service_id)
                notes.progressed.add(key.service_id)
            case Guest():
                self.roll.put(key.guest, value)
                notes.guests.add(key.guest)
            case Sealed():
                self.keys[key.number] = value
                notes.network_keys = True
            case str():
                self.pools = value
            case _:
                raise AssertionError(f"{key.kind} is of another kind")

    def forget(self, key: Key, notes: Notes) -> None:
        """There is no `key`, of one of our `KINDS`, any more."""
        if key.kind == layout.NETWORKS:
            old = self.networks.pop(key.network_id, None)
            self.ingress = ingress_of(self.networks.values())
            notes.networks.add(key.network_id)
            notes.event(network_event(old, None, now=notes.now))
        elif key.kind == layout.ENDPOINTS:
            self.endpoints.pop(key.service_id, None)
            self._reconsider(key.service_id)
            notes.endpoints.add(key.service_id)
            notes.freed = True
        elif key.kind == layout.GUESTS:
            self.roll.drop(key.guest)
            notes.guests.add(key.guest)
            notes.freed = True
        elif key.kind == layout.KEYS:
            self.keys.pop(key.number, None)
            notes.network_keys = True
        else:
            self.pools = ""

    def named(self, kind: str, name: str, holder: str) -> None:
        """A name is taken: if it is that of a port, by the service that publishes it."""
        if kind == layout.PORT_NAMES and (read := layout.read_port(name)) is not None:
            protocol, port, address = read
            self.ports.setdefault((protocol, port), {})[address] = ServiceId(holder)

    def unnamed(self, kind: str, name: str, notes: Notes) -> None:
        """A name is nobody's any more."""
        notes.freed |= kind == layout.PORT_NAMES
        if kind == layout.PORT_NAMES and (read := layout.read_port(name)) is not None:
            protocol, port, address = read
            holders = self.ports.get((protocol, port), {})
            holders.pop(address, None)
            if not holders:
                self.ports.pop((protocol, port), None)

    def join(self, service_id: ServiceId, versions: Iterable[SpecVersion]) -> None:
        """Keep track of the networks that a service is in by any of its versions."""
        before = self._joined.pop(service_id, set())
        after = {name for each in versions for name in networks_of_version(each, INGRESS)}
        if after:
            self._joined[service_id] = after
        for network_id in after - before:
            self._members.setdefault(network_id, set()).add(service_id)
        for network_id in before - after:
            self._members[network_id].discard(service_id)
            if not self._members[network_id]:
                del self._members[network_id]

    def ask(self, service_id: ServiceId, service: Service | None) -> None:
        """Keep track of what a service needs to be reached, besides its tasks."""
        asked = _asked_by(service) if service is not None else Asked()
        self._asked.pop(service_id, None)
        if asked != Asked():
            self._asked[service_id] = asked
        self._reconsider(service_id)

    def _reconsider(self, service_id: ServiceId) -> None:
        asked = self._asked.get(service_id, Asked())
        if asked.is_met_by(self.endpoints.get(service_id)):
            self.unreached.discard(service_id)
        else:
            self.unreached.add(service_id)

    def members(self, network_id: NetworkId) -> Iterable[ServiceId]:
        """The services of which a version is in the network, those that are removed included."""
        key = INGRESS if network_id == self.ingress else network_id
        return self._members.get(key, ())

    def _put(self, network: Network, notes: Notes) -> None:
        old = self.networks.get(network.id)
        self.networks[network.id] = network
        self.ingress = ingress_of(self.networks.values())
        notes.networks.add(network.id)
        notes.freed = True  # tasks may wait for it
        notes.event(network_event(old, network, now=notes.now))

    def check(self, versions: Iterable[tuple[ServiceId, Iterable[SpecVersion]]]) -> None:
        """Assert that the lists of members say what `versions`, all there are, say."""
        found: dict[NetworkId, set[ServiceId]] = {}
        for service_id, each in versions:
            for version in each:
                for network_id in networks_of_version(version, INGRESS):
                    found.setdefault(network_id, set()).add(service_id)
        assert found == self._members
        for service_id, asked in self._asked.items():
            is_met = asked.is_met_by(self.endpoints.get(service_id))
            assert is_met is (service_id not in self.unreached)
        assert self.unreached <= self._asked.keys()
        assert self.ingress == ingress_of(self.networks.values())
        assert all(self.ports.values())
        self.roll.check()


def _asked_by(service: Service) -> Asked:
    spec, networks = service.spec, frozenset[NetworkId]()
    if spec.endpoint.mode is EndpointMode.VIP:
        networks = frozenset(networks_of_version(SpecVersion.of(service), None))
    ports = sum(each.mode is PublishMode.INGRESS for each in spec.endpoint.ports)
    return Asked(networks, ports if publishes_everywhere(spec.task, spec.endpoint.ports) else 0)
