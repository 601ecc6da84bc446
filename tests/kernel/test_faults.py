"""Whatever step of a start fails, and whoever is killed at it, nothing is left.

Each test goes through every step of one large container. An error has to reach the caller
with the step's name; after a kill, whoever is left has to clean up: the shim after process 1,
the client after the shim, and a new client after all of them.
"""

import asyncio
import errno
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from runtime.io.spares import KEPT as SPARES
from runtime.oci.config import IdMapping
from runtime.spec import (
    ContainerSpec,
    Device,
    File,
    Mount,
    MountKind,
    Resources,
    Rlimit,
    UserNamespace,
)
from swarm.errors import KernelRefused, Unavailable
from tests.kernel.faults import VARIABLE, Faults, Kind, parentage
from tests.kernel.machine import (
    PATIENCE,
    Machine,
    descriptors_at_rest,
    eventually,
    failure_of,
    system_call,
    wait_for,
)

pytestmark = [pytest.mark.kernel, pytest.mark.timeout(600)]

# A sample of the steps, a smaller one on an emulated machine; `make kernel` takes every one.
STRIDE = int(os.environ.get("SWARM_TEST_STRIDE", "3" if PATIENCE == 1 else "7"))
PAUSE = 34  # its number on x86
VARIANTS = ("plain", "mapped", "terminal")


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    path = tmp_path / "faults"
    monkeypatch.setenv(VARIABLE, str(path))
    return Faults(path)


@pytest.fixture
def faulty(faults: Faults, machine: Machine) -> Iterator[Machine]:
    """A machine whose launcher starts containers with faults."""
    launcher = machine.replace_launcher(module="tests.kernel.faulty_launcher")
    machine.run("true")
    wait_for("the spares are there", lambda: len(spares(launcher.pid)) == SPARES)
    before = wait_for("it rests", lambda: descriptors_at_rest(launcher.pid))
    yield machine
    if launcher.poll() is None:
        wait_for("the same again", lambda: descriptors_at_rest(launcher.pid) == before)


def large(machine: Machine, variant: str) -> ContainerSpec:
    """A container that asks for everything a start can be asked for, with `connect`."""
    volume = machine.base / "volume"
    volume.mkdir(exist_ok=True)
    fields: dict[str, Any] = {
        "hostname": "large",
        "workdir": "/made/here",
        "user": "app",
        "additional_groups": ("video",),
        "mounts": (
            Mount(source=str(machine.image / "data"), target="/bound", read_only=True),
            Mount(source=str(volume), target="/data", copy_up=True),
            Mount(kind=MountKind.TMPFS, target="/scratch", size_bytes=1 << 20),
        ),
        "files": (File(path="/etc/hosts", content="127.0.0.1 localhost\n"),),
        "resources": Resources(
            cpu_millis=500, memory_bytes=64 << 20, pids_limit=50, cpuset_cpus="0"
        ),
        "rlimits": (Rlimit(name="nofile", soft=512, hard=512),),
        "sysctls": {"net.ipv4.ip_unprivileged_port_start": "0"},
        "oom_score_adj": 10,
        "read_only_rootfs": True,
        "awaits_network": variant != "terminal",
    }
    if variant == "mapped":
        ids = (IdMapping(container_id=0, host_id=100_000, size=65_536),)
        fields["user_namespace"] = UserNamespace(uids=ids, gids=ids)
    else:
        fields["devices"] = (Device(source="/dev/zero", target="/dev/nought"),)
    if variant == "terminal":
        fields["tty"] = True
        fields["init"] = True
    return machine.spec("sleep", "99", **fields)


async def connect(_: int) -> None:
    """Its network is fine as it is."""


def spares(launcher: int) -> list[int]:
    """The shims that wait for work."""
    return [pid for pid, parent in parentage() if parent == launcher and is_spare(pid)]


def is_spare(pid: int) -> bool:
    """Whether it waits for work, and lives."""
    try:
        return Path(f"/proc/{pid}/comm").read_text() == "swarmd-spare\n"
    except OSError:
        return False


def left(machine: Machine) -> list[str]:
    """What is there but the launcher, and the volume's content."""
    return [each for each in machine.leaks() if "faulty_launcher" not in each or "shim" in each]


async def count_steps(machine: Machine, faults: Faults, variant: str) -> int:
    faults.arm(Kind.NONE, 0)
    async with machine.runtime() as runtime:
        spec = large(machine, variant)
        await runtime.run(spec, connect)
        await runtime.delete(spec.id)
    return faults.count


@pytest.mark.parametrize("variant", VARIANTS)
def test_any_step_that_fails_is_named_and_leaves_nothing(
    faulty: Machine, faults: Faults, variant: str
) -> None:
    async def story() -> None:
        count = await count_steps(faulty, faults, variant)
        assert count > 40
        async with faulty.runtime() as runtime:
            for number in range(0, count, STRIDE):
                faults.arm(Kind.FAIL, number)
                err = await failure_of(runtime.run(large(faulty, variant), connect), KernelRefused)
                assert (err.step, err.errno) == (faults.step, errno.EIO), number
                await eventually(f"nothing of step {number} is left", lambda: not left(faulty))

    asyncio.run(story())


@pytest.mark.parametrize("variant", VARIANTS[:2])
@pytest.mark.parametrize("victim", ["process 1", "its parent", "everyone"])
def test_whoever_is_killed_at_any_step_nothing_is_left(
    faulty: Machine, faults: Faults, victim: str, variant: str
) -> None:
    async def story() -> None:
        count = await count_steps(faulty, faults, variant)
        for number in range(0, count, STRIDE):
            faults.arm(Kind.HOLD, number)
            await killed_at_a_step(faulty, faults, victim, variant)
            await eventually(f"nothing of step {number} is left", lambda: not left(faulty))

    asyncio.run(story())


async def killed_at_a_step(machine: Machine, faults: Faults, victim: str, variant: str) -> None:
    """One container, killed when it waits at the chosen step."""
    async with machine.runtime() as runtime:
        starting = asyncio.create_task(runtime.run(large(machine, variant), connect))
        await eventually("the step is reached", lambda: faults.reached or starting.done())
        line = await eventually("somebody is held", lambda: held(machine.launchers[-1].pid))
        assert len(line) >= 2, line
        for pid in {"process 1": line[-1:], "its parent": line[-2:-1]}.get(victim, line):
            with suppress(ProcessLookupError):  # it went with its parent
                os.kill(pid, signal.SIGKILL)
        failure = await failure_of(starting, (KernelRefused, Unavailable))
        if victim == "process 1":
            assert isinstance(failure, KernelRefused), failure
    if victim == "everyone":  # and a new client finds what is left
        async with machine.runtime() as second:
            assert await second.adopt() == []


def held(launcher: int) -> list[int]:
    """From shim to process 1, of the container that waits at a step; others wait for work."""
    parents = {child: parent for child, parent in parentage()}
    for pid in parents:
        line = [pid]
        while line[0] in parents and parents[line[0]] != launcher:
            line.insert(0, parents[line[0]])
        if line[0] in parents and is_paused(pid):
            return line
    return []


def is_paused(pid: int) -> bool:
    """Whether it is in pause(2), which nobody but `Faults.begin` calls."""
    return system_call(pid) == PAUSE
