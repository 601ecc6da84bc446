"""Tell the kernel what a network namespace shall hold, and read what it holds.

Neighbouring operations of a kind travel together: what hangs on links in one buffer, elements of
nftables in one transaction. The order between kinds is kept. After a refusal, what came before it
is done and the rest may be; operations can all be repeated, so whoever reconciles goes on from
what is found.
"""

import errno
import os
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import groupby
from typing import Final, Self, TypeVar

from agent.network.io import linking
from agent.network.io.channel import Channel
from agent.network.io.linking import Labels
from agent.network.io.namespaces import mine
from agent.network.kernel import (
    ROUTE_PROTOCOL,
    Address,
    AnyLink,
    Element,
    Flow,
    Forward,
    Link,
    Neighbour,
    Operation,
    Put,
    Remove,
    Route,
    Rule,
    Set,
    Table,
    Tunnel,
    TunnelActivity,
    TunnelPeer,
    Veth,
    Vxlan,
)
from agent.network.wire import (
    addresses,
    conntrack,
    generic,
    links,
    neighbours,
    nftables,
    operations,
    routes,
    rules,
    wireguard,
)
from agent.network.wire.messages import Refusal, Reply, Request
from swarm.errors import KernelRefused, Refused

Decoded = TypeVar("Decoded")
_ROUTE, _NETFILTER, _GENERIC = 0, 12, 16  # NETLINK_*
_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6)
_NO_LABELS: Final[Labels] = {}


class Socket:
    """The network namespace that is open as `netns` (None: that of this thread).

    The descriptor may be closed afterwards. `has_destroy` says whether the kernel's nftables has
    DESTROY, None to ask it. One thread at a time.
    """

    def __init__(self, netns: int | None = None, *, has_destroy: bool | None = None) -> None:
        self._netns = mine() if netns is None else os.dup(netns)
        self._channels: dict[int, Channel] = {}
        self._has_destroy = has_destroy
        self._wireguard: int | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the namespace."""
        for channel in self._channels.values():
            channel.close()
        os.close(self._netns)

    def apply(self, run: Iterable[Operation], *, namespaces: Labels = _NO_LABELS) -> None:
        """Do all of it, in order. `KernelRefused` names the first operation that was refused."""
        for lane, together in groupby(run, key=_lane):
            match lane:
                case "links":
                    for operation in together:
                        self._apply_link(operation, namespaces)
                case "nftables":
                    self._apply_elements(list(together))
                case "tunnels":
                    self._apply_tunnels(list(together))
                case _:
                    self._apply_hanging(together)

    def load(self, what: str, requests: Sequence[Request]) -> None:
        """Have nftables do a transaction of `agent.network.wire`."""
        refused = self._channel(_NETFILTER).transact(nftables.batch(requests))
        for _, why in sorted(refused.items()):
            raise _failure(what, why)

    def links(self, namespaces: Labels = _NO_LABELS) -> list[AnyLink]:
        """All links; what they have in other namespaces is told by `namespaces`, or ELSEWHERE."""
        replies = self._dump(_ROUTE, links.get_all(), "read links")
        names = dict(links.decode_index(reply.body) for reply in replies)
        labels = linking.numbered(self._channel(_ROUTE), namespaces)
        return [links.decode(reply.body, names=names, labels=labels) for reply in replies]

    def addresses(self) -> list[Address]:
        """The addresses of all links, but for those that the kernel gave them."""
        replies = self._dump(_ROUTE, addresses.get_all(), "read addresses")
        return self._decoded(replies, addresses.decode)

    def routes(self, protocol: int | None = ROUTE_PROTOCOL) -> list[Route]:
        """The routes of all tables, those of one protocol or (None) all."""
        found: list[Route] = []
        for family in _FAMILIES:
            replies = self._dump(_ROUTE, routes.get_all(family, protocol), "read routes")
            same = [reply for reply in replies if reply.body[0] == family]
            found += self._decoded(same, routes.decode)
        return [route for route in found if protocol in {None, route.protocol}]

    def neighbours(self) -> list[Neighbour]:
        """The permanent neighbours on all links."""
        found: list[Neighbour] = []
        for family in _FAMILIES:
            replies = self._dump(_ROUTE, neighbours.get_all(family), "read neighbours")
            same = [reply for reply in replies if reply.body[0] == family]
            found += self._decoded(same, neighbours.decode)
        return found

    def forwards(self) -> list[Forward]:
        """Where all tunnel devices send frames."""
        replies = self._dump(_ROUTE, neighbours.get_all(socket.AF_BRIDGE), "read forwarding")
        return self._decoded(replies, neighbours.decode_forward)

    def rules(self, protocol: int | None = ROUTE_PROTOCOL) -> list[Rule]:
        """The rules that choose a table by a mark, those of one protocol or (None) all."""
        found: list[Rule] = []
        for family in _FAMILIES:
            for reply in self._dump(_ROUTE, rules.get_all(family), "read rules"):
                rule = rules.decode(reply.body)
                if rule and reply.body[0] == family and protocol in {None, rule.protocol}:
                    found.append(rule)
        return found

    def tables(self) -> list[Table]:
        """The tables of nftables."""
        replies = self._dump(_NETFILTER, nftables.get_tables(), "read tables")
        return [nftables.decode_table(reply.body) for reply in replies]

    def elements(self, of: Set) -> list[Element]:
        """The elements of a set or map; none when there is no such set."""
        return [element for element, _ in self._elements(of)]

    def counts(self, of: Set) -> dict[bytes, nftables.Count]:
        """What the counters of a set's elements say, by key."""
        return {element.key: count for element, count in self._elements(of) if count}

    def flows(self, backend: str | None = None) -> list[Flow]:
        """The TCP, UDP and SCTP connections that are tracked, or those that `backend` answers."""
        request = conntrack.get_all(socket.AF_UNSPEC) if backend is None else conntrack.get(backend)
        found = map(conntrack.decode, _bodies(self._dump(_NETFILTER, request, "read connections")))
        return [flow for flow in found if flow and backend in {None, flow.reply_source}]

    def forget(self, flows: Iterable[Flow]) -> None:
        """Stop tracking connections; those that are gone already are no failure."""
        requests = [conntrack.forget(flow) for flow in flows]
        _, refused = self._channel(_NETFILTER).submit(requests)
        for _, why in sorted(refused.items()):
            if why.errno != errno.ENOENT:
                raise _failure("forget connection", why)

    def has_wireguard(self) -> bool:
        """Whether the kernel has it, or a module that it loads for this question."""
        try:
            self._wireguard_family()
        except Refused:
            return False
        return True

    def tunnel(self, link: str) -> tuple[Tunnel, tuple[TunnelPeer, ...]]:
        """How a WireGuard link speaks, and with whom."""
        return wireguard.decode(self._read_tunnel(link))

    def tunnel_activity(self, link: str) -> dict[bytes, TunnelActivity]:
        """What a WireGuard link has done with each peer, by public key."""
        return wireguard.decode_activity(self._read_tunnel(link))

    def refresh(self, peers: Iterable[TunnelPeer]) -> None:
        """Change peers that are there, all of them but their prefixes, and lose no packet."""
        family = self._wireguard_family()
        run = list(peers)
        requests = [wireguard.refresh_peer(each, family) for each in run]
        _raise_first([Put(each) for each in run], self._channel(_GENERIC).submit(requests)[1])

    def _channel(self, protocol: int) -> Channel:
        if protocol not in self._channels:
            self._channels[protocol] = Channel(protocol, self._netns)
        return self._channels[protocol]

    def _dump(self, protocol: int, request: Request, step: str) -> list[Reply]:
        replies, why = self._channel(protocol).dump(request)
        if why.errno:
            raise _failure(step, why)
        return replies

    def _decoded(
        self,
        replies: Iterable[Reply],
        decode: Callable[[bytes, Callable[[int], str]], Decoded | None],
    ) -> list[Decoded]:
        """What is there of `replies`, with links by name, each of which is looked up once."""
        channel = self._channel(_ROUTE)
        names: dict[int, str] = {}

        def name_of(index: int) -> str:
            if index not in names:
                names[index] = channel.name_of(index)
            return names[index]

        decoded = (decode(reply.body, name_of) for reply in replies)
        return [value for value in decoded if value is not None]

    def _apply_link(self, operation: Operation, namespaces: Labels) -> None:
        channel = self._channel(_ROUTE)
        match operation:
            case Remove(Link() | Veth() | Vxlan() as link):
                why = channel.one(links.delete(link.name))
            case Put(Link() | Veth() | Vxlan() as link):
                why = linking.put(link, channel, self._netns, namespaces)
            case _:
                raise AssertionError(f"not a link: {operation}")
        _raise_first((operation,), {0: why} if why.errno else {})

    def _apply_hanging(self, run: Iterable[Operation]) -> None:
        """Do what hangs on links. Where the link is gone, so is all that hung on it."""
        channel = self._channel(_ROUTE)
        indices: dict[str, int | None] = {"": None}
        sent: list[Operation] = []
        requests: list[Request] = []
        stuck: Operation | None = None
        for operation in run:
            link = operations.link_of(operation.value)
            if link not in indices:
                indices[link] = channel.index_of(link)
            if link and indices[link] is None:
                if isinstance(operation, Remove):
                    continue
                stuck = operation
                break
            sent.append(operation)
            requests.append(operations.request(operation, indices[link]))
        _raise_first(sent, channel.submit(requests)[1])
        if stuck is not None:
            raise _refused(stuck, Refusal(errno.ENODEV))

    def _apply_elements(self, run: Sequence[Operation]) -> None:
        found = None if self._can_destroy() else self._found(run)
        steps = nftables.transaction(run, found)
        if not steps:
            return
        batch = nftables.batch([step.request for step in steps])
        refused = self._channel(_NETFILTER).transact(batch)
        for position, why in sorted(refused.items()):
            step = steps[max(position - 1, 0)]  # the first message only begins the batch
            value = step.at(why.offset)
            raise _refused(next(each for each in run if each.value == value), why)

    def _can_destroy(self) -> bool:
        if self._has_destroy is None:
            batch = nftables.batch((nftables.probe(),))
            refused = self._channel(_NETFILTER).transact(batch)
            self._has_destroy = all(why.errno != errno.EINVAL for why in refused.values())
        return self._has_destroy

    def _found(self, run: Iterable[Operation]) -> nftables.Found:
        """What there is of the elements that are to change."""
        values = [each.value for each in run if isinstance(each.value, Element)]
        asked = [nftables.get_element(value) for value in values]
        replies, _ = self._channel(_NETFILTER).submit(asked)
        return {
            (element.of, element.key): element
            for reply in replies
            for element, _ in nftables.decode_elements(reply.body, values[reply.sequence].of)
        }

    def _elements(self, of: Set) -> list[tuple[Element, nftables.Count | None]]:
        try:
            replies = self._dump(_NETFILTER, nftables.get_elements(of), f"read set {of.name}")
        except KernelRefused as err:
            if err.errno == errno.ENOENT:
                return []
            raise
        return [each for reply in replies for each in nftables.decode_elements(reply.body, of)]

    def _apply_tunnels(self, run: Sequence[Operation]) -> None:
        family = self._wireguard_family()
        requests = [operations.tunnel_request(operation, family) for operation in run]
        _raise_first(run, self._channel(_GENERIC).submit(requests)[1])

    def _read_tunnel(self, link: str) -> list[bytes]:
        request = wireguard.get(link, self._wireguard_family())
        return _bodies(self._dump(_GENERIC, request, f"read tunnel {link}"))

    def _wireguard_family(self) -> int:
        if self._wireguard is None:
            channel = self._channel(_GENERIC)
            replies, _ = channel.submit((generic.get_family(wireguard.FAMILY),))
            if not replies:
                raise Refused(
                    "this node's kernel has no WireGuard",
                    hint="load the module wireguard, or use the network without encryption",
                )
            self._wireguard = generic.decode_family(replies[0].body)
        return self._wireguard


def _lane(operation: Operation) -> str:
    match operation.value:
        case Link() | Veth() | Vxlan():
            return "links"
        case Table() | Element():
            return "nftables"
        case Tunnel() | TunnelPeer():
            return "tunnels"
        case _:
            return "hanging"


def _bodies(replies: Iterable[Reply]) -> list[bytes]:
    return [reply.body for reply in replies]


def _raise_first(run: Sequence[Operation], refused: Mapping[int, Refusal]) -> None:
    for position, why in sorted(refused.items()):
        if not operations.is_done(run[position], why):
            raise _refused(run[position], why)


def _refused(operation: Operation, why: Refusal) -> KernelRefused:
    return operations.refused(operation, why, os.strerror(why.errno))


def _failure(step: str, why: Refusal) -> KernelRefused:
    said = f"{os.strerror(why.errno)} ({why.text})" if why.text else os.strerror(why.errno)
    return KernelRefused(step, why.errno, f"the kernel refused to {step}: {said}")
