"""Live a node's stories in processes that are killed before their n-th step.

Each line of the input is a directory, a number and a story; each line of the output is how that
ended. A process of its own, since it forks, and whoever has spoken gRPC cannot.
"""

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from swarm.specs import Availability, ClusterSpec
from swarmd.io import founding
from tests.swarmd.io.test_node import World

KILLED, DONE = 9, 0


class Dying:
    """Those who live the stories; close it in the end."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.swarmd.io.dying"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, base: Path, last: int, story: str) -> int:
        """Live a story until its `last`-th step; KILLED, or DONE if it has fewer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{base} {last} {story}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate()


class Purge:
    """A purge that has nothing to do."""

    async def wait(self) -> int:
        return 0


class Deaths:
    """Ends this process before its `last`-th step."""

    def __init__(self, last: int) -> None:
        self._left = last

    def step(self) -> None:
        self._left -= 1
        if self._left < 0:
            os._exit(KILLED)

    def before(self, owner: Any, name: str) -> None:
        """Have a function be a step."""
        inner = getattr(owner, name)

        def counted(*arguments: Any, **named: Any) -> Any:
            self.step()
            return inner(*arguments, **named)

        setattr(owner, name, counted)


def dying(base: Path, last: int, story: Callable[[World], Awaitable[None]]) -> int:
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            deaths = Deaths(last)
            for owner, name in ((Path, "replace"), (Path, "unlink"), (shutil, "rmtree")):
                deaths.before(owner, name)
            code = asyncio.run(_told(base, deaths, story))
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


async def _told(base: Path, deaths: Deaths, story: Callable[[World], Awaitable[None]]) -> int:
    async def store(*_: object) -> None:
        deaths.step()

    async def purge(*_: object) -> Purge:
        deaths.step()
        return Purge()

    founding.Foundation.store = store  # type: ignore[method-assign, assignment]
    asyncio.create_subprocess_exec = purge  # type: ignore[assignment]
    world = World(base)
    for name in ("want", "stop"):
        deaths.before(world.supervisor, name)
    await story(world)
    return DONE


async def found(world: World) -> None:
    await world.node.resume()
    await world.node.init(
        ClusterSpec(),
        advertise="127.0.0.1",
        listen="127.0.0.1:23777",
        availability=Availability.ACTIVE,
    )


async def leave(world: World) -> None:
    await world.node.resume()
    await world.node.leave(force=True)


STORIES = {"found": found, "leave": leave}


def main() -> None:
    for line in sys.stdin:
        base, last, story = line.split()
        code = dying(Path(base), int(last), STORIES[story])
        sys.stdout.write(f"{code}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
