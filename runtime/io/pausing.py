"""Stop all processes of a container at once, and let them go on.

Whether a container is paused is asked of the kernel and written down nowhere, so nothing can
be wrong about it. The kernel stops processes one by one: a container counts as paused when
the last one has stopped, and one that cannot be stopped in time goes on.
"""

import asyncio
import time

from runtime.cgroups import freezer
from runtime.cgroups.layout import Layout
from runtime.io import host
from swarm.errors import Unavailable

_STOPPED_WITHIN_S = 5.0
_LOOK_AGAIN_S = 0.002


async def pause(layout: Layout, group: str) -> None:
    """Stop every process in `group`, and return once the last one has stopped."""
    deadline = time.monotonic() + _STOPPED_WITHIN_S
    while True:
        _write(layout, group, frozen=True)  # v1 wants to be asked again while it fails
        if is_paused(layout, group):
            return
        if time.monotonic() >= deadline:
            _write(layout, group, frozen=False)
            raise Unavailable(
                f"the processes of {group} did not stop within {_STOPPED_WITHIN_S:g} s",
                hint="one of them may hang in a system call; the container goes on",
            )
        await asyncio.sleep(_LOOK_AGAIN_S)


def resume(layout: Layout, group: str) -> None:
    """Let every process in `group` go on; those that never stopped do not mind."""
    _write(layout, group, frozen=False)


def is_paused(layout: Layout, group: str) -> bool:
    """Whether all processes of `group` are stopped; a group that is gone is not paused."""
    return freezer.is_frozen(host.read(freezer.events_file(layout, group)))


def is_pausing(layout: Layout, group: str) -> bool:
    """Whether somebody asked for `group` to be stopped, even if not all of it has."""
    return freezer.is_wished(host.read(freezer.wish_file(layout, group)))


def _write(layout: Layout, group: str, *, frozen: bool) -> None:
    step = freezer.freeze(layout, group) if frozen else freezer.thaw(layout, group)
    try:
        host.apply(step)
    except OSError as err:
        raise host.refusal(step, err) from err
