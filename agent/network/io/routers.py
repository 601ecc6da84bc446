"""Make a network's namespace what it shall be, and join containers to it.

What the kernel holds is never remembered but read: a router that a crash left half made is
opened like one that is not there yet, and mended. A container's veth is made in one step with an
end in each namespace, and dies with either; where it is gone, so is what hung on it.

Nothing here waits for anything but the kernel.
"""

import array
import contextlib
import errno
import fcntl
import os
import socket
import struct
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from agent.network.addressing import UPLINK, task_link
from agent.network.desired import Desired, ordered
from agent.network.io import namespaces, nft
from agent.network.io.netlink import Socket
from agent.network.kernel import (
    Element,
    Link,
    Operation,
    Put,
    Remove,
    Route,
    Value,
    Veth,
    Vxlan,
)
from agent.network.reconcile import plan
from agent.network.router import (
    ENCRYPTED,
    HOST,
    Attached,
    of_attachment,
    of_container,
    of_way_out,
)
from agent.network.skeleton import (
    MARKS,
    NODES,
    OWN,
    SLOTS,
    TRACKING,
    VIPS,
    WAY_OUT,
    ZONES,
    container_sysctls,
    rules,
    sysctls,
)
from swarm.errors import KernelRefused
from swarm.ids import TaskId

_PASSES: Final = 5
_SIOCETHTOOL, _ETHTOOL_GLINK = 0x8946, 0xA
_IFREQ_POINTER: Final = struct.Struct("16sP16x")  # struct ifreq with ifr_data
_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
_LOOPBACK: Final = "lo"
_LINKS: Final = (Link, Veth, Vxlan)
_LEADING: Final = (Route, Element)
_SETS: Final = (*VIPS.values(), *SLOTS.values(), *OWN.values(), MARKS, ZONES, NODES)

NetnsOf = Callable[[TaskId], int | None]
"""A descriptor of a container's namespace, None when it is gone. Whoever asked closes it."""


class Router:
    """One network's namespace on this node, at `path`. `host` is open on the host's.

    `encrypted` is open on the one that an encrypted network's tunnel has its socket in.
    """

    def __init__(
        self, path: Path, desired: Desired, host: int, *, encrypted: int | None = None
    ) -> None:
        self.desired = desired
        self._path = path
        self._host = host
        self._labels = {HOST: host}
        if encrypted is not None:
            self._labels[ENCRYPTED] = encrypted
        self._netns = -1
        self._socket: Socket | None = None

    @property
    def kernel(self) -> Socket:
        """The namespace of an open router."""
        assert self._socket, "this router is not open"
        return self._socket

    def open(self, netns_of: NetnsOf) -> None:
        """Have it in the kernel, whatever is there already; one that fails may be repeated."""
        if not namespaces.is_namespace(self._path):
            self._clear_uplink()
        namespaces.make(self._path)
        self._netns = namespaces.opened(self._path)
        self._socket = Socket(self._netns)
        try:
            wanted = sysctls(has_ipv6=self.desired.site.has_ipv6)
            namespaces.set_sysctls(self._netns, _known(wanted))
            self._mend_patiently(netns_of)
            self._await_carrier(UPLINK)
        except BaseException:
            self.close()
            raise

    def _mend_patiently(self, netns_of: NetnsOf) -> None:
        """A namespace that was taken from us ends a while later, and its tunnel with it."""
        for pause_s in _PAUSES_S:
            try:
                self.mend(netns_of, reload=True)
            except KernelRefused as err:
                if err.errno != errno.EEXIST:
                    raise
                time.sleep(pause_s)
            else:
                return
        self.mend(netns_of, reload=True)

    def close(self) -> None:
        """Let go of it, and leave it as it is."""
        if self._socket:
            self._socket.close()
            os.close(self._netns)
            self._socket = None

    def remove(self) -> None:
        """Take it away."""
        self.close()
        remove(self._path)

    def apply(self, operations: Iterable[Operation]) -> None:
        """Do what `desired` answered to a change."""
        self.kernel.apply(operations, namespaces=self._labels)

    def attach(self, task_id: TaskId, attached: Attached, netns: int) -> None:
        """Give the container that is open as `netns` its interface; a failure leaves nothing."""
        operations = self.desired.attach(task_id, attached)
        try:
            self._join(task_id, attached, netns, operations)
        except BaseException:
            self.detach(task_id, is_alive=True)
            raise

    def detach(self, task_id: TaskId, *, is_alive: bool = False) -> None:
        """Take what leads to a container away; content when it is gone.

        Its veth and all that hangs on it end with it. To remove one takes the kernel so long
        that many ends of containers would wait for each other, so that is only done where it
        `is_alive`.
        """
        operations = self.desired.detach(task_id)
        self.apply(each for each in operations if is_alive or isinstance(each.value, _LEADING))

    def lead_out(self, task_id: TaskId, ways_out: frozenset[bool], netns: int) -> None:
        """Have this network be a container's way out for these families, and for no others."""
        before = self.desired.attached[task_id]
        if before.ways_out == ways_out:
            return
        site, after = self.desired.site, replace(before, ways_out=ways_out)
        with Socket(netns) as inside:
            # What another agent attached while it ran may have got another name than we think.
            names = [each.name for each in inside.links() if each.mac == before.mac]
            there = {"name": next(iter(names), before.name)}
            found, wanted = (
                set(of_way_out(site, replace(each, **there))) for each in (before, after)
            )
            inside.apply([*map(Remove, found - wanted), *map(Put, wanted - found)])
        self.desired.attached[task_id] = after

    def forgetting(self, addresses: Iterable[str], *, is_answered: bool) -> Callable[[], None]:
        """What stops the tracking of connections to these endpoints, wherever it is called.

        With `is_answered` all of them, or else those that were not answered yet. Called once, it
        does not mind that this is closed meanwhile.
        """
        return partial(_forget, Socket(self._netns), frozenset(addresses), is_answered=is_answered)

    def mend(self, netns_of: NetnsOf, *, reload: bool = False) -> int:
        """Make the kernel hold what it should; how many operations that took.

        `reload` loads the rules anew even if there are some. Containers end meanwhile, and with
        them links that were just there: then we look again.
        """
        done = 0
        for left in reversed(range(_PASSES)):
            found = list(self.found())
            done += self._rejoin(netns_of, found)
            operations = plan([*self.desired.values(), *self.desired.tables], found)
            if not operations and not reload:
                break
            try:
                self._repair(operations, found, reload=reload)
            except KernelRefused as err:
                if err.errno != errno.ENODEV or not left:
                    raise
            reload = False
            done += len(operations)
        return done

    def _repair(
        self, operations: Sequence[Operation], found: Sequence[Value], *, reload: bool
    ) -> None:
        """Links come first, where rules are missing: some hang on a link."""
        if reload or any(table not in found for table in self.desired.tables):
            self.apply(_gently(each for each in operations if isinstance(each.value, _LINKS)))
            self._load()
        else:
            self.apply(_gently([*_unhooked(operations, found), *operations]))

    def found(self) -> Iterator[Value]:
        """All that the namespace holds."""
        yield from self.kernel.links(self._labels)
        yield from self.kernel.addresses()
        yield from self.kernel.routes(None)
        yield from self.kernel.neighbours()
        yield from self.kernel.forwards()
        yield from self.kernel.rules(None)
        yield from self.kernel.tables()
        for each in _SETS:
            yield from self.kernel.elements(each)

    def differences(self) -> Iterator[str]:
        """What `mend` would do, in words."""
        wanted = [*self.desired.values(), *self.desired.tables]
        for operation in plan(wanted, self.found()):
            what = "missing" if isinstance(operation, Put) else "foreign"
            yield f"{what}: {operation.value}"

    def _rejoin(self, netns_of: NetnsOf, found: list[Value]) -> int:
        """Join those containers again that have lost their veth, and forget those that ended.

        What is joined counts as found. Its elements are left to the rest of the mending: there
        may be no rules yet.
        """
        there = {each.name for each in found if isinstance(each, Veth)}
        lost = [each for each in self.desired.attached if task_link(each) not in there]
        for task_id in lost:
            netns = netns_of(task_id)
            if netns is None:
                self.desired.detach(task_id)
                continue
            attached = self.desired.attached[task_id]
            values = of_attachment(self.desired.site, task_id, attached)
            outside = ordered(Put(each) for each in values if not isinstance(each, Element))
            try:
                self._join(task_id, attached, netns, outside)
            finally:
                os.close(netns)
        if lost:
            found[:] = self.found()
        return len(lost)

    def _join(
        self, task_id: TaskId, attached: Attached, netns: int, outside: Iterable[Operation]
    ) -> None:
        site = self.desired.site
        namespaces.set_sysctls(netns, _known(container_sysctls(has_ipv6=site.has_ipv6)))
        self.kernel.apply(outside, namespaces={task_id: netns})
        self._await_carrier(task_link(task_id))
        with Socket(netns) as inside:
            inside.apply(ordered(map(Put, of_container(site, attached))))

    def _await_carrier(self, link: str) -> None:
        """Have the kernel notice at once that the other end is up, too.

        Until its worker has, this end drops what it is to send: first answers would be lost. The
        question alone (ETHTOOL_GLINK, since Linux 6.8) makes it look; ioctl(2), netdevice(7).
        """
        question = array.array("I", (_ETHTOOL_GLINK, 0))
        request = _IFREQ_POINTER.pack(link.encode(), question.buffer_info()[0])
        with namespaces.entered(self._netns):
            asking = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        with asking, contextlib.suppress(OSError):
            fcntl.ioctl(asking, _SIOCETHTOOL, request)

    def _load(self) -> None:
        gateways, is_ingress = self.desired.site.gateways, self.desired.has_marks
        nft.load(rules(gateways, is_ingress=is_ingress), self._netns)
        namespaces.set_sysctls(self._netns, TRACKING)

    def _clear_uplink(self) -> None:
        """A namespace that was taken from us may still be ending; its link must not be in ours."""
        if self.desired.site.uplink:
            with Socket(self._host) as host:
                host.apply([Remove(Link(name=self.desired.site.uplink.link))])


def _forget(kernel: Socket, addresses: frozenset[str], *, is_answered: bool) -> None:
    with kernel:
        found = kernel.flows(next(iter(addresses))) if len(addresses) == 1 else kernel.flows()
        kernel.forget(
            flow
            for flow in found
            if flow.reply_source in addresses and (is_answered or not flow.is_answered)
        )


def remove(path: Path) -> None:
    """Take a router away, whoever made it. Its links go first: then their names are free."""
    if namespaces.is_namespace(path):
        netns = namespaces.opened(path)
        try:
            with Socket(netns) as inside:
                links = [each for each in inside.links() if each.name != _LOOPBACK]
                inside.apply(map(Remove, links))
        finally:
            os.close(netns)
    namespaces.remove(path)


def _gently(operations: Iterable[Operation]) -> Iterator[Operation]:
    """A container's veth is only ever changed here, never made: that needs its namespace."""
    for each in operations:
        match each:
            case Put(Veth(peer_netns=peer_netns) as veth) if peer_netns != HOST:
                yield Put(Link(name=veth.name, mac=veth.mac, mtu=veth.mtu))
            case _:
                yield each


def _unhooked(operations: Iterable[Operation], found: Iterable[Value]) -> list[Operation]:
    """Rules that hang on the tunnel go with it, unseen: they are loaded anew."""
    is_remade = any(isinstance(each, Put) and isinstance(each.value, Vxlan) for each in operations)
    return [Remove(WAY_OUT)] if is_remade and WAY_OUT in found else []


def _known(wanted: Mapping[str, str]) -> dict[str, str]:
    """Those settings that a kernel without IPv6 has, too."""
    has_ipv6 = Path("/proc/sys/net/ipv6").exists()
    return {path: value for path, value in wanted.items() if has_ipv6 or "/ipv6/" not in path}
