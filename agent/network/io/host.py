"""Do what the host's own namespace has to do: lead ports in, let containers out, guard the rest.

`agent.network.host` plans, `host_kernel` carries out, `host_holding` keeps others off the ports.
A change is done at once; only comparing all of it takes long enough to be given to a thread, and
changes wait for its end. What the kernel refuses is mended by the same comparison: somebody
may have flushed our table, or removed a link.
"""

import asyncio
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from msgspec.structs import replace

from agent.network import host_bridge, host_leads, host_rules
from agent.network.host import Group, Host, Steps
from agent.network.host_firewall import Obstacle
from agent.network.host_rules import Key
from agent.network.io.host_holding import Holding
from agent.network.io.host_kernel import HostKernel
from agent.network.io.threads import on_a_thread
from agent.network.kernel import Operation
from agent.network.problems import PortTaken
from agent.network.uplinks import Uplink
from agent.network.wire.nftables import Count
from agent.preflight import Reached
from agent.topology import Changes
from swarm.errors import KernelRefused
from swarm.ids import NetworkId, TaskId
from swarm.objects import Attachment, Network
from swarm.specs import Port

_ANYWHERE: Final = ("0.0.0.0", "::")


class HostNamespace:
    """The host's side of this node's networks, in `netns` or in the namespace of this thread."""

    def __init__(self, *, log: structlog.stdlib.BoundLogger, netns: int | None = None) -> None:
        self._log = log
        self._kernel = HostKernel(netns)
        self._holding = Holding(self._kernel.netns)
        self._host = Host()
        self._given: dict[TaskId, dict[Port, Port]] = {}
        self._obstacles = frozenset[str]()
        self._turn = asyncio.Lock()
        self._is_new = True
        self._is_prepared = False
        self._is_whole = False

    async def apply(self, changes: Changes) -> None:
        """Follow the records: publications, endpoints in the ingress network, peers, networks."""
        async with self._turn:
            self._host.follow(changes)
            self._settle()
            await self._carry_out()

    async def connect(self, uplink: Uplink) -> None:
        """A router's link is there: lead to it. Said again after each time it was made."""
        has_ipv6 = any(":" in each for each in uplink.subnets)
        async with self._turn:
            self._kernel.set_forwarding(uplink.link, has_ipv6=has_ipv6)
            self._host.connect(uplink)
            await self._carry_out()

    async def disconnect(self, network_id: NetworkId) -> None:
        """A router's link is gone, or about to go."""
        async with self._turn:
            self._host.disconnect(network_id)
            await self._carry_out()

    async def publish(
        self, task_id: TaskId, attachment: Attachment, ports: tuple[Port, ...]
    ) -> tuple[Port, ...]:
        """Lead `ports` (host mode only) of this node to a task's first attachment.

        Returns them with the published ones that they got. Raises PortTaken for one that another
        has, and leaves nothing of the others. Once more for a task changes what differs.
        """
        async with self._turn:
            return await self._publish(task_id, attachment, ports)

    async def withdraw(self, task_id: TaskId) -> None:
        """Let go of a task's ports; content when there are none."""
        async with self._turn:
            if self._given.pop(task_id, None) is not None:
                self._host.withdraw(task_id)
                self._settle()
                await self._carry_out()

    async def reconcile(self, *, is_all: bool = True) -> None:
        """Compare the kernel with what it should hold, and mend it.

        Everything that is wanted has to have been told, if it `is_all`: whatever else there is of
        ours goes. But an earlier agent's ports stay for once when nobody claims them yet.
        """
        async with self._turn:
            self._is_whole |= is_all
            await self._reconcile(is_all=is_all)

    async def close(self, *, leave: bool = False) -> None:
        """Let go of the ports; on leaving the swarm also of all that the kernel holds for us.

        The host goes on forwarding: others may rely on it by now.
        """
        async with self._turn:
            if leave:
                self._kernel.clear()
            self._holding.close()
            self._kernel.close()

    def why_not_free(self, port: Port) -> str:
        """Why a port cannot be published on this node; empty when it can."""
        if not port.published:
            return ""
        return self._holding.why_not_free(_key(port))

    def owners_of(self, port: Port) -> tuple[str, ...]:
        """Whose the port is, if it is somebody's: ids of services, tasks and containers."""
        return tuple(self._host.owners_beside(_key(port), TaskId("")))

    def reached(self) -> tuple[Reached, ...]:
        """Where this host has addresses or routes, the swarm's own networks aside."""
        return self._kernel.reached()

    def problems(self) -> tuple[str, ...]:
        """What an operator of this node should know, as found by the last look at it all."""
        return tuple(sorted({*self._host.refusals.values(), *self._obstacles}))

    def counts(self, protocol: str, port: int) -> tuple[int, int]:
        """How many connections came to a published port, and how many found nobody there."""
        opened, refused, _ = self._kernel.counts()
        key = host_rules.count_key(protocol, port)
        return _packets(opened, key), _packets(refused, key)

    def bridge(self, run_root: Path, *, mtu: int, apart: Iterable[str] = ()) -> "NodeBridge":
        """This node's own network; its subnet is chosen once and kept below `run_root`.

        It is `apart` from other networks, and from wherever the host goes.
        """
        path = run_root / "bridge"
        if not path.exists():
            reached = (each.prefix for each in self.reached())
            chosen = host_bridge.choose_subnet((*apart, *reached))
            run_root.mkdir(parents=True, exist_ok=True)
            fresh = path.with_suffix(".new")
            fresh.write_text(chosen + "\n")
            fresh.replace(path)
        return NodeBridge(path.read_text().strip(), mtu=mtu)

    async def _publish(
        self, task_id: TaskId, attachment: Attachment, ports: tuple[Port, ...]
    ) -> tuple[Port, ...]:
        before = self._given.get(task_id, {})
        given = dict[Port, Port]()
        try:
            for port in ports:
                given[port] = before.get(port) or self._numbered(port)
            self._check_owners(task_id, given.values())
            self._host.publish(task_id, attachment.addresses, _targets(given.values()))
            self._settle()
            self._check_withheld(given.values())
        except BaseException:
            self._restore(task_id, attachment, before, given.values())
            raise
        self._given[task_id] = given
        await self._carry_out()
        return tuple(given.values())

    async def _reconcile(self, *, is_all: bool) -> None:
        for key in sorted(self._host.refusals):
            self._judge((key.protocol, key.port))
        await self._carry_out()
        if not self._host:
            self._rest()
            return
        wanted, is_all = list(self._host.wanted()), is_all and not self._host.has_heirlooms()
        work = partial(self._kernel.mend, wanted, is_all=is_all)
        self._log_mended(await on_a_thread(work))
        self._watch(await on_a_thread(self._kernel.obstacles))

    def _settle(self) -> None:
        """Hold the ports that are claimed since, and let go of others."""
        for group in self._host.contested():
            self._judge(group)

    def _judge(self, group: Group) -> None:
        if self._host.claimed(group):
            self._prepare()
        before = dict(self._host.refusals)
        refused = self._holding.hold(group, self._host.claimed(group))
        self._host.judge(group, refused)
        for key, reason in self._host.refusals.items():
            if before.get(key) != reason:
                self._log.warning("port.refused", port=str(key), reason=reason)

    def _prepare(self) -> None:
        """Have the table; at first, learn which ports an earlier agent led."""
        if self._is_prepared:
            return
        was_there = self._kernel.prepare()
        self._is_prepared = True
        if not was_there:
            self._log.info("rules.loaded")
        if self._is_new:
            self._is_new = False
            self._host.inherit(host_leads.ports_led(self._kernel.elements()))

    async def _carry_out(self) -> None:
        """Have the kernel follow what is planned."""
        if self._host:
            self._prepare()
        steps = self._host.plan()
        if not self._is_prepared:
            return
        if not self._host:
            self._rest()
            return
        try:
            self._kernel.apply(steps.operations)
        except KernelRefused as err:
            self._log.warning("rules.changed_by_others", reason=err.message)
            self._log_mended(self._kernel.mend(self._host.wanted(), is_all=False))
        if steps.gone or steps.reordered:
            await on_a_thread(partial(self._forget, steps))

    def _rest(self) -> None:
        """Nothing is wanted: leave nothing, once it is certain that there is nothing else."""
        if not self._is_whole:
            return
        self._kernel.clear()
        self._is_prepared = False

    def _forget(self, steps: Steps) -> None:
        """Drop connections that would go on being sent where nobody is."""
        gone = {address for addresses in steps.gone for address in addresses}
        flows = self._kernel.flows_to(gone) if gone else []
        self._kernel.forget(each for each in flows if host_leads.is_stuck(each, gone))
        if ports := steps.reordered:
            own, led = self._kernel.own_addresses(), self._host.backends(ports)
            flows = self._kernel.flows()
            self._kernel.forget(x for x in flows if host_leads.is_astray(x, ports, led, own))

    def _numbered(self, port: Port) -> Port:
        """The port with a number, which is held if it was chosen just now."""
        if port.published:
            return port
        chosen = self._holding.hold_any(port.protocol.word, _key(port).ip)
        return replace(port, published=chosen)

    def _check_owners(self, task_id: TaskId, ports: Iterable[Port]) -> None:
        for port in ports:
            for owner in self._host.owners_beside(_key(port), task_id):
                raise PortTaken(
                    port,
                    f"port {_key(port)} of this node is taken by {owner}",
                    owner=owner,
                    hint="publish another port, or have it chosen: published=0",
                )

    def _check_withheld(self, ports: Iterable[Port]) -> None:
        for port in ports:
            if self._host.is_withheld(_key(port)):
                raise PortTaken(
                    port,
                    self._host.refusals[_key(port)],
                    hint="stop that program, publish another port, or have it chosen: published=0",
                )

    def _restore(
        self,
        task_id: TaskId,
        attachment: Attachment,
        before: Mapping[Port, Port],
        tried: Iterable[Port],
    ) -> None:
        """Have a task's ports be what they were, and hold none that nobody claims."""
        if before:
            self._host.publish(task_id, attachment.addresses, _targets(before.values()))
        else:
            self._host.withdraw(task_id)
        self._settle()
        for port in tried:
            group = (port.protocol.word, port.published)
            self._holding.hold(group, self._host.claimed(group))

    def _log_mended(self, operations: Iterable[Operation]) -> None:
        if count := len(tuple(operations)):
            self._log.info("rules.mended", operations=count)

    def _watch(self, obstacles: Iterable[Obstacle]) -> None:
        """Tell of firewalls that are in the way, once."""
        found = frozenset(map(str, obstacles))
        for each in sorted(found - self._obstacles):
            self._log.warning("firewall.in_the_way", reason=each)
        self._obstacles = found


class NodeBridge:
    """The network that every node has by itself."""

    def __init__(self, subnet: str, *, mtu: int) -> None:
        self._network = host_bridge.network(subnet, mtu=mtu)
        self._addresses = host_bridge.Addresses(subnet)

    def network(self) -> Network:
        """The network, with the subnet that was chosen for this node."""
        return self._network

    def lend(self, task_id: TaskId) -> Attachment:
        """The task's address: the same one until it is given back."""
        return self._addresses.lend(task_id)

    def keep(self, task_id: TaskId, attachment: Attachment) -> None:
        """The task has this already, of an earlier agent."""
        self._addresses.keep(task_id, attachment)

    def give_back(self, task_id: TaskId) -> None:
        """The task is gone; content when it had nothing."""
        self._addresses.give_back(task_id)


def _key(port: Port) -> Key:
    return Key(port.protocol.word, port.published, "" if port.ip in _ANYWHERE else port.ip)


def _targets(ports: Iterable[Port]) -> dict[Key, int]:
    return {_key(each): each.target for each in ports}


def _packets(counts: Mapping[bytes, Count], key: bytes) -> int:
    found = counts.get(key)
    return found.packets if found else 0
