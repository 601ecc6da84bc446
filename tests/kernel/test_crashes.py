"""Kill any part of the runtime at any moment: containers go on, or their loss is told."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from random import Random

import pytest

from runtime.io.launching import say_stopping
from runtime.layout import ContainerDir
from swarm.errors import KernelRefused, Unavailable
from tests.kernel.machine import ENDING_S, Machine, eventually, exit_of, wait_for
from tests.liveness import children

pytestmark = pytest.mark.kernel


def test_containers_outlive_the_launcher_and_a_new_one_starts_more(machine: Machine) -> None:
    """The launcher is killed under three running containers.

    1. Three containers run; the launcher is killed with -9.
    2. The client still reaches every container.
    3. A fourth start waits until a new launcher listens, and succeeds.
    """

    async def story() -> None:
        async with machine.runtime() as runtime:
            specs = [machine.spec("sleep", "99") for _ in range(4)]
            started = [await runtime.run(spec) for spec in specs[:3]]

            machine.launchers[0].kill()
            machine.launchers[0].wait()
            fourth = asyncio.create_task(runtime.run(specs[3]))
            assert all(Path(f"/proc/{each.pid}").exists() for each in started)
            await runtime.kill(specs[0].id, signal.SIGKILL)
            assert (await exit_of(runtime)).container_id == specs[0].id
            assert not fourth.done()

            machine.start_launcher()
            assert Path(f"/proc/{(await fourth).pid}").exists()
            assert [Path(f"/proc/{x.pid}").exists() for x in started] == [False, True, True]
            for spec in specs:
                await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_launcher_that_is_told_to_stop_leaves_containers_running(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            started = await runtime.run(spec)
            machine.launchers[0].terminate()
            machine.launchers[0].wait(ENDING_S)

            assert Path(f"/proc/{started.pid}").exists()
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_new_launcher_takes_over_from_one_that_lives(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            first, second = machine.spec("sleep", "99"), machine.spec("sleep", "99")
            await runtime.run(first)
            machine.start_launcher()
            await asyncio.to_thread(machine.launchers[0].wait, ENDING_S)
            await runtime.run(second)
            await runtime.delete(first.id)
            await runtime.delete(second.id)

    asyncio.run(story())


def test_a_launcher_that_hangs_is_killed_by_the_next(machine: Machine) -> None:
    os.kill(machine.launchers[0].pid, signal.SIGSTOP)

    machine.start_launcher()

    assert machine.launchers[0].wait(ENDING_S) == -signal.SIGKILL
    exited, _ = machine.run("true")
    assert exited.exit_code == 0


def test_a_killed_shim_takes_its_container_along_and_that_is_told(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sh", "-c", "sleep 99 & sleep 99")
            started = await runtime.run(spec)
            os.kill(machine.shim_of(spec.id), signal.SIGKILL)
            exited = await exit_of(runtime)

            assert (exited.container_id, exited.exit_code) == (spec.id, 137)
            assert "shim was killed" in exited.message
            await eventually("process 1 gone", lambda: not Path(f"/proc/{started.pid}").exists())
            assert not [path for path in machine.groups() if (path / spec.id).exists()]
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_shim_killed_while_no_client_lives_is_told_to_the_next(machine: Machine) -> None:
    async def story() -> None:
        spec = machine.spec("sleep", "99")
        async with machine.runtime() as first:
            started = await first.run(spec)
        os.kill(machine.shim_of(spec.id), signal.SIGKILL)
        await eventually("the shim is gone", lambda: not machine.shim_of(spec.id))

        async with machine.runtime() as second:
            (state,) = await second.adopt()
            assert state.exited is not None
            assert (state.pid, state.exited.exit_code) == (started.pid, 137)
            assert "shim was killed" in state.exited.message
            await second.delete(spec.id)

    asyncio.run(story())


def test_a_client_that_returns_finds_what_runs_and_what_has_ended(machine: Machine) -> None:
    async def story() -> None:
        runs, ended = machine.spec("sleep", "99"), machine.spec("sh", "-c", "read x; exit 9")
        fails = machine.spec("sh", "-c", "sleep 0.1; exit 9")
        async with machine.runtime() as first:
            started = await first.run(runs)
            await first.run(fails)
            await first.run(ended)
            await exit_of(first)
        for each in (ended, fails):
            await eventually("its shim ended", lambda name=each.id: not machine.shim_of(name))

        async with machine.runtime() as second:
            states = {state.container_id: state for state in await second.adopt()}
            assert set(states) == {runs.id, ended.id, fails.id}
            assert (states[runs.id].pid, states[runs.id].exited) == (started.pid, None)
            assert states[runs.id].started_at == started.started_at
            exited = states[fails.id].exited
            assert exited is not None
            assert exited.exit_code == 9
            await second.kill(runs.id, signal.SIGKILL)
            assert (await exit_of(second)).container_id == runs.id
            for spec in (runs, ended, fails):
                await second.delete(spec.id)

    asyncio.run(story())


def test_adopting_works_without_a_launcher(machine: Machine) -> None:
    async def story() -> None:
        spec = machine.spec("sleep", "99")
        async with machine.runtime() as first:
            await first.run(spec)
        machine.launchers[0].kill()
        machine.launchers[0].wait()
        async with machine.runtime() as second:
            assert len(await second.adopt()) == 1
            await second.delete(spec.id)

    asyncio.run(story())


def test_two_clients_hear_the_same_exit(machine: Machine) -> None:
    async def story() -> None:
        spec = machine.spec("sh", "-c", "until test -e /tmp/go; do sleep 0.01; done; exit 2")
        async with machine.runtime() as first, machine.runtime() as second:
            started = await first.run(spec)
            await second.adopt()
            Path(f"/proc/{started.pid}/root/tmp/go").touch()
            assert (await exit_of(first)).exit_code == (await exit_of(second)).exit_code == 2
            await second.delete(spec.id)
            await first.delete(spec.id)

    asyncio.run(story())


def test_what_a_killed_start_left_is_removed(machine: Machine) -> None:
    """A shim and its process 1 die between the claim and the exec.

    1. A container directory exists with a spec, groups and an upper directory, but no state.
    2. The next client removes all of it and does not call it a container.
    3. The id can be used.
    """
    spec = machine.spec("true", name="half")

    async def story() -> None:
        async with machine.runtime() as first:
            await first.run(spec)
            await exit_of(first)
        await eventually("its shim ended", lambda: not machine.shim_of(spec.id))
        directory = ContainerDir(str(machine.run_root), spec.id)
        Path(directory.state_file).unlink()
        for controller in ("pids", "memory"):
            machine.cgroup(controller, spec.id).mkdir(parents=True, exist_ok=True)
        (machine.run_root / "containers" / f".{_dead_pid()}").mkdir()

        async with machine.runtime() as second:
            assert await second.adopt() == []
            assert [x for x in machine.leaks() if "launcher" not in x and "cgroup" not in x] == []
            assert not machine.cgroup("pids", spec.id).exists()
            await machine.finish(second, spec)
            await second.delete(spec.id)

    asyncio.run(story())


def _dead_pid() -> int:
    child = subprocess.Popen(["true"])
    child.wait()
    return child.pid


def test_requests_lost_with_a_launcher_are_made_again(machine: Machine) -> None:
    """The launcher is stopped with a request in its queue, and killed.

    The client sees its socket close before any shim answered, and asks the next launcher.
    """

    async def story() -> None:
        async with machine.runtime() as runtime:
            os.kill(machine.launchers[0].pid, signal.SIGSTOP)
            spec = machine.spec("sleep", "99")
            running = asyncio.create_task(runtime.run(spec))
            await asyncio.sleep(0)
            machine.launchers[0].kill()
            machine.launchers[0].wait()
            machine.start_launcher()

            assert (await running).container_id == spec.id
            await runtime.delete(spec.id)

    asyncio.run(story())


def daemon(machine: Machine) -> tuple[subprocess.Popen[bytes], Path, Path]:
    """A process to watch, and a file that tells how to start it again."""
    marks = machine.base / "marks"
    script = f"echo $$ $MARK >> {marks}; exec sleep 99"
    file = machine.base / "daemon.json"
    words = {"argv": ["/bin/sh", "-c", script], "env": {"MARK": "m"}, "cwd": "/"}
    file.write_text(json.dumps(words))
    return subprocess.Popen(["/bin/sh", "-c", script], env={"MARK": "m"}), file, marks


def started(marks: Path) -> list[int]:
    lines = marks.read_text().splitlines() if marks.exists() else []
    assert all(line.endswith(" m") for line in lines)
    return [int(line.split()[0]) for line in lines]


def test_the_launcher_starts_its_daemon_again(machine: Machine) -> None:
    child, file, marks = daemon(machine)
    machine.start_launcher("--respawn", str(child.pid), str(file))
    machine.launchers[0].wait(ENDING_S)
    pids = [child.pid]
    try:
        wait_for("it runs", lambda: started(marks))
        machine.run("true")  # the launcher has begun to look after others
        child.kill()
        child.wait()
        begin = time.monotonic()
        pids = wait_for("a second life", lambda: len(p := started(marks)) >= 2 and p)
        assert time.monotonic() - begin < 1.0
        assert os.getsid(pids[1]) == pids[1]

        os.kill(pids[1], signal.SIGKILL)
        begin = time.monotonic()
        pids = wait_for("a third life", lambda: len(p := started(marks)) >= 3 and p)
        assert time.monotonic() - begin > 0.9  # it died twice in a row: not at once any more
    finally:
        machine.launchers[-1].kill()
        _kill(started(marks))


def test_a_daemon_that_means_to_stop_is_left_alone(machine: Machine) -> None:
    child, file, marks = daemon(machine)
    machine.start_launcher("--respawn", str(child.pid), str(file))
    machine.launchers[0].wait(ENDING_S)
    try:
        wait_for("it runs", lambda: started(marks))
        say_stopping(machine.socket)
        exited, _ = machine.run("true")  # the launcher has read what came before
        assert exited.exit_code == 0
        child.kill()
        child.wait()
        exited, _ = machine.run("true")

        assert len(started(marks)) == 1
    finally:
        _kill(started(marks))


def _kill(pids: list[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def test_the_launcher_holds_no_pipe_of_whoever_started_it_open_in_shims(machine: Machine) -> None:
    """`swarmd | tee log` must end when swarmd and its launcher do, containers or not."""
    reading, writing = os.pipe()
    machine.launchers.append(
        subprocess.Popen(
            [sys.executable, "-m", "runtime.io.launcher", "--socket", str(machine.socket),
             "--run-root", str(machine.run_root)],
            cwd=Path(__file__).parents[2], stdout=writing, stderr=writing,
        )
    )  # fmt: skip
    os.close(writing)
    machine.launchers[0].wait(ENDING_S)

    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            machine.launchers[-1].kill()
            assert await asyncio.to_thread(os.read, reading, 1) == b""
            await runtime.delete(spec.id)

    asyncio.run(story())
    os.close(reading)


@pytest.mark.parametrize("victims", ["shim", "process 1", "both"])
def test_a_start_killed_at_any_moment_leaves_nothing_behind(machine: Machine, victims: str) -> None:
    """Whatever run() says then, deleting the container leaves nothing, and the id can be used.

    The moment is drawn at random; every outcome is fine but a leak or a silence.
    """
    random = Random(victims)

    async def story() -> None:
        async with machine.runtime() as runtime:
            for number in range(20):
                spec = machine.spec("sleep", "99", name=f"{number}")
                running = asyncio.create_task(runtime.run(spec))
                shims = await eventually("a shim", lambda: children(machine.launchers[0].pid))
                await asyncio.sleep(random.random() * 0.012)
                doomed = [pid for shim in shims for pid in children(shim)]
                doomed = {"shim": shims, "process 1": doomed, "both": shims + doomed}[victims]
                _kill(doomed)
                await asyncio.wait([running], timeout=20)
                assert running.done()
                err = running.exception()
                assert err is None or isinstance(err, KernelRefused | Unavailable), err

                await runtime.delete(spec.id)
                await runtime.run(spec)
                await runtime.delete(spec.id)

    asyncio.run(story())
