"""Pause and resume containers; end, delete and adopt what is paused."""

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from runtime.io.client import Runtime
from runtime.spec import Resources
from swarm.errors import Missing
from tests.kernel.joined import run
from tests.kernel.machine import Machine, cpu_ticks, eventually, exit_of, failure_of

pytestmark = pytest.mark.kernel

_LIMITED = Resources(memory_bytes=64 << 20, pids_limit=50)
COUNTING = ("sh", "-c", "n=0; while :; do n=$((n+1)); echo $n > /tmp/n; done")


def test_nothing_runs_while_paused_and_everything_after(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec(*COUNTING)
            pid = (await runtime.run(spec)).pid
            await eventually("it counts", Path(f"/proc/{pid}/root/tmp/n").exists)
            assert not runtime.is_paused(spec.id)
            await runtime.pause(spec.id)
            await runtime.pause(spec.id)
            assert runtime.is_paused(spec.id)

            # Whoever is stopped is off its CPU a moment later.
            await eventually("it stands", lambda: cpu_ticks(pid) == cpu_ticks(pid))
            stands = cpu_ticks(pid)
            deadline = time.monotonic() + 0.2
            while time.monotonic() < deadline:
                assert cpu_ticks(pid) == stands

            await runtime.resume(spec.id)
            await runtime.resume(spec.id)
            assert not runtime.is_paused(spec.id)
            await eventually("it goes on", lambda: cpu_ticks(pid) > stands)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_killing_what_is_paused_ends_it(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            await runtime.pause(spec.id)
            await runtime.kill(spec.id, signal.SIGKILL)
            assert (await exit_of(runtime)).exit_code == 137
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_stopping_what_is_paused_lets_it_hear_the_signal(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            script = 'trap "exit 5" TERM; echo up; while :; do sleep 0.01; done'
            spec = machine.spec("sh", "-c", script)
            await runtime.run(spec)
            await eventually("it is up", lambda: machine.output(spec.id))
            await runtime.pause(spec.id)
            await runtime.kill(spec.id, signal.SIGTERM)
            assert (await exit_of(runtime)).exit_code == 5
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_another_signal_waits_for_the_end_of_the_pause(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            script = 'trap "exit 6" USR1; echo up; while :; do sleep 0.01; done'
            spec = machine.spec("sh", "-c", script)
            await runtime.run(spec)
            await eventually("it is up", lambda: machine.output(spec.id))
            await runtime.pause(spec.id)
            await runtime.kill(spec.id, signal.SIGUSR1)
            assert runtime.is_paused(spec.id)
            await runtime.resume(spec.id)
            assert (await exit_of(runtime)).exit_code == 6
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_deleting_what_is_paused_leaves_nothing(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sh", "-c", "sleep 99 & sleep 99")
            await runtime.run(spec)
            await runtime.pause(spec.id)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_paused_container_without_its_shim_is_ended_and_told(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sh", "-c", "sleep 99 & sleep 99")
            await runtime.run(spec)
            await runtime.pause(spec.id)
            os.kill(machine.shim_of(spec.id), signal.SIGKILL)
            assert (await exit_of(runtime)).exit_code == 137
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_new_client_finds_it_paused(machine: Machine) -> None:
    async def story() -> None:
        spec = machine.spec("sleep", "99")
        async with machine.runtime() as first:
            await first.run(spec)
            await first.pause(spec.id)
        async with machine.runtime() as second:
            await second.adopt()
            assert second.is_paused(spec.id)
            await second.resume(spec.id)
            assert await run(second, spec.id, "true") == (0, b"", b"")
            await second.delete(spec.id)

    asyncio.run(story())


def test_what_does_not_run_cannot_be_paused(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("true")
            await machine.finish(runtime, spec)
            for ask in (runtime.pause, runtime.resume, runtime.stats, runtime.processes):
                await failure_of(ask(spec.id), Missing)
            await runtime.delete(spec.id)
            await failure_of(runtime.pause("never-was"), Missing)

    asyncio.run(story())


def test_stats_and_processes_are_the_containers_own(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sh", "-c", "while :; do :; done", resources=_LIMITED)
            pid = (await runtime.run(spec)).pid
            before = await runtime.stats(spec.id)
            started = cpu_ticks(pid)  # an emulated machine has taken its time to start it
            await eventually("it has used some", lambda: cpu_ticks(pid) > started + 20)
            after = await runtime.stats(spec.id)

            assert after.cpu.usage_ns - before.cpu.usage_ns > 50_000_000
            assert 0 < after.memory.usage_bytes < after.memory.limit_bytes == 64 << 20
            assert (after.pids.current, after.pids.limit) == (1, 50)
            assert [each.name for each in after.networks if each.name != "lo"] == []
            assert await runtime.processes(spec.id) == [pid]

            host = machine.spec("sleep", "99", host_network=True)
            await runtime.run(host)
            assert (await runtime.stats(host.id)).networks == ()
            await runtime.delete(spec.id)
            await runtime.delete(host.id)

    asyncio.run(story())


def test_what_ends_while_it_is_paused_does_not_run(machine: Machine) -> None:
    """Its group may go between the look and the hand; whoever asks hears that it has ended.

    It is asked until it has, so that one of the questions meets every moment of its end.
    """

    async def story() -> None:
        async with machine.runtime() as runtime:
            for _ in range(10):
                spec = machine.spec("true")
                await runtime.run(spec)
                with pytest.raises(Missing):
                    await _pause_until_it_fails(runtime, spec.id)
                await runtime.delete(spec.id)

    asyncio.run(story())


async def _pause_until_it_fails(runtime: Runtime, container_id: str) -> None:
    while True:
        await runtime.pause(container_id)
        await runtime.resume(container_id)
        await asyncio.sleep(0)
