"""Stop and resume every process of a container at once.

Where there is a unified hierarchy it is used, on hybrid hosts too: a frozen v2 group can still
be killed, a frozen v1 group cannot. Freezing takes time: `is_frozen` says from the events file
whether the last process has stopped. A v1 group has to be asked again while it has not.
"""

from runtime.cgroups.layout import Layout
from runtime.steps import WriteKernelFile


def freeze(layout: Layout, path: str) -> WriteKernelFile:
    """Begin to stop the processes."""
    return _write(layout, path, "1" if layout.unified else "FROZEN")


def thaw(layout: Layout, path: str) -> WriteKernelFile:
    """Let them go on; those that never stopped do not mind."""
    return _write(layout, path, "0" if layout.unified else "THAWED")


def wish_file(layout: Layout, path: str) -> str:
    """What `is_wished` reads."""
    return _write(layout, path, "").path


def events_file(layout: Layout, path: str) -> str:
    """What `is_frozen` reads; if it cannot be read, there is no such group."""
    return f"{layout.unified}/{path}/cgroup.events" if layout.unified else wish_file(layout, path)


def is_wished(text: str) -> bool:
    """Whether somebody asked for a stop, even if not all processes have stopped."""
    return text.strip() in ("1", "FREEZING", "FROZEN")


def is_frozen(events: str) -> bool:
    """Whether all processes have stopped."""
    return any(line in ("FROZEN", "frozen 1") for line in events.splitlines())


def _write(layout: Layout, path: str, value: str) -> WriteKernelFile:
    if layout.unified:
        return WriteKernelFile(f"{layout.unified}/{path}/cgroup.freeze", (value,))
    return WriteKernelFile(f"{layout.v1.get('freezer', '')}/{path}/freezer.state", (value,))
