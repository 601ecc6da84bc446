"""Limits are the kernel's, and what they did to a container is told."""

from pathlib import Path

import pytest

from runtime.spec import Resources
from swarm.errors import Invalid
from tests.kernel.machine import Machine

pytestmark = pytest.mark.kernel

needs_v1 = pytest.mark.skipif(
    not Path("/sys/fs/cgroup/memory").is_dir(), reason="reads files of cgroup v1"
)


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


@needs_v1
def test_limits_are_in_force_when_the_program_starts(machine: Machine) -> None:
    groups = "/sys/fs/cgroup"
    _, output = machine.run(
        "cat",
        f"{groups}/cpu/cpu.cfs_quota_us", f"{groups}/cpu/cpu.cfs_period_us",
        f"{groups}/memory/memory.limit_in_bytes", f"{groups}/pids/pids.max",
        resources=Resources(cpu_millis=1500, memory_bytes=32 * 1024 * 1024, pids_limit=50),
    )  # fmt: skip

    assert output.split() == ["150000", "100000", str(32 * 1024 * 1024), "50"]


@needs_v1
def test_swap_is_limited_with_memory(machine: Machine) -> None:
    """Otherwise a container over its limit would slow the node down instead of dying."""
    _, output = machine.run(
        "cat", "/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes",
        resources=Resources(memory_bytes=32 * 1024 * 1024),
    )  # fmt: skip

    assert output.split() == [str(32 * 1024 * 1024)]


@needs_v1
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
