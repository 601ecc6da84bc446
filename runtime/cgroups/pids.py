"""Limit how many processes and threads a container has at once."""

from collections.abc import Iterator

from runtime.cgroups.setting import Setting
from runtime.oci.config import Resources


def settings(resources: Resources) -> Iterator[Setting]:
    """The file is the same in both versions."""
    if resources.pids is not None and resources.pids.limit:
        limit = resources.pids.limit
        yield Setting("pids.max", ("max" if limit < 0 else str(limit),))
