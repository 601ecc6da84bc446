"""Limit how many processes and threads a container has at once."""

from runtime.cgroups.setting import Setting
from runtime.oci.config import Resources


def v1(resources: Resources) -> tuple[Setting, ...]:
    """The file is the same in both versions."""
    if resources.pids is None or not resources.pids.limit:
        return ()
    limit = resources.pids.limit
    return (Setting("pids.max", ("max" if limit < 0 else str(limit),)),)


v2 = v1
