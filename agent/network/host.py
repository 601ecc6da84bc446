"""Plan what the host's own network namespace shall hold: ports, ways to routers, guards.

Everything has an owner, a port or a link or a peer, and a change gives the operations of its owner
alone. A port may be claimed by several, for a moment, while word of its old and its new owner
arrives in any order: the first one has it until it lets go.

A port that another program of the host has is withheld: what was reached there before goes on
being reached. But a port that we led before, even before a restart, is not given up because
somebody bound it meanwhile. Either way it is a problem to be told of.
"""

import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, assert_never

from msgspec import Struct

from agent.network import addressing, host_leads, host_rules
from agent.network.host_leads import Addresses, Lead
from agent.network.host_ledger import Ledger, Values, ordered
from agent.network.host_rules import Key
from agent.network.kernel import Address, Neighbour, Operation, Route, RouteKind, Value
from agent.network.slots import share
from agent.network.uplinks import Uplink
from agent.topology import Changes
from swarm.ids import NetworkId, ServiceId, TaskId
from swarm.objects import Network
from swarm.specs import NetworkDriver, Port, PublishMode
from swarm.topology import Endpoint, NetworkKey, Peer, Publication, Record, VirtualService

Owner = ServiceId | TaskId
"""Whose a port is; ids of services and tasks are never the same."""

_LOCAL: Final = 255  # RT_TABLE_LOCAL
_WORSE: Final = 2**30

Group = tuple[str, int]
"""A protocol and a port number, on whatever address."""


class Backend(Struct, frozen=True):
    """Who answers at which addresses; without weight no new connections."""

    addresses: Addresses
    weight: int


class Steps(NamedTuple):
    """What to do, and then whose connections to look through.

    `gone` are the addresses of endpoints that are gone; `reordered` the UDP ports that are led
    since or no longer.
    """

    operations: tuple[Operation, ...]
    gone: tuple[Addresses, ...]
    reordered: frozenset[int]


class Host:
    """Everything that is wanted, and what changed of it since the last `plan`."""

    def __init__(self) -> None:
        self._ingress: set[NetworkId] = set()
        self._tunnelled: set[NetworkId] = set()
        self._tunnel_port = 0
        self._backends: dict[Owner, dict[TaskId, Backend]] = {}
        self._targets: dict[Owner, dict[Key, int]] = {}
        self._claims: dict[Key, list[Owner]] = {}
        self._groups: dict[Group, set[str]] = {}
        self._refusals: dict[Key, str] = {}
        self._withheld: set[Key] = set()
        self._slots: dict[Owner, tuple[Addresses, ...]] = {}
        self._leads: dict[Key, Lead] = {}
        self._ledger = Ledger()
        self._inherited: frozenset[Key] = frozenset()
        self._dirty: set[Key] = set()
        self._contested: set[Group] = set()
        self._pending: list[Operation] = []
        self._gone: list[Addresses] = []

    def __bool__(self) -> bool:
        """Whether anything is wanted at all."""
        return bool(self._claims or self._ledger)

    @property
    def refusals(self) -> Mapping[Key, str]:
        """The claimed ports that could not be held, and why."""
        return self._refusals

    def is_withheld(self, key: Key) -> bool:
        """Whether the port is left to a program of the host."""
        return key in self._withheld

    def inherit(self, keys: frozenset[Key]) -> None:
        """The kernel leads these, of an earlier agent."""
        self._inherited = keys

    def has_heirlooms(self) -> bool:
        """Whether there are ports of an earlier agent that nobody claims; said only once.

        A task's own ports are claimed after those that the swarm tells of, and must not be shut
        in between. After that they belong to nobody.
        """
        unclaimed = self._inherited - self._claims.keys()
        self._inherited -= unclaimed
        return bool(unclaimed)

    def follow(self, changes: Changes) -> None:
        """Take in what changed in the swarm."""
        for record in changes.gone:
            self._forget(record)
        for record in changes.put:
            self._learn(record)
        if changes.data_path_port:
            self._tunnel_port = changes.data_path_port
        self._guard_tunnels()

    def connect(self, uplink: Uplink) -> None:
        """A router is reached by a new link."""
        self._hold(f"uplink/{uplink.network_id}", tuple(_uplink_values(uplink)), is_lost=True)

    def disconnect(self, network_id: NetworkId) -> None:
        """A router is reached no more."""
        self._hold(f"uplink/{network_id}", ())

    def publish(self, task_id: TaskId, addresses: Addresses, targets: Mapping[Key, int]) -> None:
        """Lead ports of this node to one task."""
        self._backends[task_id] = {task_id: Backend(addresses, 1)}
        self._claim(task_id, targets)

    def withdraw(self, task_id: TaskId) -> None:
        """Lead nothing to the task any more."""
        was_led = any(key in self._leads for key in self._targets.get(task_id, ()))
        self._claim(task_id, {})
        for backend in self._backends.pop(task_id, {}).values():
            if was_led:
                self._gone.append(backend.addresses)

    def owner_of(self, key: Key) -> Owner | None:
        """Who has the port."""
        return next(iter(self._claims.get(key, ())), None)

    def owners_beside(self, key: Key, owner: Owner) -> Iterator[Owner]:
        """The others who have the port, on one of the same addresses."""
        for ip in sorted(self._groups.get((key.protocol, key.port), ())):
            if ip == key.ip or not (ip and key.ip):
                for each in self._claims[Key(key.protocol, key.port, ip)]:
                    if each != owner:
                        yield each

    def claimed(self, group: Group) -> frozenset[str]:
        """The addresses on which the port is claimed."""
        return frozenset(self._groups.get(group, ()))

    def contested(self) -> tuple[Group, ...]:
        """The ports whose claims changed since this was asked last."""
        found, self._contested = sorted(self._contested), set()
        return tuple(found)

    def judge(self, group: Group, refused: Mapping[str, str]) -> None:
        """These addresses of a port could not be held, for reasons; all others are."""
        for ip in self.claimed(group):
            key = Key(*group, ip)
            is_ours = key in self._leads or key in self._inherited
            if ip in refused:
                self._refusals[key] = refused[ip]
            else:
                self._refusals.pop(key, None)
            is_withheld = ip in refused and not is_ours
            if is_withheld != (key in self._withheld):
                self._withheld ^= {key}
                self._dirty.add(key)

    def plan(self) -> Steps:
        """What to do about all that changed since the last plan."""
        reordered: set[int] = set()
        for key in sorted(self._dirty):
            before, after = self._leads.get(key), self._lead(key)
            self._pending += host_leads.turn(before, after)
            if key.protocol == "udp" and (before is None) != (after is None):
                reordered.add(key.port)
            if after is None:
                self._leads.pop(key, None)
            else:
                self._leads[key] = after
        for group in sorted({(key.protocol, key.port) for key in self._dirty}):
            is_led = any(Key(*group, ip) in self._leads for ip in self.claimed(group))
            self._hold("port/{}/{}".format(*group), host_rules.count_elements(*group) * is_led)
        steps = Steps(tuple(ordered(self._pending)), tuple(self._gone), frozenset(reordered))
        self._dirty, self._pending, self._gone = set(), [], []
        return steps

    def wanted(self) -> Iterator[Value]:
        """All that the kernel holds when the last plan is done."""
        yield from self._ledger.values()
        for lead in self._leads.values():
            yield from host_leads.elements(lead)

    def backends(self, ports: Collection[int]) -> frozenset[str]:
        """The addresses to which UDP ports lead, as long as somebody is there."""
        return frozenset(
            address
            for key in self._leads
            if key.protocol == "udp" and key.port in ports and (owner := self.owner_of(key))
            for backend in self._backends.get(owner, {}).values()
            for address in backend.addresses
        )

    def check(self) -> None:
        """Assert that the parts agree."""
        for key, owners in self._claims.items():
            assert owners
            assert len(set(owners)) == len(owners)
            assert all(key in self._targets[owner] for owner in owners)
        assert {key for targets in self._targets.values() for key in targets} == set(self._claims)
        assert {(key.protocol, key.port) for key in self._claims} == set(self._groups)
        assert set(self._leads) - self._dirty <= set(self._claims)
        assert self._withheld <= set(self._refusals) <= set(self._claims)

    def _learn(self, record: Record) -> None:
        match record:
            case Network():
                self._learn_network(record)
            case Peer():
                guards = (host_rules.peer_element(record.address),) if record.address else ()
                self._hold(f"peer/{record.node_id}", guards)
            case Endpoint() if record.network_id in self._ingress:
                self._place(record, Backend(record.addresses, record.weight * record.is_serving))
            case Publication():
                self._claim(record.service_id, _targets(record.ports, PublishMode.INGRESS))
            case Endpoint() | VirtualService() | NetworkKey():
                pass
            case _:
                assert_never(record)

    def _forget(self, record: Record) -> None:
        match record:
            case Network():
                self._hold(f"network/{record.id}", ())
                self._ingress.discard(record.id)
                self._tunnelled.discard(record.id)
            case Peer():
                self._hold(f"peer/{record.node_id}", ())
            case Endpoint() if record.network_id in self._ingress:
                self._place(record, None)
            case Publication():
                self._claim(record.service_id, {})
            case Endpoint() | VirtualService() | NetworkKey():
                pass
            case _:
                assert_never(record)

    def _learn_network(self, network: Network) -> None:
        if network.spec.ingress:
            self._ingress.add(network.id)
        if network.spec.driver is not NetworkDriver.OVERLAY or not network.vni:
            return
        self._tunnelled.add(network.id)
        is_encrypted = network.spec.encrypted
        guards = host_rules.network_elements(network.vni, is_encrypted=is_encrypted)
        self._hold(f"network/{network.id}", guards)

    def _guard_tunnels(self) -> None:
        is_needed = self._tunnelled and self._tunnel_port
        self._hold("tunnel", host_rules.tunnel_elements(self._tunnel_port) if is_needed else ())

    def _place(self, endpoint: Endpoint, backend: Backend | None) -> None:
        """Have an endpoint answer for its service, or no longer."""
        owner = endpoint.service_id
        backends = self._backends.setdefault(owner, {})
        before = backends.pop(endpoint.task_id, None)
        if backend is not None:
            backends[endpoint.task_id] = backend
        if not backends:
            del self._backends[owner]
        if before is not None and (backend is None or backend.addresses != before.addresses):
            self._gone.append(before.addresses)
        if before != backend:
            self._slots.pop(owner, None)
            self._dirty.update(self._targets.get(owner, ()))

    def _claim(self, owner: Owner, targets: Mapping[Key, int]) -> None:
        """Have `owner` claim just these ports."""
        before = self._targets.pop(owner, {})
        if targets:
            self._targets[owner] = dict(targets)
        for key in before.keys() - targets.keys():
            self._claims[key].remove(owner)
            if not self._claims[key]:
                self._abandon(key)
        for key in sorted(targets.keys() - before.keys()):
            self._claims.setdefault(key, []).append(owner)
            self._groups.setdefault((key.protocol, key.port), set()).add(key.ip)
            self._contested.add((key.protocol, key.port))
        self._slots.pop(owner, None)
        self._dirty.update(before, targets)

    def _abandon(self, key: Key) -> None:
        """Nobody claims the port any more."""
        group = (key.protocol, key.port)
        del self._claims[key]
        self._groups[group].discard(key.ip)
        if not self._groups[group]:
            del self._groups[group]
        self._contested.add(group)
        self._refusals.pop(key, None)
        self._withheld.discard(key)
        self._inherited -= {key}

    def _lead(self, key: Key) -> Lead | None:
        owner = self.owner_of(key)
        if owner is None or key in self._withheld:
            return None
        return Lead(key, self._targets[owner][key], self._slots_of(owner))

    def _slots_of(self, owner: Owner) -> tuple[Addresses, ...]:
        if owner not in self._slots:
            backends = self._backends.get(owner, {})
            owners = share({task_id: each.weight for task_id, each in backends.items()})
            self._slots[owner] = tuple(backends[task_id].addresses for task_id in owners)
        return self._slots[owner]

    def _hold(self, owner: str, values: Values, *, is_lost: bool = False) -> None:
        self._pending += self._ledger.set(owner, values, is_lost=is_lost)


def _targets(ports: Iterable[Port], mode: PublishMode) -> dict[Key, int]:
    """The ports of one mode that have a number, and where they lead."""
    return {
        Key(each.protocol.word, each.published, each.ip): each.target
        for each in ports
        if each.mode is mode and each.published
    }


def _uplink_values(uplink: Uplink) -> Iterator[Value]:
    yield from host_rules.uplink_elements(uplink.link)
    for gateway in uplink.gateways:
        address = addressing.host_prefix(gateway)
        yield Address(link=uplink.link, address=address, on_link_only=True)
    ways = {False: addressing.ROUTER_VIA, True: addressing.ROUTER_VIA6}
    for subnet in uplink.subnets:
        via = ways[addressing.is_ipv6(subnet)]
        yield Neighbour(link=uplink.link, address=via, mac=addressing.ROUTER_MAC)
        yield Route(destination=subnet, link=uplink.link, via=via, is_onlink=True)
    if any(map(addressing.is_ipv6, uplink.subnets)):
        yield _to_localhost(uplink.link)


def _to_localhost(link: str) -> Route:
    """Let answers to clients on this host that used ::1 come back to it.

    They have been translated when they are routed, and only the link that they came by counts.
    Packets of the host's own do not take this way: that of `lo` has the better metric.
    """
    metric = _WORSE + zlib.crc32(link.encode()) % _WORSE  # one of its own for each link
    return Route(
        destination="::1/128", link=link, table=_LOCAL, kind=RouteKind.LOCAL, metric=metric
    )
