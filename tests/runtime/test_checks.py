from typing import Any

import pytest

from runtime.checks import check
from runtime.spec import File, Health, Log, Mount, MountKind, Overlay, Resources, Rlimit
from swarm.errors import Invalid
from tests.runtime.specs import make_spec


def problems(**fields: Any) -> tuple[str, ...]:
    with pytest.raises(Invalid) as caught:
        check(make_spec(**fields))
    return caught.value.problems


def test_a_plain_spec_is_fine() -> None:
    check(make_spec())


def test_every_problem_is_told_at_once() -> None:
    found = problems(args=(), workdir="x", env=("A",), hostname="h" * 65)

    assert [problem.partition(":")[0] for problem in found] == [
        "args", "env[0]", "workdir", "hostname",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"id": "../x"}, "id: "),
        ({"id": ".x"}, "id: "),
        ({"args": ("a", "b\0")}, "args[1]: "),
        ({"env": ("=x",)}, "env[0]: "),
        ({"cgroup_parent": "a/b"}, "cgroup_parent: "),
        ({"oom_score_adj": 1001}, "oom_score_adj: "),
        ({"host_network": True, "network_namespace": "/x"}, "network_namespace: "),
        ({"host_network": True, "awaits_network": True}, "awaits_network: needs"),
        ({"network_namespace": "/x", "awaits_network": True}, "awaits_network: needs"),
        ({"log": Log(path="log")}, "log.path: "),
        ({"log": Log(path="/log", max_files=-1)}, "log.max_files: "),
        (
            {"rootfs": Overlay(lower_dirs=(), upper_dir="/u", work_dir="/w")},
            "rootfs.lower_dirs: ",
        ),
        ({"mounts": (Mount(source="/x", target="/a/../b"),)}, "mounts[0].target: "),
        ({"mounts": (Mount(source="/x", target="/"),)}, "mounts[0].target: "),
        ({"mounts": (Mount(source="x", target="/x"),)}, "mounts[0].source: "),
        ({"mounts": (Mount(kind=MountKind.TMPFS, source="/x", target="/x"),)}, "mounts[0]: "),
        ({"files": (File(path="/etc/", content=""),)}, "files[0].path: "),
        ({"resources": Resources(cpu_millis=9)}, "resources.cpu_millis: "),
        ({"resources": Resources(memory_bytes=1024)}, "resources.memory_bytes: "),
        ({"resources": Resources(memory_swap_bytes=1)}, "resources.memory_swap_bytes: needs"),
        ({"resources": Resources(memory_swappiness=101)}, "resources.memory_swappiness: "),
        (
            {"resources": Resources(memory_bytes=10**8, memory_swap_bytes=10**7)},
            "resources.memory_swap_bytes: counts",
        ),
        ({"resources": Resources(pids_limit=-1)}, "resources.pids_limit: "),
        ({"resources": Resources(cpuset_cpus="0-")}, "resources.cpuset_cpus: "),
        ({"health": Health(args=())}, "health.args: "),
        ({"health": Health(args=("a\0",))}, "health.args: "),
        ({"health": Health(args=("a",), interval_s=0.0)}, "health.interval_s: "),
        ({"health": Health(args=("a",), timeout_s=-1.0)}, "health.timeout_s: "),
        ({"health": Health(args=("a",), start_interval_s=0.0)}, "health.start_interval_s: "),
        ({"health": Health(args=("a",), start_period_s=-1.0)}, "health.start_period_s: "),
        ({"health": Health(args=("a",), retries=0)}, "health.retries: "),
        ({"rows": 70000}, "rows: "),
        ({"columns": -1}, "columns: "),
        ({"capabilities": ("CAP_FLY",)}, "capabilities[0]: "),
        ({"rlimits": (Rlimit(name="files", soft=1, hard=1),)}, "rlimits[0].name: "),
        ({"rlimits": (Rlimit(name="nofile", soft=2, hard=1),)}, "rlimits[0]: soft limit 2"),
        ({"rlimits": (Rlimit(name="nofile", soft=-1, hard=1),)}, "rlimits[0]: soft limit -1"),
        ({"sysctls": {"kernel.panic": "1"}}, "sysctls[kernel.panic]: is not separate"),
        ({"sysctls": {"net/ipv4/x": "1"}}, "sysctls[net/ipv4/x]: "),
        ({"sysctls": {"net.core.x": "1"}, "host_network": True}, "sysctls[net.core.x]: would"),
        ({"masked_paths": ("proc",)}, "masked_paths[0]: "),
        ({"pid_namespace": "proc/1/ns/pid"}, "pid_namespace: must be absolute"),
        ({"pid_namespace": "container:../x"}, "pid_namespace: must name a container"),
        ({"ipc_namespace": "/proc/1/ns/ipc"}, "ipc_namespace: must name a container"),
        ({"network_namespace": "host"}, "network_namespace: the host's is asked for"),
        ({"uts_namespace": "container:x"}, "uts_namespace: must be empty or `host`"),
        ({"cgroup_namespace": "private"}, "cgroup_namespace: must be empty or `host`"),
        ({"domainname": "d" * 65}, "domainname: "),
        ({"shm_bytes": -1}, "shm_bytes: "),
        ({"device_rules": ("c 1:3",)}, "device_rules[0]: "),
        (
            {"ipc_namespace": "host", "sysctls": {"kernel.shmmax": "1"}},
            "sysctls[kernel.shmmax]: would",
        ),
        ({"resources": Resources(cpu_shares=-1)}, "resources.cpu_shares: "),
        ({"resources": Resources(cpu_quota_us=999)}, "resources.cpu_quota_us: "),
        ({"resources": Resources(cpu_period_us=999)}, "resources.cpu_period_us: "),
        (
            {"resources": Resources(cpu_millis=500, cpu_quota_us=1000)},
            "resources.cpu_quota_us: stands",
        ),
        ({"resources": Resources(blkio_weight=9)}, "resources.blkio_weight: "),
        (
            {"resources": Resources(memory_bytes=10**8, memory_reservation_bytes=10**9)},
            "resources.memory_reservation_bytes: ",
        ),
    ],
)
def test_a_problem_names_its_field(fields: dict[str, Any], expected: str) -> None:
    (problem,) = problems(**fields)

    assert problem.startswith(expected)


def test_swap_may_be_unlimited() -> None:
    check(make_spec(resources=Resources(memory_bytes=10**8, memory_swap_bytes=-1)))
