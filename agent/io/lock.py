"""Let one agent at a time have a run root: two would each stop what the other starts."""

import fcntl
import os
import time
from pathlib import Path

from swarm.errors import Unavailable

ASK_AGAIN_S = 0.02


def acquire(path: Path, *, within_s: float) -> int:
    """Lock `path` for the life of this process; `Unavailable` when another does not let go."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    deadline = time.monotonic() + within_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError as err:
            if time.monotonic() >= deadline:
                os.close(descriptor)
                raise Unavailable(
                    f"another agent runs with {path.parent}", hint="stop that one first"
                ) from err
        time.sleep(ASK_AGAIN_S)
