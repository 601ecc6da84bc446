"""Tell a seccomp agent whose calls it is going to answer."""

from typing import Any, Final

import msgspec

from runtime.oci.config import VERSION

LISTENER_NAME: Final = "seccompFd"


def process_state(state: str | bytes, *, pid: int, metadata: str) -> bytes:
    """The container process state of config-linux.md, in which the descriptor is named.

    `state` is the container's state as JSON; what it says of pid and status is replaced, since
    the container is still being created.
    """
    container: dict[str, Any] = msgspec.json.decode(state)
    container |= {"status": "creating", "pid": pid}
    container.setdefault("ociVersion", VERSION)
    whole: dict[str, Any] = {"ociVersion": VERSION, "fds": [LISTENER_NAME], "pid": pid}
    if metadata:
        whole["metadata"] = metadata
    return msgspec.json.encode(whole | {"state": container})
