"""Stop a container's processes and let them go on, and wait until the kernel has done so."""

import time
from typing import Final

from runtime.cgroups import freezer
from runtime.cgroups.layout import Layout
from runtime.io import host
from runtime.steps import WriteKernelFile
from swarm.errors import Unavailable

_STOPPED_WITHIN_S: Final = 10.0
_LOOK_AGAIN_S: Final = 0.001


def freeze(layout: Layout, group: str) -> None:
    """Return once the last process has stopped; if one cannot, they all go on."""
    deadline = time.monotonic() + _STOPPED_WITHIN_S
    while True:
        _write(freezer.freeze(layout, group))  # v1 wants to be asked again
        if is_frozen(layout, group):
            return
        if time.monotonic() >= deadline:
            _write(freezer.thaw(layout, group))
            raise Unavailable(
                f"the processes of {group} did not stop within {_STOPPED_WITHIN_S:g} s",
                hint="one of them may hang in a system call; the container goes on",
            )
        time.sleep(_LOOK_AGAIN_S)


def thaw(layout: Layout, group: str) -> None:
    """Let them go on."""
    _write(freezer.thaw(layout, group))


def is_frozen(layout: Layout, group: str) -> bool:
    """Whether all of them have stopped; a group that is gone has not."""
    return freezer.is_frozen(host.read(freezer.events_file(layout, group)))


def _write(step: WriteKernelFile) -> None:
    try:
        host.apply(step)
    except OSError as err:
        raise host.refusal(step, err) from err
