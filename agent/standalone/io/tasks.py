"""Show the containers of tasks among those that somebody runs.

They may be found, looked at, joined, signalled, paused and ended. Their ids are made of their
tasks', so that whoever knows a task knows its container; a task whose container has been removed
has none any more.
"""

import asyncio
from collections.abc import Callable, Mapping
from signal import SIGKILL
from typing import Protocol

from agent.assignments import Wanted
from agent.config import Config
from agent.containers import DEFAULT_STOP_SIGNAL, own_directory
from agent.life import Life
from agent.standalone.found import Found
from agent.tasks import Tasks
from agent.templates import task_name
from swarm.checks import signal_number
from swarm.errors import Missing, Refused
from swarm.ids import TaskId
from swarm.standalone import container_id_of
from swarm.states import TaskState

_SWARM = "com.docker.swarm"


class TaskContainers:
    """The containers of this node's tasks. `image_id` tells which image one was made from."""

    def __init__(self, config: Config, tasks: Tasks, *, image_id: Callable[[TaskId], str]) -> None:
        self._config = config
        self._tasks = tasks
        self._image_id = image_id
        self._ids: dict[TaskId, str] = {}

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

    def of(self, task_id: TaskId) -> tuple[Wanted, Life] | None:
        """What is wanted of a task, and how far it is."""
        wanted, life = self._tasks.known(task_id), self._tasks.lives.get(task_id)
        return (wanted, life) if wanted is not None and life is not None else None

    def _found(self, wanted: Wanted, life: Life) -> Found:
        task = wanted.task
        return Found(
            id=self._ids[task.id],
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
