"""Join a node's containers to their networks.

Three neighbours do a part each: a router for every network (`routers`), the host's own side
(`HostSide`: what is published, and who may leave), and the names (`Names`). None of them asks
another; each is told the same changes.

A router is made with the first container that needs it and taken away some seconds after the
last one: the next attempt of the same task finds it still there. In the node's own networks it
is minutes, since whoever runs containers by hand waits for each. Making and taking away happens
on a thread, everything else at once: a change costs less than giving it to somebody else.

What is of this node's own networks (`is_local`) is known from the start. Of the swarm's nothing is
known before a manager has spoken, and nothing of it is touched until then.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import Final

from msgspec import Struct
from msgspec.structs import replace

from agent.attachments import Connection
from agent.dns.asking import Asker
from agent.network.addressing import is_loopback
from agent.network.desired import Desired
from agent.network.encryption import inner_address
from agent.network.io import namespaces
from agent.network.io.forgetting import Forgetting
from agent.network.io.netlink import Socket
from agent.network.io.routers import Router, remove
from agent.network.io.seams import Bridge, Encryption, HostSide, Names
from agent.network.io.threads import on_a_thread
from agent.network.known import Known, Part, gone_addresses, parts
from agent.network.problems import Problems
from agent.network.router import Site, Vtep, interfaces
from agent.topology import Changes, is_local
from swarm.errors import Missing, Refused, SwarmError
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Attachment, Network
from swarm.specs import BRIDGE, Port
from swarm.topology import Peer

LINGER_S: Final = 5.0
LOCAL_LINGER_S: Final = 300.0


class Running(Struct, frozen=True, kw_only=True):
    """A container that is there already: what it was attached with, and its first process."""

    pid: int
    attachments: tuple[Attachment, ...]
    asker: Asker
    ports: tuple[Port, ...] = ()
    macs: dict[NetworkId, str] = {}
    is_standalone: bool = False

    @property
    def is_local(self) -> bool:
        """Whether it is in networks of this node alone."""
        return all(is_local(each.network_id) for each in self.attachments)


class Networks:
    """All networks of this node. The routers' namespaces are below `directory`."""

    def __init__(
        self,
        directory: Path,
        *,
        node_id: NodeId,
        host_side: HostSide,
        bridge: Bridge,
        names: Names,
        host: int | None = None,
        encryption: Encryption | None = None,
        pid_of: Callable[[TaskId], int] = lambda _: 0,
        linger_s: float = LINGER_S,
    ) -> None:
        """`host` is open on the host's namespace, if it is not this one.

        Without `encryption`, encrypted networks are refused. A container that has lost an
        interface gets it again where `pid_of` knows a process of it, 0 is none.
        """
        self._directory = directory
        self._node_id = node_id
        self._host_side = host_side
        self._bridge = bridge
        self._names = names
        self._host = namespaces.mine() if host is None else os.dup(host)
        self._encryption = encryption
        self._linger_s = linger_s
        self._known = Known(node_id)
        self._routers: dict[NetworkId, Router] = {}
        self._attached: dict[TaskId, tuple[NetworkId, ...]] = {}
        self._pid_of = pid_of
        self._pids: dict[TaskId, int] = {}
        self._homes: dict[TaskId, int] = {}
        self._turn = asyncio.Lock()
        self._later: set[asyncio.Task[None]] = set()
        self._closing: dict[NetworkId, asyncio.Task[None]] = {}
        self._forgetting = Forgetting(self._routers.get, self._soon)
        self._is_settled = False
        self._untold: list[Changes] = []

    async def apply(self, changes: Changes) -> None:
        """Follow the records. What fails in one place is done in the others all the same.

        Before the first `reconcile` nothing is made: we do not know yet what runs, and a router
        that is made without its containers would cut them off. Neighbours hear of it then, too:
        they must not lead anybody to where routers know no way yet. But whom to keep out the
        host's side hears before there is a way in.
        """
        problems = Problems()
        async with self._turn:
            if guards := _guards(changes):
                with problems.noted():
                    await self._host_side.apply(guards)
            leaving = self._known.leaving(changes)
            self._known.take(changes)
            with problems.noted():
                if self._encryption is not None:
                    self._encryption.follow(changes)
            for network_id, part in parts(changes, self._routers).items():
                with problems.noted():
                    self._follow(network_id, part)
            for network_id in leaving.keys() & self._routers.keys():
                self._forgetting.forget(network_id, leaving[network_id], is_answered=False)
            with problems.noted():
                await self._settle(changes)
            self._untold.append(changes)
        if self._is_settled:
            await self._tell(problems)
        problems.raise_first()

    async def apply_local(self, changes: Changes) -> None:
        """Follow records of this node's own networks, which may come at any time."""
        problems = Problems()
        async with self._turn:
            self._known.take(changes)
            for network_id, part in parts(changes, self._routers).items():
                with problems.noted():
                    self._follow(network_id, part)
            for each in changes.gone:
                if isinstance(each, Network) and each.id in self._routers:
                    with problems.noted():
                        await self._remove(each.id)
        with problems.noted():
            await self._names.apply(changes, is_local=True)
        problems.raise_first()

    async def attach(self, task_id: TaskId, netns: int, connection: Connection) -> tuple[Port, ...]:
        """Connect a container that is about to run and is open as `netns`.

        Gives its ports of the node. A failure leaves nothing of it connected.
        """
        self._attached[task_id] = tuple(each.network_id for each in connection.attachments)
        self._homes[task_id] = namespaces.identity(netns)
        try:
            async with self._turn:
                for each in connection.attachments:
                    await self._open(each.network_id)
                sites = {at: router.desired.site for at, router in self._routers.items()}
                for interface in interfaces(connection.attachments, sites, connection.macs):
                    router = self._routers[interface.attachment.network_id]
                    router.attach(task_id, interface, netns)
            ports = await self._publish(task_id, connection.attachments, connection.ports)
            await self._names.serve(task_id, netns, connection.asker)
        except BaseException:
            await self._leave(task_id, is_alive=True)
            raise
        return ports

    async def amend(self, task_id: TaskId, netns: int, connection: Connection) -> tuple[Port, ...]:
        """Have a container that runs, and is open as `netns`, be in these networks.

        Interfaces that it keeps stay; new ones get names that are free in there, and are no way
        out if there is one. What was the way out may be gone: then another one is, and the ports
        of the node, which are given back, lead to it.
        """
        wanted = {each.network_id for each in connection.attachments}
        async with self._turn:
            for network_id in self._attached.get(task_id, ()):
                if network_id not in wanted and (router := self._routers.get(network_id)):
                    router.detach(task_id, is_alive=True)
                    self._close_later(network_id)
            kept = tuple(each for each in self._attached.get(task_id, ()) if each in wanted)
            self._attached[task_id] = kept
            for network_id in sorted(wanted):
                await self._open(network_id)
            sites = {at: router.desired.site for at, router in self._routers.items()}
            for interface in interfaces(connection.attachments, sites, connection.macs):
                network_id = interface.attachment.network_id
                if network_id in kept:
                    self._routers[network_id].lead_out(task_id, interface.ways_out, netns)
                else:
                    named = replace(interface, name=_free_name(netns))
                    self._routers[network_id].attach(task_id, named, netns)
                    self._attached[task_id] += (network_id,)
        ports = await self._publish(task_id, connection.attachments, connection.ports)
        await self._names.serve(task_id, netns, connection.asker)
        return ports

    async def detach(self, task_id: TaskId) -> None:
        """The container is gone; content when it was never connected."""
        await self._leave(task_id, is_alive=False)

    async def reconcile(
        self, running: Mapping[TaskId, Running] | None = None, *, is_all: bool = True
    ) -> None:
        """Make the kernel hold what it should, and nothing else that is ours.

        `running` are the containers that an earlier agent connected. They come twice: before
        anything is attached, and again when it `is_all` known what should be. Before that only
        this node's own networks are looked at, and nothing is taken away.
        """
        problems = Problems()
        async with self._turn:
            with problems.noted():
                if self._encryption is not None and is_all:
                    self._encryption.reconcile()
            await self._adopt(running or {}, problems, is_all=is_all)
            self._is_settled |= is_all
            for network_id in self._known.open_doors() if is_all else ():
                with problems.noted():
                    await self._open(network_id)
            for router in self._routers.values():
                with problems.noted():
                    await on_a_thread(partial(router.mend, self._netns_of))
                    await self._connect(router)
            if is_all:
                await self._sweep(problems)
                await self._tell(problems)
        with problems.noted():
            await self._host_side.reconcile(is_all=is_all)
        if running is not None:
            await self._resume(running, problems, is_all=is_all)
        problems.raise_first()

    async def differences(self, network_id: NetworkId) -> tuple[str, ...]:
        """Where the kernel does not hold what it should, in words; none where all is well."""
        async with self._turn:
            if network_id not in self._routers:
                return ("no router for it: nothing on this node is in the network",)
            return tuple(self._routers[network_id].differences())

    async def close(self, *, removes: bool = False) -> None:
        """Let go of everything and leave it as it is, or take it all away."""
        later = [*self._later, *self._closing.values()]
        for task in later:
            task.cancel()
        await asyncio.gather(*later, return_exceptions=True)
        async with self._turn:
            for network_id in list(self._routers):
                if removes:
                    await self._remove(network_id)
                else:
                    self._routers.pop(network_id).close()
        if self._host >= 0:
            os.close(self._host)
            self._host = -1

    # --- routers --------------------------------------------------------------------------------

    async def _open(self, network_id: NetworkId) -> None:
        """Have a router for the network."""
        if network_id in self._routers:
            return
        await self._start(network_id, self._router(network_id))

    async def _start(self, network_id: NetworkId, router: Router) -> None:
        await on_a_thread(lambda: router.open(self._netns_of))
        self._routers[network_id] = router
        await self._connect(router)

    def _router(self, network_id: NetworkId) -> Router:
        """A router as it should be; not open yet."""
        desired = Desired(self._site(network_id), self._node_id, self._vtep(network_id))
        desired.take(self._known.records(network_id))
        is_encrypted = desired.site.network.spec.encrypted
        encrypted = self._encryption.netns if is_encrypted and self._encryption else None
        return Router(self._directory / network_id, desired, self._host, encrypted=encrypted)

    def _site(self, network_id: NetworkId) -> Site:
        vtep = self._vtep(network_id)
        return self._known.site(network_id, vtep=vtep, mtu_of=self._mtu_of)

    def _vtep(self, network_id: NetworkId) -> Vtep:
        if network_id == BRIDGE:
            self._known.take(Changes(put=(self._bridge.network(),)))
        network = self._known.network(network_id)
        if not network.spec.encrypted:
            return _in_the_underlay
        if self._encryption is None or self._encryption.netns < 0:
            raise Refused(
                f"network {network.spec.name} is encrypted, and this node has no WireGuard",
                hint="load the kernel's module wireguard, or place its services elsewhere",
            )
        return inner_address

    def _mtu_of(self, address: str) -> int:
        with Socket(self._host) as host:
            # A swarm of one node may be at home on its loopback, whose own addresses are not told.
            links = (
                {"lo"}
                if is_loopback(address)
                else {
                    each.link
                    for each in host.addresses()
                    if each.address.partition("/")[0] == address
                }
            )
            return next((each.mtu for each in host.links() if each.name in links), 0)

    async def _connect(self, router: Router) -> None:
        if uplink := router.desired.site.uplink:
            await self._host_side.connect(uplink)

    def _is_idle(self, network_id: NetworkId) -> bool:
        router = self._routers.get(network_id)
        is_used = router and (router.desired.attached or network_id in self._known.open_doors())
        return router is not None and not is_used

    async def _remove(self, network_id: NetworkId) -> None:
        router = self._routers.pop(network_id)
        await self._host_side.disconnect(network_id)
        await on_a_thread(router.remove)

    # --- changes --------------------------------------------------------------------------------

    async def _tell(self, problems: Problems) -> None:
        """Have the neighbours follow what the routers do, in the order in which it came."""
        untold, self._untold = self._untold, []
        for changes in untold:
            with problems.noted():
                await self._host_side.apply(changes)
            with problems.noted():
                await self._names.apply(changes)

    def _follow(self, network_id: NetworkId, part: Part) -> None:
        router = self._routers[network_id]
        router.apply(router.desired.take(part.put, part.gone))
        self._forgetting.forget(network_id, gone_addresses(part), is_answered=True)

    async def _settle(self, changes: Changes) -> None:
        """Open and close doors, and move routers whose network or own node has changed."""
        problems = Problems()
        for network_id in self._known.open_doors() if self._is_settled else ():
            with problems.noted():
                await self._open(network_id)
        if _moves(changes, self._node_id):
            for network_id, router in self._routers.items():
                with problems.noted(), suppress(Missing):
                    self._move(router, self._site(network_id))
        for network_id in self._routers.keys() - self._closing.keys():
            self._close_later(network_id)
        problems.raise_first()

    def _move(self, router: Router, site: Site) -> None:
        if site != router.desired.site:
            router.desired.place(site)
            router.mend(self._netns_of)

    # --- containers -----------------------------------------------------------------------------

    async def _publish(
        self, task_id: TaskId, attachments: Sequence[Attachment], ports: tuple[Port, ...]
    ) -> tuple[Port, ...]:
        """Lead ports to the container's first network that has a way in; without one, none."""
        if not ports:
            return ()
        for each in attachments:
            router = self._routers.get(each.network_id)
            if router is None or router.desired.site.uplink:
                return await self._host_side.publish(task_id, each, ports)
        await self._host_side.withdraw(task_id)
        return ()

    async def _leave(self, task_id: TaskId, *, is_alive: bool) -> None:
        problems = Problems()
        for away in (self._names.release(task_id), self._host_side.withdraw(task_id)):
            with problems.noted():
                await away
        self._pids.pop(task_id, None)
        self._homes.pop(task_id, None)
        async with self._turn:
            for network_id in self._attached.pop(task_id, ()):
                if router := self._routers.get(network_id):
                    with problems.noted():
                        router.detach(task_id, is_alive=is_alive)
                    self._close_later(network_id)
        problems.raise_first()

    def _close_later(self, network_id: NetworkId) -> None:
        """Take a router away that nobody needs by then."""
        if (before := self._closing.pop(network_id, None)) is not None:
            before.cancel()
        if self._is_idle(network_id):
            self._closing[network_id] = asyncio.create_task(self._close_idle(network_id))

    async def _close_idle(self, network_id: NetworkId) -> None:
        await asyncio.sleep(LOCAL_LINGER_S if is_local(network_id) else self._linger_s)
        async with self._turn:
            if self._closing.get(network_id) is asyncio.current_task():
                del self._closing[network_id]
                if self._is_idle(network_id):
                    with suppress(SwarmError):  # `reconcile` will find it
                        await self._remove(network_id)

    # --- what was there before ------------------------------------------------------------------

    async def _adopt(
        self, running: Mapping[TaskId, Running], problems: Problems, *, is_all: bool
    ) -> None:
        """Open routers around the containers that are in them already."""
        routers: dict[NetworkId, Router] = {}
        for task_id, each in running.items():
            self._attached[task_id] = tuple(at.network_id for at in each.attachments)
            self._pids[task_id] = each.pid
            with suppress(Missing):
                netns = namespaces.of_process(each.pid)
                self._homes[task_id] = namespaces.identity(netns)
                os.close(netns)
            for network_id in self._attached[task_id]:
                is_missing = network_id not in routers and network_id not in self._routers
                if is_missing and (is_all or is_local(network_id)):
                    with problems.noted(), _forgotten_by_the_swarm(each):
                        routers[network_id] = self._router(network_id)
        sites = {network_id: router.desired.site for network_id, router in routers.items()}
        for task_id, each in running.items():
            for interface in interfaces(each.attachments, sites, each.macs):
                routers[interface.attachment.network_id].desired.attach(task_id, interface)
        for network_id, router in routers.items():
            with problems.noted():
                await self._start(network_id, router)

    async def _resume(
        self, running: Mapping[TaskId, Running], problems: Problems, *, is_all: bool
    ) -> None:
        """Give containers what an earlier agent gave them; names, where all of them are known."""
        for task_id, each in running.items():
            with problems.noted():
                await self._publish(task_id, each.attachments, each.ports)
        with problems.noted():
            answered = {
                task_id: (each.asker, each.pid)
                for task_id, each in running.items()
                if is_all or each.is_local
            }
            await self._names.reconcile(answered, is_all=is_all)

    async def _sweep(self, problems: Problems) -> None:
        """Take routers away that an earlier agent left and nobody needs."""
        for name in namespaces.names(self._directory):
            if name not in self._routers:
                with problems.noted():
                    await self._host_side.disconnect(NetworkId(name))
                    await on_a_thread(partial(remove, self._directory / name))

    def _netns_of(self, task_id: TaskId) -> int | None:
        """The number of a process that has ended may be another's: only its own home will do."""
        try:
            netns = namespaces.of_process(self._pids.get(task_id) or self._pid_of(task_id))
        except Missing:
            return None
        if namespaces.identity(netns) == self._homes.get(task_id):
            return netns
        os.close(netns)
        return None

    def _soon(self, work: Coroutine[None, None, None]) -> None:
        """Do what nobody waits for; what it leaves undone `reconcile` will find."""

        async def run() -> None:
            with suppress(SwarmError):
                await work

        task = asyncio.create_task(run())
        self._later.add(task)
        task.add_done_callback(self._later.discard)


def _free_name(netns: int) -> str:
    with Socket(netns) as inside:
        taken = {each.name for each in inside.links()}
    return next(name for number in count() if (name := f"eth{number}") not in taken)


def _moves(changes: Changes, node_id: NodeId) -> bool:
    """Whether routers may have to be made in another way."""
    return bool(changes.data_path_port) or any(
        isinstance(each, Network) or (isinstance(each, Peer) and each.node_id == node_id)
        for each in changes.put
    )


def _forgotten_by_the_swarm(container: Running) -> AbstractContextManager[None]:
    """A container that is no task may be left where a network of the swarm was."""
    return suppress(Missing) if container.is_standalone else nullcontext()


def _guards(changes: Changes) -> Changes:
    """What says who may send to us."""
    put = tuple(each for each in changes.put if isinstance(each, (Network, Peer)))
    return Changes(put=put, data_path_port=changes.data_path_port)


def _in_the_underlay(peer: Peer) -> str:
    return peer.address
