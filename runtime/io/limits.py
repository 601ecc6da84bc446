"""Change the limits of a running container, all of them or none."""

import errno
from typing import NoReturn

from msgspec.structs import replace

from runtime.cgroups import groups, restoring
from runtime.cgroups.groups import UpdateStep
from runtime.cgroups.layout import Layout
from runtime.io import cgroups, host
from runtime.oci.config import Resources
from runtime.steps import WriteKernelFile


def update(layout: Layout, path: str, resources: Resources) -> None:
    """Raises `KernelRefused`, which names the file, with what was changed put back."""
    changes = _Changes()
    for step in groups.update(layout, path, resources):
        changes.apply(step)


class _Changes:
    """What was changed so far, and how it was before."""

    def __init__(self) -> None:
        self._before: dict[str, str] = {}
        self._written: list[WriteKernelFile] = []
        self._in_use: tuple[WriteKernelFile, OSError] | None = None

    def apply(self, step: UpdateStep) -> None:
        if isinstance(step, WriteKernelFile):
            self._remember(step)
            self._written.append(step)
        try:
            if isinstance(step, WriteKernelFile) and step.tentative:
                self._try(step)
            else:
                host.apply(step)
        except OSError as err:
            self._refuse(step, err)

    def _try(self, step: WriteKernelFile) -> None:
        """That what is in use does not fit is the reason for whatever fails after it."""
        try:
            host.apply(replace(step, tentative=False))
        except OSError as err:
            if err.errno == errno.EBUSY:
                self._in_use = step, err

    def _refuse(self, step: UpdateStep, err: OSError) -> NoReturn:
        for back in (*restoring.restore(self._written, self._before),) * 2:
            host.apply(back)
        failed, reason = self._in_use or (step, err)
        raise host.refusal(failed, reason) from reason

    def _remember(self, step: WriteKernelFile) -> None:
        if step.path not in self._before and (text := cgroups.read(step.path)):
            self._before[step.path] = text
        if step.otherwise is not None:
            self._remember(step.otherwise)
