"""The agent's processes on the real kernel, with a manager that does what a test says."""

import asyncio
import json
import os
import signal
import time
import urllib.request
from collections.abc import Awaitable, Callable
from pathlib import Path

import grpc
import pytest

from swarm.api.v1 import images_pb2
from swarm.dispatch import Goodbye, LogSubscription
from swarm.ids import TaskId
from swarm.specs import ContainerSpec, Limits, Mount, MountKind, TaskSpec
from swarm.states import TaskState
from tests.agent.managers import FakeManager
from tests.agent.node import TestNode, node, wait_for

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

IMAGE = "busy:1"
# Of this process alone, and below those that the kernel gives to others.
METRICS = f"127.0.0.1:{20_000 + os.getpid() % 8_192}"
# Hears SIGTERM and leaves; `sleep` alone, as process 1, would be deaf.
POLITE = ("sh", "-c", "trap 'echo bye; exit 0' TERM; echo hello; while :; do sleep 0.1; done")

Story = Callable[[FakeManager, TestNode], Awaitable[None]]


def within(story: Story, *, metrics_addr: str = "", names: tuple[str, ...] = (IMAGE,)) -> None:
    """Run `story` with a manager, a launcher, and an agent that has an image."""

    async def run() -> None:
        manager = FakeManager()
        await manager.start()
        try:
            with node(manager.address, metrics_addr=metrics_addr) as here:
                here.install(manager)
                here.start_launcher()
                here.start_agent()
                await manager.until(lambda: manager.hellos)
                if names:
                    await asyncio.to_thread(here.load, *names)
                try:
                    await story(manager, here)
                except BaseException:
                    print(here.log.read_text())
                    raise
                finally:
                    await manager.stop()
        finally:
            await manager.stop()

    asyncio.run(run())


def names(count: int, prefix: str = "t") -> list[str]:
    return [f"{prefix}{number:024}" for number in range(count)]


def test_twenty_tasks_run_and_one_that_is_killed_is_reported() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        tasks = names(20)
        manager.assign(*tasks, version=manager.version(image=IMAGE, labels={"team": "red"}))
        await manager.until(lambda: manager.are(TaskState.RUNNING, *tasks))
        assert here.pids().keys() == set(tasks)
        kept = json.loads((here.run_root / "containers" / tasks[0] / "spec.json").read_bytes())
        assert kept["annotations"]["team"] == "red"
        assert here.pids()[tasks[3]] == manager.seen[TaskId(tasks[3])].pid

        os.kill(here.pids()[tasks[3]], signal.SIGKILL)
        await manager.until(lambda: manager.are(TaskState.FAILED, tasks[3]))

        assert manager.seen[TaskId(tasks[3])].exit_code == 137
        assert len(here.pids()) == 19

    within(story)


def test_a_killed_agent_comes_back_to_the_same_processes() -> None:
    """kill -9 of the agent: containers do not notice, ends are not lost, doubles are stopped.

    1. Four tasks run; the agent is killed.
    2. While it is away one container ends, and the manager gives one task to another node.
    3. A new agent finds the others with the same pids, reports the end, stops the double.
    """

    async def story(manager: FakeManager, here: TestNode) -> None:
        tasks = names(4)
        manager.assign(*tasks, version=manager.version(image=IMAGE))
        await manager.until(lambda: manager.are(TaskState.RUNNING, *tasks))
        before = here.pids()

        here.stop_agent(signal.SIGKILL)
        os.kill(before[tasks[0]], signal.SIGKILL)
        manager.withdraw(tasks[1])
        here.start_agent()
        await manager.until(lambda: manager.are(TaskState.FAILED, tasks[0]))
        await asyncio.to_thread(
            wait_for, "the double is stopped", lambda: tasks[1] not in here.pids()
        )

        assert here.pids() == {name: before[name] for name in tasks[2:]}
        await asyncio.to_thread(
            wait_for, "its directory is gone", lambda: not here.own(tasks[1]).exists()
        )
        assert here.own(tasks[0]).exists()

    within(story)


def test_a_manager_that_is_away_stops_nothing_and_is_found_again() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        tasks = names(2)
        manager.assign(*tasks, version=manager.version(image=IMAGE))
        await manager.until(lambda: manager.are(TaskState.RUNNING, *tasks))
        before, hellos = here.pids(), len(manager.hellos)

        await manager.stop()
        here.stop_agent(signal.SIGKILL)
        here.start_agent()
        await asyncio.to_thread(
            wait_for, "the agent is back", lambda: here.log.read_text().count("agent.started") == 2
        )
        assert here.pids() == before
        await manager.start()
        await manager.until(lambda: len(manager.hellos) > hellos)

        assert here.pids() == before

    within(story)


def test_a_polite_stop_a_deaf_one_and_a_withdrawal() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        polite, deaf, gone = names(3)
        hears = manager.version(image=IMAGE, command=POLITE, stop_grace_s=60.0)
        manager.assign(polite, version=hears)
        manager.assign(deaf, gone, version=manager.version(image=IMAGE, stop_grace_s=60.0))
        await manager.until(lambda: manager.are(TaskState.RUNNING, polite, deaf, gone))
        log = here.own(polite) / "output.log"
        await asyncio.to_thread(wait_for, "the trap is set", log.exists)

        manager.shut_down(polite, deaf)
        manager.withdraw(gone)
        # Far sooner than their grace is over.
        await manager.until(lambda: manager.are(TaskState.SHUTDOWN, polite, deaf), within_s=30.0)

        assert manager.seen[TaskId(polite)].exit_code == 0
        assert manager.seen[TaskId(deaf)].exit_code == 137
        assert not manager.seen[TaskId(deaf)].error
        await asyncio.to_thread(wait_for, "it is gone", lambda: not here.own(gone).exists())
        assert here.pids() == {}

    within(story)


def test_a_grace_that_runs_out_ends_in_a_kill() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        (stubborn,) = names(1)
        command = ("sh", "-c", "trap '' TERM; echo up; while :; do sleep 0.1; done")
        manager.assign(
            stubborn,
            version=manager.version(image=IMAGE, command=command, stop_grace_s=0.3),
        )
        await manager.until(lambda: manager.are(TaskState.RUNNING, stubborn))
        log = here.own(stubborn) / "output.log"
        await asyncio.to_thread(wait_for, "the trap is set", log.exists)

        manager.shut_down(stubborn)
        # The grace is 10 s unless a spec says otherwise.
        await manager.until(lambda: manager.are(TaskState.SHUTDOWN, stubborn), within_s=9.0)

        assert manager.seen[TaskId(stubborn)].exit_code == 137

    within(story)


def test_logs_are_read_whole_in_part_and_as_they_come() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        ended, living = names(2)
        count = ("sh", "-c", "seq 5; echo oops >&2")
        manager.assign(ended, version=manager.version(image=IMAGE, command=count))
        manager.assign(living, version=manager.version(image=IMAGE, command=POLITE))
        await manager.until(lambda: manager.are(TaskState.COMPLETE, ended))
        await manager.until(lambda: manager.are(TaskState.RUNNING, living))

        def wanted(name: str, task: str, **how: object) -> LogSubscription:
            return LogSubscription(subscription_id=name, task_ids=(TaskId(task),), **how)  # type: ignore[arg-type]

        everything = await manager.read(wanted("all", ended))
        assert sorted(everything) == sorted(["1", "2", "3", "4", "5", "oops"])
        assert await manager.read(wanted("out", ended, stderr=False)) == list("12345")
        assert await manager.read(wanted("err", ended, stdout=False)) == ["oops"]
        assert len(await manager.read(wanted("tail", ended, tail=2))) == 2
        assert await manager.read(wanted("since", ended, since=time.time())) == []
        assert await manager.read(wanted("none", "nobody")) == []
        # An ended task is followed no further, and a living one until it ends.
        assert len(await manager.read(wanted("over", ended, follow=True))) == 6
        manager.say(wanted("follow", living, follow=True))
        await manager.until(lambda: manager.text("follow") == ["hello"])
        manager.shut_down(living)
        await manager.until(lambda: "follow" in manager.ended)
        assert manager.text("follow") == ["hello", "bye"]

    within(story)


def test_what_cannot_run_is_rejected_with_its_reason() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        bind, image, command = names(3)
        mounts = (Mount(kind=MountKind.BIND, source="/does/not/exist", target="/x"),)
        manager.assign(bind, version=manager.version(image=IMAGE, mounts=mounts))
        manager.assign(image, version=manager.version(image="127.0.0.1:1/none:1"))
        manager.assign(command, version=manager.version(image=IMAGE, command=("/no/such",)))
        await manager.until(lambda: manager.are(TaskState.REJECTED, bind, image), within_s=30.0)
        await manager.until(lambda: manager.are(TaskState.FAILED, command))

        assert manager.seen[TaskId(bind)].error == (
            'invalid mount config for type "bind": bind source path does not exist: /does/not/exist'
        )
        assert "127.0.0.1:1" in manager.seen[TaskId(image)].error
        assert "/no/such" in manager.seen[TaskId(command)].error
        spec = TaskSpec(container=ContainerSpec(image="absent:1", mounts=mounts))
        problems = await manager.ask(spec)
        assert [each.partition(":")[0] for each in problems] == [
            "container.image",
            "container.mounts[0].source",
        ]

    within(story)


def test_limits_volumes_and_memory_reach_the_container() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        first, second, hungry = names(3)
        mounts = (Mount(source="keep", target="/keep"), Mount(target="/scratch"))
        write = ("sh", "-c", "echo from $HOSTNAME >> /keep/log; touch /scratch/x; cat /keep/log")
        spec = manager.version(
            image=IMAGE, command=write, mounts=mounts, hostname="w{{.Task.Slot}}"
        )
        manager.assign(first, version=spec)
        await manager.until(lambda: manager.are(TaskState.COMPLETE, first))
        manager.assign(second, version=spec)
        eat = ("sh", "-c", "x=0123456789abcdef; while :; do x=$x$x; done")
        limits = Limits(memory_bytes=16 << 20)
        manager.assign(hungry, version=manager.version(image=IMAGE, command=eat, limits=limits))
        await manager.until(lambda: manager.are(TaskState.COMPLETE, second))
        await manager.until(lambda: manager.are(TaskState.FAILED, hungry))

        kept = here.data_root / "agent/volumes/keep/_data/log"
        assert kept.read_text() == "from w1\nfrom w1\n"
        assert manager.seen[TaskId(hungry)].oom_killed
        assert (here.own(second) / "volumes/1/x").exists()
        manager.withdraw(first, second, hungry)
        await asyncio.to_thread(wait_for, "all is gone", lambda: not here.own(second).exists())
        assert kept.exists()

    within(story)


def test_images_are_served_protected_and_told_to_the_manager() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        stub = here.images()
        socket = here.run_root / "agent.sock"
        assert socket.stat().st_mode & 0o777 == 0o600
        await manager.until(lambda: any(_local(each) == {IMAGE} for each in manager.heard))
        (task,) = names(1)
        manager.assign(task, version=manager.version(image=IMAGE))
        await manager.until(lambda: manager.are(TaskState.RUNNING, task))

        with pytest.raises(grpc.RpcError) as caught:
            stub.RemoveImage(images_pb2.RemoveImageRequest(name=IMAGE))
        assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
        with pytest.raises(grpc.RpcError) as caught:
            stub.InspectImage(images_pb2.InspectImageRequest(name="absent"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        stub.TagImage(images_pb2.TagImageRequest(source=IMAGE, target="other:2"))
        await manager.until(lambda: any(_local(x) == {IMAGE, "other:2"} for x in manager.heard))
        stub.RemoveImage(images_pb2.RemoveImageRequest(name="other:2"))
        manager.shut_down(task)
        await manager.until(lambda: manager.are(TaskState.SHUTDOWN, task))
        gone = stub.RemoveImage(images_pb2.RemoveImageRequest(name=IMAGE))
        assert list(gone.untagged) == [IMAGE]
        assert len(stub.ListImages(images_pb2.ListImagesRequest()).images) == 0

    within(story)


def _local(heard: object) -> set[str]:
    return {each.reference for each in getattr(heard, "images", ())}


def test_sigterm_ends_the_agent_in_time_and_nothing_else() -> None:
    """Whoever waits for longer kills it: `swarmd` does after five seconds."""

    async def story(manager: FakeManager, here: TestNode) -> None:
        tasks = names(3)
        manager.assign(*tasks, version=manager.version(image=IMAGE))
        await manager.until(lambda: manager.are(TaskState.RUNNING, *tasks))
        before = here.pids()

        elapsed = await asyncio.to_thread(here.stop_agent)

        assert elapsed < 5.0
        assert here.pids() == before
        assert not (here.run_root / "agent.sock").exists()

    within(story)


def test_a_node_that_leaves_ends_its_containers_and_then_says_goodbye() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        tasks = names(20)
        manager.assign(*tasks, version=manager.version(image=IMAGE))
        await manager.until(lambda: manager.are(TaskState.RUNNING, *tasks))
        at_goodbye: list[dict[str, int]] = []
        leaving = asyncio.create_task(asyncio.to_thread(here.stop_agent, signal.SIGUSR1))

        await manager.until(lambda: any(isinstance(x, Goodbye) for x in manager.heard))
        at_goodbye.append(here.pids())

        assert await leaving < 5.0, "swarmd would have killed it"
        assert at_goodbye == [{}]
        assert manager.are(TaskState.RUNNING, *tasks)
        assert len(manager.hellos) == 1

    within(story)


def test_a_second_agent_and_a_purge_beside_a_running_agent_are_refused() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        purged = await asyncio.to_thread(here.purge)

        assert purged.returncode == 1
        assert b"another agent runs" in purged.stderr

    within(story, names=())


def test_purge_removes_containers_without_launcher_or_manager_and_keeps_volumes() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        tasks = names(5)
        mounts = (Mount(source="keep", target="/keep"),)
        manager.assign(*tasks, version=manager.version(image=IMAGE, mounts=mounts))
        await manager.until(lambda: manager.are(TaskState.RUNNING, *tasks))
        await manager.stop()
        assert here.launcher is not None
        here.launcher.kill()
        here.launcher.wait()
        here.stop_agent(signal.SIGKILL)

        purged = await asyncio.to_thread(here.purge)

        assert purged.returncode == 0, purged.stderr
        assert here.pids() == {}
        assert not any((here.run_root / "containers").glob("*"))
        assert not (here.data_root / "agent/containers").exists()
        assert (here.data_root / "agent/volumes/keep/_data").is_dir()

    within(story)


def test_metrics_count_what_happened() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        (task,) = names(1)
        manager.assign(task, version=manager.version(image=IMAGE, command=("true",)))
        await manager.until(lambda: manager.are(TaskState.COMPLETE, task))

        def scrape() -> str:
            with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=30) as answer:
                return answer.read().decode()

        text = await asyncio.to_thread(scrape)
        for line in (
            'swarm_agent_tasks{state="complete"} 1.0',
            'swarm_agent_tasks{state="running"} 0.0',
            "swarm_agent_container_starts_total 1.0",
            "swarm_agent_container_exits_total 1.0",
            "swarm_agent_container_start_seconds_count 1.0",
            "swarm_agent_session_connected 1.0",
        ):
            assert line in text, text

    within(story, metrics_addr=METRICS)


def test_metrics_say_what_each_container_uses() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        (task,) = names(1)
        version = manager.version(
            image=IMAGE, command=("sleep", "100"), limits=Limits(memory_bytes=64 << 20)
        )
        manager.assign(task, version=version)
        await manager.until(lambda: manager.are(TaskState.RUNNING, task))

        def scrape() -> list[str]:
            with urllib.request.urlopen(f"http://{METRICS}/metrics", timeout=30) as answer:
                text = answer.read().decode()
            return [line for line in text.splitlines() if f'id="{task}"' in line]

        lines = await asyncio.to_thread(scrape)
        (limit,) = (x for x in lines if x.startswith("container_spec_memory_limit_bytes{"))
        (used,) = (x for x in lines if x.startswith("container_memory_usage_bytes{"))
        assert float(limit.rpartition(" ")[2]) == 64 << 20
        assert 0 < float(used.rpartition(" ")[2]) < 64 << 20
        assert f'image="{IMAGE}"' in limit

    within(story, metrics_addr=METRICS)


def test_a_configuration_that_cannot_be_read_is_one_clear_line(tmp_path: Path) -> None:
    with node("127.0.0.1:1") as here:
        here.config.write_text('{"node_id": 5}')

        purged = here.purge()

        here.config.write_text(
            '{"node_id":"n","hostname":"h","identity":"/i","managers":["m:1"],'
            f'"data_root":"{here.data_root}","run_root":"{here.run_root}",'
            f'"launcher_socket":"{here.run_root}/l"}}'
        )
    assert purged.returncode == 1
    assert b"node_id" in purged.stderr
    assert b"Traceback" not in purged.stderr
