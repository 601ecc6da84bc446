"""Bind and connect Unix sockets however long their path is.

The kernel takes 107 bytes. A run root can be longer, so a socket is always named by its
directory's descriptor in /proc. Whoever can does with bare sockets: the usual module takes a
command 3 ms to load.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH120, PTH119

import os
import select
from _socket import AF_UNIX, SOCK_NONBLOCK, SocketType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def is_readable(descriptor: int) -> bool:
    """Whether there is something to read, or its end."""
    return bool(select.select((descriptor,), (), (), 0)[0])


def bind(link: SocketType, path: str, backlog: int) -> None:
    """Listen at `path`, for root only. Raises `OSError` if `path` exists."""
    directory = os.open(os.path.dirname(path), _DIRECTORY)
    mask = os.umask(0o177)
    try:
        link.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        link.listen(backlog)
    finally:
        os.umask(mask)
        os.close(directory)


def connect(path: str, kind: int) -> "socket.socket":
    """A connected socket that never blocks. Raises `OSError` if nobody listens."""
    import socket

    return socket.socket(fileno=connect_bare(path, kind).detach())


def connect_bare(path: str, kind: int) -> SocketType:
    """The same, with less around it."""
    link = SocketType(AF_UNIX, kind | SOCK_NONBLOCK)
    try:
        directory = os.open(os.path.dirname(path), _DIRECTORY)
        try:
            link.connect(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        finally:
            os.close(directory)
    except OSError:
        link.close()
        raise
    return link
