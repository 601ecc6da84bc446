"""Limits are the kernel's, and what they did to a container is told."""

from pathlib import Path

import pytest

from runtime.spec import Resources
from swarm.errors import Invalid, KernelRefused
from tests.kernel.machine import Machine

pytestmark = pytest.mark.kernel


def test_a_container_over_its_memory_is_killed_and_says_so(machine: Machine) -> None:
    exited, _ = machine.run(
        "awk", 'BEGIN { s = "x"; while (1) s = s s }',
        resources=Resources(memory_bytes=16 * 1024 * 1024),
    )  # fmt: skip

    assert (exited.exit_code, exited.signal, exited.oom_killed) == (137, 9, True)


def test_a_container_killed_by_us_was_not_out_of_memory(machine: Machine) -> None:
    exited, _ = machine.run(
        "sh", "-c", "kill -9 $$; kill -TERM -1; exit 3",
        resources=Resources(memory_bytes=64 * 1024 * 1024),
    )  # fmt: skip

    assert (exited.exit_code, exited.oom_killed) == (3, False)


def test_more_processes_than_allowed_cannot_be_forked(machine: Machine) -> None:
    _, output = machine.run(
        "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do sleep 5 & done; wait",
        resources=Resources(pids_limit=5),
    )  # fmt: skip

    assert "can't fork" in output


def own_files(machine: Machine, v1: dict[str, str], v2: tuple[str, ...]) -> list[str]:
    """Files of the container's own groups, as it sees them: by controller in v1."""
    groups = "/sys/fs/cgroup"
    if machine.layout.v1:
        return [f"{groups}/{controller}/{name}" for name, controller in v1.items()]
    return [f"{groups}/{name}" for name in v2]


def test_limits_are_in_force_when_the_program_starts(machine: Machine) -> None:
    files = own_files(
        machine,
        {
            "cpu.cfs_quota_us": "cpu", "cpu.cfs_period_us": "cpu",
            "memory.limit_in_bytes": "memory", "pids.max": "pids",
        },
        ("cpu.max", "memory.max", "pids.max"),
    )  # fmt: skip

    _, output = machine.run(
        "cat", *files,
        resources=Resources(cpu_millis=1500, memory_bytes=32 * 1024 * 1024, pids_limit=50),
    )  # fmt: skip

    assert output.split() == ["150000", "100000", str(32 * 1024 * 1024), "50"]


def test_swap_is_limited_with_memory(machine: Machine) -> None:
    """Otherwise a container over its limit would slow the node down instead of dying."""
    v1 = {"memory.memsw.limit_in_bytes": "memory"}

    _, output = machine.run(
        "cat", *own_files(machine, v1, ("memory.swap.max",)),
        resources=Resources(memory_bytes=32 * 1024 * 1024),
    )  # fmt: skip

    assert output.split() == [str(32 * 1024 * 1024) if machine.layout.v1 else "0"]


def test_swappiness_is_the_groups_own_where_the_kernel_has_one(machine: Machine) -> None:
    asked = Resources(memory_bytes=32 * 1024 * 1024, memory_swappiness=7)
    if not machine.layout.v1:
        with pytest.raises(KernelRefused, match="no swappiness of a group"):
            machine.run("true", resources=asked)
        return

    _, output = machine.run("cat", "/sys/fs/cgroup/memory/memory.swappiness", resources=asked)

    assert output.split() == ["7"]


def test_a_container_is_pinned_only_if_asked(machine: Machine) -> None:
    pinned = machine.run(
        "grep", "Cpus_allowed_list", "/proc/self/status", resources=Resources(cpuset_cpus="0")
    )[1]
    free = machine.run("grep", "Cpus_allowed_list", "/proc/self/status")[1]

    assert pinned.split()[1] == "0"
    mine = Path("/proc/self/status").read_text()
    assert free.strip() in mine


def test_a_limit_below_what_a_start_needs_is_refused(machine: Machine) -> None:
    with pytest.raises(Invalid, match="memory_bytes: must be at least"):
        machine.run("true", resources=Resources(memory_bytes=4096))
