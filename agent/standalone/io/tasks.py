"""Show the containers of tasks among those that somebody runs.

They may be found, looked at, joined, signalled, paused and ended. Their ids are made of their
tasks', so that whoever knows a task knows its container; a task whose container has been removed
has none any more.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from signal import SIGKILL
from typing import Protocol

from msgspec.structs import replace

from agent.assignments import Wanted
from agent.config import Config
from agent.containers import DEFAULT_STOP_SIGNAL, own_directory
from agent.life import Life
from agent.standalone.found import Found
from agent.standalone.io.journal import Journal
from agent.tasks import Tasks
from agent.templates import task_name
from swarm.checks import signal_number
from swarm.errors import Missing, Refused
from swarm.ids import TaskId
from swarm.standalone import container_id_of
from swarm.states import TaskState

_SWARM = "com.docker.swarm"


class Runtime(Protocol):
    """What signals containers."""

    async def kill(self, container_id: str, signal: int) -> None:
        """Send a signal to process 1; raises `Missing`."""
        ...

    def is_paused(self, container_id: str) -> bool:
        """Whether one that runs is paused; raises `Missing`."""
        ...


class TaskContainers:
    """The containers of this node's tasks. `image_id` tells which image one was made from."""

    def __init__(
        self,
        config: Config,
        tasks: Tasks,
        *,
        runtime: Runtime,
        image_id: Callable[[TaskId], str],
        journal: Journal,
    ) -> None:
        self._config = config
        self._tasks = tasks
        self._runtime = runtime
        self._image_id = image_id
        self._ids: dict[TaskId, str] = {}
        self._journal = journal
        self._ends: dict[TaskId, asyncio.Event] = {}
        self._told: dict[TaskId, Found] = {}
        self._adopted: set[TaskId] = set()

    def open(self) -> None:
        """What runs by now was told of by an earlier agent."""
        self._adopted = set(self._tasks.strays)

    def changed(self, task_id: TaskId) -> None:
        """Something happened to a task: whoever waits for its end, or listens, is told."""
        if task_id in self._ends and self._is_over(task_id):
            self._ends.pop(task_id).set()
        before, known = self._told.get(task_id), self.of(task_id)
        if known is None:
            if self._told.pop(task_id, None) is not None and before is not None:
                self._journal.tell_of(before, "destroy")
            return
        now = self._found(*known)
        if task_id in self._adopted and before is None:
            self._adopted.discard(task_id)
            self._told[task_id] = before = replace(now, pid=max(now.pid, 1))
        if now.is_running and before is None:
            self._told[task_id] = now
            self._journal.tell_of(now, "create")
            self._journal.tell_of(now, "start")
        elif before is not None and before.is_running and not now.is_running:
            self._told[task_id] = now
            self._journal.tell_of(now, "die", {"exitCode": str(known[1].seen.exit_code)})

    async def end(self, task_id: TaskId) -> int:
        """Wait until the container of a task does not run; its exit code."""
        if not self._is_over(task_id):
            await self._ends.setdefault(task_id, asyncio.Event()).wait()
        life = self._tasks.lives.get(task_id)
        return life.seen.exit_code if life is not None else 0

    async def kill(self, found: Found, signal: int) -> None:
        """Send a signal; with SIGKILL until it has ended."""
        if not found.is_running:
            raise Refused(f"container {found.id} is not running")
        await self._signal(found, signal)
        if signal == SIGKILL:
            await self.end(found.task_id)

    async def stop(self, found: Found, *, signal: str, grace_s: float | None) -> bool:
        """Have it end, whereupon its service has another one made; whether it ran."""
        known = self.of(found.task_id)
        if not found.is_running or known is None:
            return False
        spec = known[0].spec.container
        number = signal_number(signal or spec.stop_signal or DEFAULT_STOP_SIGNAL)
        grace_s = spec.stop_grace_s if grace_s is None else grace_s
        try:
            await self._signal(found, number)
            await asyncio.wait_for(self.end(found.task_id), grace_s if grace_s >= 0 else None)
        except TimeoutError:
            await self.kill(found, int(SIGKILL))
        except Missing:
            await self.end(found.task_id)  # its exit is on its way
        self.announce(found, "stop")
        return True

    def announce(
        self, found: Found, action: str, attributes: Mapping[str, str] | None = None
    ) -> None:
        """Tell of something that was done to one."""
        self._journal.tell_of(found, action, attributes)

    async def _signal(self, found: Found, number: int) -> None:
        await self._runtime.kill(found.runtime_id, number)
        self.announce(found, "kill", {"signal": str(number)})

    async def remove(self, found: Found, *, force: bool) -> None:
        """End it: the rest is its managers' to remove, when they have seen how it ended."""
        if not found.is_running:
            return
        if not force:
            raise Refused(
                f'cannot remove container "{found.name}": container is running: stop the '
                "container before removing or force remove"
            )
        await self.kill(found, int(SIGKILL))

    def _is_over(self, task_id: TaskId) -> bool:
        life = self._tasks.lives.get(task_id)
        return life is None or life.state.is_terminal

    def found(self) -> Mapping[str, Found]:
        """Those that are here, by the ids under which they are shown."""
        lives = self._tasks.lives
        self._ids = {each: self._ids.get(each) or container_id_of(each) for each in lives}
        found: dict[str, Found] = {}
        for task_id, life in lives.items():
            wanted = self._tasks.known(task_id)
            if wanted is not None and (life.seen.pid or has_ended(life)):
                found[self._ids[task_id]] = self._found(wanted, life)
        return found

    def look(self, found: Found) -> Found:
        """The same, once the kernel has been asked whether it stands still."""
        with contextlib.suppress(Missing):
            if found.is_running and self._runtime.is_paused(found.runtime_id):
                return replace(found, is_paused=True)
        return found

    def of(self, task_id: TaskId) -> tuple[Wanted, Life] | None:
        """What is wanted of a task, and how far it is."""
        wanted, life = self._tasks.known(task_id), self._tasks.lives.get(task_id)
        return (wanted, life) if wanted is not None and life is not None else None

    def _found(self, wanted: Wanted, life: Life) -> Found:
        task = wanted.task
        return Found(
            id=self._ids.get(task.id) or container_id_of(task.id),
            name=task_name(task),
            runtime_id=task.id,
            own=own_directory(str(self._config.containers), task.id),
            image=wanted.spec.container.image,
            image_id=self._image_id(task.id),
            labels=wanted.spec.container.labels | labels(wanted),
            pid=0 if life.state.is_terminal else life.seen.pid,
            task_id=task.id,
            service_id=task.service_id,
        )


def has_ended(life: Life) -> bool:
    """Whether it ran once, and is over."""
    return life.state.is_terminal and life.state is not TaskState.REJECTED


def labels(wanted: Wanted) -> dict[str, str]:
    """Whose container it is, as clients of Docker look for it."""
    task = wanted.task
    return {
        f"{_SWARM}.node.id": task.node_id,
        f"{_SWARM}.service.id": task.service_id,
        f"{_SWARM}.service.name": task.service_name,
        f"{_SWARM}.task": "",
        f"{_SWARM}.task.id": task.id,
        f"{_SWARM}.task.name": task_name(task),
    }
