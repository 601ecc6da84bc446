"""What callers of programs rely on: held by the runtime, and by the fake that agents' tests use."""

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from runtime.joining import ExecSpec, refusal_code
from swarm.errors import KernelRefused, Missing
from tests.agent.programs import FakeRuntime
from tests.kernel.joined import container, read_all, read_until, run, running, write_all
from tests.kernel.machine import Machine, wait_for

Story = Callable[[Any, str], Awaitable[None]]
Tell = Callable[[Story], None]


def tell_fake(story: Story, tmp_path: Path) -> None:
    async def told() -> None:
        runtime = FakeRuntime()
        try:
            await story(runtime, "t1")
        finally:
            runtime.close()

    asyncio.run(told())


def tell_real(story: Story, tmp_path: Path) -> None:
    async def told() -> None:
        async with container(machine) as (runtime, name):
            await story(runtime, name)

    machine = Machine(tmp_path / "m")
    try:
        machine.start_launcher()
        wait_for("the launcher listens", machine.socket.exists)
        asyncio.run(told())
        for launcher in machine.launchers:
            launcher.terminate()
            launcher.wait(5)
        wait_for("nothing is left", lambda: not machine.leaks(), within_s=5)
    finally:
        machine.close()


@pytest.fixture(
    params=[
        pytest.param(tell_fake, id="fake"),
        pytest.param(tell_real, id="runtime", marks=pytest.mark.kernel),
    ]
)
def tell(request: pytest.FixtureRequest, tmp_path: Path) -> Tell:
    """Run a story with what runs programs, and the container to run them in."""
    return lambda story: request.param(story, tmp_path)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def gone(pid: int) -> None:
    async with asyncio.timeout(10):
        while is_alive(pid):
            await asyncio.sleep(0.005)


def test_output_errors_and_exit_code_are_apart(tell: Tell) -> None:
    async def story(runtime: Any, name: str) -> None:
        script = "cat; echo no >&2; exit 7"
        found = await run(runtime, name, "sh", "-c", script, stdin=b"yes\n")

        assert found == (7, b"yes\n", b"no\n")

    tell(story)


def test_without_input_there_is_an_end_and_no_descriptor(tell: Tell) -> None:
    async def story(runtime: Any, name: str) -> None:
        async with running(runtime, name, "cat") as program:
            assert program.stdin_fd == -1
            assert await read_all(program.stdout_fd) == b""
            assert await program.wait() == 0

    tell(story)


def test_no_descriptor_ever_blocks(tell: Tell) -> None:
    async def story(runtime: Any, name: str) -> None:
        async with running(runtime, name, "sleep", "99", stdin=True) as program:
            for each in (program.stdin_fd, program.stdout_fd, program.stderr_fd):
                assert not os.get_blocking(each)
        async with running(runtime, name, "sleep", "99", stdin=True, tty=True) as program:
            assert not os.get_blocking(program.stdout_fd)

    tell(story)


def test_a_signal_that_ends_it_is_in_its_exit_code(tell: Tell) -> None:
    async def story(runtime: Any, name: str) -> None:
        async with running(runtime, name, "sleep", "99") as program:
            await program.kill(signal.SIGTERM)

            assert await asyncio.wait_for(program.wait(), 10) == 143
            with pytest.raises(Missing):
                await program.kill(signal.SIGTERM)

    tell(story)


def test_closing_it_ends_it(tell: Tell) -> None:
    async def story(runtime: Any, name: str) -> None:
        async with running(runtime, name, "sh", "-c", "trap '' TERM HUP; sleep 99 & wait") as found:
            pid = found.pid
            assert is_alive(pid)

        await gone(pid)
        assert (found.stdin_fd, found.stdout_fd, found.stderr_fd) == (-1, -1, -1)

    tell(story)


def test_a_detached_one_has_no_streams_and_outlives_its_caller(tell: Tell) -> None:
    async def story(runtime: Any, name: str) -> None:
        program = await runtime.exec(name, ExecSpec(args=("sleep", "99"), detach=True))
        assert (program.stdin_fd, program.stdout_fd, program.stderr_fd) == (-1, -1, -1)
        program.close()
        await asyncio.sleep(0.1)

        assert is_alive(program.pid)
        os.kill(program.pid, signal.SIGKILL)
        await gone(program.pid)

    tell(story)


def test_a_terminal_is_one_descriptor_that_ends_in_an_error(tell: Tell) -> None:
    async def story(runtime: Any, name: str) -> None:
        script = "read x; echo got $x"
        async with running(runtime, name, "sh", "-c", script, tty=True, stdin=True) as program:
            assert program.stdin_fd == program.stdout_fd
            assert program.stderr_fd == -1
            await write_all(program.stdin_fd, b"word\r")
            await read_until(program.stdout_fd, b"got word\r\n")
            assert await program.wait() == 0
            with pytest.raises(OSError, match="Input/output"):
                os.read(program.stdout_fd, 1)

    tell(story)


def test_its_input_ends_when_we_say_so(tell: Tell) -> None:
    async def story(runtime: Any, name: str) -> None:
        async with running(runtime, name, "cat", stdin=True) as program:
            await write_all(program.stdin_fd, b"all")
            program.close_stdin()

            assert program.stdin_fd == -1
            assert await read_all(program.stdout_fd) == b"all"

    tell(story)


@pytest.mark.parametrize(("program", "code"), [("/no/such/program", 127), ("/dev/null", 126)])
def test_what_cannot_run_is_refused_with_a_shells_exit_code(
    tell: Tell, program: str, code: int
) -> None:
    async def story(runtime: Any, name: str) -> None:
        with pytest.raises(KernelRefused) as caught:
            await runtime.exec(name, ExecSpec(args=(program,)))

        assert refusal_code(caught.value) == code
        assert program in caught.value.message

    tell(story)
