"""Hand a seccomp listener to the agent that answers for it.

One connection for each container: the state in one message, with the descriptor, and then the
connection is closed. It is made while the host's paths are in sight and used when they are gone.
An agent that hangs must not hang the start of a container for ever.
"""

import os
import socket
from typing import Final

from swarm.errors import Unavailable

_TIMEOUT_S: Final = 10.0


def connect(path: str) -> socket.socket:
    """A connection to the agent at `path`. Raises `Unavailable`."""
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(_TIMEOUT_S)
    try:
        connection.connect(path)
    except OSError as err:
        connection.close()
        raise _unavailable(path, err) from err
    return connection


def hand_over(connection: socket.socket, listener: int, message: bytes) -> None:
    """Send both and close the connection; `message` is from `seccomp.listening`.

    The descriptor stays open here. Raises `Unavailable` when nobody takes it.
    """
    try:
        with connection:
            sent = socket.send_fds(connection, [message], [listener])
            connection.sendall(message[sent:])
    except OSError as err:
        raise _unavailable("", err) from err


def send_listener(path: str, listener: int, message: bytes) -> None:
    """Connect to `path` and hand the listener over. Raises `Unavailable`."""
    hand_over(connect(path), listener, message)


def _unavailable(path: str, err: OSError) -> Unavailable:
    reason = os.strerror(err.errno).lower() if err.errno else str(err)
    return Unavailable(
        f"seccomp listener {path}: {reason}".replace(" :", ":"),
        hint="start the seccomp agent first",
    )
