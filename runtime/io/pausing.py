"""Pause a container: wait until the last of its processes has stopped.

The kernel stops processes one by one; a container that cannot be stopped in time goes on, for
one that is half stopped is worse than either.
"""

import asyncio
import time

from runtime.cgroups.layout import Layout
from runtime.io import freezing
from swarm.errors import Unavailable

_STOPPED_WITHIN_S = 5.0
_LOOK_AGAIN_S = 0.002


async def pause(layout: Layout, group: str) -> None:
    """Stop every process in `group`. Raises `KernelRefused`, or `Unavailable` if one hangs."""
    deadline = time.monotonic() + _STOPPED_WITHIN_S
    try:
        while True:
            freezing.ask(layout, group, frozen=True)  # v1 wants to be asked again and again
            if freezing.is_paused(layout, group):
                return
            if time.monotonic() >= deadline:
                raise Unavailable(
                    f"the processes of {group} did not stop within {_STOPPED_WITHIN_S:g} s",
                    hint="one of them may hang in a system call; the container goes on",
                )
            await asyncio.sleep(_LOOK_AGAIN_S)
    except BaseException:
        freezing.ask(layout, group, frozen=False)
        raise
