"""Put this node's side of the networks together, and take it apart again.

The agent's end lets go of everything and leaves it as it is: routers, rules and the name service
go on without it, as containers do. Only a node that leaves its swarm takes them away, but for what
containers need that are no tasks; the next agent, which is in no swarm, puts that right.
"""

import asyncio
import shutil
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from random import SystemRandom

import structlog

from agent import preflight
from agent.attachments import Connection, endpoints
from agent.config import Config
from agent.dns.counts import Counts
from agent.dns.io.client import Names
from agent.io.checking import Checking
from agent.io.connections import Connections, remembered
from agent.io.metering import Metering
from agent.metrics import Metrics
from agent.network.io import namespaces, routers
from agent.network.io.encryption import EncryptionNamespace
from agent.network.io.host import HostNamespace
from agent.network.io.netlink import Socket
from agent.network.io.networks import Networks
from agent.preflight import Reached
from agent.standalone.io import local_networks
from agent.standalone.io.local_networks import LocalNetworks
from agent.standalone.networks import Taken
from agent.topology import Changes, Table, is_local
from swarm.dispatch import Preflight
from swarm.errors import SwarmError
from swarm.ids import NetworkId, TaskId
from swarm.objects import Network
from swarm.specs import Port
from swarm.topology import Publication

ASKED_WITHIN_S = 2.5
_USUAL_MTU = 1500
_DEFAULT = "0.0.0.0/0"

Spawn = Callable[[Coroutine[None, None, None]], asyncio.Task[None]]


class Networking:
    """This node's networks. Make it inside a loop; `start`, and `close` in the end."""

    def __init__(
        self,
        config: Config,
        table: Table,
        *,
        spawn: Spawn,
        pid_of: Callable[[TaskId], int],
        described: Callable[[], None],
        metrics: Metrics,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        """`pid_of` gives the first process of a container that runs, or 0.

        `described` is told when the node's description has changed by itself.
        """
        self._config = config
        self._table = table
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._host = HostNamespace(log=log)
        self._names = Names(Path(config.run_root), spawn=spawn, log=log, is_alone=config.is_alone)
        self._encryption: EncryptionNamespace | None = None
        if not config.is_alone:
            self._encryption = EncryptionNamespace(
                config.encryption, node_id=config.node_id, log=log, changed=described
            )
        made, mtu = local_networks.load(config.local_networks, log), _underlay_mtu(config)
        apart = [subnet.subnet for each in made for subnet in each.subnets]
        self.bridge = self._host.bridge(Path(config.run_root), mtu=mtu, apart=apart)
        self.local = LocalNetworks(
            config.local_networks,
            made,
            bridge=self.bridge,
            mtu=mtu,
            others=self._others,
            swarm=self._of_swarm,
            random=SystemRandom(),
        )
        self._networks = Networks(
            config.networks,
            node_id=config.node_id,
            host_side=self._host,
            bridge=self.bridge,
            names=self._names,
            encryption=self._encryption,
            pid_of=pid_of,
        )
        self.connections = Connections(
            config.connections,
            networks=self._networks,
            bridge=self.bridge,
            table=table,
            observe=metrics.network_follow_seconds.observe,
            log=log,
        )
        self.checking = Checking(
            config.networks, node_id=config.node_id, table=table, problems=self._problems
        )
        self.metering = Metering(config.networks, table=table, asked=self._asked)
        self._running: tuple[asyncio.Task[None], ...] = ()

    @property
    def public_key(self) -> bytes:
        """What encrypted networks know this node by; empty where its kernel has no WireGuard."""
        return self._encryption.public_key if self._encryption is not None else b""

    def start(self, known: Mapping[TaskId, Connection], pids: Mapping[TaskId, int]) -> None:
        """Take over what an earlier agent connected, and follow the topology from now on."""
        self.connections.adopt(known, pids)
        running = [known[task_id] for task_id in sorted(known.keys() & pids.keys())]
        for each in running:
            self.local.keep(each.asker.task_id, each.attachments)
        named = (x for each in running for x in endpoints(each, self._config.node_id))
        here = Changes(put=(*self.local.records(), *named))
        self._running = (self._spawn(self.connections.run(here)),)
        if self._encryption is not None:
            self._encryption.open()
            self._running += (self._spawn(self._encryption.run()),)
        else:
            routers.remove(self._config.encryption)

    def judge(self, asked: Preflight) -> tuple[str, ...]:
        """Why this node cannot have ports, or be in subnets."""
        reached = self._host.reached() if asked.subnets else ()
        here = (Reached(prefix=each.prefix, link=each.whose) for each in self.local.taken())
        return (
            *preflight.taken_ports(asked.ports, self._why_not_free),
            *preflight.hit_subnets(asked.subnets, (*reached, *here)),
        )

    def why_taken(self, port: Port) -> str:
        """Whose a port of this node is, be it published or a program's; empty when it is free."""
        for owner in self._host.owners_of(port):
            return (
                f"port {port.published}/{port.protocol.word} is published by {self._named(owner)}"
            )
        return self._host.why_not_free(port)

    def _why_not_free(self, port: Port) -> str:
        """The same to a manager, who knows himself what the swarm's tasks have."""
        owners = [x for x in self._host.owners_of(port) if self._known_here(TaskId(x))]
        return self.why_taken(port) if owners else self._host.why_not_free(port)

    def _known_here(self, container_id: TaskId) -> Connection | None:
        known = self.connections.connection(container_id)
        return known if known is not None and known.is_standalone else None

    def _named(self, owner: str) -> str:
        if (known := self._known_here(TaskId(owner))) is not None:
            return f"container {known.name}"
        record = self._table.records.get(f"publication/{owner}")
        if isinstance(record, Publication):
            return f"service {record.service_name}"
        return f"task {owner}"

    def _of_swarm(self) -> Iterator[Network]:
        return (each for each in self._table.records.values() if isinstance(each, Network))

    def _others(self) -> Iterator[Taken]:
        """Where the host goes itself, and the swarm's networks that are known here."""
        for way in self._host.reached():
            yield Taken(prefix=way.prefix, whose=f"a route of this host by {way.link}")
        for network in self._of_swarm():
            for each in network.subnets:
                whose = f"the swarm's network {network.spec.name}"
                yield Taken(prefix=each.subnet, whose=whose)

    async def close(self, *, removes: bool = False, kept: Collection[TaskId] = ()) -> None:
        """Let go of everything; `removes` also takes it away, but for what `kept` containers need.

        Those are containers that are no tasks.
        """
        if not self._running:
            return
        kept = _connected(self._config, kept) if removes else {}
        if kept:
            await self.connections.leave(kept)
        running, self._running = self._running, ()
        for each in running:
            each.cancel()
        await asyncio.wait(running)
        is_all = removes and not kept
        await self._networks.close(removes=is_all)
        if self._encryption is not None:
            self._encryption.close(removes=removes)
        await self._host.close(leave=is_all)
        await self._names.close()
        if is_all:
            await self._names.end()
        if removes:
            _forget(self._config, kept)

    async def _problems(self, network_id: NetworkId) -> tuple[str, ...]:
        return (
            *await self._networks.differences(network_id),
            *self._host.problems(),
            *(self._encryption.problems(network_id) if self._encryption is not None else ()),
        )

    def _asked(self) -> Mapping[NetworkId, Counts]:
        """What the name service has counted; asked from the thread of a scrape."""
        asking = asyncio.run_coroutine_threadsafe(self._names.counted(), self._loop)
        try:
            return asking.result(ASKED_WITHIN_S).networks
        except (SwarmError, TimeoutError):
            return {}


async def remove(
    config: Config, log: structlog.stdlib.BoundLogger, *, kept: Iterable[TaskId] = ()
) -> None:
    """Take away all that any agent of this node has left of networks, but for what `kept` need."""
    connected = _connected(config, kept)
    needed = {
        each.network_id
        for connection in connected.values()
        for each in connection.attachments
        if is_local(each.network_id)
    }
    for name in namespaces.names(config.networks):
        if name not in needed:
            routers.remove(config.networks / name)
    routers.remove(config.encryption)
    if not connected:
        await HostNamespace(log=log).close(leave=True)
        await Names(Path(config.run_root), spawn=asyncio.ensure_future, log=log).end()
    _forget(config, connected)


def _connected(config: Config, kept: Iterable[TaskId]) -> dict[TaskId, Connection]:
    """Which of `kept` are in a network, and how."""
    known = remembered(config.connections)
    return {task_id: known[task_id] for task_id in kept if task_id in known}


def _forget(config: Config, kept: Collection[TaskId]) -> None:
    if kept:
        for path in config.connections.iterdir():
            if path.name not in kept:
                path.unlink()
        return
    shutil.rmtree(config.connections, ignore_errors=True)
    shutil.rmtree(config.networks, ignore_errors=True)
    (Path(config.run_root) / "bridge").unlink(missing_ok=True)


def _underlay_mtu(config: Config) -> int:
    """What a packet may have on the way to others: by the node's own address, else by default."""
    own = config.data_path_addr or config.advertise_host
    with Socket() as kernel:
        links = {each.name: each.mtu for each in kernel.links()}
        addresses = {each.address.partition("/")[0]: each.link for each in kernel.addresses()}
        if own not in addresses:
            ways = (each.link for each in kernel.routes(None) if each.destination == _DEFAULT)
            return links.get(next(ways, ""), 0) or _USUAL_MTU
        return links.get(addresses[own], 0) or _USUAL_MTU
