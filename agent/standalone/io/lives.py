"""Keep all containers that somebody runs on this node, and live their lives.

Every event of a container is taken here, written down if it is to last, acted upon, and then told
to whoever waits: so nobody hears of anything that the next agent would not know. Containers of
tasks are found here as well, but live elsewhere.
"""

import asyncio
import contextlib
import time
from collections.abc import (
    AsyncGenerator,
    Awaitable,
    Callable,
    Generator,
    Iterable,
    Mapping,
)
from random import Random
from typing import Protocol, TypeVar

from msgspec import Struct
from msgspec.structs import replace

from agent.standalone import naming
from agent.standalone.effects import Announce, Delay, Effect, Forget, Wait
from agent.standalone.events import (
    DelayExpired,
    Event,
    GraceExpired,
    RemoveFailed,
    Started,
    StartFailed,
)
from agent.standalone.found import Found
from agent.standalone.io.journal import Journal
from agent.standalone.io.storage import Storage
from agent.standalone.life import Work, resting, step
from agent.standalone.record import Record
from swarm.errors import Missing, Refused, SwarmError
from swarm.standalone import StandaloneSpec

T = TypeVar("T")


class Assigned(Protocol):
    """The containers of tasks."""

    def found(self) -> Mapping[str, Found]:
        """Those that are here, by the ids under which they are shown."""
        ...

    def look(self, found: Found) -> Found:
        """The same, with whether it is paused."""
        ...


class Ended(Struct, frozen=True, kw_only=True):
    """What whoever waits is told; an `error` is why it could not be removed."""

    exit_code: int = 0
    error: str = ""


class _Cell:
    """One container, and who waits for it."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.starters: set[asyncio.Future[None]] = set()
        self.resting: set[asyncio.Future[Ended]] = set()
        self.ending: set[asyncio.Future[Ended]] = set()
        self.leaving: set[asyncio.Future[Ended]] = set()
        self.failure: SwarmError | None = None
        self.changing = asyncio.Lock()
        self.holders = 0
        self.is_free = asyncio.Event()
        self.is_free.set()

    @property
    def outcome(self) -> Ended:
        return Ended(exit_code=self.record.life.exit_code)


class Lives:
    """The containers of this node. `perform` does effects; see `open`. `forgotten` hears that one
    is no more."""

    def __init__(
        self,
        storage: Storage,
        *,
        journal: Journal,
        assigned: Assigned,
        random: Random,
        forgotten: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._journal = journal
        self._assigned = assigned
        self._random = random
        self._forgotten = forgotten
        self._cells: dict[str, _Cell] = {}
        self._names: dict[str, str] = {}
        self._perform: Callable[[Record, Effect], None] | None = None
        self._is_closed = False

    def open(self, records: Iterable[Record], perform: Callable[[Record, Effect], None]) -> None:
        """Begin with what an earlier agent left; nothing happens before somebody tells events."""
        self._perform = perform
        for each in records:
            record = replace(each, life=resting(each.life))
            self._cells[record.id] = _Cell(record)
            self._names.setdefault(record.name, record.id)

    def close(self) -> None:
        """Hear of nothing any more; what runs goes on."""
        self._is_closed = True

    # --- finding ------------------------------------------------------------------------------

    def records(self) -> list[Record]:
        """All containers that are no tasks', the oldest first."""
        return [each.record for each in self._cells.values()]

    def record(self, container_id: str) -> Record | None:
        """One of them by its id."""
        cell = self._cells.get(container_id)
        return cell.record if cell is not None else None

    def all(self) -> list[Found]:
        """All containers, tasks' too."""
        tasks = map(self._assigned.look, self._assigned.found().values())
        return [*map(self._found, self.records()), *tasks]

    def find(self, text: str) -> Found:
        """The container that an id, the beginning of one, or a name means; else `Missing`."""
        if (cell := self._cells.get(text)) is not None:
            return self._found(cell.record)
        if (known := self._names.get(text.removeprefix("/"))) is not None and known in self._cells:
            return self._found(self._cells[known].record)
        tasks = self._assigned.found()
        names = {each.name: each.id for each in tasks.values()} | self._names
        found = naming.meant(text, (*self._cells, *tasks), names)
        cell = self._cells.get(found)
        return self._found(cell.record) if cell is not None else self._assigned.look(tasks[found])

    def own(self, text: str, *, to: str) -> Record:
        """The same, of a container that is no task's; `to` says what was to be done with it."""
        found = self.find(text)
        if found.record is None:
            raise Refused(
                f"container {found.name} belongs to a task, so nobody but its service can {to} it"
            )
        return found.record

    @contextlib.asynccontextmanager
    async def held(self, text: str) -> AsyncGenerator[Found, None]:
        """Find a container, and keep it from being removed until we are done."""
        found = self.find(text)
        cell = self._cells.get(found.id)
        if cell is None:
            yield found
            return
        if cell.record.life.work is Work.REMOVE:
            raise Refused(f"container {text} is marked for removal")
        cell.holders += 1
        cell.is_free.clear()
        try:
            yield found
        finally:
            cell.holders -= 1
            if not cell.holders:
                cell.is_free.set()

    async def free(self, container_id: str) -> None:
        """Wait until nobody holds it."""
        if (cell := self._cells.get(container_id)) is not None:
            await cell.is_free.wait()

    def _found(self, record: Record) -> Found:
        return Found(
            id=record.id,
            name=record.name,
            runtime_id=record.id,
            own=self._storage.own(record.id),
            image=record.spec.container.image,
            image_id=record.image_id,
            labels=record.labels,
            pid=record.life.pid,
            is_paused=record.life.is_paused,
            record=record,
        )

    # --- being made and changed -----------------------------------------------------------------

    def new_id(self) -> str:
        """An id that no container has."""
        return naming.make_id(self._random, self._cells)

    @contextlib.contextmanager
    def named(self, name: str, container_id: str) -> Generator[str, None, None]:
        """Have a name for a container, which it keeps unless something fails; empty: made up."""
        plain = naming.checked(name) if name else naming.made_up(self._random, self._names)
        taken = self._names.get(plain)
        if taken is not None and taken != container_id:
            raise naming.conflict(plain, taken)
        self._names[plain] = container_id
        try:
            yield plain
        except BaseException:
            if taken is None:
                del self._names[plain]
            raise

    async def add(self, record: Record, prepare: Callable[[], Awaitable[None]]) -> None:
        """Keep a new container, whose name it has already, once what it needs is prepared.

        It is on the disk by then, so that nothing is prepared for nobody.
        """
        await self._storage.add(record)
        try:
            await prepare()
        except BaseException:
            await self._storage.remove(record.id)
            raise
        self._cells[record.id] = _Cell(record)
        self._announce(record, Announce("create"))

    async def change(self, container_id: str, spec: StandaloneSpec) -> None:
        """Have a container be described like this; what others change meanwhile is kept."""
        cell = self._cells[container_id]
        wanted = _differences(cell.record.spec, spec)
        async with cell.changing:
            before = cell.record.spec
            after = replace(before, **wanted)
            await self._storage.change(replace(cell.record, spec=after))
            cell.record = replace(cell.record, spec=after)
        if before.name != after.name and self._names.get(before.name) == container_id:
            del self._names[before.name]

    def announce(self, container_id: str, action: str, attributes: Mapping[str, str]) -> None:
        """Tell of something that was done to it."""
        record = self.record(container_id)
        found = self._found(record) if record else self._assigned.found().get(container_id)
        if found is not None:
            self._journal.tell_of(found, action, attributes)

    # --- living ---------------------------------------------------------------------------------

    def tell(self, container_id: str, event: Event, failure: SwarmError | None = None) -> None:
        """Something happened to it, or is asked of it; raises `Refused` if its state forbids that.

        A `failure` is what whoever asked for the start is told.
        """
        cell = self._cells.get(container_id)
        if cell is None or self._is_closed:
            return
        record, before = cell.record, cell.record.life
        life, effects = step(before, event, record.manner, at=time.time())
        life.check()
        cell.record = replace(record, life=life)
        if resting(life) != resting(before):
            self._storage.progress(cell.record)
        for effect in effects:
            self._do(cell.record, effect)
        self._answer(cell, event, failure)
        if before.work is Work.RELEASE and life.work is not Work.RELEASE:
            _settle(cell.ending, cell.outcome)
            _settle(cell.resting, cell.outcome)

    def starting(self, container_id: str) -> asyncio.Future[None]:
        """Done when it has been started; fails with why it was not."""
        return _waiter(self._cells[container_id].starters)

    def resting(self, container_id: str) -> asyncio.Future[Ended]:
        """Done once it does not run; at once if it does not."""
        cell = self._cells[container_id]
        future = _waiter(cell.resting)
        if not cell.record.life.is_active:
            _settle(cell.resting, cell.outcome)
        return future

    def ending(self, container_id: str) -> asyncio.Future[Ended]:
        """Done when a run of it ends that has not ended yet."""
        return _waiter(self._cells[container_id].ending)

    def leaving(self, container_id: str) -> asyncio.Future[Ended]:
        """Done when it has been removed, with how it ended."""
        return _waiter(self._cells[container_id].leaving)

    def _do(self, record: Record, effect: Effect) -> None:
        loop = asyncio.get_running_loop()
        match effect:
            case Announce():
                self._announce(record, effect)
            case Wait(run, delay_s):
                loop.call_later(delay_s, self.tell, record.id, GraceExpired(run))
            case Delay(run, delay_s):
                loop.call_later(delay_s, self.tell, record.id, DelayExpired(run))
            case Forget():
                self._forget(record)
            case _:
                assert self._perform is not None
                self._perform(record, effect)

    def _announce(self, record: Record, effect: Announce) -> None:
        self._journal.tell_of(self._found(record), effect.action, dict(effect.attributes))

    def _forget(self, record: Record) -> None:
        cell = self._cells.pop(record.id)
        if self._names.get(record.name) == record.id:
            del self._names[record.name]
        for waiting in (cell.resting, cell.ending, cell.leaving):
            _settle(waiting, cell.outcome)
        _fail(cell.starters, Missing(f"No such container: {record.id}"))
        self._forgotten()

    def _answer(self, cell: _Cell, event: Event, failure: SwarmError | None) -> None:
        """Tell those who wait for its start, for its rest, or for its removal."""
        life = cell.record.life
        match event:
            case Started():
                if not life.again:
                    _settle(cell.starters, None)
            case StartFailed(reason=reason):
                _fail(cell.starters, failure or Refused(reason))
            case RemoveFailed(reason=reason):
                _settle(cell.leaving, replace(cell.outcome, error=reason))
            case _ if cell.starters and life.work is Work.NONE and not life.is_active:
                _fail(cell.starters, Refused("container was stopped before it had started"))
            case _:
                pass
        if not life.is_active and life.work is Work.NONE:
            _settle(cell.resting, cell.outcome)


def _differences(before: StandaloneSpec, after: StandaloneSpec) -> dict[str, object]:
    """The fields that somebody wants to be others."""
    return {
        name: value
        for name in after.__struct_fields__
        if (value := getattr(after, name)) != getattr(before, name)
    }


def _waiter(waiting: set[asyncio.Future[T]]) -> asyncio.Future[T]:
    future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
    waiting.add(future)
    future.add_done_callback(waiting.discard)
    future.add_done_callback(lambda done: done.cancelled() or done.exception())
    return future


def _settle(waiting: set[asyncio.Future[T]], outcome: T) -> None:
    for each in tuple(waiting):
        if not each.done():
            each.set_result(outcome)


def _fail(waiting: set[asyncio.Future[T]], err: SwarmError) -> None:
    for each in tuple(waiting):
        if not each.done():
            each.set_exception(err)
