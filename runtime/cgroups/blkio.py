"""Share out and throttle block devices.

Weights need a scheduler that knows them. The BFQ one has files of its own in both versions;
in v2 the kernel's cost model is asked otherwise, whose scale is 1 to 10000, and in v1 the CFQ
scheduler of kernels before 5.0.
"""

from collections.abc import Iterator

from runtime.cgroups.setting import Demand, Refusal, Setting
from runtime.oci.config import BlockIo, Resources, ThrottleDevice


def v1(resources: Resources) -> Iterator[Demand]:
    """Documentation/admin-guide/cgroup-v1/blkio-controller.rst."""
    io = resources.block_io or BlockIo()
    if io.weight:
        yield _weight_v1("weight", str(io.weight))
    if io.leaf_weight:
        yield Setting("blkio.leaf_weight", (str(io.leaf_weight),))
    for device in io.weight_device:
        number = f"{device.major}:{device.minor}"
        if device.weight:
            yield _weight_v1("weight_device", f"{number} {device.weight}")
        if device.leaf_weight:
            yield Setting("blkio.leaf_weight_device", (f"{number} {device.leaf_weight}",))
    for name, _, devices in _throttles(io):
        if devices:
            values = tuple(f"{each.major}:{each.minor} {each.rate}" for each in devices)
            yield Setting(f"blkio.throttle.{name}_device", values)


def v2(resources: Resources) -> Iterator[Demand]:
    """Documentation/admin-guide/cgroup-v2.rst; a rate of 0 is no limit, as in v1."""
    io = resources.block_io or BlockIo()
    if io.weight:
        yield _weight_v2("", io.weight)
    for device in io.weight_device:
        if device.weight:
            yield _weight_v2(f"{device.major}:{device.minor} ", device.weight)
    if io.leaf_weight or any(device.leaf_weight for device in io.weight_device):
        yield Refusal("blockIO.leafWeight", "cgroup v2 has no leaf weights")
    limits: dict[str, list[str]] = {}
    for _, name, devices in _throttles(io):
        for each in devices:
            limits.setdefault(f"{each.major}:{each.minor}", []).append(
                f"{name}={each.rate or 'max'}"
            )
    if limits:
        values = tuple(f"{number} {' '.join(found)}" for number, found in limits.items())
        yield Setting("io.max", values)


def cost_weight(weight: int) -> int:
    """OCI's 10 to 1000 on the scale of the cost model, 1 to 10000."""
    return 1 + (min(max(weight, 10), 1000) - 10) * 9999 // 990


def _weight_v1(name: str, value: str) -> Setting:
    before = Setting(f"blkio.{name}", (value,))
    return Setting(f"blkio.bfq.{name}", (value,), otherwise=before)


def _weight_v2(device: str, weight: int) -> Setting:
    cost = Setting("io.weight", (f"{device}{cost_weight(weight)}",))
    return Setting("io.bfq.weight", (f"{device}{weight}",), otherwise=cost)


def _throttles(io: BlockIo) -> tuple[tuple[str, str, tuple[ThrottleDevice, ...]], ...]:
    """The names in v1 and in v2, and what they are given."""
    return (
        ("read_bps", "rbps", io.throttle_read_bps_device),
        ("write_bps", "wbps", io.throttle_write_bps_device),
        ("read_iops", "riops", io.throttle_read_iops_device),
        ("write_iops", "wiops", io.throttle_write_iops_device),
    )
