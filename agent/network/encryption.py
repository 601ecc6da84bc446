"""Say what encrypts networks on this node: one WireGuard link, and whom it speaks with.

The link is alone in a namespace of its own, with an address for each node; the tunnels of
encrypted networks have their sockets there and know no other way out. Only what WireGuard makes of
it passes the host. So nothing can leave in clear, whatever the host's routes and rules are, and
addresses inside clash with nobody's.

The link is there, with its key, wherever the kernel has WireGuard: others must know the key
before they need it. But it is down, and its port closed, until this node is in an encrypted
network; and of peers it has those that are in one with it.
"""

from collections.abc import Iterable, Iterator, Mapping
from ipaddress import ip_address
from typing import Final

from msgspec import Struct

from agent.network import encryption_rotation as rotation
from agent.network.addressing import encrypted_mtu, host_prefix, is_ipv6, peer_via
from agent.network.encryption_keys import KEY_BYTES, preshared_key, public_key
from agent.network.encryption_rotation import Agreement
from agent.network.host_ledger import Ledger
from agent.network.kernel import (
    Address,
    Link,
    Operation,
    Put,
    Tunnel,
    TunnelActivity,
    TunnelPeer,
    Value,
)
from agent.network.reconcile import plan
from agent.network.router import HOST
from agent.topology import Changes
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Network
from swarm.topology import Endpoint, NetworkKey, Peer, Record

LINK: Final = "sw-wg0"
KIND: Final = "wireguard"

NO_WIREGUARD: Final = "load the kernel's module wireguard there, or place its tasks elsewhere"

_DEVICE: Final = "device"
_ETHERNET_MTU: Final = 1500


Place = tuple[NetworkId, TaskId]


class Steps(Struct, frozen=True):
    """What to do: `operations` first, then peers whose prefixes stay what they are."""

    operations: tuple[Operation, ...] = ()
    refreshed: tuple[TunnelPeer, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.operations or self.refreshed)


class Encryption:
    """What `node_id` wants, and what changed of it since the last `plan`.

    `public_key` is what other nodes know it by; both keys are empty as long as the kernel has no
    WireGuard.
    """

    def __init__(self, node_id: NodeId) -> None:
        self.private_key = b""
        self.public_key = b""
        self._node_id = node_id
        self._port = 0
        self._networks: dict[NetworkId, Network] = {}
        self._peers: dict[NodeId, Peer] = {}
        self._by_key: dict[bytes, set[NodeId]] = {}
        self._places: dict[Place, NodeId] = {}
        self._members: dict[NodeId, set[Place]] = {}
        self._secrets: dict[int, bytes] = {}
        self._agreements: dict[NodeId, tuple[bytes, Agreement]] = {}
        self._held: dict[NodeId, TunnelPeer] = {}
        self._faults: dict[NodeId, str] = {}
        self._dirty: set[NodeId] = set()
        self._ledger = Ledger()

    @property
    def underlay(self) -> str:
        """This node's address in the underlay, empty until a manager has told it."""
        own = self._peers.get(self._node_id)
        return own.address if own else ""

    @property
    def faults(self) -> Mapping[NodeId, str]:
        """The nodes that are in encrypted networks with this one and not reached there, and why."""
        return self._faults

    @property
    def is_in_doubt(self) -> bool:
        """Whether there are peers to look at, for they may not have the newest secret yet."""
        return any(not rotation.is_settled(each) for _, each in self._agreements.values())

    def equip(self, private_key: bytes) -> None:
        """The kernel has WireGuard, and this is the node's key."""
        self.private_key = private_key
        self.public_key = public_key(private_key)
        self._dirty.update(self._peers)

    def follow(self, changes: Changes) -> None:
        """Take in what changed in the swarm."""
        if changes.data_path_port:
            self._port = changes.data_path_port
            self._dirty.update(self._peers)
        for record in changes.gone:
            self._forget(record)
        for record in changes.put:
            self._learn(record)

    def look(self, found: Mapping[bytes, TunnelActivity], *, now: float) -> None:
        """Take in what the link has done, by public key; `now` is of the host's clock."""
        own = self.public_key
        for node_id, (key, before) in tuple(self._agreements.items()):
            if key not in found or rotation.is_settled(before):
                continue
            patience_s = rotation.patience_s(own, key)
            after = rotation.judge(
                before, self._secrets, found[key], patience_s=patience_s, now=now
            )
            self._agreements[node_id] = key, after
            if after.number != before.number:
                self._dirty.add(node_id)

    def plan(self, underlay_mtu: int, *, now: float) -> Steps:
        """What to do about all that changed since the last plan."""
        operations = self._ledger.set(_DEVICE, tuple(self._device(underlay_mtu)))
        there: dict[bytes, TunnelPeer] = {}
        for node_id in sorted(self._with_namesakes(self._dirty)):
            if before := self._held.pop(node_id, None):
                there[before.public_key] = before
            after = self._peer(node_id, now)
            if after is not None:
                self._held[node_id] = after
            operations += self._ledger.set(f"peer/{node_id}", (after,) if after else ())
        self._dirty.clear()
        return _gently(operations, there)

    def values(self) -> Iterator[Value]:
        """All that the namespace holds when the last plan is done."""
        yield Link(name="lo")
        yield from self._ledger.values()

    def mend(self, found: Iterable[Value], *, is_all: bool) -> Steps:
        """What makes of what was found what is wanted, and no more if that `is_all`."""
        known = tuple(found)
        there = {each.public_key: each for each in known if isinstance(each, TunnelPeer)}
        operations = plan(self.values(), known)
        return _gently([each for each in operations if is_all or isinstance(each, Put)], there)

    def problems(self, network_id: NetworkId) -> Iterator[str]:
        """Why this node does not reach others in a network, as far as encryption goes."""
        network = self._networks.get(network_id)
        if network is None:
            return
        if not self.private_key:
            yield f"this node has no WireGuard: {NO_WIREGUARD}"
        elif not self._secrets:
            yield "no secret to encrypt it with has come from the managers yet"
        for node_id, reason in sorted(self._faults.items()):
            if self._is_in(node_id, network):
                yield f"node {_name(self._peers[node_id])} is not reached: {reason}"

    def check(self) -> None:
        """Assert that the parts agree, once all is planned."""
        assert not self._dirty
        assert self._held.keys() == self._agreements.keys()
        assert self._held.keys() | self._faults.keys() <= self._peers.keys()
        assert not self._held.keys() & self._faults.keys()
        assert all(map(self._is_needed, (*self._held, *self._faults)))
        assert all(self._agreements[x][0] == self._held[x].public_key for x in self._held)
        assert all(self._agreements[x][1].number in self._secrets for x in self._held)
        members = [
            (place, node_id) for node_id in self._members for place in self._members[node_id]
        ]
        encrypted = {place for place in self._places if place[0] in self._networks}
        assert dict(members) == {place: self._places[place] for place in encrypted}
        assert len(members) == len(encrypted)
        assert all(self._members.values())

    # --- records --------------------------------------------------------------------------------

    def _learn(self, record: Record) -> None:
        match record:
            case Network() if record.spec.encrypted:
                self._networks[record.id] = record
                self._regard(record)
            case Peer():
                self._forget(record)
                self._peers[record.node_id] = record
                if record.public_key:
                    self._by_key.setdefault(record.public_key, set()).add(record.node_id)
            case Endpoint():
                self._place((record.network_id, record.task_id), record.node_id)
            case NetworkKey():
                self._secrets[record.number] = record.secret
                self._dirty.update(self._peers)
            case _:
                pass

    def _forget(self, record: Record) -> None:
        match record:
            case Network() if record.id in self._networks:
                del self._networks[record.id]
                self._regard(record)
            case Peer():
                self._dirty.add(record.node_id)
                known = self._peers.pop(record.node_id, None)
                if known is not None and known.public_key:
                    namesakes = self._by_key[known.public_key]
                    namesakes.discard(record.node_id)
                    self._dirty |= namesakes
                    if not namesakes:
                        del self._by_key[known.public_key]
            case Endpoint():
                self._place((record.network_id, record.task_id), None)
            case NetworkKey():
                self._secrets.pop(record.number, None)
                self._dirty.update(self._peers)
            case _:
                pass

    def _place(self, place: Place, node_id: NodeId | None) -> None:
        """A task is in a network at this node, or no more."""
        before = self._places.pop(place, None)
        if before is not None:
            self._withdraw(place, before)
        if node_id is not None:
            self._places[place] = node_id
            if place[0] in self._networks:
                self._members.setdefault(node_id, set()).add(place)
                self._dirty.add(node_id)

    def _withdraw(self, place: Place, node_id: NodeId) -> None:
        members = self._members.get(node_id)
        if members and place in members:
            members.discard(place)
            self._dirty.add(node_id)
            if not members:
                del self._members[node_id]

    def _regard(self, network: Network) -> None:
        """A network is there since, or gone: so are those who are in it."""
        for place, node_id in self._places.items():
            if place[0] != network.id:
                continue
            if network.id in self._networks:
                self._members.setdefault(node_id, set()).add(place)
                self._dirty.add(node_id)
            else:
                self._withdraw(place, node_id)
        if network.spec.ingress:
            self._dirty.update(self._peers)

    # --- what follows from them -----------------------------------------------------------------

    def _is_in(self, node_id: NodeId, network: Network) -> bool:
        if network.spec.ingress:
            return True
        return any(each == network.id for each, _ in self._members.get(node_id, ()))

    def _is_needed(self, node_id: NodeId) -> bool:
        is_met = node_id in self._members or any(x.spec.ingress for x in self._networks.values())
        return is_met and node_id != self._node_id

    def _with_namesakes(self, node_ids: Iterable[NodeId]) -> set[NodeId]:
        """These nodes, and those that have a key of theirs: only one can have it."""
        found = set(node_ids)
        for node_id in node_ids:
            peer = self._peers.get(node_id)
            if peer is not None and peer.public_key:
                found |= self._by_key[peer.public_key]
        return found

    def _fault(self, peer: Peer) -> str:
        """Why nothing can be encrypted for a node; empty when it can."""
        if fault := _fault(peer):
            return fault
        if peer.public_key == self.public_key:
            return "it has this node's own key, so it was this one before"
        rivals = filter(self._is_needed, self._by_key[peer.public_key])
        latest = max((self._peers[each].number, each) for each in rivals)[1]
        return "" if latest == peer.node_id else f"node {latest} has the same key, and joined later"

    def _device(self, underlay_mtu: int) -> Iterator[Value]:
        if not self.private_key:
            return
        own = self._peers.get(self._node_id)
        is_up = own is not None and bool(self._networks and self._port)
        mtu = encrypted_mtu(
            underlay_mtu or _ETHERNET_MTU, is_ipv6_underlay=own is not None and is_ipv6(own.address)
        )
        # The port comes before the link is up, or the kernel would open another one first.
        yield Tunnel(link=LINK, private_key=self.private_key, port=tunnel_port(self._port))
        yield Link(name=LINK, kind=KIND, mtu=mtu, is_up=is_up, underlay=HOST)
        if own is not None and is_up:
            prefix = f"{inner_address(own)}/8"
            yield Address(link=LINK, address=prefix, has_prefix_route=True)

    def _peer(self, node_id: NodeId, now: float) -> TunnelPeer | None:
        """Whom the link is to speak with at a node, if it is."""
        self._faults.pop(node_id, None)
        key, before = self._agreements.pop(node_id, (b"", None))
        peer = self._peers.get(node_id)
        if peer is None or not self._is_needed(node_id):
            return None
        if reason := self._fault(peer):
            self._faults[node_id] = reason
            return None
        if not (self.private_key and self._secrets and self._port):
            return None
        known = before if key == peer.public_key else None
        agreement = rotation.agree(known, self._secrets, now=now)
        self._agreements[node_id] = peer.public_key, agreement
        secret = self._secrets[agreement.number]
        return TunnelPeer(
            link=LINK,
            public_key=peer.public_key,
            preshared_key=preshared_key(secret, self.public_key, peer.public_key),
            endpoint=str(ip_address(peer.address)),
            endpoint_port=tunnel_port(self._port),
            allowed=(host_prefix(inner_address(peer)),),
        )


def tunnel_port(data_path_port: int) -> int:
    """The UDP port of what is encrypted, next to that of VXLAN; 0 while that is not known."""
    return data_path_port + 1 if data_path_port else 0


def inner_address(peer: Peer) -> str:
    """Where a node is inside of what is encrypted."""
    return peer_via(peer.number)


def _fault(peer: Peer) -> str:
    """Why nothing can be encrypted for a node, by what it says of itself."""
    if not peer.public_key:
        return f"it has no WireGuard; {NO_WIREGUARD}"
    if len(peer.public_key) != KEY_BYTES:
        return f"its public key has {len(peer.public_key)} bytes instead of {KEY_BYTES}"
    try:
        ip_address(peer.address)
    except ValueError:
        return f"its data path address {peer.address!r} is none"
    return ""


def _name(peer: Peer) -> str:
    return f"{peer.hostname} ({peer.node_id})" if peer.hostname else peer.node_id


def _gently(operations: Iterable[Operation], there: Mapping[bytes, TunnelPeer]) -> Steps:
    """Leave the prefixes of peers that are `there` alone, where they are right."""
    hard: list[Operation] = []
    soft: list[TunnelPeer] = []
    for each in operations:
        match each:
            case Put(TunnelPeer() as peer) if _has_prefixes(there.get(peer.public_key), peer):
                soft.append(peer)
            case _:
                hard.append(each)
    return Steps(tuple(hard), tuple(soft))


def _has_prefixes(before: TunnelPeer | None, after: TunnelPeer) -> bool:
    return before is not None and before.allowed == after.allowed
