"""Change what a running container may use."""

import asyncio
import os
from pathlib import Path
from unittest.mock import patch

import pytest

from runtime.io.client import Runtime
from runtime.joining import ExecSpec
from runtime.spec import Resources
from swarm.errors import Invalid, KernelRefused, Missing
from tests.kernel.joined import run, running
from tests.kernel.machine import Machine, eventually, failure_of

pytestmark = pytest.mark.kernel

MIB = 1 << 20


def limit(machine: Machine, name: str, controller: str, v1: str, v2: str) -> str:
    """What a file of the container's group says, by its name in each version."""
    file = v1 if controller in machine.layout.v1 else v2
    return (machine.cgroup(controller, name) / file).read_text().strip()


def limits(machine: Machine, name: str) -> tuple[str, str, str]:
    """Of CPU shares, memory and processes."""
    return (
        limit(machine, name, "cpu", "cpu.shares", "cpu.weight"),
        limit(machine, name, "memory", "memory.limit_in_bytes", "memory.max"),
        limit(machine, name, "pids", "pids.max", "pids.max"),
    )


def quota(machine: Machine, name: str) -> tuple[str, str]:
    if "cpu" not in machine.layout.v1:
        most, period = limit(machine, name, "cpu", "", "cpu.max").split()
        return most.replace("max", "-1"), period
    return (
        limit(machine, name, "cpu", "cpu.cfs_quota_us", ""),
        limit(machine, name, "cpu", "cpu.cfs_period_us", ""),
    )


def test_limits_come_change_and_go(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            free = limits(machine, spec.id)

            wanted = Resources(cpu_shares=512, memory_bytes=64 * MIB, pids_limit=50)
            await runtime.update(spec.id, wanted)
            shares = "512" if "cpu" in machine.layout.v1 else "59"
            assert limits(machine, spec.id) == (shares, str(64 * MIB), "50")

            for memory in (32 * MIB, 128 * MIB):  # swap is counted with it, on the way down and up
                await runtime.update(spec.id, Resources(memory_bytes=memory))
                assert limits(machine, spec.id) == (free[0], str(memory), "max")

            await runtime.update(spec.id, Resources())
            assert limits(machine, spec.id) == free
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_time_on_cpus_is_given_by_quota_or_as_a_number_of_them(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99", resources=Resources(cpu_millis=500))
            await runtime.run(spec)
            for wanted, found in (
                (Resources(cpu_quota_us=30_000, cpu_period_us=60_000), ("30000", "60000")),
                (Resources(cpu_millis=250), ("25000", "100000")),
                (Resources(), ("-1", "100000")),
            ):
                await runtime.update(spec.id, wanted)
                assert quota(machine, spec.id) == found
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_all_processes_are_moved_into_a_group_that_there_was_not(machine: Machine) -> None:
    """Only containers that are pinned have a group of cpusets from the beginning."""

    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sh", "-c", "sleep 98 & sleep 97 & wait")
            first = (await runtime.run(spec)).pid
            procs = machine.cgroup("pids", spec.id) / "cgroup.procs"
            await eventually("all run", lambda: len(procs.read_text().split()) == 3)
            async with running(runtime, spec.id, "sleep", "96"):
                await runtime.update(spec.id, Resources(cpuset_cpus="0"))
                pids = await runtime.processes(spec.id)
                assert len(pids) == 4
                for pid in pids:
                    status = Path(f"/proc/{pid}/status").read_text()
                    assert "Cpus_allowed_list:\t0\n" in status
            code, out, _ = await run(
                runtime, spec.id, "grep", "Cpus_allowed_list", "/proc/self/status"
            )
            assert (code, out.split()[-1]) == (0, b"0")

            await runtime.update(spec.id, Resources())
            online = Path("/sys/devices/system/cpu/online").read_text()
            status = Path(f"/proc/{first}/status").read_text()
            assert f"Cpus_allowed_list:\t{online}" in status
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_what_the_kernel_refuses_changes_nothing(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99", resources=Resources(memory_bytes=64 * MIB))
            await runtime.run(spec)
            before = limits(machine, spec.id)
            wrong = Resources(memory_bytes=32 * MIB, pids_limit=7, cpuset_cpus="4000")
            no = await failure_of(runtime.update(spec.id, wrong), KernelRefused)
            assert "4000" in no.message
            assert limits(machine, spec.id) == before
            assert not machine.cgroup("cpuset", spec.id).exists() or not machine.layout.v1

            await failure_of(runtime.update(spec.id, Resources(cpu_shares=-1)), Invalid)
            await failure_of(runtime.update("never-was", Resources()), Missing)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_the_next_client_knows_what_was_changed(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            await runtime.update(spec.id, Resources(cpuset_cpus="0", pids_limit=9))
        async with machine.runtime() as runtime:
            await runtime.adopt()
            program = await runtime.exec(spec.id, ExecSpec(args=("sleep", "9")))
            status = Path(f"/proc/{program.pid}/status").read_text()
            assert "Cpus_allowed_list:\t0\n" in status
            program.close()
            await runtime.update(spec.id, Resources())
            assert limit(machine, spec.id, "pids", "pids.max", "pids.max") == "max"
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_further_limits_are_set_from_the_beginning(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            wanted = Resources(
                cpu_shares=2048,
                cpu_quota_us=20_000,
                cpu_period_us=40_000,
                memory_bytes=64 * MIB,
                memory_reservation_bytes=32 * MIB,
                oom_kill_disable="memory" in machine.layout.v1,
            )
            spec = machine.spec("sleep", "99", resources=wanted)
            await runtime.run(spec)
            assert quota(machine, spec.id) == ("20000", "40000")
            found = limit(machine, spec.id, "memory", "memory.soft_limit_in_bytes", "memory.low")
            assert found == str(32 * MIB)
            if wanted.oom_kill_disable:
                control = limit(machine, spec.id, "memory", "memory.oom_control", "")
                assert "oom_kill_disable 1" in control
            await runtime.delete(spec.id)

    asyncio.run(story())


@pytest.mark.parametrize("point", ["limits.update", "host.replace_file", "_enter", "_move"])
def test_a_client_that_is_killed_while_it_updates_leaves_a_container_that_can_go_on(
    machine: Machine, point: str
) -> None:
    """At whatever step it dies: the next one may change it again, and delete all of it."""
    if point == "_move" and "cpuset" not in machine.layout.v1:
        pytest.skip("every container is in the one hierarchy of this host")

    async def interrupted(name: str) -> None:
        runtime = Runtime(run_root=machine.run_root, launcher_socket=machine.socket)
        await runtime.adopt()
        with patch(f"runtime.io.updating.{point}", side_effect=lambda *_: os.kill(os.getpid(), 9)):
            await runtime.update(name, Resources(cpuset_cpus="0", pids_limit=9))

    async def story(name: str) -> None:
        async with machine.runtime() as runtime:
            await runtime.adopt()
            await runtime.update(name, Resources(cpuset_cpus="0", pids_limit=8))
            (pid,) = await runtime.processes(name)
            assert "Cpus_allowed_list:\t0\n" in Path(f"/proc/{pid}/status").read_text()
            assert limit(machine, name, "pids", "pids.max", "pids.max") == "8"
            await runtime.delete(name)

    async def begin() -> str:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            return spec.id

    name = asyncio.run(begin())
    pid = os.fork()
    if pid == 0:
        asyncio.run(interrupted(name))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -9
    asyncio.run(story(name))
