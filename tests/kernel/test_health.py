"""Health checks in real containers: what they say, and what they must not do."""

import asyncio
import json
import signal
import time
from pathlib import Path

import pytest

from runtime.io.client import Runtime
from runtime.outcome import HealthChanged, HealthStatus
from runtime.spec import Health
from swarm.errors import Missing
from tests.kernel.joined import run
from tests.kernel.machine import Machine, eventually, exit_of, failure_of, system_call

pytestmark = pytest.mark.kernel

STARTING, HEALTHY, UNHEALTHY = HealthStatus.STARTING, HealthStatus.HEALTHY, HealthStatus.UNHEALTHY


def checked(*args: str, **fields: float) -> Health:
    """A check that is made often."""
    defaults: dict[str, float] = {"interval_s": 0.05, "timeout_s": 5.0}
    return Health(args=args, **(defaults | fields))  # type: ignore[arg-type]


async def changes(runtime: Runtime, count: int) -> list[tuple[HealthStatus, int]]:
    """The next changes."""
    found: list[HealthChanged] = []
    stream = runtime.healths()
    while len(found) < count:
        found.append(await asyncio.wait_for(anext(stream), 15))
    return [(each.status, each.failing_streak) for each in found]


def test_a_container_starts_turns_healthy_fails_and_recovers(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            check = checked("sh", "-c", "cat /tmp/state; test -e /tmp/state", retries=2)
            spec = machine.spec("sleep", "999", health=check)
            pid = (await runtime.run(spec)).pid
            state = Path(f"/proc/{pid}/root/tmp/state")
            _appear(state, "well\n")
            assert await changes(runtime, 1) == [(STARTING, 0)]
            found = await changes(runtime, 1)
            while found[-1][0] is not HEALTHY:
                found = await changes(runtime, 1)
            record = await runtime.health(spec.id)
            assert record is not None
            last = record.results[-1]
            assert (last.exit_code, last.output) == (0, "well\n")
            assert 0 < last.finished_at - last.started_at < 5

            state.unlink()
            assert await changes(runtime, 2) == [(HEALTHY, 1), (UNHEALTHY, 2)]
            record = await runtime.health(spec.id)
            assert record is not None
            assert (record.status, record.results[-1].exit_code) == (UNHEALTHY, 1)
            assert "No such file" in record.results[-1].output
            _appear(state, "again\n")
            found = await changes(runtime, 1)
            while found[-1][0] is not HEALTHY:
                found = await changes(runtime, 1)

            async def five() -> bool:
                kept = await runtime.health(spec.id)
                return kept is not None and [x.exit_code for x in kept.results] == [0] * 5

            deadline = time.monotonic() + 10
            while not await five():
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            await runtime.delete(spec.id)

    asyncio.run(story())


def _appear(file: Path, text: str) -> None:
    """No check finds it half written."""
    new = file.with_suffix(".new")
    new.write_text(text)
    new.rename(file)


def test_a_check_has_the_containers_user_directory_and_variables(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            check = checked("sh", "-c", "echo $(id -u) $(pwd) $A; exit 1", retries=1)
            spec = machine.spec(
                "sleep", "999", health=check, user="1000", workdir="/tmp", env=("PATH=/bin", "A=b")
            )
            await runtime.run(spec)
            assert await changes(runtime, 2) == [(STARTING, 0), (UNHEALTHY, 1)]
            record = await runtime.health(spec.id)
            assert record is not None
            assert record.results[0].output == "1000 /tmp b\n"
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_check_that_hangs_is_killed_with_all_it_started(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            check = checked("sh", "-c", "echo asked; sleep 99 & sleep 99", timeout_s=0.3, retries=1)
            spec = machine.spec("sleep", "999", health=check)
            await runtime.run(spec)
            assert await changes(runtime, 2) == [(STARTING, 0), (UNHEALTHY, 1)]
            excuse = "health check exceeded its timeout of 0.3 s"
            deadline = time.monotonic() + 20
            while True:  # one may have had no time to ask
                record = await runtime.health(spec.id)
                assert record is not None
                assert {each.exit_code for each in record.results} == {-1}
                assert all(each.output.startswith(excuse) for each in record.results)
                if any(each.output == f"{excuse}: asked\n" for each in record.results):
                    break
                assert time.monotonic() < deadline, record
                await asyncio.sleep(0.02)
            await eventually(
                "only one check is left at a time", lambda: len(_pids(machine, spec.id)) <= 4
            )
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_check_that_cannot_start_is_a_failure_with_a_reason(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "999", health=checked("no-such-check", retries=1))
            await runtime.run(spec)
            assert await changes(runtime, 2) == [(STARTING, 0), (UNHEALTHY, 1)]
            record = await runtime.health(spec.id)
            assert record is not None
            assert record.results[0].exit_code == -1
            assert "exec no-such-check: no such file" in record.results[0].output
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_what_a_check_prints_is_cut_and_never_holds_it_up(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            much = "dd if=/dev/zero bs=1000 count=1000 2>/dev/null | tr '\\0' y; exit 3"
            spec = machine.spec("sleep", "999", health=checked("sh", "-c", much, retries=1))
            await runtime.run(spec)
            assert await changes(runtime, 2) == [(STARTING, 0), (UNHEALTHY, 1)]
            record = await runtime.health(spec.id)
            assert record is not None
            assert record.results[0].exit_code == 3
            assert record.results[0].output == "y" * 4096
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_what_a_check_leaves_running_does_not_hold_it_up(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "999", health=checked("sh", "-c", "yes & echo ok"))
            await runtime.run(spec)
            assert await changes(runtime, 2) == [(STARTING, 0), (HEALTHY, 0)]
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_new_client_is_told_how_things_stand(machine: Machine) -> None:
    async def story() -> None:
        spec = machine.spec("sleep", "999", health=checked("false", retries=1))
        plain = machine.spec("sleep", "999")
        async with machine.runtime() as first:
            await first.run(spec)
            await first.run(plain)
            assert await changes(first, 2) == [(STARTING, 0), (UNHEALTHY, 1)]
            assert await first.health(plain.id) is None
        async with machine.runtime() as second:
            await second.adopt()
            (found,) = await changes(second, 1)
            assert found[0] is UNHEALTHY
            record = await second.health(spec.id)
            assert record is not None
            assert record.status is UNHEALTHY
            for each in (spec, plain):
                await second.delete(each.id)
            await failure_of(second.health(spec.id), Missing)

    asyncio.run(story())


def test_a_paused_container_is_not_checked(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "999", health=checked("true"))
            await runtime.run(spec)
            assert await changes(runtime, 2) == [(STARTING, 0), (HEALTHY, 0)]
            await runtime.pause(spec.id)
            before = None
            while before != (before := await runtime.health(spec.id)):
                await asyncio.sleep(0.1)  # what ended just before the pause is written down
            await eventually("it rests", lambda: not runs(machine.shim_of(spec.id)))
            before = await runtime.health(spec.id)
            await asyncio.sleep(0.3)  # several intervals in which nothing may happen
            assert await runtime.health(spec.id) == before
            await runtime.resume(spec.id)
            assert await run(runtime, spec.id, "true") == (0, b"", b"")
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_container_that_ends_in_the_middle_of_a_check_ends_at_once(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            check = checked("sh", "-c", "sleep 99; echo x", timeout_s=99)
            spec = machine.spec("sleep", "999", health=check)
            await runtime.run(spec)
            await eventually("a check runs", lambda: len(_pids(machine, spec.id)) == 3)
            await runtime.kill(spec.id, signal.SIGTERM)
            await runtime.kill(spec.id, signal.SIGKILL)
            assert (await exit_of(runtime)).exit_code == 137
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_killed_checks_leave_nothing_behind(machine: Machine) -> None:
    """Whoever kills the check, or the container's own programs do: it is a failure, no more."""

    async def story() -> None:
        async with machine.runtime() as runtime:
            check = checked("sh", "-c", "kill -9 $$", retries=1)
            spec = machine.spec("sleep", "999", health=check)
            await runtime.run(spec)
            assert await changes(runtime, 2) == [(STARTING, 0), (UNHEALTHY, 1)]
            record = await runtime.health(spec.id)
            assert record is not None
            assert record.results[0].exit_code == 137
            shim = machine.shim_of(spec.id)
            await eventually("ten more", lambda: _checks(machine, spec.id) > 10)
            assert len(list(Path(f"/proc/{shim}/fd").iterdir())) < 16
            await runtime.delete(spec.id)

    asyncio.run(story())


def _checks(machine: Machine, name: str) -> int:
    files = (machine.run_root / "containers" / name).glob("health.*.json")
    return max(json.loads(each.read_text())["number"] for each in files)


def test_without_checks_nothing_wakes_the_shim(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "999")
            await runtime.run(spec)
            await run(runtime, spec.id, "true")
            shim = machine.shim_of(spec.id)
            switches = ""
            while runs(shim) or switches != (switches := _switches(shim)):
                await asyncio.sleep(0.1)  # until the exec is forgotten
            await asyncio.sleep(0.5)  # nothing may happen in this time
            assert _switches(shim) == switches
            await runtime.delete(spec.id)

    asyncio.run(story())


def runs(pid: int) -> bool:
    """Whether it has something to do, be it that it waits for a CPU."""
    return system_call(pid) < 0


def _switches(pid: int) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return " ".join(line for line in lines if "ctxt_switches" in line)


def _pids(machine: Machine, name: str) -> list[str]:
    return (machine.cgroup("pids", name) / "cgroup.procs").read_text().split()
