"""Bind and connect Unix sockets however long their path is.

The kernel takes 107 bytes. A run root can be longer, so a socket is always named by its
directory's descriptor in /proc.
"""

# Plain strings: pathlib would cost every shim memory.
# ruff: noqa: PTH120, PTH119

import os
import socket

_DIRECTORY = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC


def bind(link: socket.SocketType, path: str, backlog: int) -> None:
    """Listen at `path`, for root only. Raises `OSError` if `path` exists."""
    directory = os.open(os.path.dirname(path), _DIRECTORY)
    mask = os.umask(0o177)
    try:
        link.bind(f"/proc/self/fd/{directory}/{os.path.basename(path)}")
        link.listen(backlog)
    finally:
        os.umask(mask)
        os.close(directory)


def connect(path: str, kind: socket.SocketKind) -> socket.socket:
    """A connected socket that never blocks. Raises `OSError` if nobody listens."""
    link = socket.socket(socket.AF_UNIX, kind | socket.SOCK_NONBLOCK)
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
