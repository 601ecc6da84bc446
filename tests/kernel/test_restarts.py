"""Start a container again: its files are as it left them, and its log goes on."""

import asyncio
import os
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from runtime.oci.config import IdMapping
from runtime.spec import ContainerSpec, Mount, UserNamespace
from swarm.errors import KernelRefused
from tests.kernel.machine import Machine, eventually, exit_of, failure_of

pytestmark = pytest.mark.kernel

COUNTING = ("sh", "-c", "echo x >> /count; wc -l < /count")
MAPPED = (IdMapping(container_id=0, host_id=100_000, size=65_536),)


def lasting(machine: Machine, *args: str, **fields: Any) -> ContainerSpec:
    spec = machine.spec(*args, **fields)
    return replace(spec, rootfs=replace(spec.rootfs, lasting=True))


def test_it_goes_on_with_its_layer_and_its_log(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = lasting(machine, *COUNTING)
            for _ in range(3):
                await machine.finish(runtime, spec)
                await runtime.delete(spec.id, keep_layer=True, keep_log=True)
            assert machine.output(spec.id) == "1\n2\n3\n"

            await machine.finish(runtime, spec)
            await runtime.delete(spec.id)
            assert not Path(spec.rootfs.upper_dir).exists()
            assert not machine.log(spec.id).exists()

    asyncio.run(story())


def test_a_layer_that_was_not_meant_to_last_can_be_kept_all_the_same(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec(*COUNTING)
            for _ in range(2):
                await machine.finish(runtime, spec)
                await runtime.delete(spec.id, keep_layer=True, keep_log=True)
            await machine.finish(runtime, spec)
            assert machine.output(spec.id) == "1\n2\n3\n"
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_what_is_synced_to_a_lasting_layer_is_on_disk(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            mine = lasting(machine, "sleep", "99")
            for spec, is_written_back in (
                (mine, True),
                (machine.spec("sleep", "99"), False),
                (replace(mine, id="v", rootfs=replace(mine.rootfs, volatile=True)), False),
            ):
                pid = (await runtime.run(spec)).pid
                mounts = Path(f"/proc/{pid}/mounts").read_text().splitlines()
                (root,) = (line for line in mounts if " / overlay " in line)
                assert ("volatile" in root) is not is_written_back
                await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_start_that_is_refused_takes_nothing_of_the_layer_along(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = lasting(machine, *COUNTING)
            await machine.finish(runtime, spec)
            await runtime.delete(spec.id, keep_layer=True, keep_log=True)
            wrong = replace(spec, mounts=(Mount(source="/never-was", target="/mnt"),))
            await failure_of(runtime.run(wrong), KernelRefused)
            assert Path(spec.rootfs.upper_dir, "count").read_text() == "x\n"

            await machine.finish(runtime, spec)
            assert machine.output(spec.id) == "1\n2\n"
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_client_that_finds_a_container_half_made_keeps_its_layer(machine: Machine) -> None:
    async def story() -> None:
        spec = lasting(machine, *COUNTING)
        async with machine.runtime() as runtime:
            await machine.finish(runtime, spec)
            await runtime.delete(spec.id, keep_layer=True, keep_log=True)
            await machine.finish(runtime, spec)
        # As one whose shim was killed before it had recorded a state.
        await eventually("its shim ended", lambda: not machine.shim_of(spec.id))
        (machine.run_root / "containers" / spec.id / "state.json").unlink()
        async with machine.runtime() as runtime:
            assert await runtime.adopt() == []
            assert not (machine.run_root / "containers" / spec.id).exists()
            await machine.finish(runtime, spec)
            assert machine.output(spec.id) == "1\n2\n3\n"
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_lasting_layer_may_be_volatile(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = lasting(machine, *COUNTING)
            spec = replace(spec, rootfs=replace(spec.rootfs, volatile=True))
            for _ in range(2):
                await machine.finish(runtime, spec)
                await runtime.delete(spec.id, keep_layer=True, keep_log=True)
            wrong = replace(spec, mounts=(Mount(source="/never-was", target="/mnt"),))
            await failure_of(runtime.run(wrong), KernelRefused)
            await machine.finish(runtime, spec)
            assert machine.output(spec.id) == "1\n2\n3\n"
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_whoever_owns_the_root_directory_goes_on_owning_it(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = lasting(
                machine, "sh", "-c", "stat -c %u /; chown 7:7 /",
                user_namespace=UserNamespace(uids=MAPPED, gids=MAPPED),
            )  # fmt: skip
            for _ in range(2):
                await machine.finish(runtime, spec)
                await runtime.delete(spec.id, keep_layer=True, keep_log=True)
            assert Path(spec.rootfs.upper_dir).stat().st_uid == 100_007
            assert machine.output(spec.id) == "0\n7\n"
            await machine.finish(runtime, spec)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_container_that_is_killed_at_any_time_starts_again(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = lasting(machine, "sh", "-c", "echo x >> /count; exec sleep 99")
            file = Path(spec.rootfs.upper_dir, "count")

            def lines() -> int:
                return len(file.read_text().splitlines()) if file.exists() else 0

            for count in range(1, 6):
                await runtime.run(spec)
                await eventually("it has run", lambda: lines() == count)  # noqa: B023
                os.kill(machine.shim_of(spec.id), 9)
                await exit_of(runtime)
                await runtime.delete(spec.id, keep_layer=True, keep_log=True)
            await runtime.run(spec)
            await runtime.delete(spec.id)

    asyncio.run(story())
