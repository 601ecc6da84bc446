from msgspec.structs import replace

from runtime.allotting import to_change, to_resources
from runtime.oci.config import BlockIo, Cpu, Memory, Pids, ThrottleDevice, WeightDevice
from runtime.oci.config import Resources as OciResources
from runtime.spec import DeviceRate, RateKind, Resources

MIB = 1024 * 1024


def test_no_limit_asks_for_nothing() -> None:
    assert to_resources(Resources()) == OciResources()


def test_cpu_is_a_quota_of_each_tenth_of_a_second() -> None:
    found = to_resources(Resources(cpu_millis=250))

    assert found == OciResources(cpu=Cpu(quota=25_000, period=100_000))


def test_memory_alone_allows_no_swap() -> None:
    alone = to_resources(Resources(memory_bytes=64 * MIB))
    unlimited = to_resources(Resources(memory_bytes=64 * MIB, memory_swap_bytes=-1))

    assert alone.memory == Memory(limit=64 * MIB, swap=64 * MIB)
    assert unlimited.memory == Memory(limit=64 * MIB, swap=-1)


def test_swappiness_needs_no_limit_and_may_be_zero() -> None:
    assert to_resources(Resources(memory_swappiness=0)).memory == Memory(swappiness=0)
    assert to_resources(Resources()).memory is None


def test_devices_have_rates_by_what_is_counted() -> None:
    rates = (
        DeviceRate(major=8, minor=0, kind=RateKind.WEIGHT, rate=200),
        DeviceRate(major=8, minor=0, kind=RateKind.READ_BYTES, rate=MIB),
        DeviceRate(major=8, minor=16, kind=RateKind.WRITES, rate=5),
    )
    assert to_resources(Resources(device_rates=rates)).block_io == BlockIo(
        weight_device=(WeightDevice(major=8, minor=0, weight=200),),
        throttle_read_bps_device=(ThrottleDevice(major=8, minor=0, rate=MIB),),
        throttle_write_iops_device=(ThrottleDevice(major=8, minor=16, rate=5),),
    )


def test_pinning_and_processes() -> None:
    found = to_resources(Resources(cpuset_cpus="0-1", cpuset_mems="0", pids_limit=9))

    assert found == OciResources(cpu=Cpu(cpus="0-1", mems="0"), pids=Pids(limit=9))


def test_shares_reservations_and_weights_are_the_kernels_own() -> None:
    found = to_resources(
        Resources(
            cpu_shares=512,
            cpu_quota_us=5000,
            cpu_period_us=10_000,
            memory_reservation_bytes=MIB,
            oom_kill_disable=True,
            blkio_weight=300,
        )
    )

    assert found == OciResources(
        cpu=Cpu(shares=512, quota=5000, period=10_000),
        memory=Memory(reservation=MIB, disable_oom_killer=True),
        block_io=BlockIo(weight=300),
    )


def test_what_does_not_change_is_not_said_unless_it_is_asked_for_still() -> None:
    assert to_change(Resources(), Resources(), is_v1=True) == OciResources()
    limited = Resources(memory_bytes=MIB)
    assert to_change(limited, limited, is_v1=True).memory == Memory(limit=MIB, swap=MIB)


def test_what_is_not_limited_any_more_is_said() -> None:
    before = Resources(
        cpu_millis=500,
        cpu_shares=2,
        memory_bytes=MIB,
        memory_reservation_bytes=MIB,
        pids_limit=9,
        oom_kill_disable=True,
        blkio_weight=300,
    )
    common = OciResources(
        cpu=Cpu(shares=1024, quota=-1, period=100_000),
        pids=Pids(limit=-1),
        block_io=BlockIo(weight=100),
    )

    assert to_change(before, Resources(), is_v1=True) == replace(
        common, memory=Memory(limit=-1, swap=-1, reservation=-1, disable_oom_killer=False)
    )
    assert to_change(before, Resources(), is_v1=False) == replace(
        common,
        memory=Memory(limit=-1, swap=-1, disable_oom_killer=False),
        unified={"memory.low": "0"},
    )
