"""Programs run for callers who are far away: a real manager between, real programs behind."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from agent.io.programs import Programs
from swarm.api.v1 import control_pb2
from swarm.errors import KernelRefused, Missing, Refused, SwarmError
from swarm.ids import TaskId
from tests.agent.programs import FakeRuntime
from tests.liveness import is_alive
from tests.manager.io.swarm import LOG, Agent, Swarm, found_swarm, service, swarming, until
from tests.manager.io.test_programs import Caller, Input
from tests.sim.fake_store import FakeStore


class Stage:
    """A swarm with one node, whose programs are this host's."""

    def __init__(self, swarm: Swarm, agent: Agent) -> None:
        self.swarm = swarm
        self.agent = agent
        self.runtime = FakeRuntime()
        programs = Programs(
            self.runtime,  # type: ignore[arg-type]  # it keeps the same promises
            require=self.require,
            spawn=agent._spawn,
            log=LOG,
        )
        agent.respond["stream"] = programs.respond

    def require(self, task_id: TaskId) -> None:
        if task_id not in self.agent.tasks:
            raise Missing(f"task {task_id} is not assigned to this node")

    @asynccontextmanager
    async def calling(self, *args: str, **fields: Any) -> AsyncIterator[Caller]:
        async with Caller(self.swarm) as caller:
            await caller.begin("web.1", *args, **fields)
            yield caller

    async def run(self, *args: str, stdin: bytes = b"", **fields: Any) -> tuple[bytes, bytes, int]:
        """Output, errors and exit code of a program that is given `stdin`."""
        async with self.calling(*args, open_stdin=bool(stdin), **fields) as caller:
            sending = asyncio.ensure_future(send(caller, stdin))
            outputs = await caller.outputs()
            await sending
            await caller.call.done_writing()
            assert await caller.call.code() is grpc.StatusCode.OK
        out = b"".join(each.stdout for each in outputs)
        return out, b"".join(each.stderr for each in outputs), outputs[-1].ended.exit_code


async def send(caller: Caller, data: bytes) -> None:
    for start in range(0, len(data), 1 << 16):
        await caller.call.write(Input(stdin=data[start : start + (1 << 16)]))
    if data:
        await caller.call.write(Input(stdin_end=control_pb2.StdinEnd()))


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Callable[[Stage], Awaitable[None]]], None]:
    async def run(story: Callable[[Stage], Awaitable[None]]) -> None:
        async with swarming(FakeStore(), found_swarm(tmp_path)) as swarm, asyncio.timeout(60):
            stage = Stage(swarm, await swarm.join())
            try:
                await swarm.run(service())
                await story(stage)
            finally:
                stage.runtime.close()
            await until(lambda: all(each.is_closed for each in stage.runtime.programs))

    return lambda story: asyncio.run(run(story))


Play = Callable[[Callable[[Stage], Awaitable[None]]], None]


def test_output_errors_and_the_exit_code_arrive_apart(play: Play) -> None:
    async def story(stage: Stage) -> None:
        found = await stage.run("sh", "-c", "echo out; echo err >&2; exit 3")

        assert found == (b"out\n", b"err\n", 3)

    play(story)


def test_the_program_is_what_was_asked_for(play: Play) -> None:
    async def story(stage: Stage) -> None:
        await stage.run("env", "A=1", env=["B=2"], workdir="/tmp", user="app", privileged=True)

        (spec,) = stage.runtime.specs
        assert (spec.args, spec.env, spec.workdir) == (("env", "A=1"), ("B=2",), "/tmp")
        assert (spec.user, spec.privileged) == ("app", True)
        assert (spec.stdin, spec.tty, spec.detach) == (False, False, False)

    play(story)


def test_a_program_that_a_signal_ended_says_so(play: Play) -> None:
    async def story(stage: Stage) -> None:
        assert (await stage.run("sh", "-c", "kill -9 $$"))[2] == 137

    play(story)


def test_without_input_the_program_reads_its_end_at_once(play: Play) -> None:
    async def story(stage: Stage) -> None:
        assert await stage.run("cat") == (b"", b"", 0)

    play(story)


def test_large_streams_pass_both_ways_at_once(play: Play) -> None:
    async def story(stage: Stage) -> None:
        data = os.urandom(20 << 20)

        out, _, code = await stage.run("cat", stdin=data)

        assert code == 0
        assert hashlib.sha256(out).digest() == hashlib.sha256(data).digest()

    play(story)


def test_a_program_may_close_its_input_early(play: Play) -> None:
    async def story(stage: Stage) -> None:
        out, _, code = await stage.run("head", "-c", "3", stdin=bytes(8 << 20))

        assert (out, code) == (bytes(3), 0)

    play(story)


def test_a_program_in_the_background_does_not_hold_the_caller(play: Play) -> None:
    async def story(stage: Stage) -> None:
        async with asyncio.timeout(30):
            found = await stage.run("sh", "-c", "sleep 1000 & echo started")

        assert found == (b"started\n", b"", 0)

    play(story)


def test_a_terminal_has_one_output_a_size_and_a_new_size(play: Play) -> None:
    async def story(stage: Stage) -> None:
        size = control_pb2.TerminalSize(rows=30, columns=100)
        script = "trap 'stty size; exit 0' WINCH; echo ready; while :; do sleep 0.05; done"
        async with stage.calling(
            "sh", "-c", script, tty=True, size=size, open_stdin=True
        ) as caller:
            seen = b""
            while b"ready" not in seen:
                seen += (await caller.read()).stdout
            bigger = control_pb2.TerminalSize(rows=50, columns=160)
            await caller.call.write(Input(size=bigger))
            outputs = await caller.outputs()

        seen += b"".join(each.stdout for each in outputs)
        (spec,) = stage.runtime.specs
        assert (spec.rows, spec.columns) == (30, 100)
        assert seen.endswith(b"50 160\r\n")

    play(story)


def test_what_is_typed_reaches_the_terminal(play: Play) -> None:
    async def story(stage: Stage) -> None:
        async with stage.calling(
            "sh", "-c", "read x; echo got $x", tty=True, open_stdin=True
        ) as caller:
            await caller.call.write(Input(stdin=b"word\r"))
            outputs = await caller.outputs()

        assert b"got word" in b"".join(each.stdout for each in outputs)
        assert outputs[-1].ended.exit_code == 0

    play(story)


def test_signals_are_passed_on(play: Play) -> None:
    async def story(stage: Stage) -> None:
        script = "trap 'exit 42' USR1; echo ready; while :; do sleep 0.05; done"
        async with stage.calling("sh", "-c", script) as caller:
            while not (await caller.read()).stdout:
                pass
            await caller.call.write(Input(signal=signal.SIGUSR1))
            outputs = await caller.outputs()

        assert outputs[-1].ended.exit_code == 42

    play(story)


@pytest.mark.parametrize(("name", "errno"), [("/nothing/here", 2), ("/etc", 13)])
def test_a_program_that_cannot_run_is_refused_with_the_kernels_reason(
    play: Play, name: str, errno: int
) -> None:
    async def story(stage: Stage) -> None:
        with pytest.raises(KernelRefused) as caught:
            await stage.run(name)

        assert caught.value.errno == errno
        assert name in caught.value.message

    play(story)


def test_a_task_that_the_node_does_not_have_is_refused_there_too(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.agent.assignments.wanted.clear()

        with pytest.raises(Missing, match="not assigned to this node"):
            await stage.run("true")
        assert not stage.runtime.specs

    play(story)


def test_a_paused_container_runs_nothing(play: Play) -> None:
    async def story(stage: Stage) -> None:
        stage.runtime.is_paused = True

        with pytest.raises(Refused, match="is paused"):
            await stage.run("true")

    play(story)


def test_a_caller_that_leaves_takes_its_program_along(play: Play) -> None:
    async def story(stage: Stage) -> None:
        async with stage.calling("sleep", "1000") as caller:
            await caller.read()

        (program,) = stage.runtime.programs
        await until(lambda: not is_alive(program.pid))

    play(story)


def test_a_caller_that_leaves_a_program_which_reads_nothing_takes_it_along(play: Play) -> None:
    """1. The program never reads, and its input has filled every window on the way.
    2. The caller dies.
    3. The program is ended all the same, within seconds.
    """

    async def story(stage: Stage) -> None:
        async with stage.calling("sleep", "1000", open_stdin=True) as caller:
            await caller.read()
            sending = asyncio.ensure_future(caller.send_for_ever())
            assert not (await asyncio.wait({sending}, timeout=1.0))[0]
            sending.cancel()

        (program,) = stage.runtime.programs
        await until(lambda: not is_alive(program.pid), within_s=20)

    play(story)


def test_a_session_that_ends_takes_its_programs_along(play: Play) -> None:
    async def story(stage: Stage) -> None:
        async with stage.calling("sleep", "1000") as caller:
            await caller.read()
            assert stage.agent._link is not None
            stage.agent._conversations.left(stage.agent._link)
            with pytest.raises(SwarmError):
                await caller.outputs()

        (program,) = stage.runtime.programs
        await until(lambda: not is_alive(program.pid))

    play(story)


def test_a_detached_program_outlives_its_caller_and_its_end_is_logged(
    play: Play, tmp_path: Path
) -> None:
    script = f"while [ ! -e {tmp_path}/over ]; do sleep 0.02; done; exit 4"

    async def story(stage: Stage) -> None:
        with capture_logs() as logs:
            assert (await stage.run("sh", "-c", script, detach=True))[2] == 0
            (program,) = stage.runtime.programs
            assert is_alive(program.pid)
            (tmp_path / "over").touch()
            await until(lambda: program.is_closed)

        ends = [each for each in logs if each["event"] == "task.exec_ended"]
        assert {"exit_code": 4}.items() <= ends[-1].items()

    play(story)


def test_detach_keys_leave_the_program_and_what_it_writes_is_thrown_away(play: Play) -> None:
    """It writes more than a terminal holds, so somebody has to go on reading it."""

    async def story(stage: Stage) -> None:
        script = "echo ready; read x; head -c 300000 /dev/zero; exit 5"
        async with stage.calling("sh", "-c", script, tty=True, open_stdin=True) as caller:
            while b"ready" not in (await caller.read()).stdout:
                pass
            await caller.call.write(Input(stdin=b"go\r"))
            await caller.call.write(Input(detach=control_pb2.Detach()))
            outputs = await caller.outputs()

        assert outputs[-1].ended.exit_code == 0
        (program,) = stage.runtime.programs
        assert await asyncio.wait_for(program.wait(), 30) == 5
        await until(lambda: program.is_closed)

    play(story)


def test_a_slow_caller_slows_the_program(play: Play) -> None:
    async def story(stage: Stage) -> None:
        async with stage.calling("sh", "-c", "while :; do head -c 65536 /dev/zero; done") as caller:
            await caller.read()
            (program,) = stage.runtime.programs

            def written() -> int:
                text = Path(f"/proc/{program.pid}/io").read_text()
                return int(dict(line.split(": ") for line in text.splitlines())["wchar"])

            before = -1
            while before != written():
                before = written()
                await asyncio.sleep(0.7)

    play(story)


def test_attach_joins_output_input_signals_and_the_end(play: Play) -> None:
    async def story(stage: Stage) -> None:
        async with Caller(stage.swarm, "Attach") as caller:
            start = control_pb2.AttachStart(
                task="web.1", open_stdin=True, size=control_pb2.TerminalSize(rows=9, columns=8)
            )
            await caller.call.write(Input(attach=start))
            started = await caller.read()
            (joined,) = stage.runtime.attachments
            os.write(joined.program_out, b"hello")
            heard = await caller.read()
            os.write(joined.program_err, b"oops")
            complaint = await caller.read()
            await caller.call.write(Input(stdin=b"typed"))
            await caller.call.write(Input(stdin_end=control_pb2.StdinEnd()))
            await caller.call.write(Input(signal=signal.SIGUSR1))
            typed = await asyncio.to_thread(_read_all, joined.program_in)
            await until(lambda: stage.runtime.killed)
            os.write(joined.program_out, b"last words")
            joined.end(12)
            outputs = await caller.outputs()

        assert started.started.open_stdin
        assert (heard.stdout, complaint.stderr, typed) == (b"hello", b"oops", b"typed")
        assert joined.size == (9, 8)
        assert stage.runtime.killed[0][1] == signal.SIGUSR1
        assert [each.stdout for each in outputs] == [b"last words", b""]
        assert outputs[-1].ended.exit_code == 12

    play(story)


def test_leaving_an_attached_program_does_nothing_to_it(play: Play) -> None:
    async def story(stage: Stage) -> None:
        async with Caller(stage.swarm, "Attach") as caller:
            await caller.call.write(Input(attach=control_pb2.AttachStart(task="web.1")))
            started = await caller.read()
        (joined,) = stage.runtime.attachments
        await until(lambda: joined.is_closed)

        assert not started.started.open_stdin
        assert not stage.runtime.killed

    play(story)


def test_fifty_programs_at_once_stay_apart(play: Play) -> None:
    async def story(stage: Stage) -> None:
        found = await asyncio.gather(
            *(stage.run("sh", "-c", f"cat; exit {n}", stdin=b"%d" % n) for n in range(1, 51))
        )

        assert [(out, code) for out, _, code in found] == [(b"%d" % n, n) for n in range(1, 51)]

    play(story)


def _read_all(descriptor: int) -> bytes:
    found = b""
    while data := os.read(descriptor, 4096):
        found += data
    return found
