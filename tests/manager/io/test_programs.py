"""Callers talk to programs on nodes; here the node's end of the conversation is scripted."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import grpc
import pytest
from structlog.testing import capture_logs

from agent.io.conversations import Talk
from manager.election import Holder
from manager.leadership import Followed
from manager.store import LeaseId
from swarm.api.v1 import control_pb2, control_pb2_grpc, dispatch_pb2
from swarm.certificates import Identity
from swarm.errors import Invalid, KernelRefused, Missing, Refused, SwarmError, Unavailable
from swarm.io.rpc import failure
from swarm.specs import Role
from swarm.states import TaskState
from tests.manager.io.swarm import (
    Agent,
    Remote,
    Swarm,
    certify,
    found_swarm,
    service,
    swarming,
    until,
)
from tests.sim.fake_store import FakeStore

Tell = Callable[..., None]
Input = control_pb2.StreamInput
Output = control_pb2.StreamOutput


class Caller:
    """One `exec` or `attach`, driven by the test."""

    def __init__(self, swarm: Remote, kind: str = "Exec", identity: Identity | None = None) -> None:
        self._channel = swarm.dial(identity)
        self.call = getattr(control_pb2_grpc.ControlStub(self._channel), kind)()

    async def __aenter__(self) -> "Caller":
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._channel.close()

    async def begin(self, task: str, *args: str, **fields: Any) -> None:
        start = control_pb2.ExecStart(task=task, args=args or ("cat",), **fields)
        await self.call.write(Input(exec=start))

    async def send_for_ever(self) -> None:
        while True:
            await self.call.write(Input(stdin=bytes(1 << 18)))

    async def read(self) -> Output:
        """The next output; raises the error that the call ended with."""
        try:
            found = await self.call.read()
        except grpc.RpcError as err:
            raise failure(err) from err
        assert found is not grpc.aio.EOF, "the call ended"
        return found

    async def outputs(self) -> list[Output]:
        found = [await self.read()]
        while found[-1].WhichOneof("message") != "ended":
            found.append(await self.read())
        return found

    async def error(self) -> SwarmError:
        with pytest.raises(SwarmError) as caught:
            await self.outputs()
        return caught.value


class Node:
    """A program that echoes its input and ends with it, as a node would run it."""

    def __init__(self, agent: Agent) -> None:
        self.agent = agent
        self.begun: list[control_pb2.ExecStart] = []
        self.heard: list[Input] = []
        self.parted = asyncio.Event()
        agent.respond["stream"] = self.echo

    async def echo(self, talk: Talk, question: dispatch_pb2.Question) -> None:
        self.begun.append(question.stream.exec)
        try:
            await talk.say(stream=Output(started=control_pb2.StreamStarted(open_stdin=True)))
            while (asked := await talk.hear()) is not None:
                self.heard.append(asked.stream)
                if asked.stream.HasField("stdin_end"):
                    ended = control_pb2.StreamEnded(exit_code=7)
                    await talk.conclude(stream=Output(ended=ended))
                    return
                await talk.say(stream=Output(stdout=asked.stream.stdin))
        finally:
            self.parted.set()


async def running(swarm: Swarm, replicas: int = 1) -> Node:
    """A node with the task `web.1`."""
    agent = await swarm.join()
    node = Node(agent)
    await swarm.run(service(replicas=replicas))
    return node


def test_input_reaches_the_program_and_output_its_caller(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        async with Caller(swarm) as caller:
            await caller.begin("web.1", "cat", "-", env=["A=b"], user="app", tty=True)
            started = await caller.read()
            await caller.call.write(Input(stdin=b"hello"))
            echoed = await caller.read()
            await caller.call.write(Input(stdin_end=control_pb2.StdinEnd()))
            ended = await caller.read()

        assert started.started.open_stdin
        assert echoed.stdout == b"hello"
        assert ended.ended.exit_code == 7
        (begun,) = node.begun
        (task_id,) = node.agent.tasks
        assert (begun.task, begun.caller) == (task_id, swarm.members.node_id)
        assert (list(begun.args), list(begun.env), begun.user) == (["cat", "-"], ["A=b"], "app")

    tell(story)


def test_who_ran_what_is_logged_and_told_but_never_what_was_typed(tell: Tell) -> None:
    """1. A program runs with a secret in its environment and another one in its input.
    2. Log and events name caller, node, command and exit code.
    3. Neither of them has a secret.
    """

    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        with capture_logs() as logs:
            async with Caller(swarm) as caller:
                await caller.begin("web.1", "cat", "-x", env=["KEY=s3cret"], user="app")
                await caller.call.write(Input(stdin=b"p4ssword"))
                await caller.call.write(Input(stdin_end=control_pb2.StdinEnd()))
                await caller.outputs()
            await until(lambda: [each for each in logs if each["event"] == "task.exec_ended"])

        told = [each for each in logs if each["event"].startswith("task.exec")]
        assert [each["event"] for each in told] == ["task.exec_started", "task.exec_ended"]
        assert told[0]["args"] == ["cat", "-x"]
        assert told[0]["caller"] == swarm.members.node_id
        assert told[0]["node_id"] == node.agent.node_id
        assert told[1]["exit_code"] == "7"
        assert "s3cret" not in str(logs)
        assert "p4ssword" not in str(logs)

    tell(story)


def test_events_of_programs_are_followed(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await running(swarm)
        async with swarm.dial() as channel:
            stub = control_pb2_grpc.ControlStub(channel)
            watch = stub.WatchEvents(control_pb2.WatchEventsRequest(since=1.0))
            async with Caller(swarm) as caller:
                await caller.begin("web.1", "cat", "-x")
                await caller.call.write(Input(stdin_end=control_pb2.StdinEnd()))
                await caller.outputs()
            events = []
            while not events or events[-1].action != "exec_die":
                events.append(await watch.read())

        (began,) = [each for each in events if each.action == "exec_start"]
        assert (began.kind, began.name) == ("task", "web.1")
        assert began.attributes["command"] == "cat -x"
        assert began.attributes["by"] == swarm.members.node_id
        assert events[-1].attributes["exit_code"] == "7"

    tell(story)


def test_a_worker_may_run_nothing(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        async with Caller(swarm, identity=node.agent.identity) as caller:
            with suppress(grpc.RpcError, asyncio.InvalidStateError):  # refused before it is said
                await caller.begin("web.1")
            error = await caller.error()

        assert isinstance(error, Refused)
        assert "is a worker and may not call Control.Exec, which takes a manager" in error.message
        assert error.hint == "run this command on a manager"
        assert not node.begun

    tell(story)


@pytest.mark.parametrize(
    ("task", "kind", "message"),
    [
        ("web.9", Missing, "task 'web.9' not found"),
        ("web", Invalid, "service web has 2 running tasks"),
    ],
)
def test_a_task_that_is_not_there_is_refused(
    tell: Tell, task: str, kind: type[SwarmError], message: str
) -> None:
    async def story(swarm: Swarm) -> None:
        await running(swarm, replicas=2)
        async with Caller(swarm) as caller:
            await caller.begin(task)
            error = await caller.error()

        assert isinstance(error, kind)
        assert message in error.message

    tell(story)


def test_the_first_message_has_to_say_what_to_run(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        await running(swarm)
        for first in (Input(stdin=b"x"), Input(exec=control_pb2.ExecStart(task="web.1"))):
            async with Caller(swarm) as caller:
                await caller.call.write(first)
                assert isinstance(await caller.error(), Invalid)

    tell(story)


def test_what_the_node_refuses_arrives_as_it_was_raised(tell: Tell) -> None:
    async def refuse(talk: Talk, question: dispatch_pb2.Question) -> None:
        raise KernelRefused("exec", 2, "nosuch: no such file", hint="look at $PATH")

    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        node.agent.respond["stream"] = refuse
        async with Caller(swarm) as caller:
            await caller.begin("web.1", "nosuch")
            error = await caller.error()

        assert isinstance(error, KernelRefused)
        assert (error.step, error.errno, error.message) == ("exec", 2, "nosuch: no such file")

    tell(story)


def test_a_node_that_never_starts_the_program_is_given_up(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manager.io.programs.STARTED_WITHIN_S", 0.2)

    async def hang(talk: Talk, question: dispatch_pb2.Question) -> None:
        await asyncio.sleep(3600)

    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        node.agent.respond["stream"] = hang
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            error = await asyncio.wait_for(caller.error(), 20)

        assert isinstance(error, Unavailable)
        assert "did not start it" in error.message

    tell(story)


def test_a_caller_that_leaves_ends_the_conversation(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            await caller.read()

        await asyncio.wait_for(node.parted.wait(), 20)
        assert not swarm.manager.dispatcher.conversations._open

    tell(story)


def test_a_caller_that_leaves_is_missed_even_by_a_node_that_does_not_listen(tell: Tell) -> None:
    """1. The program takes no input, and the caller has sent more than all windows hold.
    2. The caller dies. The end of its stream lies behind what nobody reads.
    3. The node hears of it all the same.
    """
    deaf = asyncio.Event()

    async def ignore(talk: Talk, question: dispatch_pb2.Question) -> None:
        try:
            await talk.say(stream=Output(started=control_pb2.StreamStarted()))
            await asyncio.sleep(3600)
        finally:
            deaf.set()

    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        node.agent.respond["stream"] = ignore
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            await caller.read()
            sending = asyncio.ensure_future(caller.send_for_ever())
            assert not (await asyncio.wait({sending}, timeout=1.0))[0]
            sending.cancel()

        await asyncio.wait_for(deaf.wait(), 20)

    tell(story)


def test_a_node_that_vanishes_ends_the_call_with_a_reason(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            await caller.read()
            await node.agent.disconnect()
            error = await asyncio.wait_for(caller.error(), 20)

        assert isinstance(error, Unavailable)
        assert node.agent.node_id in error.message

    tell(story)


def test_a_node_that_falls_silent_ends_the_call_within_its_session(tell: Tell) -> None:
    """Its stream stands, for all that TCP knows; three missed heartbeats are enough."""

    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            await caller.read()
            node.agent.fall_silent()
            error = await asyncio.wait_for(caller.error(), 20)

        assert isinstance(error, Unavailable)
        assert "the session of node" in error.message

    tell(story, heartbeat_s=0.2)


def test_a_node_that_does_not_come_back_is_not_waited_for_long(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for as long as its session lasts: with a heartbeat of a minute, that is three."""
    monkeypatch.setattr("manager.io.reach.BACK_S", 0.3)

    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        await node.agent.disconnect()
        await until(lambda: not swarm.manager.dispatcher.lines)
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            error = await asyncio.wait_for(caller.error(), 20)

        assert isinstance(error, Unavailable)
        assert "node host cannot be reached" in error.message

    tell(story, heartbeat_s=60.0)


def test_a_node_that_is_down_is_refused_at_once(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("manager.io.reach.BACK_S", 3600.0)

    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        await node.agent.disconnect()
        await until(lambda: node.agent.node_id not in swarm.view.sessions)
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            error = await asyncio.wait_for(caller.error(), 20)

        assert "it is down" in error.message

    tell(story)


def test_a_node_that_comes_back_in_a_moment_is_waited_for(
    tell: Tell, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its agent, or this manager, was restarted: to the caller, that is a short delay."""
    monkeypatch.setattr("manager.io.reach.BACK_S", 30.0)  # however short this machine's moment is

    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        await node.agent.disconnect()
        await until(lambda: not swarm.manager.dispatcher.lines)
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            await asyncio.sleep(0.1)
            await node.agent.connect(swarm.address)
            await caller.call.write(Input(stdin_end=control_pb2.StdinEnd()))
            outputs = await asyncio.wait_for(caller.outputs(), 20)

        assert outputs[-1].ended.exit_code == 7

    tell(story, heartbeat_s=60.0)


def test_a_slow_caller_slows_the_node_and_nobody_keeps_what_he_misses(tell: Tell) -> None:
    """The node stops after what windows and boxes hold, and goes on when he reads."""
    said = 0

    async def flood(talk: Talk, question: dispatch_pb2.Question) -> None:
        nonlocal said
        await talk.say(stream=Output(started=control_pb2.StreamStarted()))
        for _ in range(2000):
            await talk.say(stream=Output(stdout=bytes(1 << 16)))
            said += 1
        await talk.conclude(stream=Output(ended=control_pb2.StreamEnded()))

    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        node.agent.respond["stream"] = flood
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            await caller.read()
            before = -1
            while before != said:
                before = said
                await asyncio.sleep(0.5)

            assert said < 1000
            outputs = await caller.outputs()
            assert len(outputs) == 2001

    tell(story)


def test_an_agent_cannot_take_a_call_that_is_not_its_own(tell: Tell) -> None:
    """1. A call waits for the node of the task, which does not call back.
    2. Another node opens the conversation, with the right id: it is refused.
    """

    async def story(swarm: Swarm) -> None:
        owner = (await running(swarm)).agent
        other = await swarm.join("other")
        owner._conversations.call_back = lambda *_: None  # type: ignore[method-assign]
        async with Caller(swarm) as caller:
            await caller.begin("web.1")
            (call_id,) = await until(lambda: list(swarm.manager.dispatcher.conversations._open))
            assert other._link is not None
            stolen = other._link.dispatcher.Converse()
            await stolen.write(dispatch_pb2.Answer(call_id=call_id))
            with pytest.raises(grpc.RpcError) as caught:
                await stolen.read()

        assert isinstance(failure(caught.value), Missing)

    tell(story)


def test_a_node_that_does_not_call_back_is_given_up(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        owner = (await running(swarm)).agent
        owner._conversations.call_back = lambda *_: None  # type: ignore[method-assign]
        conversations = swarm.manager.dispatcher.conversations
        with pytest.raises(Unavailable, match="did not call back"):
            await conversations.open(owner.node_id, dispatch_pb2.Question(), within_s=0.2)
        assert not conversations._open

    tell(story)


def test_another_manager_hands_the_call_to_the_one_that_holds_the_session(tmp_path: Path) -> None:
    """1. The node's agent is connected to the first manager; the second one is asked.
    2. Input and output pass through both, and the first knows who asked first.
    """

    async def main() -> None:
        store, members = FakeStore(), found_swarm(tmp_path)
        async with asyncio.timeout(60), swarming(store, members) as leader:
            node = await running(leader)
            leader.view.managers[members.node_id] = leader.address
            other = certify(members.founded, "manager-2", Role.MANAGER)
            async with swarming(store, members, other=other) as follower:
                await until(lambda: follower.manager.leader.holder)
                follower.manager.leader.heard(
                    Followed(Holder(members.node_id, LeaseId(1), leader.address))
                )
                await until(lambda: follower.view.sessions)
                follower.view.managers[members.node_id] = leader.address
                async with Caller(follower) as caller:
                    await caller.begin("web.1")
                    await caller.call.write(Input(stdin=b"far"))
                    await caller.call.write(Input(stdin_end=control_pb2.StdinEnd()))
                    outputs = await caller.outputs()

        assert [each.WhichOneof("message") for each in outputs] == ["started", "stdout", "ended"]
        assert outputs[1].stdout == b"far"
        assert node.begun[0].caller == members.node_id

    asyncio.run(main())


def test_attach_needs_no_command(tell: Tell) -> None:
    async def story(swarm: Swarm) -> None:
        node = await running(swarm)
        async with Caller(swarm, "Attach") as caller:
            start = control_pb2.AttachStart(task="web.1", open_stdin=True)
            await caller.call.write(Input(attach=start))
            await caller.call.write(Input(stdin_end=control_pb2.StdinEnd()))
            outputs = await caller.outputs()

        assert outputs[-1].ended.exit_code == 7
        assert node.agent.states[next(iter(node.agent.tasks))] is TaskState.RUNNING

    tell(story)
