"""What the agent may expect of a program in a container, of the real one and of the fake."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from runtime.joining import ExecSpec, refusal_code
from swarm.errors import KernelRefused, Missing
from tests.agent.programs import FakeRuntime
from tests.kernel.joined import read_all, read_until, write_all
from tests.kernel.machine import Machine, wait_for
from tests.liveness import is_alive

Story = Callable[[Any], Awaitable[None]]


@pytest.fixture(params=["fake", pytest.param("kernel", marks=pytest.mark.kernel)])
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[Story], None]:
    """Tell a story with `start`, which runs a program in a container or where one would be."""
    if request.param == "fake":
        return lambda story: asyncio.run(_with_fake(story))
    if os.geteuid() != 0:
        pytest.skip("needs root")
    return lambda story: asyncio.run(_with_kernel(story, tmp_path))


async def _with_fake(story: Story) -> None:
    runtime = FakeRuntime()
    try:
        await story(lambda *args, **fields: runtime.exec("t1", ExecSpec(args=args, **fields)))
    finally:
        runtime.close()


async def _with_kernel(story: Story, base: Path) -> None:
    machine = Machine(base / "m")
    try:
        machine.start_launcher()
        wait_for("the launcher listens", machine.socket.exists)
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "999")
            await runtime.run(spec)
            await story(
                lambda *args, **fields: runtime.exec(spec.id, ExecSpec(args=args, **fields))
            )
            await runtime.delete(spec.id)
    finally:
        machine.close()


@asynccontextmanager
async def running(start: Any, *args: str, **fields: Any) -> AsyncIterator[Any]:
    program = await start(*args, **fields)
    try:
        yield program
    finally:
        program.close()


def test_streams_are_apart_and_the_code_is_the_programs(tell: Callable[[Story], None]) -> None:
    async def story(start: Any) -> None:
        script = "cat; echo no >&2; exit 7"
        async with running(start, "sh", "-c", script, stdin=True) as program:
            await write_all(program.stdin_fd, b"yes\n")
            program.close_stdin()
            assert program.stdin_fd == -1
            assert await program.wait() == 7
            assert await read_all(program.stdout_fd) == b"yes\n"
            assert await read_all(program.stderr_fd) == b"no\n"

    tell(story)


def test_without_stdin_there_is_no_descriptor_for_it(tell: Callable[[Story], None]) -> None:
    async def story(start: Any) -> None:
        async with running(start, "cat") as program:
            assert program.stdin_fd == -1
            assert await program.wait() == 0

    tell(story)


def test_no_descriptor_ever_blocks(tell: Callable[[Story], None]) -> None:
    async def story(start: Any) -> None:
        async with running(start, "sleep", "99", stdin=True) as program:
            for each in (program.stdin_fd, program.stdout_fd, program.stderr_fd):
                assert not os.get_blocking(each)
        async with running(start, "sleep", "99", tty=True) as program:
            assert not os.get_blocking(program.stdout_fd)

    tell(story)


def test_a_terminal_is_one_descriptor_with_a_size(tell: Callable[[Story], None]) -> None:
    async def story(start: Any) -> None:
        async with running(start, "sh", "-c", "read x; echo got $x", tty=True) as program:
            assert (program.tty, program.stdin_fd, program.stderr_fd) == (
                True, program.stdout_fd, -1,
            )  # fmt: skip
            program.resize(33, 44)
            assert os.get_terminal_size(program.stdout_fd) == (44, 33)
            program.close_stdin()
            await write_all(program.stdin_fd, b"typed\r")
            assert b"got typed\r\n" in await read_until(program.stdout_fd, b"got typed\r\n")
            assert await program.wait() == 0

    tell(story)


def test_a_signal_is_128_more_and_comes_too_late_after_the_end(
    tell: Callable[[Story], None],
) -> None:
    async def story(start: Any) -> None:
        async with running(start, "sleep", "99") as program:
            await program.kill(signal.SIGTERM)
            assert await program.wait() == 143
            assert await program.wait() == 143
            with pytest.raises(Missing):
                await program.kill(signal.SIGTERM)

    tell(story)


def test_what_is_closed_ends(tell: Callable[[Story], None]) -> None:
    async def story(start: Any) -> None:
        async with running(start, "sh", "-c", "echo up; sleep 99; true") as program:
            await read_until(program.stdout_fd, b"up\n")
            pid = program.pid
        program.resize(1, 1)
        program.close_stdin()
        deadline = asyncio.get_running_loop().time() + 30
        while is_alive(pid):
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)

    tell(story)


def test_what_is_detached_has_no_streams_and_goes_on(tell: Callable[[Story], None]) -> None:
    async def story(start: Any) -> None:
        async with running(start, "sleep", "99", detach=True) as program:
            assert (program.stdin_fd, program.stdout_fd, program.stderr_fd) == (-1, -1, -1)
            pid = program.pid
        await asyncio.sleep(0.1)  # long enough for what is not detached to be killed
        assert is_alive(pid)

    tell(story)


@pytest.mark.parametrize(("program", "code"), [("no-such-program", 127), ("/etc", 126)])
def test_a_program_that_cannot_start_is_refused(
    tell: Callable[[Story], None], program: str, code: int
) -> None:
    async def story(start: Any) -> None:
        with pytest.raises(KernelRefused) as caught:
            await start(program)
        assert caught.value.step == "exec"
        assert refusal_code(caught.value) == code
        assert program in caught.value.message

    tell(story)
