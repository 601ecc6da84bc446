"""The shell around lives: what is written down before it is done, and who is told of it."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from random import Random

import pytest
import structlog
from msgspec.structs import replace

from agent.events import Exited
from agent.standalone.effects import Effect, Release, Remove, Start
from agent.standalone.events import (
    Event,
    Released,
    Removed,
    RemoveFailed,
    RemoveRequested,
    Started,
    StartFailed,
    StartRequested,
    StopRequested,
)
from agent.standalone.found import Found
from agent.standalone.io.journal import Journal
from agent.standalone.io.lives import Lives
from agent.standalone.io.storage import Storage
from agent.standalone.record import Record
from swarm.errors import Missing, Refused
from swarm.ids import TaskId
from swarm.images.config import ImageConfig
from swarm.specs import ContainerSpec
from swarm.standalone import ContainerRestart, ContainerState, Restarting, StandaloneSpec

STARTED = Started(pid=5, started_at=1.0)
EXITED = Exited(exit_code=3, finished_at=2.0)
ID = "a" * 64
TASK = Found(
    id="ab" * 32, name="web.1.x", runtime_id="t1", own="/own", image="i", task_id=TaskId("t1")
)


class Tasks:
    def found(self) -> Mapping[str, Found]:
        return {TASK.id: TASK}

    def look(self, found: Found) -> Found:
        return found


class Here:
    """Lives of one node, with a performer that writes down what it is to do."""

    def __init__(self, directory: Path) -> None:
        self.storage = Storage(directory / "s", structlog.get_logger())
        self.lives = Lives(self.storage, journal=Journal(), assigned=Tasks(), random=Random(1))
        self.called = list[Effect]()
        self.lives.open(self.storage.load(), self._perform)

    def _perform(self, record: Record, effect: Effect) -> None:
        kept = {each.id: each.life for each in self.storage.load()}
        assert kept[record.id].run == record.life.run  # it was written down before
        self.called.append(effect)

    async def add(self, name: str = "it", container_id: str = ID, **fields: object) -> Record:
        with self.lives.named(name, container_id) as plain:
            record = Record(
                id=container_id,
                spec=StandaloneSpec(name=plain, container=ContainerSpec(image="i"), **fields),
                image_id="sha256:1", image=ImageConfig(), created_at=1.0,
            )  # fmt: skip
            await self.lives.add(record, nothing)
        return record

    def tell(self, *events: Event) -> None:
        for event in events:
            self.lives.tell(ID, event)


async def nothing() -> None:
    pass


def within(directory: Path, story: Callable[[Here], Awaitable[None]]) -> None:
    async def run() -> None:
        await story(Here(directory))

    asyncio.run(run())


def test_who_starts_it_is_told_when_it_runs_or_why_not(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        await here.add()
        failing = here.lives.starting(ID)
        here.tell(StartRequested())
        here.lives.tell(ID, StartFailed(reason="no", exit_code=127), Missing("No such image: i"))
        with pytest.raises(Missing, match="No such image: i"):
            await failing

        working = here.lives.starting(ID)
        here.tell(StartRequested(), STARTED)
        await working
        assert here.called == [Start(), Start()]

    within(tmp_path, story)


def test_who_waits_for_an_end_is_told_once_nothing_is_left_of_the_run(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        await here.add()
        assert (await here.lives.resting(ID)).exit_code == 0
        here.tell(StartRequested(), STARTED)
        rest, end = here.lives.resting(ID), here.lives.ending(ID)
        here.tell(EXITED)
        assert not rest.done()
        here.tell(Released())
        assert (rest.result().exit_code, end.result().exit_code) == (3, 3)
        assert not here.lives.ending(ID).done()

    within(tmp_path, story)


def test_a_start_that_is_stopped_before_it_began_hangs_nobody(tmp_path: Path) -> None:
    always = ContainerRestart(condition=Restarting.ALWAYS)

    async def story(here: Here) -> None:
        await here.add(restart=always)
        here.tell(StartRequested(), STARTED, EXITED, Released())
        waiting = here.lives.starting(ID)
        here.tell(StopRequested(signal=15, grace_s=1.0))
        with pytest.raises(Refused, match="stopped before"):
            await waiting

    within(tmp_path, story)


def test_a_removed_container_is_nobody_and_its_name_is_free(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        await here.add()
        gone, rest = here.lives.leaving(ID), here.lives.ending(ID)
        here.tell(RemoveRequested())
        assert here.called == [Remove(volumes=False)]
        here.tell(Removed())
        assert gone.done()
        assert rest.done()
        with pytest.raises(Missing):
            here.lives.find("it")
        await here.storage.remove(ID)
        await here.add(container_id="b" * 64)

    within(tmp_path, story)


def test_a_removal_that_fails_tells_its_reason(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        await here.add()
        gone = here.lives.leaving(ID)
        here.tell(RemoveRequested(), RemoveFailed(reason="busy"))
        assert (await gone).error == "busy"

    within(tmp_path, story)


def test_what_is_held_is_not_free_and_what_is_removed_cannot_be_held(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        await here.add()
        async with here.lives.held("it") as found:
            assert found.own == here.storage.own(ID)
            freeing = asyncio.ensure_future(here.lives.free(ID))
            await asyncio.sleep(0)
            assert not freeing.done()
        await freeing
        here.tell(RemoveRequested())
        with pytest.raises(Refused, match="marked for removal"):
            async with here.lives.held("it"):
                pass

    within(tmp_path, story)


def test_tasks_are_found_and_are_their_services(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        await here.add(container_id="abc" + "0" * 61)
        assert here.lives.find("web.1.x") == TASK
        assert here.lives.find("abab") == TASK
        assert here.lives.find("abc").name == "it"
        assert {each.name for each in here.lives.all()} == {"it", "web.1.x"}
        with pytest.raises(Refused, match="belongs to a task"):
            here.lives.own("web.1.x", to="rename")

    within(tmp_path, story)


def test_changes_at_the_same_time_do_not_undo_each_other(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        before = (await here.add()).spec
        with here.lives.named("other", ID):
            await asyncio.gather(
                here.lives.change(ID, replace(before, name="other")),
                here.lives.change(ID, replace(before, domainname="example.org")),
            )
        record = here.lives.find("other").record
        assert record is not None
        assert (record.name, record.spec.domainname) == ("other", "example.org")
        assert here.storage.load() == [record]
        with pytest.raises(Missing):
            here.lives.find("it")

    within(tmp_path, story)


def test_a_name_is_free_again_when_nothing_came_of_it(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        with pytest.raises(ZeroDivisionError), here.lives.named("it", "x"):
            raise ZeroDivisionError
        await here.add("it")
        with pytest.raises(Refused, match="already in use"), here.lives.named("it", "x"):
            pass

    within(tmp_path, story)


def test_what_could_not_be_prepared_was_never_made(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        async def fail() -> None:
            assert here.storage.load()  # a crash here leaves a container, not a stray volume
            raise Refused("no such driver")

        record = Record(
            id=ID, spec=StandaloneSpec(name="it"), image_id="", image=ImageConfig(), created_at=1.0
        )
        with pytest.raises(Refused, match="no such driver"):
            await here.lives.add(record, fail)
        assert here.storage.load() == []
        assert here.lives.records() == []

    within(tmp_path, story)


def test_the_next_agent_knows_what_this_one_told(tmp_path: Path) -> None:
    async def story(here: Here) -> None:
        await here.add()
        here.tell(StartRequested(), STARTED, EXITED)
        assert here.called[-1] == Release()
        here.lives.close()
        here.tell(Released())
        (kept,) = here.storage.load()
        assert (kept.life.state, kept.life.exit_code) == (ContainerState.RUNNING, 3)

    within(tmp_path, story)
