"""See what a container prints and write to it, from several places at once."""

import asyncio
import os
import signal
from contextlib import suppress
from pathlib import Path

import pytest

from runtime.spec import Log
from swarm.errors import Missing, Unavailable
from tests.kernel.joined import attached, read_all, read_until, write_all
from tests.kernel.machine import Machine, eventually, exit_of, failure_of

pytestmark = pytest.mark.kernel

TICKING = ("sh", "-c", "while :; do echo tick; sleep 0.02; done")


def test_output_comes_by_stream_and_the_end_is_told(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            script = "while ! test -e /tmp/go; do sleep 0.01; done; echo out; echo err >&2; exit 3"
            spec = machine.spec("sh", "-c", script)
            pid = (await runtime.run(spec)).pid
            async with attached(runtime, spec.id) as view:
                assert (view.tty, view.stdin_fd) == (False, -1)
                Path(f"/proc/{pid}/root/tmp/go").touch()
                assert await read_all(view.stdout_fd) == b"out\n"
                assert await read_all(view.stderr_fd) == b"err\n"
                assert (await view.wait()).exit_code == 3
            assert machine.output(spec.id) == "out\nerr\n"
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_several_see_the_same_and_one_that_leaves_disturbs_nobody(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime, machine.runtime() as other:
            spec = machine.spec(*TICKING)
            await runtime.run(spec)
            await other.adopt()
            async with attached(runtime, spec.id) as first:
                async with attached(other, spec.id) as second:
                    await read_until(first.stdout_fd, b"tick\ntick\n")
                    await read_until(second.stdout_fd, b"tick\ntick\n")
                await read_until(first.stdout_fd, b"tick\ntick\n")
            await eventually("their pipes are closed", lambda: _pipes(machine, spec.id) == 2)
            await runtime.delete(spec.id)

    asyncio.run(story())


def _pipes(machine: Machine, name: str) -> int:
    pipes = 0
    for descriptor in Path(f"/proc/{machine.shim_of(name)}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed meanwhile
            pipes += str(descriptor.readlink()).startswith("pipe")
    return pipes


def test_whoever_does_not_read_is_dropped_and_told_and_the_container_goes_on(
    machine: Machine,
) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            much = "dd if=/dev/zero bs=1000000 count=4 2>/dev/null | tr '\\000' y"
            log = Log(path=str(machine.log("slow")), max_bytes=0)
            script = f"{much}; echo; echo done; sleep 99"
            spec = machine.spec("sh", "-c", script, log=log, name="slow")
            await runtime.run(spec)
            async with attached(runtime, spec.id) as view:
                no = await failure_of(view.wait(), Unavailable)
                assert "was not read in time" in no.message
                assert 0 < len(await read_all(view.stdout_fd)) < 4_000_000
            await eventually("it goes on", lambda: "done" in _tail(machine.log(spec.id)))
            await runtime.delete(spec.id)

    asyncio.run(story())


def _tail(path: Path) -> str:
    return path.read_text()[-200:] if path.exists() else ""


def test_closing_one_stream_keeps_the_other(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            script = "while :; do echo tick; echo tock >&2; sleep 0.02; done"
            spec = machine.spec("sh", "-c", script)
            await runtime.run(spec)
            async with attached(runtime, spec.id) as view:
                os.close(view.stdout_fd)
                view.stdout_fd = -1
                await read_until(view.stderr_fd, b"tock\ntock\ntock\n")
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_container_that_does_not_run_cannot_be_attached_to(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            await failure_of(runtime.attach("never-was"), Missing)
            spec = machine.spec("true")
            await machine.finish(runtime, spec)
            await failure_of(runtime.attach(spec.id), Missing)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_lost_shim_ends_the_view(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            async with attached(runtime, spec.id) as view:
                os.kill(machine.shim_of(spec.id), signal.SIGKILL)
                assert await read_all(view.stdout_fd) == b""
                await failure_of(view.wait(), Missing)
                await exit_of(runtime)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_input_reaches_the_program_from_everyone_and_its_end_is_for_all(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("cat", open_stdin=True)
            await runtime.run(spec)
            async with attached(runtime, spec.id) as first, attached(runtime, spec.id) as second:
                await write_all(first.stdin_fd, b"one\n")
                await read_until(second.stdout_fd, b"one\n")
                await write_all(second.stdin_fd, b"two\n")
                await read_until(first.stdout_fd, b"two\n")
            async with attached(runtime, spec.id) as third:
                await write_all(third.stdin_fd, b"three\n")
                await third.end_input()
                assert (await asyncio.wait_for(third.wait(), 10)).exit_code == 0
                assert await read_all(third.stdout_fd) == b"three\n"
            assert machine.output(spec.id) == "one\ntwo\nthree\n"
            await runtime.delete(spec.id)

    asyncio.run(story())
