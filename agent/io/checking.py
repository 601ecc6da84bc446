"""Check how this node's end of a network reaches the others, from inside its router.

Echoes go the way that packets of containers go: through the router's tunnel to the peer's, by
the next hops that both derive from their numbers. So an answer proves tunnel, forwarding,
neighbours and the path between the hosts, in both directions, and no container has to help.
"""

import asyncio
import os
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

from agent import sounding
from agent.io.conversations import Talk
from agent.network.addressing import TUNNEL, peer_via
from agent.network.encryption import NO_WIREGUARD, tunnel_port
from agent.network.io import namespaces
from agent.network.io.netlink import Socket
from agent.sounding import Sounding
from agent.topology import Table
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import Missing, Refused
from swarm.ids import NetworkId, NodeId
from swarm.objects import Network
from swarm.topology import Peer

ANSWERED_WITHIN_S = 0.5
PEERS_AT_ONCE = 64
_IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE = 10, 3  # of linux/in.h: never fragment, always try
_LARGEST = 1 << 16


class Checking:
    """Answers `network_check`. `problems` says where the kernel holds not what it should."""

    def __init__(
        self,
        directory: Path,
        *,
        node_id: NodeId,
        table: Table,
        problems: Callable[[NetworkId], Awaitable[tuple[str, ...]]],
    ) -> None:
        self._directory = directory
        self._node_id = node_id
        self._table = table
        self._problems = problems

    async def respond(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        """Report on a network."""
        asked = question.network_check
        network_id = NetworkId(asked.network_id)
        network = self._table.records.get(f"network/{network_id}")
        if not isinstance(network, Network):
            raise Missing(f"network {network_id} is not on this node")
        problems = await self._problems(network_id)
        report = control_pb2.NetworkReport(node_id=self._node_id, problems=problems)
        try:
            with ExitStack() as stack:
                netns = namespaces.opened(self._directory / network_id)
                stack.callback(os.close, netns)
                report.mtu = _mtu(netns)
                echoes = Echoes(netns)
                stack.callback(echoes.close)
                report.peers.extend(await self._sound(network, echoes, asked.node_ids, report.mtu))
        except (Missing, Refused) as err:
            report.problems.append(err.message)
        await talk.conclude(network_report=report)

    async def _sound(
        self, network: Network, echoes: "Echoes", node_ids: Iterable[str], mtu: int
    ) -> list[control_pb2.PeerReport]:
        turns = asyncio.Semaphore(PEERS_AT_ONCE)

        async def one(node_id: str) -> control_pb2.PeerReport:
            peer = self._table.records.get(f"peer/{node_id}")
            if not isinstance(peer, Peer):
                return control_pb2.PeerReport(
                    node_id=node_id, error="this node was not told of it: are both in the network?"
                )
            async with turns:
                return await self._ask(network, echoes, peer, mtu)

        others = dict.fromkeys(each for each in node_ids if each != self._node_id)
        return list(await asyncio.gather(*(one(each) for each in others)))

    async def _ask(
        self, network: Network, echoes: "Echoes", peer: Peer, mtu: int
    ) -> control_pb2.PeerReport:
        if network.spec.encrypted and not peer.public_key:
            error = f"it has no WireGuard; {NO_WIREGUARD}"
            return control_pb2.PeerReport(node_id=peer.node_id, error=error)
        found, error, port = Sounding(mtu=mtu), "", self._table.data_path_port
        if network.spec.encrypted:
            port = tunnel_port(port)
        try:
            found = await sound(echoes, peer_via(peer.number), found)
            error = found.verdict(address=peer.address, port=port)
        except OSError as err:
            error = f"packets cannot be sent there: {err.strerror}"
        return control_pb2.PeerReport(
            node_id=peer.node_id,
            reachable=found.is_reached,
            round_trip_s=found.round_trip_s,
            largest_bytes=found.passed,
            error=error,
        )


async def sound(echoes: "Echoes", address: str, found: Sounding) -> Sounding:
    """Send packets until all is known of the way to `address`."""
    while size := found.next_size():
        took_s = await echoes.ask(address, size, within_s=ANSWERED_WITHIN_S)
        found = found.unanswered(size) if took_s is None else found.answered(size, took_s)
    return found


class Echoes:
    """Echo requests out of the namespace that is open as `netns`; make it inside a loop."""

    def __init__(self, netns: int) -> None:
        with namespaces.entered(netns):
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
        self._socket.setblocking(False)
        self._socket.setsockopt(socket.IPPROTO_IP, _IP_MTU_DISCOVER, _IP_PMTUDISC_PROBE)
        self._ident = int.from_bytes(os.urandom(2), "big")
        self._token = os.urandom(8)
        self._number = 0
        self._waiting: dict[tuple[str, int], asyncio.Future[None]] = {}
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._socket, self._hear)

    def close(self) -> None:
        """Ask and hear nothing more."""
        self._loop.remove_reader(self._socket)
        self._socket.close()

    async def ask(self, address: str, size: int, *, within_s: float) -> float | None:
        """How long the answer to a packet of `size` bytes took; None when there was none.

        Raises OSError when the packet cannot even be sent.
        """
        self._number = (self._number + 1) % (1 << 16)
        place = (address, self._number)
        packet = sounding.request(
            ident=self._ident, number=self._number, token=self._token, size=size
        )
        answered = self._waiting[place] = self._loop.create_future()
        began = self._loop.time()
        try:
            self._socket.sendto(packet, (address, 0))
            async with asyncio.timeout(within_s):
                await answered
        except TimeoutError:
            if answered.cancelled():  # else it came while we did not get to look
                return None
        finally:
            del self._waiting[place]
        return self._loop.time() - began

    def _hear(self) -> None:
        while True:
            try:
                packet, (address, *_) = self._socket.recvfrom(_LARGEST)
            except BlockingIOError:
                return
            found = sounding.reply(packet, ident=self._ident, token=self._token)
            if found is not None:
                answered = self._waiting.get((address, found[0]))
                if answered is not None and not answered.done():
                    answered.set_result(None)


def _mtu(netns: int) -> int:
    with Socket(netns) as kernel:
        for each in kernel.links():
            if each.name == TUNNEL:
                return each.mtu
    raise Refused("the network's tunnel is missing on this node")
