"""Be attached before a container starts: nothing of what it writes is missed."""

import asyncio
import os
import signal
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.io.attachment import Attachment
from runtime.io.client import Runtime
from runtime.outcome import Exited
from runtime.spec import ContainerSpec, Log, Mount
from runtime.wire import MOST_VIEWERS, Manner
from swarm.errors import KernelRefused, Missing, Unavailable
from tests.kernel.joined import attached, read_all, read_some, read_until, write_all
from tests.kernel.machine import Machine, eventually, exit_of, failure_of, system_call

pytestmark = pytest.mark.kernel

PATIENT = Manner.WAITED_FOR
WRITE = 1  # its number on x86


@asynccontextmanager
async def viewing(
    runtime: Runtime, spec: ContainerSpec, *manners: Manner, **options: Any
) -> AsyncGenerator[list[Attachment]]:
    """A container whose viewers were there first; it is deleted in the end."""
    viewers = [Attachment(spec.id, manner) for manner in manners or (PATIENT,)]
    try:
        await runtime.run(spec, viewers=viewers, **options)
        yield viewers
    finally:
        for viewer in viewers:
            viewer.close()
        await runtime.delete(spec.id)


async def seen(viewer: Attachment) -> tuple[bytes, bytes, Exited]:
    """All that it printed, and how it ended."""
    out, err, exited = await asyncio.gather(
        read_all(viewer.stdout_fd), read_all(viewer.stderr_fd), viewer.wait()
    )
    return out, err, exited


def test_the_first_byte_is_seen_of_programs_that_end_at_once(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            for number in range(50):
                spec = machine.spec("sh", "-c", f"echo out{number}; echo err{number} >&2; exit 3")
                async with viewing(runtime, spec) as (viewer,):
                    out, err, exited = await asyncio.wait_for(seen(viewer), 10)
                    assert (out, err) == (b"out%d\n" % number, b"err%d\n" % number)
                    assert exited.exit_code == 3

    asyncio.run(story())


def test_every_viewer_sees_the_same(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("echo", "hello")
            many = [PATIENT] * (MOST_VIEWERS - 1) + [Manner.PLAIN]
            async with viewing(runtime, spec, *many) as viewers:
                assert len(viewers) == MOST_VIEWERS
                for viewer in viewers:
                    out, _, _ = await asyncio.wait_for(seen(viewer), 10)
                    assert out == b"hello\n"

    asyncio.run(story())


def test_those_that_are_too_many_to_come_along_come_after(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("cat", open_stdin=True)
            async with viewing(runtime, spec, *[PATIENT] * (MOST_VIEWERS + 2)) as viewers:
                await write_all(viewers[-1].stdin_fd, b"late\n")
                for viewer in viewers:
                    await read_until(viewer.stdout_fd, b"late\n")

    asyncio.run(story())


def test_a_network_that_is_awaited_and_a_terminal_make_no_difference(machine: Machine) -> None:
    async def connect(_: int) -> None:
        await asyncio.sleep(0)

    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("echo", "here", awaits_network=True, tty=True)
            async with viewing(runtime, spec, attach=connect) as (viewer,):
                assert viewer.tty
                assert viewer.stdin_fd >= 0
                assert viewer.stderr_fd == -1
                assert await asyncio.wait_for(read_all(viewer.stdout_fd), 10) == b"here\r\n"

    asyncio.run(story())


def test_megabytes_pass_through_a_program_and_its_input_ends(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            data = os.urandom(10 << 20)
            spec = machine.spec("cat", open_stdin=True, log=Log(path=str(machine.log("cat"))))
            async with viewing(runtime, spec) as (viewer,):

                async def feed() -> None:
                    await write_all(viewer.stdin_fd, data)
                    await viewer.end_input()

                feeding = asyncio.create_task(feed())
                out, _, exited = await asyncio.wait_for(seen(viewer), 60)
                await feeding
                assert out == data
                assert exited.exit_code == 0

    asyncio.run(story())


def test_a_slow_reader_loses_nothing_and_the_container_waits_for_it(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            size = 6_000_000
            script = f"yes | head -c {size} >/dev/null; dd if=/dev/zero bs={size} count=1; exit 7"
            spec = machine.spec("sh", "-c", script)
            async with viewing(runtime, spec, PATIENT, Manner.PLAIN) as (slow, hasty):
                quick = asyncio.create_task(read_all(hasty.stdout_fd))
                await eventually("its pipe is full", lambda: _waits(machine, spec.id))
                assert not (await runtime.adopt())[0].exited
                out = b""
                while part := await asyncio.wait_for(read_some(slow.stdout_fd), 10):
                    out += part
                assert len(out) == size
                assert (await slow.wait()).exit_code == 7
                await quick

    asyncio.run(story())


def _waits(machine: Machine, name: str) -> bool:
    """Whether the shim reads no more of what its container has to say."""
    shim, procs = machine.shim_of(name), machine.cgroup("pids", name) / "cgroup.procs"
    pids = procs.read_text().split() if shim else []
    return any(system_call(int(pid)) == WRITE for pid in pids) and _filled(shim) and _filled(shim)


def _is_logged(machine: Machine, name: str, text: str) -> bool:
    path = machine.log(name)
    return path.exists() and text in path.read_text()


def _filled(shim: int) -> bool:
    stat = Path(f"/proc/{shim}/stat").read_text().rpartition(")")[2].split()
    return stat[0] == "S" and Path(f"/proc/{shim}/syscall").read_text().split()[0] == "7"


def test_all_that_was_printed_can_be_read_after_the_end_of_the_shim(machine: Machine) -> None:
    """A reader that takes nothing until all is over finds it in its pipe, which has grown.

    1. The program prints what fits exactly into the viewer's pipe.
    2. What it prints then fills the program's own pipe, and it ends.
    3. The shim ends, too, and holds nobody up.
    """

    async def story() -> None:
        async with machine.runtime() as runtime:
            size = (1 << 18) + 60_000
            script = f"dd if=/dev/zero bs={1 << 18} count=1; dd if=/dev/zero bs=60000 count=1"
            spec = machine.spec("sh", "-c", f"({script}) 2>/dev/null; echo last >&2")
            async with viewing(runtime, spec) as (viewer,):
                await exit_of(runtime)
                await eventually("its shim ends", lambda: not machine.shim_of(spec.id))
                out, err, exited = await seen(viewer)
                assert (len(out), err, exited.exit_code) == (size, b"last\n", 0)

    asyncio.run(story())


def test_a_reader_that_leaves_lets_the_container_go_on(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            script = "dd if=/dev/zero bs=4000000 count=1 2>/dev/null; echo done; sleep 99"
            spec = machine.spec("sh", "-c", script)
            async with viewing(runtime, spec) as (viewer,):
                await eventually("it waits", lambda: _waits(machine, spec.id))
                assert not _is_logged(machine, spec.id, "done")
                viewer.close()
                await eventually("it goes on", lambda: _is_logged(machine, spec.id, "done"))

    asyncio.run(story())


def test_a_client_that_is_killed_lets_the_container_go_on(machine: Machine) -> None:
    """Its death closes the reading ends: nobody has to tell the shim."""

    async def begin(name: str) -> None:
        runtime = Runtime(run_root=machine.run_root, launcher_socket=machine.socket)
        script = "dd if=/dev/zero bs=4000000 count=1 2>/dev/null; echo done; sleep 99"
        viewer = Attachment(name, PATIENT)
        await runtime.run(machine.spec("sh", "-c", script, name=name), viewers=(viewer,))
        await asyncio.sleep(1000)

    pid = os.fork()
    if pid == 0:
        try:
            asyncio.run(begin("orphan"))
        finally:
            os._exit(1)

    async def story() -> None:
        async with machine.runtime() as runtime:
            await eventually("it waits", lambda: machine.shim_of("orphan"))
            await eventually("its pipe is full", lambda: _waits(machine, "orphan"))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)  # noqa: ASYNC222  # it is dead already
            await runtime.adopt()
            await eventually("it goes on", lambda: _is_logged(machine, "orphan", "done"))
            await runtime.delete("orphan")

    asyncio.run(story())


def test_input_ends_with_the_connection_of_whoever_brings_it(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sh", "-c", "cat; echo over", open_stdin=True)
            both = PATIENT | Manner.ENDS_INPUT
            async with viewing(runtime, spec, both, PATIENT) as (feeding, watching):
                await write_all(feeding.stdin_fd, b"in\n")
                await read_until(watching.stdout_fd, b"in\n")
                feeding.close()
                out, _, exited = await asyncio.wait_for(seen(watching), 10)
                assert (out, exited.exit_code) == (b"over\n", 0)

    asyncio.run(story())


def test_whoever_comes_behind_the_log_gets_what_is_not_in_it_yet(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            script = "echo one; printf tw; while ! test -e /tmp/go; do sleep 0.01; done; echo o"
            spec = machine.spec("sh", "-c", script)
            async with viewing(runtime, spec) as (first,):
                await read_until(first.stdout_fd, b"one\ntw")
                viewer = await runtime.attach(spec.id, PATIENT | Manner.BEHIND_LOG)
                log = machine.log(spec.id)
                assert viewer.log_inode == log.stat().st_ino
                assert log.read_bytes()[: viewer.log_bytes].count(b"\n") == 1
                state = (await runtime.adopt())[0]
                Path(f"/proc/{state.pid}/root/tmp/go").touch()
                assert await asyncio.wait_for(read_all(viewer.stdout_fd), 10) == b"two\n"
                viewer.close()

    asyncio.run(story())


def test_a_start_that_is_refused_is_told_to_viewers(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            wrong = machine.spec("true", mounts=(Mount(source="/never-was", target="/mnt"),))
            viewer = Attachment(wrong.id, PATIENT)
            await failure_of(runtime.run(wrong, viewers=(viewer,)), KernelRefused)
            await failure_of(viewer.attached(), KernelRefused)
            assert await read_all(viewer.stdout_fd) == b""
            viewer.close()

    asyncio.run(story())


def test_a_container_that_was_there_before_is_joined_where_it_is(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("cat", open_stdin=True)
            await runtime.run(spec)
            async with viewing(runtime, spec) as (viewer,):
                await write_all(viewer.stdin_fd, b"again\n")
                await read_until(viewer.stdout_fd, b"again\n")

    asyncio.run(story())


def test_a_launcher_that_dies_loses_no_viewer(machine: Machine) -> None:
    """The request is lost with it and made again, and the viewer is invited again."""

    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("echo", "hello")
            (launcher,) = machine.launchers
            launcher.send_signal(signal.SIGSTOP)
            viewer = Attachment(spec.id, PATIENT)
            running = asyncio.create_task(runtime.run(spec, viewers=(viewer,)))
            await eventually("it was invited", lambda: viewer.is_invited)
            launcher.kill()
            machine.replace_launcher()
            await running
            out, _, exited = await asyncio.wait_for(seen(viewer), 10)
            assert (out, exited.exit_code) == (b"hello\n", 0)
            viewer.close()
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_nobody_is_attached_once_a_start_was_given_up(machine: Machine) -> None:
    async def never(_: int) -> None:
        await asyncio.sleep(1000)

    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("true", awaits_network=True)
            viewer = Attachment(spec.id, PATIENT)
            running = asyncio.create_task(runtime.run(spec, never, viewers=(viewer,)))
            await eventually("it was invited", lambda: viewer.is_invited)
            running.cancel()
            await failure_of(running, asyncio.CancelledError)  # type: ignore[arg-type]
            await failure_of(viewer.attached(), (Missing, Unavailable))
            viewer.close()

    asyncio.run(story())


def test_seeing_something_takes_nothing_from_those_who_are_dropped(machine: Machine) -> None:
    """One that is waited for holds the container up; one that is not still loses its place."""

    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("dd", "if=/dev/zero", "bs=4000000", "count=1")
            async with viewing(runtime, spec) as (slow,), attached(runtime, spec.id) as hasty:
                reading = asyncio.create_task(seen(slow))
                no = await failure_of(asyncio.wait_for(hasty.wait(), 10), (Unavailable, Missing))
                assert isinstance(no, Unavailable)
                assert len((await reading)[0]) == 4_000_000

    asyncio.run(story())
