"""Limit the handles and objects of RDMA devices."""

from collections.abc import Iterator

from runtime.cgroups.setting import Setting
from runtime.oci.config import Resources


def settings(resources: Resources) -> Iterator[Setting]:
    """The file is the same in both versions; what is not named of a device stays."""
    lines: list[str] = []
    for device, limits in resources.rdma.items():
        words = [device]
        words += [] if limits.hca_handles is None else [f"hca_handle={limits.hca_handles}"]
        words += [] if limits.hca_objects is None else [f"hca_object={limits.hca_objects}"]
        lines += [" ".join(words)] if len(words) > 1 else []
    if lines:
        yield Setting("rdma.max", tuple(lines))
