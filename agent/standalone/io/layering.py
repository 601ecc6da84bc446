"""Look at what a container wrote, and make a layer of it, in a process of its own.

Trees may be large, and the agent has other things to do.
"""

import errno
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from agent.images.answers import Answer, Collecting, Failed, Mark
from agent.images.differences import Change
from agent.images.io import collecting
from agent.images.io.disk import refusal
from agent.standalone.io.forking import Forked, Forking
from swarm.errors import Invalid, KernelRefused, Refused, Unavailable

_T = TypeVar("_T", bound=Struct)


class Collect(Struct, frozen=True, kw_only=True):
    """Make a layer in the existing directory `target`."""

    asked: Collecting
    target: str


class Layering:
    """Has it done by forks."""

    def __init__(self, forking: Forking) -> None:
        self._forking = forking

    async def compare(self, asked: Collecting) -> tuple[Change, ...]:
        """What a directory that overlayfs wrote to changes of those below it."""
        answer = await self._ask("compare", asked, Path(asked.upper))
        assert answer.changes is not None
        return answer.changes

    async def collect(self, asked: Collecting, target: Path) -> Mark:
        """Make a layer of a directory in the existing directory `target`, `fs` and mark."""
        answer = await self._ask("collect", Collect(asked=asked, target=str(target)), target)
        assert answer.mark is not None
        return answer.mark

    async def _ask(self, program: str, order: Struct, path: Path) -> Answer:
        forked = await self._forking.fork(program)
        try:
            said = await _talk(forked, msgspec.json.encode(order))
        finally:
            await forked.end()
        answer = msgspec.json.decode(said, type=Answer)
        if failed := answer.failed:
            if failed.errno:
                general = refusal(program, path, failed.errno)
                raise KernelRefused(program, failed.errno, general.message, hint=general.hint)
            raise Invalid(failed.message, hint=failed.hint)
        return answer


async def _talk(forked: Forked, order: bytes) -> bytes:
    forked.input.write(order)
    forked.input.write_eof()
    said = await forked.output.read()
    if not said:
        words = (await forked.errors.read()).decode(errors="replace").strip()[-300:]
        status = await forked.ended
        raise Unavailable(
            f"the process that looks at layers ended with {status}: {words or 'no word'}",
            hint="try again; out of memory looks like this too",
        )
    return said


def compare() -> int:
    """What a fork does that was asked to compare."""
    return _answer(lambda: Answer(changes=collecting.compare(_order(Collecting))))


def collect() -> int:
    """What a fork does that was asked to collect."""

    def work() -> Answer:
        order = _order(Collect)
        return Answer(mark=collecting.collect(order.asked, Path(order.target)))

    return _answer(work)


def _order(kind: type[_T]) -> _T:
    with open(0, "rb", closefd=False) as source:
        return msgspec.json.decode(source.read(), type=kind)


def _answer(work: Callable[[], Answer]) -> int:
    try:
        answer = work()
    except (Invalid, Refused) as err:
        answer = Answer(failed=Failed(message=err.message, hint=err.hint))
    except OSError as err:
        answer = Answer(failed=Failed(message=str(err), errno=err.errno or errno.EIO))
    with open(1, "wb", closefd=False) as output:
        output.write(msgspec.json.encode(answer))
    return 0
