from runtime.cgroups import blkio
from runtime.cgroups.setting import Setting
from runtime.oci.config import BlockIo, Resources, ThrottleDevice, WeightDevice
from tests.runtime.cgroups.asking import asked


def test_nothing_asked_writes_nothing() -> None:
    assert asked(blkio.v1, Resources()) == asked(blkio.v2, Resources(block_io=BlockIo())) == {}


def test_a_weight_is_the_schedulers_or_else_of_the_cost_model() -> None:
    resources = Resources(block_io=BlockIo(weight=505))

    assert list(blkio.v1(resources)) == [
        Setting("blkio.bfq.weight", ("505",), otherwise=Setting("blkio.weight", ("505",)))
    ]
    assert list(blkio.v2(resources)) == [
        Setting("io.bfq.weight", ("505",), otherwise=Setting("io.weight", ("5000",)))
    ]
    assert [blkio.cost_weight(weight) for weight in (10, 1000)] == [1, 10_000]


def test_devices_have_weights_of_their_own() -> None:
    device = WeightDevice(major=8, minor=16, weight=10)
    resources = Resources(block_io=BlockIo(weight_device=(device,)))

    assert asked(blkio.v1, resources) == {"blkio.bfq.weight_device": "8:16 10"}
    assert asked(blkio.v2, resources) == {"io.bfq.weight": "8:16 10"}


def test_throttles_of_one_device_are_one_line_in_v2() -> None:
    def limit(minor: int, rate: int) -> tuple[ThrottleDevice, ...]:
        return (ThrottleDevice(major=8, minor=minor, rate=rate),)

    resources = Resources(
        block_io=BlockIo(
            throttle_read_bps_device=limit(0, 1000) + limit(16, 0),
            throttle_write_iops_device=limit(0, 5),
        )
    )

    assert asked(blkio.v1, resources) == {
        "blkio.throttle.read_bps_device": ("8:0 1000", "8:16 0"),
        "blkio.throttle.write_iops_device": "8:0 5",
    }
    assert asked(blkio.v2, resources) == {"io.max": ("8:0 rbps=1000 wiops=5", "8:16 rbps=max")}


def test_leaf_weights_are_refused_where_there_are_none() -> None:
    resources = Resources(block_io=BlockIo(leaf_weight=300))

    assert asked(blkio.v1, resources) == {"blkio.leaf_weight": "300"}
    assert asked(blkio.v2, resources) == {"blockIO.leafWeight": "cgroup v2 has no leaf weights"}
