"""Ask the kernel to stop a control group, and whether it has.

Whether a container is paused is asked of the kernel and written down nowhere, so nothing can
be wrong about it.
"""

from runtime.cgroups import freezer
from runtime.cgroups.layout import Layout
from runtime.io import host


def ask(layout: Layout, group: str, *, frozen: bool) -> None:
    """Have all processes of `group` begin to stop, or go on. Raises `KernelRefused`."""
    step = freezer.freeze(layout, group) if frozen else freezer.thaw(layout, group)
    try:
        host.apply(step)
    except OSError as err:
        raise host.refusal(step, err) from err


def is_paused(layout: Layout, group: str) -> bool:
    """Whether all processes of `group` have stopped; a group that is gone is not paused."""
    return freezer.is_frozen(host.read(freezer.events_file(layout, group)))


def is_pausing(layout: Layout, group: str) -> bool:
    """Whether `group` is to be stopped, even if some of it has not stopped yet."""
    return freezer.is_wished(host.read(freezer.wish_file(layout, group)))
