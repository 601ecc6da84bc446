"""Tell systemd how far we are (sd_notify(3)); without systemd, say nothing.

It also keeps sockets for the next swarmd (sd_pid_notify_with_fds(3)), if the unit says so:
whoever has one of them mounted goes on using it.
"""

import fcntl
import os
import socket
from collections.abc import MutableMapping
from pathlib import Path

_FIRST = 3


def notify(state: str, *descriptors: int) -> bool:
    """Send `state`, such as `READY=1`, to the service manager that started us, if any did."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return False
    name = "\0" + address[1:] if address.startswith("@") else address
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender:
        sender.connect(name)
        socket.send_fds(sender, [state.encode()], descriptors)
    return True


def store(name: str, listener: socket.socket) -> bool:
    """Have a socket kept for the next swarmd; whether anybody does."""
    return notify(f"FDSTORE=1\nFDNAME={name}", listener.fileno())


def stored(
    environment: MutableMapping[str, str] = os.environ, *, first: int = _FIRST
) -> dict[str, socket.socket]:
    """The sockets that were kept for us, by name; asked once, and nobody inherits them from us."""
    words = {key: environment.pop(f"LISTEN_{key}", "") for key in ("PID", "FDS", "FDNAMES")}
    if words["PID"] != str(os.getpid()):
        return {}
    found: dict[str, socket.socket] = {}
    for number, name in enumerate(words["FDNAMES"].split(":"), first):
        if number < first + int(words["FDS"]) and Path(f"/proc/self/fd/{number}").exists():
            fcntl.fcntl(number, fcntl.F_SETFD, fcntl.FD_CLOEXEC)
            found[name] = socket.socket(fileno=number)
    return found


def is_supervised() -> bool:
    """Whether a service manager brings us back when we crash."""
    return "INVOCATION_ID" in os.environ or "NOTIFY_SOCKET" in os.environ
