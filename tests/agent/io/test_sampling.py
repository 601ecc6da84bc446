"""Samples and processes as a manager asks for them; tasks are this test's own process."""

import asyncio
import os
import subprocess
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from agent.io.looking import Looking, look
from agent.io.sampling import Sampled, Sampling
from runtime.cgroups.stats import CpuUsage, NetworkUsage, PidsUsage, Stats
from swarm.api.v1 import control_pb2, control_pb2_grpc
from swarm.errors import Missing
from swarm.ids import TaskId
from tests.manager.io.swarm import LOG, Agent, Swarm, found_swarm, service, swarming, until
from tests.programs import running
from tests.sim.fake_store import FakeStore

MINUTE_NS = 60 * 10**9


class Kernel:
    """Counts a minute of a core with every reading, however late that comes."""

    def __init__(self) -> None:
        self.readings = 0
        self.paused: list[tuple[str, bool]] = []

    def read_stats(self, task_id: TaskId) -> Stats:
        self.readings += 1
        return Stats(
            cpu=CpuUsage(usage_ns=self.readings * MINUTE_NS), pids=PidsUsage(current=len(task_id))
        )

    def read_networks(self, pid: int) -> tuple[NetworkUsage, ...]:
        return (NetworkUsage(name="eth0", rx_bytes=pid, tx_bytes=2 * pid),)

    async def processes(self, container_id: str) -> list[int]:
        return [os.getpid(), 1 << 30]

    async def pause(self, container_id: str) -> None:
        self.paused.append((container_id, True))

    async def resume(self, container_id: str) -> None:
        self.paused.append((container_id, False))


def attach(agent: Agent) -> Kernel:
    kernel = Kernel()

    def running() -> list[Sampled]:
        return [
            Sampled(task_id=each.task.id, service_id=each.task.service_id, pid=5)
            for each in agent.tasks.values()
        ]

    def require(task_id: TaskId) -> None:
        if task_id not in agent.tasks:
            raise Missing(f"task {task_id} is not assigned to this node")

    sampling = Sampling(
        running=running, read_stats=kernel.read_stats, read_networks=kernel.read_networks
    )
    looking = Looking(kernel, require=require, log=LOG)
    agent.respond["stats"] = sampling.respond
    agent.respond["processes"] = looking.processes
    agent.respond["pause"] = looking.pause
    return kernel


Play = Callable[[Callable[[Swarm, Agent, Kernel], Awaitable[None]]], None]


@pytest.fixture
def play(tmp_path: Path) -> Play:
    async def run(story: Callable[[Swarm, Agent, Kernel], Awaitable[None]]) -> None:
        async with swarming(FakeStore(), found_swarm(tmp_path)) as swarm, asyncio.timeout(60):
            agent = await swarm.join()
            kernel = attach(agent)
            await swarm.run(service("web", replicas=2))
            await swarm.run(service("api"))
            await story(swarm, agent, kernel)

    return lambda story: asyncio.run(run(story))


async def once(swarm: Swarm, *tasks: str) -> list[control_pb2.TaskStats]:
    request = control_pb2.WatchStatsRequest(tasks=tasks, once=True, interval_s=0.2)
    return [each for batch in await swarm.ask("WatchStats", request) for each in batch.tasks]


def test_a_sample_says_what_was_used_between_two_readings(play: Play) -> None:
    async def story(swarm: Swarm, agent: Agent, kernel: Kernel) -> None:
        (found,) = await once(swarm, "api.1")

        assert found.cpu_percent > 100
        assert found.pids == len(found.task_id)
        assert (found.received_bytes, found.sent_bytes) == (5, 10)
        assert kernel.readings == 2

    play(story)


def test_only_what_is_asked_for_is_read(play: Play) -> None:
    async def story(swarm: Swarm, agent: Agent, kernel: Kernel) -> None:
        assert {each.service_name for each in await once(swarm, "web")} == {"web"}
        assert kernel.readings == 4
        assert len(await once(swarm)) == 3

    play(story)


def test_nothing_is_read_once_nobody_listens(play: Play) -> None:
    async def story(swarm: Swarm, agent: Agent, kernel: Kernel) -> None:
        async with swarm.dial() as channel:
            watch = control_pb2_grpc.ControlStub(channel).WatchStats(
                control_pb2.WatchStatsRequest(interval_s=0.2)
            )
            for _ in range(2):
                batch = await watch.read()
                assert len(batch.tasks) == 3
        await until(lambda: not agent._conversations._open)
        before = -1
        while before != kernel.readings:  # the last thread may still be reading
            before = kernel.readings
            await asyncio.sleep(0.5)

    play(story)


def test_processes_are_those_of_the_container_that_still_live(play: Play) -> None:
    async def story(swarm: Swarm, agent: Agent, kernel: Kernel) -> None:
        request = control_pb2.ListProcessesRequest(task="api.1")
        answer = await swarm.call("ListProcesses", request)

        (found,) = answer.processes
        assert (found.pid, found.ppid) == (os.getpid(), os.getppid())
        assert "\0".join(found.args) == Path("/proc/self/cmdline").read_text().rstrip("\0")
        assert 0 < found.started_at <= answer.at
        assert 0 < found.resident_bytes < answer.memory_bytes

    play(story)


def test_a_task_is_paused_and_resumed(play: Play) -> None:
    async def story(swarm: Swarm, agent: Agent, kernel: Kernel) -> None:
        for paused in (True, False):
            request = control_pb2.PauseTaskRequest(task="api.1", paused=paused)
            await swarm.call("PauseTask", request)

        assert [each for _, each in kernel.paused] == [True, False]

    play(story)


QUIET = """
import signal, threading
threading.Thread(target=signal.pause, daemon=True).start()
print(flush=True)
signal.pause()
"""


def test_what_we_read_is_what_ps_says() -> None:
    """Of another process: threads of ours come and go."""
    columns = "pid,ppid,pgid,sid,euid,nlwp,ni"
    with running(QUIET) as quiet:
        told = subprocess.run(
            ["ps", "-o", columns, "--no-headers", "-p", str(quiet.pid)],
            capture_output=True, check=True, text=True,
        )  # fmt: skip

        (found,) = look([quiet.pid])

    ours = (found.pid, found.ppid, found.pgid, found.sid, found.uid, found.threads, found.nice)
    assert list(ours) == [int(each) for each in told.stdout.split()]
