"""Connect containers, and remember how they are connected.

What a container got is written down before it runs, so that the next agent knows its ports and
its address in the node's bridge without asking it. The kernel's state outlives us as containers
do: it is compared with what should be once, as soon as a manager has said what that is, and
only then anything else is connected or let go; before, all would seem foreign. Changes of the
topology are done in the order they came in.

Networks of this node alone are known from the start, so containers that are in no others wait for
no manager.
"""

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Protocol

import msgspec
import structlog
from msgspec.structs import replace

from agent.assignments import Wanted
from agent.attachments import Connection, addressed, amended, is_bridged, is_connected
from agent.network.io import namespaces
from agent.network.io.networks import Running
from agent.topology import Backlog, Changes, Table, is_local
from swarm.errors import SwarmError
from swarm.ids import TaskId
from swarm.objects import Attachment
from swarm.specs import BRIDGE, Port

LEAVES_S = 1.0
"""How long the word of an end may take to every kernel: most of it is for busy machines."""

MEND_S = 60.0
MEND_SOON_S = 5.0
_NOTHING = Changes()


class Networks(Protocol):
    """The networks of this node."""

    async def apply(self, changes: Changes) -> None:
        """Follow the topology."""
        ...

    async def apply_local(self, changes: Changes) -> None:
        """Follow records of this node's own networks."""
        ...

    async def attach(self, task_id: TaskId, netns: int, connection: Connection) -> tuple[Port, ...]:
        """Connect a container that is about to run; gives its ports of the node."""
        ...

    async def amend(self, task_id: TaskId, netns: int, connection: Connection) -> tuple[Port, ...]:
        """Have a container that runs be in these networks, instead of those it was in."""
        ...

    async def detach(self, task_id: TaskId) -> None:
        """The container is gone; content when it was never connected."""
        ...

    async def reconcile(
        self, running: Mapping[TaskId, Running] | None = None, *, is_all: bool = True
    ) -> None:
        """Make the kernel hold what it should; `running` is what an earlier agent connected.

        Unless that `is_all` known, it is the node's own networks alone.
        """
        ...


class Bridge(Protocol):
    """The addresses of the node's own bridge."""

    def lend(self, task_id: TaskId) -> Attachment:
        """The task's address: the same one until it is given back."""
        ...

    def keep(self, task_id: TaskId, attachment: Attachment) -> None:
        """The task has this already, of an earlier agent."""
        ...

    def give_back(self, task_id: TaskId) -> None:
        """The task is gone; content when it had nothing."""
        ...


class Connections:
    """The connections of this node's containers. `run` does the work, from `settled` on.

    `observe` is told how many seconds changes took from being heard of to being followed.
    """

    def __init__(
        self,
        directory: Path,
        *,
        networks: Networks,
        bridge: Bridge,
        table: Table,
        observe: Callable[[float], None],
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._directory = directory
        self._networks = networks
        self._bridge = bridge
        self._table = table
        self._log = log
        self._known: dict[TaskId, Connection] = {}
        self._adopted: dict[TaskId, int] = {}
        self._observe = observe
        self._backlog = Backlog()
        self._has_changed = asyncio.Event()
        self._changed_at = 0.0
        self._news = asyncio.Event()
        self._followed = asyncio.Event()
        self._followed.set()
        self._settled = asyncio.Event()
        self._departed: list[TaskId] = []
        self._adopting = asyncio.Lock()
        self._ready_here = asyncio.Event()
        self._ready = asyncio.Event()

    async def run(self, here: Changes = _NOTHING) -> None:
        """Follow the topology for ever, and look now and then whether the kernel does.

        `here` is what is known from the start of this node's own networks.
        """
        if here:
            await self.follow_here(here)
        await self._mend_here()
        await self._catch_up()  # if there is nothing, that has to be heard, too
        for task_id in self._departed:
            await self._detach(task_id)
        is_sound = await self._mend_adopted(is_all=True)
        self._ready.set()
        while True:
            await self._follow_for(MEND_S if is_sound else MEND_SOON_S)
            is_sound = await self._mend()

    async def _mend_here(self) -> None:
        """Care for the node's own networks alone, until a manager has said what else there is."""
        is_sound = not self._adopted or await self._mend_adopted(is_all=False)
        self._ready_here.set()
        while not await self._settles_within(MEND_S if is_sound else MEND_SOON_S):
            is_sound = await self._mend(is_all=False)

    async def _settles_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._settled.wait()
        return self._settled.is_set()

    async def _follow_for(self, seconds: float) -> None:
        """Do what changes; a change that fails calls for a look at all of it."""
        until, is_sound = asyncio.get_running_loop().time() + seconds, True
        while is_sound:
            try:
                async with asyncio.timeout_at(until):
                    await self._has_changed.wait()
            except TimeoutError:
                return
            is_sound = await self._catch_up()

    # --- what an earlier agent did --------------------------------------------------------------

    def adopt(self, known: Mapping[TaskId, Connection], pids: Mapping[TaskId, int]) -> None:
        """Take over the connections of containers that run; forget all others."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for path in self._directory.iterdir():
            if path.name not in known or path.name not in pids:
                path.unlink()
        for task_id in sorted(known.keys() & pids.keys()):
            self._known[task_id], self._adopted[task_id] = known[task_id], pids[task_id]
            for each in known[task_id].attachments:
                if each.network_id == BRIDGE:
                    self._bridge.keep(task_id, each)

    def settled(self, live: Collection[TaskId]) -> None:
        """A manager has said all that runs here. Of what we adopted, the rest has ended since."""
        if self._settled.is_set():
            return
        for task_id in sorted(self._adopted.keys() - set(live)):
            if not self._known[task_id].is_standalone:
                del self._adopted[task_id], self._known[task_id]
                self._forget(task_id)
                if self._ready_here.is_set():
                    self._departed.append(task_id)
        self._settled.set()

    def _adopted_now(self) -> dict[TaskId, Running]:
        return {
            task_id: Running(
                pid=pid,
                attachments=known.attachments,
                asker=known.asker,
                ports=known.ports,
                macs=known.macs,
                is_standalone=known.is_standalone,
            )
            for task_id, pid in self._adopted.items()
            if (known := self._known.get(task_id)) is not None
        }

    # --- one container --------------------------------------------------------------------------

    def lend(self, wanted: Wanted) -> tuple[Attachment, ...]:
        """The interfaces that a container is to have; raises when there is no address for it."""
        if not is_connected(wanted):
            return ()
        given = addressed(wanted)
        return (*given, self._bridge.lend(wanted.task.id)) if is_bridged(wanted) else given

    async def attach(self, task_id: TaskId, netns: int, wanted: Connection) -> tuple[Port, ...]:
        """Connect a container that is about to run; gives its ports of the node.

        The topology that came with its task, or before it, has taken effect by then.
        """
        await self._caught_up(wanted)
        self._known[task_id] = wanted
        ports = await self._networks.attach(task_id, netns, wanted)
        self._known[task_id] = replace(wanted, ports=ports)
        _write(self._directory / task_id, self._known[task_id])
        return ports

    async def amend(self, wanted: Wanted, pid: int) -> None:
        """Have a container that runs be in the networks that its task is in now."""
        known = self._known.get(wanted.task.id)
        if known is not None:
            await self._caught_up(known)
            known = self._known.get(wanted.task.id)
        if known is None or (new := amended(known, wanted)).attachments == known.attachments:
            return
        await self._amend(wanted.task.id, pid, known, new)

    async def move(self, task_id: TaskId, pid: int, wanted: Connection) -> tuple[Port, ...]:
        """Have a container that runs be connected like this; gives its ports of the node."""
        await self._caught_up(wanted)
        return await self._amend(task_id, pid, self._known.get(task_id), wanted)

    def note(self, task_id: TaskId, known: Connection) -> None:
        """Something is known of a container that runs which changes nothing of its interfaces."""
        if task_id in self._known:
            self._known[task_id] = known
            _write(self._directory / task_id, known)

    def connection(self, task_id: TaskId) -> Connection | None:
        """How a container that runs is connected."""
        return self._known.get(task_id)

    async def _amend(
        self, task_id: TaskId, pid: int, known: Connection | None, wanted: Connection
    ) -> tuple[Port, ...]:
        netns = namespaces.of_process(pid)
        try:
            ports = await self._networks.amend(task_id, netns, wanted)
        finally:
            os.close(netns)
        if self._known.get(task_id) is known:
            self._known[task_id] = replace(wanted, ports=ports or wanted.ports)
            _write(self._directory / task_id, self._known[task_id])
        return ports

    async def _caught_up(self, wanted: Connection) -> None:
        """Wait until all that was heard of before has taken effect where it is to be connected."""
        if wanted.is_standalone and all(is_local(x.network_id) for x in wanted.attachments):
            await self._ready_here.wait()
            return
        followed = self._followed
        await self._ready.wait()
        await followed.wait()

    def leaving_s(self, task_id: TaskId) -> float:
        """How long a container should go on answering although it is to end."""
        return LEAVES_S if self._table.is_relieved(task_id) else 0.0

    async def release(self, task_id: TaskId) -> None:
        """A container has ended, or never came to be: nothing of its connections stays."""
        self._adopted.pop(task_id, None)
        known = self._known.pop(task_id, None)
        if known is not None:
            await (self._ready_here if known.is_standalone else self._ready).wait()
            async with self._adopting:
                await self._detach(task_id)
        self._forget(task_id)

    async def _detach(self, task_id: TaskId) -> None:
        try:
            await self._networks.detach(task_id)
        except SwarmError as err:
            self._log.warning("container.not_detached", task_id=task_id, reason=err.message)

    def _forget(self, task_id: TaskId) -> None:
        self._bridge.give_back(task_id)
        (self._directory / task_id).unlink(missing_ok=True)

    async def leave(self, kept: Collection[TaskId]) -> None:
        """Take away all that is the swarm's; of connections, all that is not of `kept`.

        An agent that heard no manager has touched nothing yet, and leaves that to the next one.
        """
        if not self._ready.is_set():
            return
        for task_id in sorted(self._known.keys() - set(kept)):
            await self.release(task_id)
        self.follow(Changes(gone=tuple(self._table.records.values())))
        await self._followed.wait()

    # --- the topology ---------------------------------------------------------------------------

    def follow(self, changes: Changes) -> None:
        """Have the networks follow, together with whatever else changed before they do."""
        self._backlog.add(changes)
        self._news.set()
        self._news = asyncio.Event()
        if not self._has_changed.is_set():
            self._has_changed.set()
            self._changed_at = asyncio.get_running_loop().time()
            self._followed = asyncio.Event()

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until the topology says something."""
        while not holds():
            await self._news.wait()

    async def follow_here(self, changes: Changes) -> None:
        """Have the networks follow what changed in those of this node alone."""
        await self._networks.apply_local(changes)

    async def _catch_up(self) -> bool:
        is_late, since, followed = self._has_changed.is_set(), self._changed_at, self._followed
        self._has_changed.clear()
        try:
            await self._networks.apply(self._backlog.take())
            if is_late:
                self._observe(asyncio.get_running_loop().time() - since)
        except SwarmError as err:
            self._log.error("networks.not_changed", reason=err.message)
            return False
        finally:
            followed.set()
        return True

    async def _mend_adopted(self, *, is_all: bool) -> bool:
        """Give containers what an earlier agent gave them; one that ends now is let go after."""
        async with self._adopting:
            return await self._mend(self._adopted_now(), is_all=is_all)

    async def _mend(
        self, running: Mapping[TaskId, Running] | None = None, *, is_all: bool = True
    ) -> bool:
        try:
            await self._networks.reconcile(running, is_all=is_all)
        except SwarmError as err:
            self._log.error("networks.not_mended", reason=err.message)
            return False
        return True


def remembered(directory: Path) -> dict[TaskId, Connection]:
    """What earlier agents wrote down; what cannot be read is not known."""
    found: dict[TaskId, Connection] = {}
    for path in directory.iterdir() if directory.is_dir() else ():
        with contextlib.suppress(OSError, msgspec.DecodeError):
            found[TaskId(path.name)] = msgspec.json.decode(path.read_bytes(), type=Connection)
    return found


def _write(path: Path, connection: Connection) -> None:
    """A crash leaves all of it or nothing; a reboot ends the container, too."""
    temporary = path.with_name(f".{path.name}")
    temporary.write_bytes(msgspec.json.encode(connection))
    temporary.replace(path)
