"""The agent over a real session: what is said when, and what a broken line does."""

import asyncio
from collections.abc import Awaitable, Callable
from random import Random

import structlog

from agent.effects import Effect, Prepare, Signal, Start
from agent.events import Event, Exited, Prepared, Started
from agent.io.agent import Agent
from agent.io.crew import Crew
from agent.io.link import Link
from agent.metrics import Metrics
from agent.session import Session
from agent.tasks import Tasks
from swarm.certificates import Identity
from swarm.dispatch import Diff, Goodbye, Heartbeat, Hello
from swarm.ids import TaskId
from swarm.objects import NodeDescription
from swarm.states import TaskState
from tests.agent.managers import FakeManager


class World:
    """An agent whose containers start at once and without a kernel."""

    def __init__(self, manager: FakeManager, *, is_alone: bool = False) -> None:
        self.manager = manager
        self.crew = Crew()
        self.metrics = Metrics()
        self.learned: list[tuple[str, ...]] = []
        self.asked: list[object] = []
        self.left: list[Link] = []
        self.performed: list[Effect] = []
        self.settled = 0
        self.described = NodeDescription(hostname="h")
        self.reads = 0
        self.agent = Agent(
            tasks=Tasks(),
            session=Session(() if is_alone else (manager.address,), random=Random(3)),
            identity=self._identity,
            describe=lambda: self.described,
            perform=self._perform,
            answer=lambda link, message: self.asked.append(message),
            left=self.left.append,
            learned=self.learned.append,
            changed=lambda task_id: None,
            settled=self._settle,
            supplied=lambda: None,
            spawn=self.crew.spawn,
            metrics=self.metrics,
            log=structlog.get_logger(),
        )

    def _identity(self) -> Identity:
        self.reads += 1
        return self.manager.swarm.node()

    def _settle(self) -> None:
        self.settled += 1

    def _perform(self, effect: Effect) -> None:
        self.performed.append(effect)
        answer: Event | None = None
        match effect:
            case Prepare():
                answer = Prepared()
            case Start():
                answer = Started(pid=7, started_at=1.0)
            case Signal():
                answer = Exited(exit_code=143)
            case _:
                return
        asyncio.get_running_loop().call_soon(self.agent.tell, effect.task_id, answer)


def within(
    story: Callable[[World, FakeManager], Awaitable[None]], *, heartbeat_s: float = 1.0
) -> None:
    async def run() -> None:
        manager = FakeManager(heartbeat_s=heartbeat_s)
        manager.version(image="web")
        await manager.start()
        world = World(manager)
        world.agent.start()
        try:
            await story(world, manager)
            assert not world.crew.crashed.done()
            world.agent.tasks.check()
        finally:
            await world.agent.close()
            await world.crew.close()
            await manager.stop()

    asyncio.run(run())


def test_a_task_runs_and_costs_one_report() -> None:
    async def story(world: World, manager: FakeManager) -> None:
        await manager.until(lambda: manager.hellos)

        manager.assign("a")
        await manager.until(lambda: manager.are(TaskState.RUNNING, "a"))

        assert [len(each.statuses) for each in manager.batches] == [1]
        assert manager.seen[TaskId("a")].pid == 7

    within(story)


def test_a_hundred_starts_travel_in_few_batches() -> None:
    async def story(world: World, manager: FakeManager) -> None:
        names = [f"t{number:03}" for number in range(100)]
        await manager.until(lambda: manager.hellos)

        manager.assign(*names)
        await manager.until(lambda: manager.are(TaskState.RUNNING, *names))

        assert len(manager.batches) < 20

    within(story)


def test_a_manager_that_comes_back_is_in_sync_and_hears_what_it_missed() -> None:
    """The manager is replaced while a container ends.

    1. Two tasks run, and the manager goes away.
    2. One of them ends; nobody is there to hear it, and nothing is stopped.
    3. A manager is back on the same port: the digests agree, so nothing is resent to us.
    4. The end is told.
    """

    async def story(world: World, manager: FakeManager) -> None:
        await manager.until(lambda: manager.hellos)
        manager.assign("a", "b")
        await manager.until(lambda: manager.are(TaskState.RUNNING, "a", "b"))

        await manager.stop()
        world.agent.tell(TaskId("a"), Exited(exit_code=3))
        await manager.start()
        await manager.until(lambda: manager.are(TaskState.FAILED, "a"))

        digest = world.agent.tasks.assignments.digest()
        assert [each.digest for each in manager.hellos][-1] == digest
        assert manager.hellos[-1].statuses[0].state is TaskState.FAILED
        assert not [each for each in world.performed if isinstance(each, Signal)]
        assert world.agent.tasks.lives[TaskId("b")].state is TaskState.RUNNING

    within(story)


def test_what_was_reassigned_meanwhile_is_stopped_after_the_reconnect() -> None:
    async def story(world: World, manager: FakeManager) -> None:
        await manager.until(lambda: manager.hellos)
        manager.assign("a", "b")
        await manager.until(lambda: manager.are(TaskState.RUNNING, "a", "b"))

        await manager.stop()
        manager.withdraw("a")
        await manager.start()
        await manager.until(lambda: len(manager.hellos) == 2)
        async with asyncio.timeout(30):
            while TaskId("a") in world.agent.tasks.lives:
                await asyncio.sleep(0.001)

        assert world.performed.count(Signal(TaskId("a"))) == 1

    within(story)


def test_a_silent_manager_is_left_after_three_heartbeats() -> None:
    async def story(world: World, manager: FakeManager) -> None:
        await manager.until(lambda: manager.hellos)
        await manager.until(lambda: any(isinstance(x, Heartbeat) for x in manager.heard))

        manager.is_mute = True
        await manager.until(lambda: sum(isinstance(x, Hello) for x in manager.heard) > 1)

        assert world.metrics.reconnects._value.get() == 1

    within(story, heartbeat_s=0.05)


def test_a_gap_in_the_sequence_starts_the_session_over() -> None:
    async def story(world: World, manager: FakeManager) -> None:
        await manager.until(lambda: manager.hellos)
        manager.assign("a")
        await manager.until(lambda: manager.are(TaskState.RUNNING, "a"))

        manager.say(Diff(sequence=7))
        await manager.until(lambda: len(manager.hellos) == 2)

        assert manager.hellos[-1].digest == ""
        assert world.agent.tasks.lives[TaskId("a")].state is TaskState.RUNNING

    within(story)


def test_a_changed_description_is_told_once() -> None:
    async def story(world: World, manager: FakeManager) -> None:
        await manager.until(lambda: manager.hellos)
        manager.assign("a")
        await manager.until(lambda: manager.are(TaskState.RUNNING, "a"))

        world.agent.describe_again()
        world.described = NodeDescription(hostname="renamed")
        world.agent.describe_again()
        world.agent.describe_again()
        await manager.until(lambda: any(isinstance(x, NodeDescription) for x in manager.heard))
        manager.shut_down("a")
        await manager.until(lambda: manager.are(TaskState.SHUTDOWN, "a"))

        told = [each for each in manager.heard if isinstance(each, NodeDescription)]
        assert told == [NodeDescription(hostname="renamed")]

    within(story)


def test_a_retired_agent_reports_no_ends_but_says_goodbye() -> None:
    """A node leaves, and its containers end: told as failures, they would be restarted here."""

    async def story(world: World, manager: FakeManager) -> None:
        await manager.until(lambda: manager.hellos)
        manager.assign("a")
        await manager.until(lambda: manager.are(TaskState.RUNNING, "a"))
        before = len(manager.batches)

        world.agent.retire()
        world.agent.tell(TaskId("a"), Exited(exit_code=137))
        manager.assign("b")
        beats = sum(isinstance(each, Heartbeat) for each in manager.heard)
        await manager.until(lambda: sum(isinstance(x, Heartbeat) for x in manager.heard) > beats)
        await world.agent.say_goodbye(within_s=30.0)

        assert isinstance(manager.heard[-1], Goodbye)
        assert len(manager.batches) == before
        assert TaskId("b") not in world.agent.tasks.lives
        assert len(manager.hellos) == 1

    within(story)


def test_a_goodbye_to_a_manager_that_is_away_waits_for_nothing() -> None:
    async def story(world: World, manager: FakeManager) -> None:
        await manager.until(lambda: manager.hellos)
        await manager.stop()
        async with asyncio.timeout(30):
            while not world.left:
                await asyncio.sleep(0.001)

        world.agent.retire()
        async with asyncio.timeout(5):
            await world.agent.say_goodbye(within_s=60.0)

    within(story)


def test_the_certificate_is_read_at_each_dial() -> None:
    async def story(world: World, manager: FakeManager) -> None:
        await manager.until(lambda: manager.hellos)
        before = world.reads

        await manager.stop()
        await manager.start()
        await manager.until(lambda: len(manager.hellos) == 2)

        assert world.reads > before
        assert len(world.left) == 1

    within(story)


def test_what_a_bug_breaks_ends_the_process_not_the_silence() -> None:
    async def run() -> None:
        crew = Crew()

        async def buggy() -> None:
            raise ZeroDivisionError

        crew.spawn(buggy())
        async with asyncio.timeout(30):
            await asyncio.wait((crew.crashed,))

        assert isinstance(crew.crashed.exception(), ZeroDivisionError)
        await crew.close()

    asyncio.run(run())


def test_without_a_swarm_all_is_known_at_once_and_nobody_is_dialled() -> None:
    async def run() -> None:
        world = World(FakeManager(), is_alone=True)
        world.agent.start()
        try:
            await asyncio.sleep(0)
            await asyncio.sleep(0)

            assert world.settled == 1
            assert world.reads == 0
            world.agent.describe_again()
            world.agent.tell(TaskId("a"), Exited(exit_code=0))
        finally:
            await world.agent.close()
            await world.crew.close()

    asyncio.run(run())
