"""Let one swarmd at a time have a run root."""

import fcntl
import os
from pathlib import Path

from swarm.errors import Refused


def acquire(path: Path) -> int:
    """Lock `path` for the life of this process, write our pid into it, return its descriptor."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as err:
        owner = os.read(descriptor, 32).decode().strip()
        os.close(descriptor)
        raise Refused(
            f"swarmd already runs with {path.parent} (pid {owner})",
            hint="stop that one, or choose another --run-root and --data-root",
        ) from err
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    return descriptor
