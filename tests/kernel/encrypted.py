"""A swarm of `routed` that encrypts, somebody who listens on its wire, and traffic that counts."""

import asyncio
import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Self

import pytest
import structlog
from msgspec import Struct
from msgspec.structs import replace

from agent.network.encryption import LINK
from agent.network.io import namespaces
from agent.network.io.encryption import EncryptionNamespace
from agent.network.io.netlink import Socket
from agent.network.io.networks import Networks
from agent.network.kernel import Tunnel, TunnelActivity, TunnelPeer
from agent.topology import Changes
from swarm.ids import NodeId
from swarm.objects import Attachment, Network
from swarm.topology import NetworkKey, Peer, Topology
from tests.kernel.routed import (
    PORT,
    Container,
    Host,
    Swarm,
    addresses,
    endpoint,
    network,
)

ENCRYPTED_PORT = PORT + 1
_ALL, _RECEIVE_BUFFER = 0x0003, 33  # ETH_P_ALL, SO_RCVBUFFORCE
_PATIENCE = float(os.environ.get("SWARM_TEST_PATIENCE", "1"))


def secret(number: int) -> NetworkKey:
    return NetworkKey(number=number, secret=bytes([number]) * 32)


class Incapable(EncryptionNamespace):
    """The same on a kernel that has no WireGuard, until it `is_able`."""

    is_able = False

    def open(self) -> bool:
        return self.is_able and super().open()


class EncryptedSwarm(Swarm):
    """Hosts are reached at their IPv6 addresses, if so; some are `without` WireGuard."""

    def __init__(
        self, where: Path, hosts: int, *, ipv6: bool = False, without: Collection[int] = ()
    ) -> None:
        self.encryptions: dict[int, EncryptionNamespace] = {}
        self.changed: list[int] = []
        self._is_ipv6 = ipv6
        self._without = without
        super().__init__(where, hosts)
        try:
            for host in self.hosts:
                self.runner.run(host.networks.close())
                self.start(host)
        except BaseException:
            self.close()
            raise

    def start(self, host: Host) -> None:
        """An agent that knows nothing yet."""
        kind = Incapable if host.number in self._without else EncryptionNamespace
        made = kind(
            self.where / "encryption" / f"host{host.number}",
            node_id=host.node_id,
            log=structlog.stdlib.get_logger(),
            host=host.netns,
            changed=lambda: self.changed.append(host.number),
        )
        made.open()
        self.encryptions[host.number] = made
        host.networks = Networks(
            host.directory, node_id=host.node_id, host_side=host.hearing, bridge=host.hearing,
            names=host.hearing, host=host.netns, encryption=made, linger_s=0.0,
        )  # fmt: skip

    def stop(self, host: Host) -> None:
        """The agent is gone; what it made stays."""
        self.runner.run(host.networks.close())
        self.encryptions.pop(host.number).close()

    def tell_one(self, host: Host, topology: Topology) -> None:
        """Only one hears it, all of it; the table is not asked."""

        changes = Changes(put=topology.records(), data_path_port=topology.data_path_port)
        self.runner.run(host.networks.apply(changes))

    def peer(self, host: Host) -> Peer:
        address = f"fd77::{host.number}" if self._is_ipv6 else host.address
        key = self.encryptions[host.number].public_key
        return replace(host.peer, address=address, public_key=key)

    def introduce(self, *networks: Network) -> None:
        """`begin`, with keys and the first secret."""
        peers = tuple(map(self.peer, self.hosts))
        self.tell(Topology(networks=networks, peers=peers, keys=(secret(1),), data_path_port=PORT))
        for host in self.hosts:
            self.runner.run(host.networks.reconcile({}))

    def serve(self, of: Network, host: Host, number: int, *, prefix: str = "t") -> Container:
        """A container in a network that answers, which everybody is told."""
        at = Attachment(network_id=of.id, addresses=addresses(of, number))
        made = self.container(host, f"{prefix}{number}", at)
        self.answering.serve(made)
        self.tell(Topology(endpoints=(endpoint(of, made.name, number, host),)))
        return made

    def tunnel(self, host: Host) -> tuple[Tunnel, dict[bytes, TunnelPeer]]:
        """What the kernel has of a host's link, with its peers by their keys."""
        with Socket(self.encryptions[host.number].netns) as kernel:
            link, peers = kernel.tunnel(LINK)
        return link, {each.public_key: each for each in peers}

    def activity(self, host: Host, other: Host) -> TunnelActivity:
        with Socket(self.encryptions[host.number].netns) as kernel:
            found = kernel.tunnel_activity(LINK)
        return found[self.encryptions[other.number].public_key]

    def tap(self) -> "Tap":
        return Tap(self._wire)

    def go_on(self, *hosts: Host) -> "Going":
        """Have the agents of these look at what is in doubt."""
        return Going(self, hosts)

    def close(self) -> None:
        super().close()
        for each in self.encryptions.values():
            each.close(removes=True)


class Going:
    """Agents' looks go on inside of it, whenever the loop does."""

    def __init__(self, swarm: EncryptedSwarm, hosts: Collection[Host]) -> None:
        self._swarm = swarm
        self._hosts = hosts
        self._tasks: list[asyncio.Task[None]] = []

    def __enter__(self) -> Self:
        async def start() -> None:
            for host in self._hosts:
                work = self._swarm.encryptions[host.number].run()
                self._tasks.append(asyncio.create_task(work))

        self._swarm.runner.run(start())
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            for each in self._tasks:
                each.cancel()
            found = await asyncio.gather(*self._tasks, return_exceptions=True)
            assert all(isinstance(each, asyncio.CancelledError) for each in found), found

        self._swarm.runner.run(stop())


class Frame(Struct, frozen=True):
    """A frame on the wire; `port` is the UDP port that it is for, 0 if there is none."""

    content: bytes
    port: int
    ip_bytes: int
    is_fragment: bool = False


class Tap:
    """All frames that pass the wire while it is open; each may be there more than once."""

    def __init__(self, wire: int) -> None:
        with namespaces.entered(wire):
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(_ALL))
        self._socket.setsockopt(socket.SOL_SOCKET, _RECEIVE_BUFFER, 64 << 20)
        self._socket.setblocking(False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def frames(self) -> list[Frame]:
        """What has passed since this was asked last; nothing was missed."""
        found: list[Frame] = []
        with contextlib.suppress(BlockingIOError):
            while True:
                found.append(_frame(self._socket.recv(1 << 16)))
        statistics = self._socket.getsockopt(263, 6, 8)  # SOL_PACKET, PACKET_STATISTICS
        _, missed = struct.unpack("=II", statistics)
        assert not missed
        return found


def _frame(content: bytes) -> Frame:
    kind = content[12:14]
    if kind == b"\x08\x00":
        start, protocol = 14 + (content[14] & 15) * 4, content[23]
        length = int.from_bytes(content[16:18], "big")
        is_fragment = int.from_bytes(content[20:22], "big") & 0x3FFF != 0
    elif kind == b"\x86\xdd":
        start, protocol = 54, content[20]
        length = 40 + int.from_bytes(content[18:20], "big")
        is_fragment = protocol == 44
    else:
        return Frame(content, 0, 0)
    port = int.from_bytes(content[start + 2 : start + 4], "big") if protocol == 17 else 0
    return Frame(content, port, length, is_fragment)


class Stream:
    """Numbered datagrams from one container to another that sends them back, all counted."""

    def __init__(self, source: Container, target: Container, *, every_s: float = 0.005) -> None:
        self.sent = 0
        self._every_s = every_s
        self._missing: set[int] = set()
        self._is_over = False
        with namespaces.entered(target.netns):
            self._server = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with namespaces.entered(source.netns):
            self._client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._server.bind(("0.0.0.0", 7))
        self._client.connect((target.addresses[0], 7))
        self._client.setblocking(False)
        self._threads = [threading.Thread(target=each) for each in (self._echo, self._send)]

    def __enter__(self) -> Self:
        for each in self._threads:
            each.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._threads[1].join()
        with contextlib.suppress(OSError):
            self._server.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._client.close()
        self._server.close()

    def lost(self) -> int:
        """How many did not come back, once no more are sent."""
        self._is_over = True
        self._threads[1].join()
        deadline = time.monotonic() + 10 * _PATIENCE
        while self._missing and time.monotonic() < deadline:
            self._receive()
            time.sleep(0.002)
        return len(self._missing)

    def _echo(self) -> None:
        with contextlib.suppress(OSError):
            while not self._is_over or self._missing:
                content, source = self._server.recvfrom(2048)
                if not content:
                    return
                self._server.sendto(content, source)

    def _send(self) -> None:
        while not self._is_over:
            self._missing.add(self.sent)
            with contextlib.suppress(OSError):
                self._client.send(self.sent.to_bytes(4, "big"))
            self.sent += 1
            self._receive()
            time.sleep(self._every_s)

    def _receive(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                self._missing.discard(int.from_bytes(self._client.recv(64), "big"))


@contextlib.contextmanager
def encrypted_swarm(
    where: Path, hosts: int, *, ipv6: bool = False, without: Collection[int] = ()
) -> Iterator[EncryptedSwarm]:
    made = EncryptedSwarm(where, hosts, ipv6=ipv6, without=without)
    try:
        yield made
    finally:
        made.close()


def pair(swarm: EncryptedSwarm, *, prefix: str = "t") -> tuple[Container, Container]:
    """A container on each of the first two hosts, in an encrypted network."""
    net = network(1, encrypted=True)
    swarm.introduce(net)
    first, second = (
        swarm.serve(net, host, number, prefix=prefix) for number, host in enumerate(swarm.hosts[:2])
    )
    return first, second


def has_wireguard(where: Path) -> bool:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    made = EncryptionNamespace(
        where / "probe", node_id=NodeId("n"), log=structlog.stdlib.get_logger()
    )
    try:
        return made.open()
    finally:
        made.close(removes=True)
