"""Terminals: of a container, and of a program that joins one."""

import asyncio
from pathlib import Path

import pytest

from runtime.io.client import Runtime
from tests.kernel.joined import attached, read_all, read_until, running, tell, write_all
from tests.kernel.machine import Machine, cpu_ticks, eventually

pytestmark = pytest.mark.kernel


def test_a_terminal_is_the_programs_own(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        script = (
            "test -t 0 && test -t 1 && test -t 2 && stty size; readlink /proc/self/fd/0; "
            "read x; stty size; echo got $x"
        )
        async with running(
            runtime, name, "sh", "-c", script, tty=True, rows=11, columns=33
        ) as program:
            assert program.stderr_fd == -1
            shown = await read_until(program.stdout_fd, b"/dev/pts/")
            assert shown.startswith(b"11 33\r\n")
            program.resize(50, 132)
            await write_all(program.stdin_fd, b"typed\r")
            shown = await read_until(program.stdout_fd, b"got typed\r\n")
            assert b"50 132\r\n" in shown
            assert await program.wait() == 0
            assert await read_all(program.stdout_fd) == b""

    tell(machine, story)


def test_control_c_interrupts_what_runs_in_a_terminal(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        script = "trap 'echo interrupted; exit 9' INT; echo up; while :; do sleep 0.01; done"
        async with running(runtime, name, "sh", "-c", script, tty=True) as program:
            await read_until(program.stdout_fd, b"up\r\n")
            await write_all(program.stdin_fd, b"\x03")
            await read_until(program.stdout_fd, b"interrupted\r\n")
            assert await program.wait() == 9

    tell(machine, story)


def test_a_terminal_shows_takes_input_and_has_a_size(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            script = "stty size; read x; stty size; echo got $x; exit 4"
            spec = machine.spec("sh", "-c", script, tty=True, rows=10, columns=20)
            await runtime.run(spec)
            async with attached(runtime, spec.id) as view:
                assert (view.tty, view.stderr_fd) == (True, -1)
                await eventually("its first size", lambda: machine.output(spec.id) == "10 20\r\n")
                view.resize(30, 40)
                await write_all(view.stdin_fd, b"typed\r")
                shown = await read_until(view.stdout_fd, b"got typed\r\n")
                assert b"30 40\r\n" in shown
                assert (await asyncio.wait_for(view.wait(), 10)).exit_code == 4
            await runtime.delete(spec.id)

    asyncio.run(story())


@pytest.mark.parametrize("init", [False, True])
def test_control_c_in_a_terminal_interrupts_the_program(machine: Machine, init: bool) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            script = "trap 'echo interrupted; exit 9' INT; echo up; while :; do sleep 0.01; done"
            spec = machine.spec("sh", "-c", script, tty=True)
            await runtime.run(spec)
            async with attached(runtime, spec.id) as view:
                await eventually("it is up", lambda: "up" in machine.output(spec.id))
                await write_all(view.stdin_fd, b"\x03")
                await read_until(view.stdout_fd, b"interrupted")
                assert (await asyncio.wait_for(view.wait(), 10)).exit_code == 9
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_terminal_that_is_closed_and_opened_again_loses_nothing(machine: Machine) -> None:
    """A program that lets go of its terminal for a while and comes back to it.

    The shim must neither spin on a terminal that nobody has open, nor take that for the end.
    """

    async def story() -> None:
        async with machine.runtime() as runtime:
            script = (
                "echo one; until test -e /tmp/go; do sleep 0.01; done;"
                " exec <&- >&- 2>&-; sleep 0.3; exec >/dev/console; echo two; sleep 99"
            )
            spec = machine.spec("sh", "-c", script, tty=True)
            pid = (await runtime.run(spec)).pid
            await eventually("it has begun", lambda: "one" in machine.output(spec.id))
            before = cpu_ticks(machine.shim_of(spec.id))
            Path(f"/proc/{pid}/root/tmp/go").touch()
            await eventually("it came back", lambda: "two" in machine.output(spec.id))
            assert cpu_ticks(machine.shim_of(spec.id)) - before < 10
            await runtime.delete(spec.id)

    asyncio.run(story())
