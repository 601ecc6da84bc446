"""Keep the WireGuard link of this node, in a namespace of its own.

The link's own packets go through the host, in whose namespace it is made; everything else of it
is here (`agent.network.encryption` says why). Its private key is made here, and is in the kernel
and in this process alone: the next agent reads it back, and a reboot ends it.

What changes is put without looking, and once a minute all is compared. Pairs that may not use
the newest secret yet are looked at by `run`.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import structlog

from agent.network.encryption import KIND, LINK, Encryption, Steps
from agent.network.encryption_keys import KEY_BYTES, private_key
from agent.network.encryption_rotation import LOOK_S
from agent.network.io import namespaces
from agent.network.io.netlink import Socket
from agent.network.io.routers import remove
from agent.network.kernel import Link, Put, Tunnel, Value
from agent.network.router import HOST
from agent.topology import Changes
from swarm.errors import SwarmError
from swarm.ids import NetworkId, NodeId

_SYSCTLS: Final = {"net/ipv4/ip_forward": "0"}


def _nothing() -> None:
    pass


class EncryptionNamespace:
    """The link of `node_id`, in the namespace at `path`. `open` it before anything else.

    `host` is open on the host's namespace, if it is not this one. `changed` is told when the
    kernel has got WireGuard meanwhile, and the node a public key.
    """

    def __init__(
        self,
        path: Path,
        *,
        node_id: NodeId,
        log: structlog.stdlib.BoundLogger,
        host: int | None = None,
        changed: Callable[[], None] = _nothing,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.netns = -1
        self._path = path
        self._log = log
        self._host = namespaces.mine() if host is None else os.dup(host)
        self._changed = changed
        self._clock = clock
        self._encryption = Encryption(node_id)
        self._socket: Socket | None = None
        self._why_not = ""
        self._is_new = True
        self._underlay = ""
        self._underlay_mtu = 0
        self._mended = Steps()
        self._faults: dict[NodeId, str] = {}
        self._stirred = asyncio.Event()

    @property
    def public_key(self) -> bytes:
        """What other nodes know this one by; empty where the kernel has no WireGuard."""
        return self._encryption.public_key

    def open(self) -> bool:
        """Have the link and its key; False where that cannot be, which is told once."""
        if self._socket is not None:
            return True
        try:
            why, tell = self._open(), self._log.info
        except SwarmError as err:
            why, tell = err.message, self._log.warning
        if why and why != self._why_not:
            tell("encryption.not_available", reason=why)
        self._why_not = why
        return not why

    def close(self, *, removes: bool = False) -> None:
        """Let go of it and leave it as it is, or take it away and the key with it."""
        if self._socket is not None:
            self._socket.close()
            os.close(self.netns)
            self._socket, self.netns = None, -1
        if removes:
            remove(self._path)
        if self._host >= 0:
            os.close(self._host)
            self._host = -1

    def follow(self, changes: Changes) -> None:
        """Follow the records."""
        self._encryption.follow(changes)
        if self._socket is not None:
            self._carry_out(self._socket)

    def reconcile(self) -> None:
        """Make the kernel hold what it should and nothing else, once all records are known."""
        if self._socket is None:
            if not self.open():
                return
            self._log.info("encryption.available")
            self._changed()
        assert self._socket is not None
        self._ensure_link(self._socket)
        self._underlay = ""
        self._encryption.plan(self._mtu(), now=self._clock())
        steps = self._encryption.mend(self._found(self._socket), is_all=True)
        self._do(self._socket, steps)
        self._is_new = False
        if steps and steps != self._mended:
            changes = len(steps.operations) + len(steps.refreshed)
            self._log.info("encryption.mended", operations=changes)
        self._mended = steps
        self._note()

    async def run(self) -> None:
        """Look at the pairs that are in doubt, for ever."""
        while True:
            self._stirred.clear()
            if not self._encryption.is_in_doubt:
                await self._stirred.wait()
            await asyncio.sleep(LOOK_S)
            try:
                self._look()
            except SwarmError as err:
                self._log.warning("encryption.not_changed", reason=err.message)

    def problems(self, network_id: NetworkId) -> tuple[str, ...]:
        """Why others are not reached in a network, as far as encryption goes."""
        return tuple(self._encryption.problems(network_id))

    # --- the kernel -----------------------------------------------------------------------------

    def _open(self) -> str:
        """Why there is nothing to open; empty when it is open."""
        with Socket(self._host) as host:
            if not host.has_wireguard():
                return "this kernel has no WireGuard"
        namespaces.make(self._path)
        netns = namespaces.opened(self._path)
        socket = Socket(netns)
        try:
            namespaces.set_sysctls(netns, _SYSCTLS)
            key = self._ensure_link(socket)
        except BaseException:
            socket.close()
            os.close(netns)
            raise
        self._socket, self.netns = socket, netns
        self._encryption.equip(key)
        return ""

    def _ensure_link(self, socket: Socket) -> bytes:
        """Have a link with a key, and give that. One that is there stays as it is."""
        if not any(_is_ours(each) for each in socket.links()):
            fresh = Link(name=LINK, kind=KIND, is_up=False, underlay=HOST)
            socket.apply([Put(fresh)], namespaces={HOST: self._host})
        found, _ = socket.tunnel(LINK)
        if found.private_key:
            return found.private_key
        key = self._encryption.private_key or private_key(os.urandom(KEY_BYTES))
        socket.apply([Put(Tunnel(link=LINK, private_key=key, port=found.port))])
        return key

    def _carry_out(self, socket: Socket) -> None:
        """Do what changed. What an earlier agent left as it should be is not touched."""
        steps = self._encryption.plan(self._mtu(), now=self._clock())
        if self._is_new:
            steps = self._encryption.mend(self._found(socket), is_all=False)
        self._do(socket, steps)
        self._is_new = False
        self._note()
        if steps:
            self._look()

    def _look(self) -> None:
        """See what pairs have done since; and once more, where that changes what they use."""
        while self._socket is not None and self._encryption.is_in_doubt:
            self._encryption.look(self._socket.tunnel_activity(LINK), now=self._clock())
            steps = self._encryption.plan(self._mtu(), now=self._clock())
            if not steps:
                break
            self._do(self._socket, steps)
        self._stirred.set()

    def _do(self, socket: Socket, steps: Steps) -> None:
        socket.apply(steps.operations, namespaces={HOST: self._host})
        socket.refresh(steps.refreshed)

    def _found(self, socket: Socket) -> Iterator[Value]:
        yield from socket.links()
        yield from socket.addresses()
        yield from socket.routes(None)
        yield from socket.tables()
        tunnel, peers = socket.tunnel(LINK)
        yield tunnel
        yield from peers

    def _mtu(self) -> int:
        """That of the link with this node's address; 0 when there is none, or it is not known."""
        address = self._encryption.underlay
        if address != self._underlay:
            self._underlay, self._underlay_mtu = address, 0
            with Socket(self._host) as host:
                has_it = {x.link for x in host.addresses() if x.address.split("/")[0] == address}
                for link in host.links():
                    if link.name in has_it:
                        self._underlay_mtu = link.mtu
        return self._underlay_mtu

    def _note(self) -> None:
        """Tell of nodes that are not reached, once."""
        found = dict(self._encryption.faults)
        for node_id, reason in sorted(found.items()):
            if self._faults.get(node_id) != reason:
                self._log.warning("peer.left_out", node_id=node_id, reason=reason)
        self._faults = found


def _is_ours(link: Value) -> bool:
    return isinstance(link, Link) and (link.name, link.kind) == (LINK, KIND)
