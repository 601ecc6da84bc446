"""A swarm of `routed` whose hosts have their own side as well, and a client outside of it."""

import asyncio
import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import structlog

from agent.attachments import Connection
from agent.dns.asking import Asker
from agent.network import host_rules
from agent.network.io import namespaces
from agent.network.io.host import HostNamespace, NodeBridge
from agent.network.io.netlink import Socket
from agent.network.io.networks import Networks
from agent.network.kernel import Element
from agent.network.uplinks import Uplink
from swarm.ids import NetworkId, ServiceId
from swarm.objects import Attachment, Network
from swarm.specs import Port
from swarm.topology import Endpoint, Publication, topology_of
from tests.kernel.routed import (
    FAMILIES,
    Container,
    Host,
    Swarm,
    addresses,
    ask,
    endpoint,
    network,
)

INGRESS = network(9, ingress=True)
CLIENT, CLIENT6 = "192.168.77.100", "fd77::64"


class HostedSwarm(Swarm):
    """Hosts 1, 2, ... have 192.168.77.N and fd77::N; the client has .100 and ::64."""

    def __init__(self, where: Path, hosts: int) -> None:
        self.sides: dict[int, HostNamespace] = {}
        self.uplinks: dict[int, dict[NetworkId, Uplink]] = {}
        self.bridges: dict[int, NodeBridge] = {}
        self.ports: dict[str, tuple[Port, ...]] = {}
        super().__init__(where, hosts)
        for host in self.hosts:
            self._equip(host)

    def _join(self) -> None:
        super()._join()
        self.outside = self.client(100)

    def _equip(self, host: Host) -> None:
        side = HostNamespace(log=structlog.stdlib.get_logger(), netns=host.netns)
        self.sides[host.number] = side
        self.bridges[host.number] = side.bridge(self.where / f"run{host.number}", mtu=1500)
        host.networks = Networks(
            host.directory, node_id=host.node_id, host_side=Standing(self, host),
            bridge=self.bridges[host.number], names=host.hearing, host=host.netns, linger_s=0.0,
        )  # fmt: skip

    def side(self, host: Host) -> HostNamespace:
        return self.sides[host.number]

    def open(self, *records: Publication | Endpoint, networks: tuple[Network, ...] = ()) -> None:
        """Tell all of the ingress network and of these."""
        self.begin(INGRESS, *networks)
        self.say(*records)

    def say(self, *records: Publication | Endpoint) -> None:
        self.tell(topology_of(records))

    def backend(
        self, host: Host, number: int, *, service: str = "web"
    ) -> tuple[Container, Endpoint]:
        """A container in the ingress network that serves port 80, and what others are told."""
        at = Attachment(network_id=INGRESS.id, addresses=addresses(INGRESS, number))
        made = self.container(host, f"{service}{number}", at)
        self.answering.serve(made)
        return made, endpoint(INGRESS, made.name, number, host, service)

    def connect(self, host: Host, name: str, at: Attachment, *ports: Port) -> Container:
        """A container with ports of its host, kept in `ports`."""
        made = Container(self.where, host, name)
        made.attachments = (at,)
        self.containers[name] = made
        connection = Connection(attachments=(at,), asker=Asker(task_id=made.task_id), ports=ports)
        got = self.runner.run(host.networks.attach(made.task_id, made.netns, connection))
        self.ports[name] = got
        return made

    def restart(self, host: Host) -> None:
        """The host's side is gone, and another one hears everything anew; routers stay."""
        self.stop(host)
        self.start(host)

    def stop(self, host: Host) -> None:
        self.runner.run(self.sides.pop(host.number).close())

    def start(self, host: Host) -> None:
        """In the order in which `Networks` speaks to it."""
        log = structlog.stdlib.get_logger()
        side = self.sides[host.number] = HostNamespace(log=log, netns=host.netns)
        self.runner.run(side.apply(self.everything))
        for uplink in self.uplinks[host.number].values():
            self.runner.run(side.connect(uplink))
        self.runner.run(side.reconcile())
        for name, ports in self.ports.items():
            made = self.containers[name]
            self.runner.run(side.publish(made.task_id, made.attachments[0], ports))

    def close(self) -> None:
        super().close()
        for side in self.sides.values():
            asyncio.run(side.close())


class Standing:
    """The side that a host has at the moment; it notes the uplinks that the routers have."""

    def __init__(self, swarm: HostedSwarm, host: Host) -> None:
        self._sides, self._number = swarm.sides, host.number
        self._uplinks = swarm.uplinks.setdefault(host.number, {})

    async def connect(self, uplink: Uplink) -> None:
        self._uplinks[uplink.network_id] = uplink
        await self._sides[self._number].connect(uplink)

    async def disconnect(self, network_id: NetworkId) -> None:
        self._uplinks.pop(network_id, None)
        await self._sides[self._number].disconnect(network_id)

    def __getattr__(self, name: str) -> object:
        return getattr(self._sides[self._number], name)


@contextlib.contextmanager
def hosted(where: Path, hosts: int = 2) -> Iterator[HostedSwarm]:
    made = HostedSwarm(where, hosts)
    try:
        yield made
    finally:
        made.close()


def publication(*ports: Port, service: str = "web") -> Publication:
    return Publication(service_id=ServiceId(service), service_name=service, ports=ports)


def elements(netns: int) -> dict[str, set[Element]]:
    """What is in the sets of a host's table."""
    with Socket(netns) as kernel:
        return {each.name: set(kernel.elements(each)) for each in host_rules.SETS}


class Asking:
    """A thread that asks for ever, and remembers who answered and what failed."""

    def __init__(self, netns: int, address: str, port: int) -> None:
        self.answers: list[tuple[str, str]] = []
        self.failures: list[OSError] = []
        self._place = (netns, address, port)
        self._is_over = False
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        while not self._is_over:
            try:
                self.answers.append(ask(*self._place))
            except OSError as err:
                self.failures.append(err)

    def has_asked(self, more: int = 20) -> None:
        """Wait until so many more questions have been answered or failed."""
        until = self._count() + more
        deadline = time.monotonic() + 60
        while self._count() < until:
            assert time.monotonic() < deadline, "nobody answers"
            time.sleep(0.002)

    def _count(self) -> int:
        return len(self.answers) + len(self.failures)

    def __enter__(self) -> "Asking":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over = True
        self._thread.join()


def is_refused(call: Callable[[], object]) -> bool:
    """Whether somebody says at once that nobody is there.

    A program that sends datagrams from the host itself is told that it may not.
    """
    try:
        call()
    except (ConnectionRefusedError, PermissionError):
        return True
    return False


def is_silent(call: Callable[[], object]) -> bool:
    """Whether no answer comes at all."""
    try:
        call()
    except TimeoutError:
        return True
    return False


def datagrams(netns: int, address: str, port: int) -> socket.socket:
    """A client of UDP that keeps its port."""
    with namespaces.entered(netns):
        made = socket.socket(
            socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_DGRAM
        )
    made.settimeout(10)
    made.connect((address, port))
    return made


def bound(
    netns: int,
    port: int,
    kind: int = socket.SOCK_STREAM,
    ip: str = "0.0.0.0",
    *,
    is_shared: bool = False,
) -> socket.socket:
    """A socket as a server of the host binds it."""
    with namespaces.entered(netns):
        made = socket.socket(FAMILIES[":" in ip], kind)
    try:
        if kind == socket.SOCK_STREAM or is_shared:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((ip, port))
    except BaseException:
        made.close()
        raise
    return made
