"""Open the sockets that a container's questions arrive at, within its namespace.

Port 53 may be the container's own: we listen on ports that were free, beyond those that programs
have or are lent, and packets to the resolver's address are rewritten
(`agent.network.wire.rewriting`). A socket keeps its namespace alive.
"""

import contextlib
import errno
import os
import socket
from collections.abc import Generator, Sequence
from typing import Final, NamedTuple

from agent.dns.upstreams import RESOLVER
from agent.network.io.channel import Channel
from agent.network.io.namespaces import entered, mine
from agent.network.wire.messages import EXCLUSIVE, Request
from agent.network.wire.nftables import DELETE_TABLE, SUBSYSTEM, batch
from agent.network.wire.rewriting import redirect
from swarm.errors import KernelRefused

_NETFILTER: Final = 12  # NETLINK_NETFILTER
_PORTS: Final = (*range(65053, 65085), 0)
_BACKLOG: Final = 64


class Listening(NamedTuple):
    """The sockets that a container's questions arrive at."""

    udp: socket.socket
    tcp: socket.socket

    def close(self) -> None:
        """Close both, and let the namespace go."""
        self.udp.close()
        self.tcp.close()


def listen(netns: int) -> Listening:
    """Open the sockets of the container whose namespace is open as `netns`, and lead to them.

    Raises `KernelRefused`, and leaves none open. From now on questions arrive at these, and no
    more at those that were opened before; replacing those takes long enough for a thread.
    """
    with _explained("serve names"):
        if _is_mine(netns):
            raise OSError(errno.EINVAL, "this namespace is the host's own, not a container's")
        with entered(netns):
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
            tcp = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        listening = Listening(udp, tcp)
        try:
            tcp.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            _bind(udp)
            _bind(tcp)
            tcp.listen(_BACKLOG)
            _lead_to(listening, netns)
        except BaseException:
            listening.close()
            raise
        return listening


def _bind(made: socket.socket) -> None:
    for port in _PORTS:
        try:
            made.bind((RESOLVER, port))
        except OSError as err:
            if err.errno != errno.EADDRINUSE or not port:
                raise
        else:
            return


def _is_mine(netns: int) -> bool:
    home = mine()
    try:
        return os.path.sameopenfile(home, netns)
    finally:
        os.close(home)


def _lead_to(listening: Listening, netns: int) -> None:
    requests = redirect(*(each.getsockname()[1] for each in listening))
    channel = Channel(_NETFILTER, netns)
    try:
        refusals = channel.transact(batch(_if_new(requests)))
        if any(each.errno == errno.EEXIST for each in refusals.values()):
            refusals = channel.transact(batch(requests))
        for refusal in refusals.values():
            raise OSError(refusal.errno, refusal.text or os.strerror(refusal.errno))
    finally:
        channel.close()


def _if_new(requests: Sequence[Request]) -> list[Request]:
    """The same where there is no table yet: after any deletion the kernel holds us up for 13 ms."""
    first, *others = (each for each in requests if each.kind != SUBSYSTEM << 8 | DELETE_TABLE)
    return [first._replace(flags=first.flags | EXCLUSIVE), *others]


@contextlib.contextmanager
def _explained(step: str) -> Generator[None, None, None]:
    try:
        yield
    except OSError as err:
        number = err.errno or errno.EIO
        raise KernelRefused(
            step,
            number,
            f"the container's names cannot be served: {(err.strerror or str(err)).lower()}",
            hint=_HINTS.get(number, ""),
        ) from err


_HINTS: Final = {
    errno.EMFILE: "raise the limit of open files (LimitNOFILE) of swarmd",
    errno.EOPNOTSUPP: "the kernel needs nf_tables (CONFIG_NF_TABLES_IPV4)",
    errno.EPROTONOSUPPORT: "the kernel needs nf_tables (CONFIG_NF_TABLES)",
}
