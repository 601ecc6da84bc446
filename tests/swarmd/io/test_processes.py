import asyncio
import json
import os
import signal
import time
from pathlib import Path

from swarm.io.log import configure
from swarmd.io.processes import Supervisor
from swarmd.parts import Part

LOG = configure("test")


def sleeper(name: str = "sleeper", script: str = "exec sleep 1000", grace_s: float = 5.0) -> Part:
    return Part(name=name, argv=("/bin/sh", "-c", script), stop_grace_s=grace_s)


async def another_pid(supervisor: Supervisor, name: str, than: int) -> int:
    async with asyncio.timeout(30):
        while supervisor.lives[name].pid in (0, than):
            await asyncio.sleep(0.005)
    return supervisor.lives[name].pid


def test_a_killed_part_is_started_again(tmp_path: Path) -> None:
    async def story() -> None:
        supervisor = Supervisor(LOG, record=tmp_path / "children.json")
        supervisor.want(sleeper())
        first = supervisor.lives["sleeper"].pid
        try:
            os.kill(first, signal.SIGKILL)
            second = await another_pid(supervisor, "sleeper", first)

            assert second != first
            assert supervisor.lives["sleeper"].restarts == 1
        finally:
            await supervisor.stop_all()

    asyncio.run(story())


def test_a_stopped_part_stays_down_and_is_reaped(tmp_path: Path) -> None:
    async def story() -> int:
        supervisor = Supervisor(LOG, record=tmp_path / "children.json")
        supervisor.want(sleeper())
        pid = supervisor.lives["sleeper"].pid
        await supervisor.stop("sleeper")
        assert supervisor.lives == {}
        return pid

    pid = asyncio.run(story())

    assert not Path(f"/proc/{pid}").exists()


def test_a_part_that_ignores_sigterm_is_killed_when_its_grace_is_over(tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    script = f"trap '' TERM; touch {ready}; exec sleep 1000"

    async def story() -> tuple[int, float]:
        supervisor = Supervisor(LOG, record=tmp_path / "children.json")
        supervisor.want(sleeper(script=script, grace_s=0.2))
        pid = supervisor.lives["sleeper"].pid
        async with asyncio.timeout(30):
            while not ready.exists():
                await asyncio.sleep(0.005)
        start = time.monotonic()
        await supervisor.stop_all()
        return pid, time.monotonic() - start

    pid, elapsed_s = asyncio.run(story())

    assert elapsed_s >= 0.2
    assert not Path(f"/proc/{pid}").exists()


def test_a_part_gets_its_descriptors_under_the_same_numbers_at_every_start(tmp_path: Path) -> None:
    said = tmp_path / "said"

    async def story() -> None:
        supervisor = Supervisor(LOG, record=tmp_path / "children.json")
        reader, writer = os.pipe()
        script = f"echo $$ >&{writer}; echo >>{said}; exec sleep 1000"
        part = Part(name="heir", argv=("/bin/bash", "-c", script), descriptors=(writer,))
        try:
            supervisor.want(part)
            first = supervisor.lives["heir"].pid
            assert int(await asyncio.to_thread(os.read, reader, 100)) == first
            os.kill(first, signal.SIGKILL)
            second = await another_pid(supervisor, "heir", first)
            assert int(await asyncio.to_thread(os.read, reader, 100)) == second
        finally:
            await supervisor.stop_all()
            os.close(reader)
            os.close(writer)

    asyncio.run(story())


def test_a_part_is_started_while_another_one_is_being_stopped(tmp_path: Path) -> None:
    """A client of Docker's knocks while the agent is started anew; both are written down."""
    record, ready = tmp_path / "children.json", tmp_path / "ready"
    script = f"trap 'sleep 0.2; exit 0' TERM; touch {ready}; while :; do sleep 0.01; done"

    async def story() -> None:
        supervisor = Supervisor(LOG, record=record)
        try:
            supervisor.want(sleeper("slow", script))
            slow = supervisor.lives["slow"].pid
            while not ready.exists():
                await asyncio.sleep(0.005)
            stopping = asyncio.ensure_future(supervisor.stop("slow"))
            await asyncio.sleep(0)

            supervisor.want(sleeper("quick"))

            pids = {each["pid"] for each in json.loads(record.read_bytes())}
            assert pids == {slow, supervisor.lives["quick"].pid}
            await stopping
        finally:
            await supervisor.stop_all()

    asyncio.run(story())
