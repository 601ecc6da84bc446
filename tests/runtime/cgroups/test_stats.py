from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from runtime.cgroups.rendering import oom_event, render, stats_event
from runtime.cgroups.stats import (
    CpuUsage,
    DeviceUsage,
    HugepageUsage,
    NetworkUsage,
    PidsUsage,
    Pressure,
    Stats,
    files,
    hugepage_files,
    parse,
    parse_networks,
)
from tests.runtime.specs import HYBRID, V1, V2

HOST = 8 << 30
UNLIMITED = "9223372036854771712\n"
V1_TEXTS = {
    "cpu.stat": "nr_periods 10\nnr_throttled 4\nthrottled_time 123456\n",
    "cpuacct.usage": "3000000000\n",
    "cpuacct.usage_user": "2000000000\n",
    "cpuacct.usage_sys": "1000000000\n",
    "cpuacct.usage_all": "cpu user system\n0 1500000000 400000000\n1 500000000 600000000\n",
    "memory.usage_in_bytes": "104857600\n",
    "memory.limit_in_bytes": "209715200\n",
    "memory.max_usage_in_bytes": "157286400\n",
    "memory.failcnt": "7\n",
    "memory.memsw.usage_in_bytes": "104857600\n",
    "memory.memsw.limit_in_bytes": "314572800\n",
    "memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n",
    "memory.stat": (
        "cache 1\ninactive_file 5\nhierarchical_memory_limit 134217728\ntotal_cache 4096\n"
        "total_rss 8192\ntotal_swap 12288\ntotal_inactive_file 4857600\n"
    ),
    "blkio.throttle.io_service_bytes_recursive": (
        "8:0 Read 4096\n8:0 Write 8192\n8:0 Sync 1\n8:0 Total 12288\n8:16 Read 1\nTotal 12289\n"
    ),
    "blkio.throttle.io_serviced_recursive": "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
    "pids.current": "3\n",
    "pids.max": "max\n",
    "hugetlb.2MB.usage_in_bytes": "2097152\n",
    "hugetlb.2MB.max_usage_in_bytes": "4194304\n",
    "hugetlb.2MB.failcnt": "1\n",
}
V2_TEXTS = {
    "cpu.stat": (
        "usage_usec 3000000\nuser_usec 2000000\nsystem_usec 1000000\n"
        "nr_periods 10\nnr_throttled 4\nthrottled_usec 123\n"
    ),
    "memory.current": "104857600\n",
    "memory.max": "max\n",
    "memory.peak": "157286400\n",
    "memory.stat": "anon 8192\nfile 4096\ninactive_file 4857600\nkernel 512\n",
    "memory.events": "low 0\nhigh 0\nmax 7\noom 3\noom_kill 2\noom_group_kill 0\n",
    "memory.swap.current": "12288\n",
    "memory.swap.max": "0\n",
    "memory.pressure": (
        "some avg10=1.50 avg60=0.25 avg300=0.00 total=42\n"
        "full avg10=0.00 avg60=0.00 avg300=0.00 total=0\n"
    ),
    "io.stat": "8:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1\n254:0\n",
    "pids.current": "3\n",
    "pids.max": "100\n",
    "hugetlb.1GB.current": "1073741824\n",
    "hugetlb.1GB.events": "max 4\n",
}
NET_DEV = """\
Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo
    lo: 5 5 0 0 0 0 0 0 5 5 0 0 0 0 0 0
  eth0: 1000 10 1 2 0 0 0 0 2000 20 3 4 0 0 0 0
"""


def test_v1_is_read_as_v1_counts() -> None:
    found = parse(V1_TEXTS, host_memory_bytes=HOST)

    assert found.cpu == CpuUsage(
        usage_ns=3_000_000_000,
        user_ns=2_000_000_000,
        system_ns=1_000_000_000,
        per_cpu_ns=(1_900_000_000, 1_100_000_000),
        per_cpu_user_ns=(1_500_000_000, 500_000_000),
        per_cpu_system_ns=(400_000_000, 600_000_000),
        periods=10,
        throttled_periods=4,
        throttled_ns=123_456,
    )
    memory = found.memory
    assert (memory.rss_bytes, memory.cache_bytes, memory.swap_bytes) == (8192, 4096, 12288)
    assert (memory.failures, memory.oom_kills, memory.max_usage_bytes) == (7, 2, 157_286_400)
    assert memory.swap_limit_bytes == 104_857_600
    assert found.pids == PidsUsage(current=3, limit=0)
    assert found.hugepages == (
        HugepageUsage(page_size="2MB", usage_bytes=2097152, max_usage_bytes=4194304, failures=1),
    )


def test_v2_is_read_as_v2_counts() -> None:
    found = parse(V2_TEXTS, host_memory_bytes=HOST)

    assert found.cpu.usage_ns == 3_000_000_000
    assert (found.cpu.throttled_periods, found.cpu.throttled_ns) == (4, 123_000)
    memory = found.memory
    assert (memory.rss_bytes, memory.cache_bytes, memory.swap_bytes) == (8192, 4096, 12288)
    assert (memory.failures, memory.oom_kills, memory.max_usage_bytes) == (7, 2, 157_286_400)
    assert found.pids == PidsUsage(current=3, limit=100)
    assert found.hugepages == (
        HugepageUsage(page_size="1GB", usage_bytes=1 << 30, max_usage_bytes=0, failures=4),
    )
    assert found.memory_pressure is not None
    assert found.memory_pressure.some == Pressure(avg10=1.5, avg60=0.25, avg300=0.0, total_us=42)
    assert found.cpu_pressure is None


def test_both_count_devices_alike() -> None:
    disk = DeviceUsage(major=8, minor=0, read_bytes=4096, write_bytes=8192, reads=1, writes=2)
    other = DeviceUsage(major=8, minor=16, read_bytes=1)

    for texts in (V1_TEXTS, V2_TEXTS):
        found = parse(texts).io
        assert found.devices == (disk, other)
        assert (found.read_bytes, found.write_bytes, found.reads, found.writes) == (
            4097,
            8192,
            1,
            2,
        )


def test_the_working_set_leaves_out_what_can_be_freed_at_once() -> None:
    """As docker stats and cAdvisor compute it."""
    for texts in (V1_TEXTS, V2_TEXTS):
        assert parse(texts).memory.working_set_bytes == 100_000_000


def test_the_limit_is_the_least_of_the_groups_its_parents_and_the_hosts() -> None:
    unlimited = V1_TEXTS | {
        "memory.limit_in_bytes": UNLIMITED,
        "memory.stat": "hierarchical_memory_limit 9223372036854771712\n",
    }

    assert parse(V1_TEXTS, host_memory_bytes=HOST).memory.limit_bytes == 134_217_728
    assert parse(unlimited, host_memory_bytes=HOST).memory.limit_bytes == HOST
    assert parse(V2_TEXTS, host_memory_bytes=HOST).memory.limit_bytes == HOST
    assert parse(unlimited).memory.limit_bytes == 0


def test_a_container_that_is_gone_uses_nothing() -> None:
    assert parse({}) == Stats()


def test_every_file_that_is_asked_for_is_where_its_controller_is() -> None:
    v1, v2 = dict(files(V1, "a/b")), dict(files(V2, "a/b"))
    hybrid = dict(files(HYBRID, "a/b", details=False))

    assert v1["cpuacct.usage"] == "/cg/cpu,cpuacct/a/b/cpuacct.usage"
    assert set(v2.values()) == {f"/cg/a/b/{name}" for name in v2}
    assert {"io.stat", "memory.current", "cpu.stat", "pids.max"} <= set(v2)
    assert "memory.failcnt" in v1
    assert "memory.failcnt" not in hybrid
    assert hybrid["io.stat"] == "/cg/unified/a/b/io.stat"
    assert dict(hugepage_files(V2, "a", "2MB"))["hugetlb.2MB.max"] == "/cg/a/hugetlb.2MB.max"
    assert list(hugepage_files(V1, "a", "2MB")) == []


def test_interfaces_but_loopback_are_counted() -> None:
    assert parse_networks(NET_DEV) == (
        NetworkUsage(
            name="eth0",
            rx_bytes=1000,
            rx_packets=10,
            rx_errors=1,
            rx_dropped=2,
            tx_bytes=2000,
            tx_packets=20,
            tx_errors=3,
            tx_dropped=4,
        ),
    )
    assert parse_networks("") == ()


def test_an_event_has_the_names_that_runc_prints() -> None:
    stats = parse(V1_TEXTS | {"io.pressure": V2_TEXTS["memory.pressure"]}, host_memory_bytes=HOST)

    event = stats_event("c1", stats)

    assert (event["type"], event["id"]) == ("stats", "c1")
    data = render(stats)
    assert data["cpu"] == {
        "usage": {
            "total": 3_000_000_000,
            "percpu": [1_900_000_000, 1_100_000_000],
            "percpu_kernel": [400_000_000, 600_000_000],
            "percpu_user": [1_500_000_000, 500_000_000],
            "kernel": 1_000_000_000,
            "user": 2_000_000_000,
        },
        "throttling": {"periods": 10, "throttledPeriods": 4, "throttledTime": 123_456},
    }
    assert data["pids"] == {"current": 3}
    assert data["hugetlb"] == {"2MB": {"usage": 2097152, "max": 4194304, "failcnt": 1}}
    memory, blkio = data["memory"], data["blkio"]
    assert isinstance(memory, dict)
    assert isinstance(blkio, dict)
    assert memory["cache"] == 4096
    assert memory["usage"] == {
        "limit": 134_217_728, "usage": 104_857_600, "max": 157_286_400, "failcnt": 7,
    }  # fmt: skip
    assert memory["kernel"] == {"limit": 2**64 - 1, "failcnt": 0}
    assert blkio["ioServicedRecursive"] == [
        {"major": 8, "op": "Read", "value": 1},
        {"major": 8, "op": "Write", "value": 2},
        {"major": 8, "minor": 16, "op": "Read"},
        {"major": 8, "minor": 16, "op": "Write"},
    ]
    assert blkio["psi"] == {
        "some": {"avg10": 1.5, "avg60": 0.25, "avg300": 0.0, "total": 42},
        "full": {"avg10": 0.0, "avg60": 0.0, "avg300": 0.0, "total": 0},
    }
    assert oom_event("c1") == {"type": "oom", "id": "c1"}


def test_interfaces_have_the_names_of_runcs_go_struct() -> None:
    stats = Stats(networks=parse_networks(NET_DEV))

    (network,) = render(stats)["network_interfaces"]

    assert network["Name"] == "eth0"
    assert (network["RxBytes"], network["TxDropped"]) == (1000, 4)


@given(st.dictionaries(st.sampled_from(sorted(V1_TEXTS | V2_TEXTS)), st.text(max_size=40)))
def test_law_no_text_of_the_kernel_stops_the_rest(texts: dict[str, str]) -> None:
    """Files change between kernels; what cannot be understood counts as nothing."""
    assert isinstance(parse(texts), Stats)


def test_the_usage_of_this_machines_kernel_is_understood() -> None:
    """The interfaces of this very process, which has at least none."""
    parse_networks(Path("/proc/self/net/dev").read_text())


def test_a_table_of_many_containers_takes_the_coarser_times() -> None:
    """One file instead of three; the kernel counts there in hundredths of a second."""
    brief = {"cpuacct.usage": "3000000000\n", "cpuacct.stat": "user 200\nsystem 100\n"}

    found = parse(brief).cpu

    assert found == CpuUsage(usage_ns=3_000_000_000, user_ns=2_000_000_000, system_ns=1_000_000_000)
