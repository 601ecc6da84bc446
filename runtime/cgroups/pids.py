"""Limit how many processes and threads a container has at once."""

from runtime.cgroups.setting import Setting
from runtime.spec import Resources


def v1(resources: Resources) -> tuple[Setting, ...]:
    """The file is the same in both versions."""
    return (Setting("pids.max", (str(resources.pids_limit),)),) if resources.pids_limit else ()


v2 = v1
