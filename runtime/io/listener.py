"""Hand a seccomp listener to the agent that answers for it.

One connection for each container: the state in one message, with the descriptor, and then the
connection is closed. An agent that hangs must not hang the start of a container for ever.
"""

import os
import socket
from typing import Final

from swarm.errors import Unavailable

_TIMEOUT_S: Final = 10.0


def send_listener(path: str, listener: int, message: bytes) -> None:
    """Send both to the Unix socket at `path`; `message` is from `seccomp.listening`.

    The descriptor stays open here. Raises `Unavailable` when nobody takes it.
    """
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(_TIMEOUT_S)
            connection.connect(path)
            sent = socket.send_fds(connection, [message], [listener])
            connection.sendall(message[sent:])
    except OSError as err:
        reason = os.strerror(err.errno).lower() if err.errno else str(err)
        raise Unavailable(
            f"seccomp listener {path}: {reason}", hint="start the seccomp agent first"
        ) from err
