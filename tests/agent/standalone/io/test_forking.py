"""Processes for errands come quickly, and go with whoever wanted them."""

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path

import msgspec
import pytest

from agent.images.answers import Collecting
from agent.standalone.errands import Done, Export, Missed, Place, Stat
from agent.standalone.io.forking import KILLED, Forked, Forking
from agent.standalone.io.layering import Layering
from agent.standalone.io.sending import done, sent
from swarm.errors import Missing, Unavailable

pytestmark = pytest.mark.kernel  # overlayfs and namespaces need root


def tell(story: Callable[[Forking], Coroutine[None, None, None]]) -> None:
    async def run() -> None:
        forking = Forking()
        try:
            await story(forking)
        finally:
            await forking.close()

    asyncio.run(run())
    assert not forkers()


def forkers() -> list[int]:
    return [pid for pid in children(os.getpid()) if "forked" in _line(pid)]


def children(pid: int) -> list[int]:
    try:
        return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []


def _line(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text()
    except OSError:
        return ""


def place(base: Path) -> Place:
    for name in ("layer", "room"):
        (base / name).mkdir(exist_ok=True)
    (base / "layer/file").write_text("x")
    return Place(container="c", layers=(str(base / "layer"),), room=str(base / "room"))


def asking(program: Forked) -> None:
    """Have it wait: what it is asked has no end yet."""
    program.input.write(b'{"upper":')


def test_errands_at_once_do_not_hear_each_other(tmp_path: Path) -> None:
    here = place(tmp_path)

    async def story(forking: Forking) -> None:
        async def stat(path: str) -> object:
            async with sent(forking, here, Stat(path)) as errand:
                return await errand.outcome()

        paths = ["/file", "/nothing"] * 15
        found = await asyncio.gather(*(stat(path) for path in paths))
        assert [type(each) for each in found] == [Done, Missed] * 15
        assert len(forkers()) == 1
        assert not children(forkers()[0])

    tell(story)


def test_whoever_is_not_wanted_any_more_ends_at_once(tmp_path: Path) -> None:
    async def story(forking: Forking) -> None:
        program = await forking.fork("compare")
        asking(program)
        (pid,) = children(forkers()[0])

        await program.end()

        assert await program.ended == KILLED
        assert not Path(f"/proc/{pid}").exists()

    tell(story)


def test_who_forks_may_die_and_is_started_again(tmp_path: Path) -> None:
    """And those whom he forked die with him: nobody could end them any more."""

    async def story(forking: Forking) -> None:
        program = await forking.fork("compare")
        asking(program)
        (forker,) = forkers()
        (pid,) = children(forker)

        os.kill(forker, signal.SIGKILL)

        assert await program.ended == KILLED
        while Path(f"/proc/{pid}").exists():
            await asyncio.sleep(0.01)
        await program.end()
        with pytest.raises(Missing):
            async with sent(forking, place(tmp_path), Stat("/nothing")) as errand:
                done(await errand.outcome(), Missing("nothing"))

    tell(story)


def test_an_errand_that_is_killed_is_nobodys_answer(tmp_path: Path) -> None:
    """It stands still before it knows what it is to do: else it might be faster than we are."""

    async def story(forking: Forking) -> None:
        fork, stopped = forking.fork, asyncio.get_running_loop().create_future()

        async def fork_and_stop(program: str) -> Forked:
            forked = await fork(program)
            (pid,) = children(forkers()[0])
            os.kill(pid, signal.SIGSTOP)
            stopped.set_result(pid)
            return forked

        forking.fork = fork_and_stop  # type: ignore[method-assign]
        comparing = asyncio.ensure_future(
            Layering(forking).compare(Collecting(upper=str(tmp_path)))
        )
        os.kill(await stopped, signal.SIGKILL)
        with pytest.raises(Unavailable, match="ended with -9"):
            await comparing

    tell(story)


def test_whoever_gives_up_waiting_leaves_nobody(tmp_path: Path) -> None:
    here = place(tmp_path)

    async def story(forking: Forking) -> None:
        async def export() -> None:
            async with sent(forking, here, Export()) as errand:
                await errand.outcome()
                await asyncio.Event().wait()

        for wait_s in (0, 0.001, 0.01, 0.05, 0.2):
            task = asyncio.create_task(export())
            await asyncio.sleep(wait_s)
            task.cancel()
            await asyncio.wait([task])
            for forker in forkers():
                while children(forker):
                    await asyncio.sleep(0.01)

    tell(story)
    assert str(tmp_path) not in Path("/proc/self/mountinfo").read_text()


def test_an_order_that_cannot_be_read_ends_its_errand_and_no_other(tmp_path: Path) -> None:
    async def story(forking: Forking) -> None:
        program = await forking.fork("errand")
        program.input.write(b"00000003{}!")
        assert await program.output.read() == b""
        said = msgspec.json.decode(await program.errors.read())
        assert said["message"].startswith("internal error")
        await program.end()
        async with sent(forking, place(tmp_path), Stat("/file")) as errand:
            assert isinstance(await errand.outcome(), Done)

    tell(story)
