"""Change the limits of a running container, all of them or none."""

from runtime.cgroups import groups, restoring
from runtime.cgroups.layout import Layout
from runtime.io import cgroups, host
from runtime.oci.config import Resources
from runtime.steps import WriteKernelFile


def update(layout: Layout, path: str, resources: Resources) -> None:
    """Raises `KernelRefused`, which names the file, with what was changed put back."""
    steps = groups.update(layout, path, resources)
    before: dict[str, str] = {}
    written: list[WriteKernelFile] = []
    for step in steps:
        if isinstance(step, WriteKernelFile):
            _remember(step, before)
            written.append(step)
        try:
            host.apply(step)
        except OSError as err:
            for back in (*restoring.restore(written, before),) * 2:
                host.apply(back)
            raise host.refusal(step, err) from err


def _remember(step: WriteKernelFile, before: dict[str, str]) -> None:
    if step.path not in before and (text := cgroups.read(step.path)):
        before[step.path] = text
    if step.otherwise is not None:
        _remember(step.otherwise, before)
