from typing import Any

import pytest
from msgspec.structs import replace

from runtime.oci.config import BlockIo, Cpu, Memory, Pids, ThrottleDevice, WeightDevice
from runtime.oci.config import Resources as OciResources
from runtime.planning.place import Borrowed
from runtime.spec import DeviceRate, Mount, RateKind, Resources, UserNamespace
from runtime.translation import (
    NOTHING,
    Known,
    group_path,
    to_change,
    to_config,
    to_extras,
    to_resources,
)
from tests.runtime.specs import make_spec

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


def test_namespaces_are_its_own_the_hosts_or_what_is_joined() -> None:
    spec = make_spec(
        pid_namespace="container:x", ipc_namespace="host", network_namespace="/n",
        hostname="h", uts_namespace="host", cgroup_namespace="host",
    )  # fmt: skip

    config = to_config(spec, Known(joined={"pid": "/proc/self/fd/9"}))

    assert config.linux is not None
    assert {each.type: each.path for each in config.linux.namespaces} == {
        "pid": "/proc/self/fd/9", "mount": "", "network": "/n",
    }  # fmt: skip
    assert config.hostname == ""  # it would be the host's


def test_parameters_of_a_network_that_is_joined_are_its_makers() -> None:
    own, joined = (
        to_config(make_spec(network_namespace=path, sysctls={"net.core.x": "1"})).linux
        for path in ("", "/n")
    )

    assert own is not None
    assert joined is not None
    assert len(own.sysctl) == 3
    assert joined.sysctl == {"net.core.x": "1"}


def test_shared_memory_is_its_own_the_hosts_anothers_or_there_is_none() -> None:
    def found(known: Known = NOTHING, **fields: Any) -> list[tuple[str, tuple[str, ...]]]:
        mounts = to_config(make_spec(**fields), known).mounts
        return [(each.type, each.options) for each in mounts if each.destination == "/dev/shm"]

    assert found()[0][1][-1] == "size=65536k"
    assert found(shm_bytes=1000)[0][1][-1] == "size=1000"
    assert found(shm_bytes=0) == []
    assert found(ipc_namespace="host") == [("bind", ("rbind",))]
    other = make_spec(ipc_namespace="container:x")
    assert to_extras(other, Known(shm_owner="/proc/self/fd/8")).borrowed == (
        Borrowed("/dev/shm", "/proc/self/fd/8"),
    )


def test_a_group_lies_in_the_parent_of_its_host() -> None:
    assert group_path(make_spec(cgroup_parent="h1")) == "h1/t1"


@pytest.mark.parametrize("user_namespace", [None, UserNamespace(uids=(), gids=())])
def test_mounts_are_mapped_only_where_ids_are(user_namespace: UserNamespace | None) -> None:
    mount = Mount(source="/v", target="/data", mapped=True, copy_up=True)
    spec = make_spec(mounts=(mount,), user_namespace=user_namespace)

    [made] = [each for each in to_config(spec).mounts if each.destination == "/data"]
    [copying] = to_extras(spec).copy_ups

    assert ("idmap" in made.options) == (user_namespace is not None)
    assert copying.mapped == (user_namespace is not None)
