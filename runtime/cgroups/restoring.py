"""Say how to put limits back that an update has changed before it failed.

A file that holds one value is given that again. One that holds a line for each device is given
the old line of every device that was written, or what means no limit there. What the kernel
judges together can be refused at first, so the list is meant to be carried out twice.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from runtime.steps import WriteKernelFile

# What a device without a line has; the rest of its line after the device.
_NO_LIMIT: Final = {
    "io.max": "rbps=max wbps=max riops=max wiops=max",
    "io.weight": "default",
    "io.bfq.weight": "default",
    "rdma.max": "hca_handle=max hca_object=max",
}
_NO_LIMIT_V1: Final = "0"


def restore(
    written: Iterable[WriteKernelFile], before: Mapping[str, str]
) -> tuple[WriteKernelFile, ...]:
    """`before` has what the files of `written` held, by their paths; files that are not in it
    were not there."""
    steps: list[WriteKernelFile] = []
    for step in written:
        if step.path in before:
            values = tuple(_old(step.path, value, before[step.path]) for value in step.values)
            steps.append(WriteKernelFile(step.path, values, tentative=True))
        if step.otherwise is not None:
            steps += restore((step.otherwise,), before)
    return tuple(reversed(steps))


def _old(path: str, value: str, text: str) -> str:
    key, _, rest = value.partition(" ")
    if not _is_keyed(path, key, rest):
        return text.strip()
    for line in text.splitlines():
        if line.partition(" ")[0] == key:
            return line
    return f"{key} {_NO_LIMIT.get(path.rpartition('/')[2], _NO_LIMIT_V1)}"


def _is_keyed(path: str, key: str, rest: str) -> bool:
    """`cpu.max` has two words and no key; the default weight has no key either."""
    return bool(rest) and (":" in key or path.endswith(("/rdma.max", "/net_prio.ifpriomap")))
