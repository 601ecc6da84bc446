"""Hold the ports that are published, so that no program of the host takes one unknowingly.

A port is held by a socket that is bound and never listens: connections do not get here, as they
are led elsewhere before. Nothing is remembered. When the agent is gone its ports are free for the
taking, and what took one in between is a reason why it cannot be held again. A port of all
addresses cannot be bound beside one of a single address, so it holds those too.
"""

import contextlib
import errno
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from agent.network.host import Group
from agent.network.host_rules import Key
from agent.network.io.namespaces import entered
from swarm.errors import Refused

_KINDS: Final = {
    "tcp": (socket.SOCK_STREAM, socket.IPPROTO_TCP),
    "udp": (socket.SOCK_DGRAM, socket.IPPROTO_UDP),
    "sctp": (socket.SOCK_STREAM, socket.IPPROTO_SCTP),
}
_NOTHING_TO_HOLD: Final = {
    errno.EADDRNOTAVAIL,  # the address is on other nodes
    errno.EAFNOSUPPORT,  # no IPv6 here
    errno.EPROTONOSUPPORT,  # no SCTP here
    errno.ESOCKTNOSUPPORT,
}
_ATTEMPTS: Final = 64
_ANY: Final = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class Holding:
    """The held ports of the namespace that is open as `netns`, which stays the caller's."""

    def __init__(self, netns: int) -> None:
        self._netns = netns
        self._held: dict[Group, dict[str, list[socket.socket]]] = {}

    def close(self) -> None:
        """Let go of all ports."""
        for group in list(self._held):
            self.hold(group, frozenset())

    def hold(self, group: Group, ips: frozenset[str]) -> dict[str, str]:
        """Hold a port on these addresses and no others; the refused addresses, and why.

        The empty address is all of them. Those that this host does not have are not refused.
        """
        wanted = frozenset({""}) if "" in ips else ips
        held = self._held.setdefault(group, {})
        for ip in held.keys() - wanted:
            _close(held.pop(ip))
        refused = self._bind_all(group, wanted)
        if "" in refused:
            refused |= self._bind_all(group, ips - {""})
        if not held:
            del self._held[group]
        return refused

    def hold_any(self, protocol: str, ip: str) -> int:
        """Hold a port that the kernel chooses among those that are free, and tell which."""
        for _ in range(_ATTEMPTS):
            try:
                sockets = self._bind(protocol, ip, 0)
            except OSError as err:
                if err.errno == errno.EADDRINUSE:
                    continue
                raise Refused(f"no {protocol} port can be had: {err.strerror}") from err
            if not sockets:
                raise Refused(
                    f"no {protocol} port can be had on {ip or 'this node'}",
                    hint=f"the address must be the node's own, and its kernel know {protocol}",
                )
            port = int(sockets[0].getsockname()[1])
            self._held.setdefault((protocol, port), {})[ip] = sockets
            return port
        raise Refused(f"no {protocol} port is free", hint="see net.ipv4.ip_local_port_range")

    def why_not_free(self, key: Key) -> str:
        """Why the port cannot be published here, empty when it can. What we hold, we could."""
        held = self._held.get((key.protocol, key.port), {})
        if key.ip in held or "" in held:
            return ""
        try:
            _close(self._bind(key.protocol, key.ip, key.port))
        except OSError as err:
            return "" if held and not key.ip else self._reason(key, err)
        return ""

    def _bind_all(self, group: Group, wanted: frozenset[str]) -> dict[str, str]:
        refused: dict[str, str] = {}
        held = self._held[group]
        for ip in sorted(wanted - held.keys()):
            try:
                if sockets := self._bind(group[0], ip, group[1]):
                    held[ip] = sockets
            except OSError as err:
                refused[ip] = self._reason(Key(*group, ip), err)
        return refused

    def _bind(self, protocol: str, ip: str, port: int) -> list[socket.socket]:
        """Sockets that hold a port, of each family; the same port for both if it is 0."""
        bound: list[socket.socket] = []
        families = (_family(ip),) if ip else tuple(_ANY)
        try:
            with entered(self._netns):
                for family in families:
                    address = ip or _ANY[family]
                    if made := _bound(protocol, family, address, port):
                        bound.append(made)
                        port = port or int(made.getsockname()[1])
        except BaseException:
            _close(bound)
            raise
        return bound

    def _reason(self, key: Key, err: OSError) -> str:
        if err.errno != errno.EADDRINUSE:
            return f"port {key} cannot be held: {err.strerror}"
        with entered(self._netns):
            inodes = set(_inodes(key))
        return f"port {key} is in use by {_program(inodes) or 'another program'} on this host"


def _bound(protocol: str, family: int, address: str, port: int) -> socket.socket | None:
    kind, number = _KINDS[protocol]
    made: socket.socket | None = None
    try:
        made = socket.socket(family, kind | socket.SOCK_CLOEXEC, number)
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        _bind_to(made, address, port)
    except OSError as err:
        if made is not None:
            made.close()
        if err.errno in _NOTHING_TO_HOLD:
            return None
        raise
    return made


def _bind_to(made: socket.socket, address: str, port: int) -> None:
    try:
        made.bind((address, port))
    except OSError as err:
        if err.errno != errno.EADDRINUSE or made.type != socket.SOCK_STREAM or not port:
            raise
        # Connections of a program that has ended linger for a minute: they may, listeners not.
        # The flag is taken back, or others that set it, as all servers do, could join us.
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((address, port))
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)


def _inodes(key: Key) -> Iterator[str]:
    """The sockets at that port which are not connected, of /proc/net."""
    for table in (key.protocol, f"{key.protocol}6"):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/thread-self/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                is_open = fields[2].endswith(":0000")
                if is_open and int(fields[1].rpartition(":")[2], 16) == key.port:
                    yield fields[9]


def _program(inodes: set[str]) -> str:
    """The program that has one of these sockets, with its pid."""
    wanted = {f"socket:[{inode}]" for inode in inodes - {"0"}}
    for directory in Path("/proc").glob("[0-9]*") if wanted else ():
        with contextlib.suppress(OSError):
            if any(_target(each) in wanted for each in (directory / "fd").iterdir()):
                return f"{(directory / 'comm').read_text().strip()} (pid {directory.name})"
    return ""


def _target(link: Path) -> str:
    try:
        return str(link.readlink())
    except OSError:
        return ""  # closed just now


def _family(ip: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in ip else socket.AF_INET


def _close(sockets: list[socket.socket]) -> None:
    for each in sockets:
        each.close()
