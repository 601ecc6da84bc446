"""Wait until a container does not run, has ended once more, or is gone."""

import asyncio
from collections.abc import Awaitable

from agent.standalone.found import Found
from agent.standalone.io.lives import Ended, Lives
from agent.standalone.io.tasks import TaskContainers
from swarm.api.v1 import containers_pb2 as pb


class Waiting:
    """Answers what `docker wait` asks."""

    def __init__(self, lives: Lives, tasks: TaskContainers) -> None:
        self._lives = lives
        self._tasks = tasks

    def begin(self, text: str, condition: int) -> Awaitable[Ended]:
        """From here on nothing is missed; what comes is how it ended."""
        found = self._lives.find(text)
        if found.record is None:
            return asyncio.ensure_future(self._task(found))
        match condition:
            case pb.WAIT_CONDITION_NEXT_EXIT:
                return self._lives.ending(found.id)
            case pb.WAIT_CONDITION_REMOVED:
                return self._lives.leaving(found.id)
            case _:
                return self._lives.resting(found.id)

    async def _task(self, found: Found) -> Ended:
        """A task runs once: its end is its removal, too."""
        return Ended(exit_code=await self._tasks.end(found.task_id))
