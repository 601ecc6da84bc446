"""Do ahead what nearly every container needs, while nobody waits for it.

Namespaces that are empty still, and file systems that nobody has seen, are as good as new. A
container that wants others than those gives all of them back.
"""

import contextlib
import os
from collections.abc import Iterable
from typing import Final

from runtime import constants as k
from runtime import steps as s
from runtime.io import kernel
from runtime.io.inside.held import Ahead
from runtime.io.inside.mounting import make_filesystem
from runtime.io.inside.namespaces import loopback_up

_NAMESPACES: Final = {k.CLONE_NEWNET: "net", k.CLONE_NEWIPC: "ipc", k.CLONE_NEWUTS: "uts"}
_KINDS: Final = ("proc", "tmpfs", "devpts", "mqueue", "sysfs")


def make_ahead(steps: Iterable[s.ContainerStep]) -> Ahead:
    """Make what containers like that of `steps` need, as far as the kernel lets us."""
    made = Ahead()
    with contextlib.suppress(OSError):
        hosts = tuple(
            (flag, os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC))
            for flag, name in _NAMESPACES.items()
        )
        kernel.unshare(sum(_NAMESPACES))
        made = Ahead(namespaces=sum(_NAMESPACES), hosts=hosts)
        loopback_up()
        for step in steps:
            if isinstance(step, s.MountFilesystem) and step.filesystem.kind in _KINDS:
                made.filesystems[step.filesystem] = make_filesystem(step.filesystem)
    return made


def fit(ahead: Ahead, steps: Iterable[s.ContainerStep]) -> Ahead:
    """`ahead`; or nothing, from the host's namespaces, if `steps` make others than it has.

    In a user namespace they are: who is root there has no rights over those made outside.
    Raises `OSError`.
    """
    missing, is_mapped = ahead.namespaces, False
    for step in steps:
        if isinstance(step, s.Unshare):
            missing &= ~step.flags
        is_mapped |= isinstance(step, s.EnterUserNamespace)
    if not missing and not is_mapped:
        return ahead
    for flag, namespace in ahead.hosts:
        kernel.setns(namespace, flag)
    return Ahead()  # the file systems show those namespaces; the exec closes them
