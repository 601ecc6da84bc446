"""Hold the sockets that Docker's clients come in by, and call for the engine when one knocks.

The sockets are ours for as long as we live, and the engine gets copies: who connects while it
starts, or starts again, waits in the kernel's queue. Until the first client there is no engine.
After that it is not our business who connects.

The one on this host belongs to root, and to the group `docker` where there is one, as Docker's
own does: whoever may use it is root in all but name. The one for the network is there whether the
node is in a swarm or not, so that it need not be passed on later; while it is in none, nobody is
let in.

Containers that have the socket of this host mounted have this one, and not one that is made later
in its place. So systemd keeps it while we are started again, if it has started us.
"""

import asyncio
import grp
import os
import socket
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

import structlog

from swarm.addresses import parse_address
from swarm.errors import Refused
from swarmd.io import notify
from swarmd.settings import NO_SOCKET, Settings

GROUP = "docker"
BACKLOG = 4096
SOCKET_FLAG = "--socket-fd"
TLS_FLAG = "--tls-fd"


class Doors:
    """The sockets. `knocked` is called once, with what the engine takes for its descriptors."""

    def __init__(
        self,
        settings: Settings,
        *,
        knocked: Callable[[Mapping[str, int]], None],
        lets_in: Callable[[], bool],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        """`lets_in` says whether anybody can be let in over the network now."""
        self._settings = settings
        self._knocked = knocked
        self._lets_in = lets_in
        self._log = log
        self._sockets: dict[str, socket.socket] = {}
        self._is_watching = False
        self._is_kept = False

    def open(self) -> None:
        """Listen. Raises `Refused` for an address that is somebody else's, or of nobody here."""
        path = self._settings.docker_door
        kept = self._kept(path)
        try:
            if path is not None:
                self._sockets[SOCKET_FLAG] = kept or self._made(path)
            if self._settings.docker_addr:
                self._sockets[TLS_FLAG] = _listen_there(self._settings.docker_addr)
        except Refused:
            self.close()
            raise
        loop = asyncio.get_running_loop()
        for flag, each in self._sockets.items():
            loop.add_reader(each.fileno(), self._look, flag)
        self._is_watching = True

    def close(self) -> None:
        """Listen no more; the engine has to have ended."""
        self._watch_no_more()
        for each in self._sockets.values():
            each.close()
        path = self._settings.docker_door
        if SOCKET_FLAG in self._sockets and path is not None and not self._is_kept:
            path.unlink(missing_ok=True)
        self._sockets.clear()

    def _made(self, path: Path) -> socket.socket:
        listener = _listen_here(path)
        self._is_kept = notify.store(_name(path), listener)
        return listener

    def _kept(self, path: Path | None) -> socket.socket | None:
        """The socket that is at `path`, as the last swarmd has left it to systemd for us."""
        found: socket.socket | None = None
        for name, each in notify.stored().items():
            if found is None and path is not None and path.exists() and name == _name(path):
                found = each
                found.setblocking(False)
                self._is_kept = True
            else:
                each.close()
                notify.notify(f"FDSTOREREMOVE=1\nFDNAME={name}")
        return found

    def _look(self, flag: str) -> None:
        if flag == TLS_FLAG and not self._lets_in():
            with suppress(OSError):
                self._sockets[flag].accept()[0].close()
            return
        self._watch_no_more()
        self._log.info("engine.wanted", by=flag)
        self._knocked({flag: each.fileno() for flag, each in self._sockets.items()})

    def _watch_no_more(self) -> None:
        if self._is_watching:
            self._is_watching = False
            for each in self._sockets.values():
                asyncio.get_running_loop().remove_reader(each.fileno())


def _listen_here(path: Path) -> socket.socket:
    _require_free(path)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    before = os.umask(0o177)
    try:
        path.unlink(missing_ok=True)
        listener.bind(str(path))
        _admit_group(path)
        listener.listen(BACKLOG)
    except OSError as err:
        listener.close()
        raise Refused(
            f"--docker-socket {path}: {err.strerror or err}",
            hint=f"give another path, whose directory exists, or {NO_SOCKET}",
        ) from err
    finally:
        os.umask(before)
    listener.setblocking(False)
    return listener


def _name(path: Path) -> str:
    """Tells the socket at `path` from one that was there before, or will be."""
    status = path.stat()
    return f"docker-{status.st_dev}-{status.st_ino}"


def _require_free(path: Path) -> None:
    """Leave alone what is not ours: a file, or the socket of an engine that runs."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return
    if not stat.S_ISSOCK(mode):
        raise Refused(
            f"--docker-socket {path}: something that is no socket is in its place",
            hint="remove it, or give another path",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as probe:
        probe.settimeout(1)
        with suppress(ConnectionRefusedError, FileNotFoundError):
            with suppress(TimeoutError):  # somebody listens and does not answer
                probe.connect(str(path))
            raise Refused(
                f"--docker-socket {path}: somebody listens there already",
                hint=f"stop that program (dockerd?), give another path, or {NO_SOCKET}",
            )


def _admit_group(path: Path) -> None:
    """Have the group use the socket, if there is one; before anybody can connect."""
    try:
        group = grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return
    os.chown(path, 0, group)
    path.chmod(0o660)


def _listen_there(address: str) -> socket.socket:
    host, port = parse_address(address)
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE | socket.AI_NUMERICHOST
        )[0]
        listener = socket.socket(family, kind | socket.SOCK_CLOEXEC, protocol)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            # The address may come later in the boot of this host than we do.
            listener.setsockopt(socket.IPPROTO_IP, _IP_FREEBIND, 1)
            listener.bind(place)
            listener.listen(BACKLOG)
        except BaseException:
            listener.close()
            raise
    except OSError as err:
        raise Refused(
            f"--docker-addr {address}: {err.strerror or err}",
            hint="give an IP address of this host and a port that is free",
        ) from err
    listener.setblocking(False)
    return listener


_IP_FREEBIND = 15  # linux/in.h; the socket module does not name it
