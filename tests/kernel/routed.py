"""Hosts, containers and a cluster's word for tests of routers: all of them plain namespaces.

Hosts are joined by a bridge in a namespace of its own. Servers are sockets of this process that
were made in the containers' namespaces, answered by one thread.
"""

import asyncio
import contextlib
import os
import selectors
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import structlog
from msgspec.structs import replace

from agent.attachments import Connection
from agent.dns.asking import Asker
from agent.network.addressing import (
    ROUTER_MAC,
    ROUTER_VIA,
    ROUTER_VIA6,
)
from agent.network.io import namespaces
from agent.network.io.host import HostNamespace
from agent.network.io.netlink import Socket
from agent.network.io.networks import Networks
from agent.network.kernel import Link, Neighbour, Put, Route, Veth
from agent.network.uplinks import Uplink
from agent.topology import Changes, Table
from swarm.errors import SwarmError
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import Attachment, Network
from swarm.specs import BRIDGE, NetworkDriver, NetworkSpec, Port, Subnet
from swarm.topology import Endpoint, Peer, Topology, VirtualService

PORT = 4789


def network(number: int = 1, *, ipv6: bool = True, **spec: object) -> Network:
    subnets = [Subnet(subnet=f"10.{number}.0.0/16", gateway=f"10.{number}.0.1")]
    if ipv6:
        subnets.append(Subnet(subnet=f"fd00:{number:x}::/64", gateway=f"fd00:{number:x}::1"))
    return Network(
        id=NetworkId(f"net{number}"),
        spec=NetworkSpec(name=f"net{number}", ipv6=ipv6, **spec),
        vni=4096 + number,
        subnets=tuple(subnets),
    )


def addresses(of: Network, number: int) -> tuple[str, ...]:
    """The `number`th address of each family."""
    first, second = divmod(number, 250)
    net = int(of.id.removeprefix("net"))
    both = (f"10.{net}.{first}.{second + 2}", f"fd00:{net:x}::{number + 2:x}")
    return both[: len(of.subnets)]


class Hearing:
    """A host's side that only leads to the routers, and names that only listen."""

    def __init__(self, host: int) -> None:
        self._host = host
        self.uplinks: dict[NetworkId, Uplink] = {}
        self.served: list[TaskId] = []
        own = network(200, ipv6=False, driver=NetworkDriver.BRIDGE)
        self.bridge = replace(own, id=NetworkId(BRIDGE), vni=0)

    def network(self) -> Network:
        return self.bridge

    async def connect(self, uplink: Uplink) -> None:
        self.uplinks[uplink.network_id] = uplink
        values: list[Neighbour | Route] = []
        for subnet in uplink.subnets:
            via = ROUTER_VIA6 if ":" in subnet else ROUTER_VIA
            values += [Neighbour(link=uplink.link, address=via, mac=ROUTER_MAC)]
            values += [Route(destination=subnet, link=uplink.link, via=via, is_onlink=True)]
        with Socket(self._host) as host:
            host.apply(map(Put, values))

    async def disconnect(self, network_id: NetworkId) -> None:
        self.uplinks.pop(network_id, None)

    async def publish(
        self, task_id: TaskId, attachment: Attachment, ports: tuple[Port, ...]
    ) -> tuple[Port, ...]:
        return ports

    async def withdraw(self, task_id: TaskId) -> None:
        pass

    async def apply(self, changes: Changes, *, is_local: bool = False) -> None:
        pass

    async def serve(self, task_id: TaskId, netns: int, asker: Asker) -> None:
        self.served.append(task_id)

    async def release(self, task_id: TaskId) -> None:
        pass

    async def reconcile(
        self, known: Mapping[TaskId, tuple[Asker, int]] | None = None, *, is_all: bool = True
    ) -> None:
        pass


class Host:
    """A node: its namespace, its place in the underlay, and its networks."""

    def __init__(self, where: Path, number: int, *, is_whole: bool) -> None:
        """One that `is_whole` has a host's side that publishes and guards."""
        self.number = number
        self.node_id = NodeId(f"node{number}")
        self.address = f"192.168.77.{number}"
        self.netns = make(where / "ns" / f"host{number}")
        self.directory = where / f"routers{number}"
        self.hearing = Hearing(self.netns)
        self.side = self._new_side() if is_whole else None
        self.processes: dict[TaskId, int] = {}
        self.networks = self.agent()

    def agent(self) -> Networks:
        """The networks of an agent that has just started."""
        return Networks(
            self.directory,
            node_id=self.node_id,
            host_side=self.side or self.hearing,
            bridge=self.hearing,
            names=self.hearing,
            host=self.netns,
            pid_of=lambda task_id: self.processes.get(task_id, 0),
            linger_s=0.0,
        )

    async def restart(self) -> None:
        """Have another agent, which remembers nothing and was not told anything yet."""
        await self.networks.close()
        if self.side:
            await self.side.close()
            self.side = self._new_side()
        self.networks = self.agent()

    def _new_side(self) -> HostNamespace:
        return HostNamespace(log=structlog.get_logger(), netns=self.netns)

    @property
    def peer(self) -> Peer:
        return Peer(node_id=self.node_id, number=self.number, address=self.address)


class Container:
    """A namespace with `lo`, and what it is in."""

    def __init__(self, where: Path, host: Host, name: str) -> None:
        self.host = host
        self.name = name
        self.task_id = TaskId(name)
        self.path = where / "ns" / f"c-{name}"
        self.netns = make(self.path)
        self.attachments: tuple[Attachment, ...] = ()

    @property
    def connection(self) -> Connection:
        return Connection(attachments=self.attachments, asker=Asker(task_id=self.task_id))

    @property
    def addresses(self) -> tuple[str, ...]:
        return self.attachments[0].addresses

    def end(self) -> None:
        os.close(self.netns)
        namespaces.remove(self.path)
        self.netns = -1


class Swarm:
    """Some hosts, what they were told, and the loop that their agents run in."""

    def __init__(self, where: Path, hosts: int, *, is_whole: bool = False) -> None:
        self.where = where
        self.runner = asyncio.Runner()
        self.table = Table()
        self.hosts = [Host(where, number, is_whole=is_whole) for number in range(1, hosts + 1)]
        self.containers: dict[str, Container] = {}
        self.answering = Answering()
        self._plugged = 0
        self._clients: list[int] = []
        self._wire = make(where / "ns" / "wire")
        try:
            self._join()
        except BaseException:
            self.close()
            raise

    def _join(self) -> None:
        ip(self._wire, "link add br0 type bridge")
        ip(self._wire, "link set br0 up")
        for host in self.hosts:
            self._plug(host.netns, host.number)
        self.until(self._is_joined)

    def _plug(self, netns: int, number: int) -> None:
        """Join a namespace to the wire."""
        with Socket(self._wire) as wire:
            pair = Veth(name=f"h{number}", peer="eth0", peer_netns="host")
            wire.apply([Put(pair)], namespaces={"host": netns})
        ip(self._wire, f"link set h{number} master br0 up")
        ip(netns, f"addr add 192.168.77.{number}/24 dev eth0")
        ip(netns, f"addr add fd77::{number:x}/64 dev eth0 nodad")
        self._plugged += 1

    def client(self, number: int = 99) -> int:
        """A host of somebody else's on the wire, open; it knows nothing of our networks."""
        netns = make(self.where / "ns" / f"client{number}")
        self._plug(netns, number)
        self.until(self._is_joined)
        self._clients.append(netns)
        return netns

    def _is_joined(self) -> bool:
        """Whether the kernel's worker has noticed that all cables are in."""
        ports = ip(self._wire, "link show", program="bridge")
        return ports.count("state forwarding") == self._plugged

    def tell(self, topology: Topology) -> None:
        changes = self.table.take(topology)
        for host in self.hosts:
            self.runner.run(host.networks.apply(changes))

    @property
    def everything(self) -> Changes:
        """What an agent that starts is told."""
        return Changes(
            put=tuple(self.table.records.values()), data_path_port=self.table.data_path_port
        )

    def begin(self, *networks: Network) -> None:
        """Tell of networks and nodes to agents that find nothing running."""
        self.tell(
            Topology(
                networks=networks,
                peers=tuple(host.peer for host in self.hosts),
                data_path_port=PORT,
            )
        )
        for host in self.hosts:
            self.runner.run(host.networks.reconcile({}))

    def container(self, host: Host, name: str, *attachments: Attachment) -> Container:
        """A container that runs and is attached."""
        made = Container(self.where, host, name)
        made.attachments = attachments
        self.containers[name] = made
        self.runner.run(host.networks.attach(made.task_id, made.netns, made.connection))
        return made

    def wait(self, seconds: float = 0.01) -> None:
        """Let the agents' timers run."""
        self.runner.run(asyncio.sleep(seconds))

    def until(self, condition: Callable[[], bool], within_s: float = 20.0) -> None:
        """Let the agents go on until something is so."""
        deadline = time.monotonic() + within_s
        while not condition():
            assert time.monotonic() < deadline, "it is still not so"
            self.wait()

    def close(self) -> None:
        """Leave nothing, whatever went wrong before."""
        with contextlib.ExitStack() as stack:
            stack.callback(self._sweep)
            for netns in (self._wire, *self._clients, *(host.netns for host in self.hosts)):
                stack.callback(os.close, netns)
            stack.callback(self.runner.close)
            for host in self.hosts:
                stack.callback(self._end, host)
            for container in self.containers.values():
                if container.netns >= 0:
                    stack.callback(container.end)
            stack.callback(self.answering.close)

    def _end(self, host: Host) -> None:
        with contextlib.suppress(SwarmError):
            self.runner.run(host.networks.close(removes=True))
        if host.side:
            self.runner.run(host.side.close(leave=True))

    def _sweep(self) -> None:
        for directory in self.where.iterdir():
            for name in namespaces.names(directory):
                namespaces.remove(directory / name)


class Answering:
    """Servers that say who they are and whom they see, over TCP and UDP."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._wake, wake = os.pipe()
        self._woken = wake
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._sockets: dict[str, list[socket.socket]] = {}
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._is_over = False
        self._thread.start()

    def serve(self, container: Container, port: int = 80) -> None:
        with namespaces.entered(container.netns):
            tcp = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            udp = [socket.socket(family, socket.SOCK_DGRAM) for family in FAMILIES]
        tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        tcp.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        tcp.bind(("::", port))
        tcp.listen(512)
        udp[0].bind(("0.0.0.0", port))
        udp[1].setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        udp[1].bind(("::", port))
        for each in (tcp, *udp):
            each.setblocking(False)
            self._sockets.setdefault(container.name, []).append(each)
            self._selector.register(each, selectors.EVENT_READ, container.name)
        os.write(self._woken, b"x")

    def stop(self, container: Container) -> None:
        """Close everything that it has open, as the end of a process does."""
        for each in self._sockets.pop(container.name, ()):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            each.close()

    def are_acknowledged(self, container: Container) -> bool:
        """Whether all that it has said has arrived, and its callers have said so."""
        return not any(_unacknowledged(each) for each in list(self._sockets[container.name]))

    def close(self) -> None:
        self._is_over = True
        os.write(self._woken, b"x")
        self._thread.join()
        for each in [each for group in self._sockets.values() for each in group]:
            each.close()
        self._selector.close()
        os.close(self._wake)
        os.close(self._woken)

    def _run(self) -> None:
        while not self._is_over:
            for key, _ in self._selector.select():
                if key.fileobj == self._wake:
                    os.read(self._wake, 64)
                    continue
                with contextlib.suppress(OSError):
                    self._answer(key.fileobj, key.data)

    def _answer(self, sock: socket.socket, name: str) -> None:
        if sock.type == socket.SOCK_DGRAM:
            _, source = sock.recvfrom(2048)
            sock.sendto(f"{name} {plain(source[0])}".encode(), source)
        elif sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            connection, _ = sock.accept()
            connection.setblocking(False)
            self._sockets.setdefault(name, []).append(connection)
            self._selector.register(connection, selectors.EVENT_READ, name)
        elif sock.recv(2048):
            sock.sendall(f"{name} {plain(sock.getpeername()[0])}".encode())
        else:
            self._selector.unregister(sock)
            self._sockets.get(name, [sock]).remove(sock)
            sock.close()


def _unacknowledged(sock: socket.socket) -> int:
    """How many segments; of a socket that only listens, callers that nobody has accepted yet."""
    if sock.type != socket.SOCK_STREAM:
        return 0
    told = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 104)
    return int.from_bytes(told[24:28], sys.byteorder)  # tcpi_unacked of linux/tcp.h


FAMILIES = (socket.AF_INET, socket.AF_INET6)


def plain(address: str) -> str:
    return address.removeprefix("::ffff:")


def make(path: Path) -> int:
    """A namespace with `lo`, open."""
    namespaces.make(path)
    netns = namespaces.opened(path)
    with Socket(netns) as inside:
        inside.apply([Put(Link(name="lo"))])
    return netns


def ip(netns: int, words: str, program: str = "ip") -> str:
    return subprocess.run(
        ["nsenter", f"--net=/proc/self/fd/{netns}", program, *words.split()],
        check=True,
        pass_fds=(netns,),
        capture_output=True,
        text=True,
    ).stdout


def connected(
    netns: int,
    address: str,
    port: int = 80,
    *,
    udp: bool = False,
    source: tuple[str, int] | None = None,
    within_s: float = 10.0,
) -> socket.socket:
    """A connection, made in a namespace; one `source` may have several to different places."""
    kind = socket.SOCK_DGRAM if udp else socket.SOCK_STREAM
    with namespaces.entered(netns):
        made = socket.socket(FAMILIES[":" in address], kind)
    made.settimeout(within_s)
    try:
        if source is not None:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            made.bind(source)
        made.connect((address, port))
    except BaseException:
        made.close()
        raise
    return made


def said(connection: socket.socket) -> tuple[str, str]:
    """Who answers on a connection, and whom it sees."""
    connection.sendall(b"?")
    name, source = connection.recv(2048).decode().split()
    return name, source


def ask(
    netns: int, address: str, port: int = 80, *, udp: bool = False, within_s: float = 10.0
) -> tuple[str, str]:
    """Who answers one question, and whom it sees."""
    with connected(netns, address, port, udp=udp, within_s=within_s) as connection:
        return said(connection)


def refuses(netns: int, address: str, port: int = 80, *, udp: bool = False) -> bool:
    """Whether it is said at once that nobody is there: no packet had to be sent again."""
    before = _sent_again(netns)
    try:
        ask(netns, address, port, udp=udp)
    except ConnectionRefusedError:
        return _sent_again(netns) == before
    return False


def _sent_again(netns: int) -> int:
    """How many segments of TCP were sent once more in a namespace."""
    with namespaces.entered(netns):
        lines = Path("/proc/thread-self/net/snmp").read_text().splitlines()
    names, values = (line.split() for line in lines if line.startswith("Tcp:"))
    return int(values[names.index("RetransSegs")])


@contextlib.contextmanager
def swarm(where: Path, hosts: int, *, is_whole: bool = False) -> Iterator[Swarm]:
    made = Swarm(where, hosts, is_whole=is_whole)
    try:
        yield made
    finally:
        made.close()


def endpoint(
    of: Network,
    container_or_task: str,
    number: int,
    host: Host,
    service: str = "web",
    *,
    serving: bool = True,
    weight: int = 1,
) -> Endpoint:
    return Endpoint(
        network_id=of.id,
        task_id=TaskId(container_or_task),
        service_id=ServiceId(service),
        service_name=service,
        node_id=host.node_id,
        addresses=addresses(of, number),
        is_serving=serving,
        weight=weight,
    )


def service(of: Network, number: int, name: str = "web") -> VirtualService:
    return VirtualService(
        network_id=of.id,
        service_id=ServiceId(name),
        service_name=name,
        addresses=addresses(of, number),
    )
