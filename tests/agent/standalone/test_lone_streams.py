"""Programs in containers of a lone node; joining containers, before their start and later."""

import asyncio
import hashlib
import os
import signal
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import containers_pb2_grpc, control_pb2
from swarm.codec import to_message
from swarm.specs import LogDriver
from swarm.standalone import ContainerRestart, Restarting
from tests.agent.lone import LoneNode, lone_node, spec
from tests.liveness import is_alive

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

Input = control_pb2.StreamInput
Stub = containers_pb2_grpc.ContainersStub
END = Input(stdin_end=control_pb2.StdinEnd())
DETACH = Input(detach=control_pb2.Detach())
MIB = 1 << 20


class Joined:
    """One end of a stream."""

    def __init__(self, call: Any, begin: control_pb2.StreamInput) -> None:
        self.call = call
        self._begin = begin
        self.started = control_pb2.StreamStarted()
        self.out = self.err = b""
        self.code = -1

    async def begin(self) -> "Joined":
        await self.call.write(self._begin)
        answer = await self.call.read()
        assert answer.WhichOneof("message") == "started", answer
        self.started = answer.started
        return self

    async def say(self, message: control_pb2.StreamInput) -> None:
        await self.call.write(message)

    async def write(self, data: bytes) -> None:
        for at in range(0, len(data), 1 << 17):
            await self.call.write(Input(stdin=data[at : at + (1 << 17)]))

    async def hear(self) -> bool:
        """The next message; False at the end."""
        answer = await self.call.read()
        if answer is grpc.aio.EOF:
            return False
        self.out += answer.stdout
        self.err += answer.stderr
        if answer.WhichOneof("message") == "ended":
            self.code = answer.ended.exit_code
        return True

    async def until(self, wanted: bytes) -> None:
        while wanted not in self.out:
            assert await self.hear(), f"it ended without {wanted!r}: {self.out!r}"

    async def rest(self) -> tuple[bytes, bytes, int]:
        while await self.hear():
            pass
        assert await self.call.code() is grpc.StatusCode.OK
        return self.out, self.err, self.code


class Calls:
    """What is asked of the node."""

    def __init__(self, stub: Stub) -> None:
        self.stub: Any = stub

    async def create(self, *args: str, **fields: Any) -> str:
        request = pb.CreateContainerRequest(spec=to_message(spec(*args, **fields)))
        created: pb.CreateContainerResponse = await self.stub.CreateContainer(request)
        return created.id

    async def start(self, container: str) -> None:
        await self.stub.StartContainer(pb.StartContainerRequest(container=container))

    async def run(self, *args: str, **fields: Any) -> str:
        container = await self.create(*args, **fields)
        await self.start(container)
        return container

    async def remove(self, container: str) -> None:
        await self.stub.RemoveContainer(pb.RemoveContainerRequest(container=container, force=True))

    async def view(self, container: str) -> pb.ContainerView:
        request = pb.InspectContainerRequest(container=container)
        found: pb.InspectContainerResponse = await self.stub.InspectContainer(request)
        return found.container

    @asynccontextmanager
    async def attached(self, container: str, **fields: Any) -> AsyncGenerator[Joined]:
        begin = Input(attach=control_pb2.AttachStart(task=container, **fields))
        async with _calling(self.stub.AttachContainer()) as call:
            yield await Joined(call, begin).begin()

    @asynccontextmanager
    async def running(self, container: str, *args: str, **fields: Any) -> AsyncGenerator[Joined]:
        begin = Input(exec=control_pb2.ExecStart(task=container, args=args, **fields))
        async with _calling(self.stub.ExecInContainer()) as call:
            yield await Joined(call, begin).begin()


@asynccontextmanager
async def _calling(call: Any) -> AsyncGenerator[Any]:
    try:
        yield call
    finally:
        call.cancel()


async def eventually(what: str, condition: Callable[[], Any]) -> None:
    deadline = asyncio.get_running_loop().time() + 30
    while not condition():
        assert asyncio.get_running_loop().time() < deadline, what
        await asyncio.sleep(0.01)


@pytest.fixture(scope="module")
def node() -> Iterator[LoneNode]:
    with lone_node() as found:
        found.start()
        yield found


Story = Callable[[Calls], Awaitable[None]]


@pytest.fixture
def tell(node: LoneNode) -> Callable[[Story], None]:
    """Tell a story, after which no container is left."""

    async def told(story: Story) -> None:
        options = [("grpc.max_receive_message_length", -1)]
        channel = grpc.aio.insecure_channel(f"unix:{node.run_root / 'agent.sock'}", options)
        async with channel, asyncio.timeout(100):
            calls = Calls(containers_pb2_grpc.ContainersStub(channel))
            try:
                await story(calls)
            finally:
                listed = await calls.stub.ListContainers(pb.ListContainersRequest())
                for each in listed.containers:
                    await calls.remove(each.id)

    return lambda story: asyncio.run(told(story))


Tell = Callable[[Story], None]


def test_one_that_was_joined_before_its_start_shows_all_it_prints(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        for number in range(15):
            script = f"echo out{number}; echo err{number} >&2; exit 4"
            container = await calls.create("sh", "-c", script)
            async with calls.attached(container) as joined:
                assert joined.started.pid == 0
                await calls.start(container)
                found = await joined.rest()
            assert found == (b"out%d\n" % number, b"err%d\n" % number, 4)

    tell(story)


def test_input_reaches_a_program_that_was_not_there_when_it_was_sent(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        data = os.urandom(10 * MIB)
        container = await calls.create("cat", open_stdin=True, stdin_once=True)
        async with calls.attached(container, open_stdin=True) as joined:
            assert joined.started.open_stdin

            async def feed() -> None:
                await joined.write(data)
                await joined.say(END)

            feeding = asyncio.create_task(feed())
            await calls.start(container)
            out, _, code = await joined.rest()
            await feeding
        assert (hashlib.sha256(out).digest(), code) == (hashlib.sha256(data).digest(), 0)

    tell(story)


def test_a_reader_who_takes_his_time_gets_everything(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        size = 30_000_000
        container = await calls.create("busybox", "head", "-c", str(size), "/dev/zero")
        async with calls.attached(container) as joined:
            await calls.start(container)
            while await joined.hear():
                if len(joined.out) < 3 * MIB:
                    await asyncio.sleep(0.1)
        assert len(joined.out) == size
        assert joined.code == 0

    tell(story)


def test_input_ends_with_whoever_wrote_first_where_the_container_says_so(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.run("sh", "-c", "cat; echo over", open_stdin=True, stdin_once=True)
        async with calls.attached(container) as watching:
            async with calls.attached(container, open_stdin=True) as feeding:
                await feeding.write(b"in\n")
                await watching.until(b"in\n")
            assert await watching.rest() == (b"in\nover\n", b"", 0)

    tell(story)


def test_input_that_is_not_once_outlasts_all_who_write(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.run("cat", open_stdin=True)
        for word in (b"one\n", b"two\n"):
            async with calls.attached(container, open_stdin=True) as joined:
                await joined.write(word)
                await joined.say(END)
                await joined.until(word)
        assert (await calls.view(container)).state == pb.CONTAINER_STATE_RUNNING

    tell(story)


def test_whoever_leaves_or_detaches_leaves_the_container_alone(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.run("sh", "-c", "while :; do echo tick; sleep 0.02; done")
        async with calls.attached(container) as joined:
            await joined.until(b"tick\n")
        async with calls.attached(container) as joined:
            await joined.until(b"tick\n")
            await joined.say(DETACH)
            _, _, code = await joined.rest()
        assert code == 0
        assert (await calls.view(container)).state == pb.CONTAINER_STATE_RUNNING

    tell(story)


def test_the_log_and_the_view_behind_it_are_everything_once(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        script = "i=0; while :; do i=$((i+1)); echo $i; done"
        driver = LogDriver(options={"max-size": "1g"})
        container = await calls.run("sh", "-c", script, log_driver=driver)
        for _ in range(3):
            async with calls.attached(container, logs=True) as joined:
                while joined.out.count(b"\n") < 30_000:
                    await joined.hear()
            lines = joined.out.split(b"\n")[:-1]
            assert lines == [b"%d" % number for number in range(1, len(lines) + 1)]

    tell(story)


def test_the_log_of_one_that_rests_comes_before_its_next_run(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.create("sh", "-c", "echo out; echo err >&2; printf last")
        for count in (1, 2, 3):
            async with calls.attached(container, logs=True) as joined:
                await calls.start(container)
                out, err, _ = await joined.rest()
            assert (out, err) == (b"out\nlast" * count, b"err\n" * count)
        async with calls.attached(container, only_logs=True) as joined:
            assert (await joined.rest())[:2] == (out, err)

    tell(story)


def test_logs_that_are_not_kept_cannot_be_shown(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.run("sleep", "99", log_driver=LogDriver(name="none"))
        with pytest.raises(grpc.aio.AioRpcError, match="does not support reading"):
            async with calls.attached(container, logs=True):
                pass

    tell(story)


def test_a_view_ends_with_the_run_that_it_is_of(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        restart = ContainerRestart(condition=Restarting.ALWAYS)
        container = await calls.create("sh", "-c", "echo run; sleep 0.2; exit 3", restart=restart)
        async with calls.attached(container) as joined:
            await calls.start(container)
            assert await joined.rest() == (b"run\n", b"", 3)

    tell(story)


def test_whoever_waits_for_a_start_hears_that_there_will_be_none(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        removed, broken = await calls.create("true"), await calls.create("/never/was")
        async with calls.attached(removed) as joined:
            await calls.remove(removed)
            with pytest.raises(grpc.aio.AioRpcError, match="was removed"):
                await joined.hear()
        async with calls.attached(broken) as joined:
            with pytest.raises(grpc.aio.AioRpcError, match="/never/was"):
                await calls.start(broken)
            with pytest.raises(grpc.aio.AioRpcError, match="/never/was"):
                await joined.hear()

    tell(story)


def test_whoever_leaves_before_the_start_is_not_missed(node: LoneNode, tell: Tell) -> None:
    """A view that nobody waits for any more fails unheard, and is no bug of the agent's."""
    agent = node.agent

    async def story(calls: Calls) -> None:
        for number in range(10):
            container = await calls.create("true")
            async with calls.attached(container):
                if number % 2:
                    await calls.start(container)
            if not number % 2:
                await calls.start(container)

    tell(story)
    assert agent is not None
    assert agent.poll() is None


def test_one_that_is_paused_is_not_joined(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.run("sleep", "99")
        await calls.stub.PauseContainer(pb.PauseContainerRequest(container=container, paused=True))
        with pytest.raises(grpc.aio.AioRpcError, match="unpause the container before attach"):
            async with calls.attached(container):
                pass
        with pytest.raises(grpc.aio.AioRpcError, match="unpause the container before exec"):
            async with calls.running(container, "true"):
                pass

    tell(story)


def test_a_terminal_is_told_its_size_by_its_viewer_and_by_others(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        script = "trap 'busybox stty size' WINCH; echo ready; while :; do sleep 0.02; done"
        container = await calls.create("sh", "-c", script, tty=True, open_stdin=True)
        async with calls.attached(container, open_stdin=True) as joined:
            assert joined.started.tty
            await calls.start(container)
            await joined.until(b"ready")
            size = control_pb2.TerminalSize(rows=11, columns=22)
            await joined.say(Input(size=size))
            await joined.until(b"11 22")
            size = control_pb2.TerminalSize(rows=33, columns=44)
            await calls.stub.ResizeContainer(
                pb.ResizeContainerRequest(container=container, size=size)
            )
            await joined.until(b"33 44")
            for rows in (1 << 31, 5):  # what no terminal can have does no harm
                size = control_pb2.TerminalSize(rows=rows, columns=7)
                await joined.say(Input(size=size))
            await joined.until(b"5 7")
        await calls.remove(container)
        with pytest.raises(grpc.aio.AioRpcError, match=r"No such container|not found"):
            await calls.stub.ResizeContainer(
                pb.ResizeContainerRequest(container=container, size=size)
            )

    tell(story)


def test_signals_reach_the_container(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        script = "trap 'echo heard; exit 5' USR1; echo ready; while :; do sleep 0.02; done"
        container = await calls.create("sh", "-c", script)
        async with calls.attached(container) as joined:
            await calls.start(container)
            await joined.until(b"ready")
            await joined.say(Input(signal=int(signal.SIGUSR1)))
            assert (await joined.rest())[::2] == (b"ready\nheard\n", 5)

    tell(story)


def test_programs_run_with_input_output_and_an_exit_code(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.run("sleep", "99", env=("A=1",), name="sleeper")
        async with calls.running(
            "sleeper", "sh", "-c", "cat; echo $A $B >&2; exit 6", env=["B=2"], open_stdin=True
        ) as joined:
            assert is_alive(joined.started.pid)
            assert joined.started.open_stdin
            await joined.write(b"in\n")
            await joined.say(END)
            assert await joined.rest() == (b"in\n", b"1 2\n", 6)
        async with calls.running(
            container, "sh", "-c", "echo $TERM; busybox tty", tty=True
        ) as joined:
            out, _, code = await joined.rest()
            assert (out.split(), code) == ([b"xterm", b"/dev/pts/0"], 0)

    tell(story)


def test_a_caller_who_says_no_more_still_listens(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.run("sleep", "99")
        async with calls.running(container, "cat", open_stdin=True) as joined:
            await joined.write(b"in\n")
            await joined.call.done_writing()
            assert await joined.rest() == (b"in\n", b"", 0)

    tell(story)


def test_a_program_ends_with_its_caller_unless_it_may_outlive_him(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.run("sleep", "99")
        async with calls.running(container, "sleep", "98") as joined:
            mortal = joined.started.pid
        await eventually("it ends", lambda: not is_alive(mortal))

        script = "busybox yes | busybox head -c 3000000; cat; echo done > /done; sleep 97"
        async with calls.running(
            container, "sh", "-c", script, outlives=True, open_stdin=True
        ) as joined:
            pid = joined.started.pid
        root = Path(f"/proc/{(await calls.view(container)).pid}/root")
        await eventually("it reads the end of its input", (root / "done").exists)
        assert is_alive(pid)

    tell(story)


def test_a_program_that_is_detached_goes_on(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.run("sleep", "99")
        async with calls.running(container, "sleep", "98", detach=True) as joined:
            assert await joined.rest() == (b"", b"", 0)
        assert is_alive(joined.started.pid)

    tell(story)


def test_what_cannot_run_says_why(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.create("sleep", "99")
        with pytest.raises(grpc.aio.AioRpcError, match="is not running"):
            async with calls.running(container, "true"):
                pass
        await calls.start(container)
        with pytest.raises(grpc.aio.AioRpcError, match="no such file"):
            async with calls.running(container, "/never/was"):
                pass

    tell(story)


def test_all_that_happens_in_it_is_told(tell: Tell) -> None:
    async def story(calls: Calls) -> None:
        container = await calls.create("cat", open_stdin=True)
        told: list[str] = []

        events = calls.stub.WatchNodeEvents(pb.WatchNodeEventsRequest())
        await events.initial_metadata()  # by now we are heard

        async def listen() -> None:
            async for event in events:
                if event.kind == "container":
                    told.append(event.action)

        listening = asyncio.create_task(listen())
        async with calls.attached(container, open_stdin=True) as joined:
            await calls.start(container)
            await joined.write(b"x\n")
            await joined.until(b"x\n")
            await joined.say(DETACH)
            await joined.rest()
        async with calls.running(container, "true", exec_id="e1") as program:
            await program.rest()
        await eventually("all is told", lambda: "exec_die" in told)
        listening.cancel()
        assert told == [
            "attach",
            "start",
            "detach",
            "exec_create: true",
            "exec_start: true",
            "exec_die",
        ]

    tell(story)


def test_an_agent_that_is_killed_takes_no_container_along(node: LoneNode, tell: Tell) -> None:
    """What is attached then hears no more; the container waits for nobody, and loses nothing.

    1. A container prints more than its viewer takes, and waits for it.
    2. The agent is killed: the viewer's pipes are closed with it.
    3. The container goes on, and all it printed is in its log.
    """

    async def before(calls: Calls) -> str:
        script = (
            "busybox head -c 3000000 /dev/zero | busybox tr '\\\\000' y; echo; echo done; sleep 99"
        )
        container = await calls.create("sh", "-c", script)
        async with calls.attached(container) as joined:
            await calls.start(container)
            await joined.hear()
            node.restart_agent(signal.SIGKILL)
        return container

    async def story(calls: Calls) -> None:
        container = await before(calls)
        request = pb.ReadContainerLogsRequest(container=container, tail=1, stdout=True)
        while True:
            try:
                batches = [each async for each in calls.stub.ReadContainerLogs(request)]
            except grpc.aio.AioRpcError:  # it is about to come back
                await asyncio.sleep(0.1)
                continue
            if [line.data for each in batches for line in each.lines] == [b"done\n"]:
                return
            await asyncio.sleep(0.05)

    tell(story)
