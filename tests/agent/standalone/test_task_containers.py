"""Containers of tasks, seen beside those that somebody runs."""

import asyncio
import signal
import time

import grpc
import pytest

from swarm.api.v1 import containers_pb2 as pb
from swarm.ids import TaskId
from swarm.standalone import container_id_of
from swarm.states import TaskState
from tests.agent.lone import containers_of
from tests.agent.managers import FakeManager
from tests.agent.node import TestNode, wait_for
from tests.agent.standalone.test_lone_node import Calls, refused
from tests.agent.test_node import IMAGE, POLITE, names, within

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]


def test_a_task_s_container_is_seen_signalled_and_ended_but_not_changed() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        first, second = (TaskId(each) for each in names(2))
        began = time.time()
        version = manager.version(image=IMAGE, command=POLITE, labels={"team": "red"})
        manager.assign(first, second, version=version)
        await manager.until(lambda: manager.are(TaskState.RUNNING, first, second))
        calls = Calls(here, await asyncio.to_thread(containers_of, here))

        await asyncio.to_thread(look, calls, first)
        await asyncio.to_thread(refuse, calls, first)
        assert await asyncio.to_thread(calls.stop, container_id_of(first))
        await manager.until(lambda: manager.are(TaskState.COMPLETE, first))
        await asyncio.to_thread(calls.remove, container_id_of(second), force=True)
        await manager.until(lambda: manager.are(TaskState.FAILED, second))
        assert manager.seen[second].exit_code == 128 + signal.SIGKILL

        found = await asyncio.to_thread(calls.view, container_id_of(first))
        assert (found.state, found.exit_code, found.pid) == (pb.CONTAINER_STATE_EXITED, 0, 0)
        told = await asyncio.to_thread(calls.actions, container_id_of(first), began)
        wanted = ["create", "start", "pause", "unpause", "top", "kill", "die", "stop"]
        assert told == wanted
        manager.withdraw(first)
        await manager.until(lambda: not here.own(first).exists())
        with refused("NOT_FOUND"):
            await asyncio.to_thread(calls.view, container_id_of(first))

    within(story)


def look(calls: Calls, task_id: TaskId) -> None:
    view = calls.view(container_id_of(task_id)[:16])
    assert view.task_id == task_id
    assert view.name.endswith(f".{task_id}")
    assert calls.view(view.name).id == view.id
    assert view.pid == calls.node.pids()[task_id]
    assert view.labels["team"] == "red"
    assert view.labels["com.docker.swarm.task.id"] == task_id
    wait_for("it has said something", lambda: bool(calls.logs(view.id)))
    assert calls.logs(view.id) == "hello\n"
    assert {each.id for each in calls.all()} >= {view.id}
    calls.pause(view.id, True)
    calls.pause(view.id, False)
    rows = calls.stub.ListContainerProcesses(
        pb.ListContainerProcessesRequest(container=view.id)
    ).rows
    assert str(view.pid) in {row.fields[1] for row in rows}


def refuse(calls: Calls, task_id: TaskId) -> None:
    container = container_id_of(task_id)
    for call in (
        lambda: calls.stub.RenameContainer(
            pb.RenameContainerRequest(container=container, name="xx")
        ),
        lambda: calls.stub.RestartContainer(pb.RestartContainerRequest(container=container)),
        lambda: calls.stub.UpdateContainer(pb.UpdateContainerRequest(container=container)),
        lambda: calls.start(container),
        lambda: calls.remove(container),
    ):
        with pytest.raises(grpc.RpcError, match="FAILED_PRECONDITION"):
            call()
