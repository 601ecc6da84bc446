"""Put this node's side of the networks together, and take it apart again.

The agent's end lets go of everything and leaves it as it is: routers, rules and the name service
go on without it, as containers do. Only a node that leaves its swarm takes them away.
"""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

import structlog

from agent import preflight
from agent.attachments import Connection
from agent.config import Config
from agent.dns.counts import Counts
from agent.dns.io.client import Names
from agent.io.checking import Checking
from agent.io.connections import Connections
from agent.io.metering import Metering
from agent.metrics import Metrics
from agent.network.io import namespaces, routers
from agent.network.io.encryption import EncryptionNamespace
from agent.network.io.host import HostNamespace
from agent.network.io.netlink import Socket
from agent.network.io.networks import Networks
from agent.topology import Table
from swarm.dispatch import Preflight
from swarm.errors import SwarmError
from swarm.ids import NetworkId, TaskId

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
        self._spawn = spawn
        self._loop = asyncio.get_running_loop()
        self._host = HostNamespace(log=log)
        self._names = Names(Path(config.run_root), spawn=spawn, log=log)
        self._encryption = EncryptionNamespace(
            config.encryption, node_id=config.node_id, log=log, changed=described
        )
        bridge = self._host.bridge(Path(config.run_root), mtu=_underlay_mtu(config))
        self._networks = Networks(
            config.networks,
            node_id=config.node_id,
            host_side=self._host,
            bridge=bridge,
            names=self._names,
            encryption=self._encryption,
            pid_of=pid_of,
        )
        self.connections = Connections(
            config.connections,
            networks=self._networks,
            bridge=bridge,
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
        return self._encryption.public_key

    def start(self, known: Mapping[TaskId, Connection], pids: Mapping[TaskId, int]) -> None:
        """Take over what an earlier agent connected, and follow the topology from now on."""
        self.connections.adopt(known, pids)
        self._encryption.open()
        self._running = (
            self._spawn(self.connections.run()),
            self._spawn(self._encryption.run()),
        )

    def judge(self, asked: Preflight) -> tuple[str, ...]:
        """Why this node cannot have ports, or be in subnets."""
        return (
            *preflight.taken_ports(asked.ports, self._host.why_not_free),
            *preflight.hit_subnets(asked.subnets, self._host.reached() if asked.subnets else ()),
        )

    async def close(self, *, removes: bool = False) -> None:
        """Let go of everything; `removes` also takes it away."""
        if not self._running:
            return
        running, self._running = self._running, ()
        for each in running:
            each.cancel()
        await asyncio.wait(running)
        await self._networks.close(removes=removes)
        self._encryption.close(removes=removes)
        await self._host.close(leave=removes)
        await self._names.close()
        if removes:
            await self._names.end()
            _forget(self._config)

    async def _problems(self, network_id: NetworkId) -> tuple[str, ...]:
        return (
            *await self._networks.differences(network_id),
            *self._host.problems(),
            *self._encryption.problems(network_id),
        )

    def _asked(self) -> Mapping[NetworkId, Counts]:
        """What the name service has counted; asked from the thread of a scrape."""
        asking = asyncio.run_coroutine_threadsafe(self._names.counted(), self._loop)
        try:
            return asking.result(ASKED_WITHIN_S).networks
        except (SwarmError, TimeoutError):
            return {}


async def remove(config: Config, log: structlog.stdlib.BoundLogger) -> None:
    """Take away all that any agent of this node has left of networks."""
    for name in namespaces.names(config.networks):
        routers.remove(config.networks / name)
    routers.remove(config.encryption)
    await HostNamespace(log=log).close(leave=True)
    await Names(Path(config.run_root), spawn=asyncio.ensure_future, log=log).end()
    _forget(config)


def _forget(config: Config) -> None:
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
