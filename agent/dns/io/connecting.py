"""Open sockets towards other servers, in our namespace or in a container's.

A container's socket leads back to its namespace, so no descriptor of that is kept beside it.
"""

import contextlib
import fcntl
import os
import socket
from collections.abc import Generator
from typing import Final

from agent.network.io.namespaces import entered

DNS_PORT: Final = 53
_GET_NAMESPACE: Final = 0x894C  # SIOCGSKNS of linux/sockios.h


def connect(server: str, beside: socket.socket | None, *, by_tcp: bool) -> socket.socket:
    """A socket that is connected, or with TCP about to be, to a server.

    It is in the namespace of the socket `beside` it, or in ours. Raises `OSError`.
    """
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    kind = socket.SOCK_STREAM if by_tcp else socket.SOCK_DGRAM
    with _beside(beside):
        made = socket.socket(family, kind | socket.SOCK_NONBLOCK)
        try:
            made.connect((server, DNS_PORT))
        except BlockingIOError:
            pass
        except BaseException:
            made.close()
            raise
        return made


@contextlib.contextmanager
def _beside(other: socket.socket | None) -> Generator[None, None, None]:
    if other is None:
        yield
        return
    netns = fcntl.ioctl(other.fileno(), _GET_NAMESPACE)
    try:
        with entered(netns):
            yield
    finally:
        os.close(netns)
