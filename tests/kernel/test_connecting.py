"""A container whose network somebody else connects: in time, or there is no container.

Whoever goes away between the offer of the namespace and the go, the container gives up and
nothing of it is left: no process, group, mount, directory or descriptor.
"""

import asyncio
import contextlib
import os
import select
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from runtime.io.client import Runtime
from runtime.outcome import Started
from runtime.spec import Mount, UserNamespace
from swarm.errors import Invalid, KernelRefused, Unavailable
from tests.kernel.connecting_client import Clients
from tests.kernel.faults import VARIABLE, Faults, Kind, parentage
from tests.kernel.machine import (
    PATIENCE,
    Machine,
    eventually,
    exit_of,
    failure_of,
    system_call,
    wait_for,
)
from tests.kernel.spawned import MAPPED

pytestmark = pytest.mark.kernel

NOBODYS = UserNamespace(uids=MAPPED, gids=MAPPED)
VARIANTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "mapped": {"user_namespace": NOBODYS},
    "terminal": {"tty": True, "init": True},
}
READ = 0  # its number on x86


class Attaching:
    """An attach that hangs until it is told how to end."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.ending: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.calls = 0
        self.was_cancelled = False
        self.namespace = -1

    async def __call__(self, namespace: int) -> None:
        self.calls += 1
        self.namespace = namespace
        os.fstat(namespace)
        self.begun.set()
        try:
            await self.ending
        except asyncio.CancelledError:
            self.was_cancelled = True
            os.fstat(namespace)  # it is still ours
            raise

    def check_closed(self) -> None:
        """Its descriptor is a network namespace no more."""
        with contextlib.suppress(OSError):
            link = Path(f"/proc/self/fd/{self.namespace}")
            assert not str(link.readlink()).startswith("net:")


def left(machine: Machine) -> list[str]:
    """What is there but launchers."""
    return [each for each in machine.leaks() if "launcher" not in each]


def left_alone(machine: Machine) -> list[str]:
    """What is left where no client lives: the groups' parents are for the next one to remove."""
    parents = [f"cgroup {path}" for path in machine.groups() if not any(path.glob("*/"))]
    return [each for each in left(machine) if each not in parents]


async def nothing_is_left(machine: Machine, but: str = "") -> None:
    """At once, but for a shim that has said so and is about to end."""
    found = [each for each in left(machine) if "shim" not in each]
    assert not [each for each in found if not but or but not in each]
    await eventually("the shims ended", lambda: "swarmd-shim" not in str(left(machine)))


def in_namespace(namespace: int, *command: str) -> str:
    """What a command of the host prints in a network namespace."""
    return subprocess.run(
        ["nsenter", f"--net=/proc/self/fd/{namespace}", *command],
        pass_fds=(namespace,), check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip


def family(pid: int) -> list[int]:
    """Everyone below a process."""
    found = [pid]
    parents = list(parentage())
    for each in found:
        found += [child for child, parent in parents if parent == each]
    return found[1:]


def waiting(launcher: int) -> list[int]:
    """From shim to process 1, of a container whose process 1 has only the go to wait for.

    It has let go of the host by then, and spares have not.
    """
    parents = dict(parentage())
    for pid in family(launcher):
        shim = parents.get(pid, 0)
        if parents.get(shim) == launcher and system_call(pid) == READ and _has_own_root(pid):
            return [shim, pid]
    return []


def _has_own_root(pid: int) -> bool:
    try:
        return not Path(f"/proc/{pid}/root").samefile("/")
    except OSError:  # it has ended
        return False


@contextlib.asynccontextmanager
async def started(
    machine: Machine, runtime: Runtime, **fields: Any
) -> AsyncIterator[tuple[asyncio.Task[Started], Attaching]]:
    """A container whose attach hangs: its run, and the attach."""
    attaching = Attaching()
    spec = machine.spec("sleep", "99", awaits_network=True, **fields)
    running = asyncio.create_task(runtime.run(spec, attaching))
    await asyncio.wait_for(attaching.begun.wait(), 10 * PATIENCE)
    try:
        yield running, attaching
    finally:
        running.cancel()
        await asyncio.wait((running,))


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_program_finds_what_was_attached(machine: Machine, variant: str) -> None:
    """Its interface is there before its parameters are set, and before it runs."""

    async def story() -> None:
        seen: list[str] = []

        async def attach(namespace: int) -> None:
            seen.append(in_namespace(namespace, "ip", "-o", "link"))
            in_namespace(namespace, "ip", "link", "add", "eth0", "type", "veth", "peer", "eth1")

        async with machine.runtime() as runtime:
            for _ in range(4):  # with spares and without
                spec = machine.spec(
                    "sh", "-c", "ip -o link; cat /proc/sys/net/ipv4/conf/eth0/forwarding",
                    awaits_network=True, sysctls={"net.ipv4.conf.eth0.forwarding": "1"},
                    **VARIANTS[variant],
                )  # fmt: skip
                await runtime.run(spec, attach)
                await exit_of(runtime)
                lines = machine.output(spec.id).splitlines()

                assert any("eth0" in line for line in lines)
                assert lines[-1].strip() == "1"
                await runtime.delete(spec.id)
        assert len(seen) == 4
        assert all("LOOPBACK,UP" in each and len(each.splitlines()) == 1 for each in seen)

    asyncio.run(story())


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_rest_of_it_is_made_while_its_network_is_connected(
    machine: Machine, variant: str
) -> None:
    async def story() -> None:
        async with (
            machine.runtime() as runtime,
            started(machine, runtime, **VARIANTS[variant]) as (running, attaching),
        ):
            launcher = machine.launchers[0].pid
            _, pid = await eventually("only the go is missing", lambda: waiting(launcher))
            assert not running.done()

            attaching.ending.set_result(None)

            assert (await running).pid == pid
            attaching.check_closed()
            await runtime.delete((await running).container_id)

    asyncio.run(story())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("err", [Unavailable("no address"), OSError(5, "x"), ValueError("bug")])
def test_what_attach_raises_is_raised_and_nothing_is_left(
    machine: Machine, err: Exception, variant: str
) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            async with started(machine, runtime, **VARIANTS[variant]) as (running, attaching):
                attaching.ending.set_exception(err)
                assert await failure_of(running, type(err)) is err
                await nothing_is_left(machine)
                attaching.check_closed()
            await machine.finish(runtime, machine.spec("true", name="c1"))
            await runtime.delete("c1")

    asyncio.run(story())


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_attach_that_hangs_ends_with_its_caller(machine: Machine, variant: str) -> None:
    async def story() -> None:
        async with (
            machine.runtime() as runtime,
            started(machine, runtime, **VARIANTS[variant]) as (running, attaching),
        ):
            running.cancel()
            await asyncio.wait((running,), timeout=10 * PATIENCE)
            assert running.cancelled()
            assert attaching.was_cancelled
            await nothing_is_left(machine)
            attaching.check_closed()

    asyncio.run(story())


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("victim", ["shim", "process 1", "both"])
def test_a_container_that_dies_takes_its_attach_along(
    machine: Machine, victim: str, variant: str
) -> None:
    async def story() -> None:
        async with (
            machine.runtime() as runtime,
            started(machine, runtime, **VARIANTS[variant]) as (running, attaching),
        ):
            launcher = machine.launchers[0].pid
            shim, pid = await eventually("only the go is missing", lambda: waiting(launcher))
            for each in {"shim": [shim], "process 1": [pid]}.get(victim, [shim, pid]):
                with contextlib.suppress(ProcessLookupError):  # it went with the other
                    os.kill(each, signal.SIGKILL)

            kind = KernelRefused if victim == "process 1" else Unavailable
            await failure_of(running, kind)
            assert attaching.was_cancelled
            await nothing_is_left(machine)

    asyncio.run(story())


def test_deleting_it_ends_its_start(machine: Machine) -> None:
    async def story() -> None:
        async with (
            machine.runtime() as runtime,
            started(machine, runtime, name="doomed") as (running, attaching),
        ):
            await asyncio.wait_for(runtime.delete("doomed"), 10 * PATIENCE)
            await failure_of(running, KernelRefused)
            assert attaching.was_cancelled
            await nothing_is_left(machine)

    asyncio.run(story())


def test_closing_the_client_ends_its_start(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            async with started(machine, runtime) as (running, attaching):
                await runtime.close()
                err = await failure_of(running, Unavailable)
                assert "nobody follows container" in err.message
                assert attaching.was_cancelled
            await eventually("nothing is left", lambda: not left_alone(machine))

    asyncio.run(story())
    machine.run("true")


def test_two_runs_of_one_id_connect_it_once(machine: Machine) -> None:
    async def story() -> None:
        async with (
            machine.runtime() as runtime,
            started(machine, runtime, name="same") as (first, attaching),
        ):
            other = Attaching()
            again = machine.spec("sleep", "99", name="same", awaits_network=True)
            second = asyncio.create_task(runtime.run(again, other))
            attaching.ending.set_result(None)

            assert await first == await second
            assert await runtime.run(again, other) == await first
            assert await runtime.run(again) == await first
            assert (attaching.calls, other.calls) == (1, 0)
            await runtime.delete("same")

    asyncio.run(story())


def test_two_runs_of_one_id_fail_of_the_same(machine: Machine) -> None:
    async def story() -> None:
        async with (
            machine.runtime() as runtime,
            started(machine, runtime, name="same") as (first, attaching),
        ):
            again = machine.spec("sleep", "99", name="same", awaits_network=True)
            second = asyncio.create_task(runtime.run(again, Attaching()))
            await asyncio.sleep(0)
            err = Unavailable("no address is free")
            attaching.ending.set_exception(err)

            assert await failure_of(first, Unavailable) is err
            assert await failure_of(second, Unavailable) is err
            await nothing_is_left(machine)

    asyncio.run(story())


def test_a_run_goes_on_where_another_of_the_same_id_was_cancelled(machine: Machine) -> None:
    """Two want one container, and the one that connects it is cancelled.

    1. Both wait; the first one's attach hangs.
    2. The first is cancelled, and its container gives up.
    3. The second makes another one, which it connects itself.
    """

    async def story() -> None:
        async with (
            machine.runtime() as runtime,
            started(machine, runtime, name="same") as (first, attaching),
        ):
            other = Attaching()
            again = machine.spec("sleep", "99", name="same", awaits_network=True)
            second = asyncio.create_task(runtime.run(again, other))
            await asyncio.sleep(0)

            first.cancel()
            await asyncio.wait_for(other.begun.wait(), 10 * PATIENCE)
            assert attaching.was_cancelled
            other.ending.set_result(None)

            assert (await second).container_id == "same"
            await runtime.delete("same")

    asyncio.run(story())


def test_it_cannot_be_run_without_anybody_to_connect_it(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("true", awaits_network=True)
            err = await failure_of(runtime.run(spec), Invalid)
            assert "awaits_network" in err.message
            await nothing_is_left(machine)

    asyncio.run(story())


def test_an_attach_that_is_not_awaited_is_not_called(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            attaching = Attaching()
            spec = machine.spec("true")
            await runtime.run(spec, attaching)
            await exit_of(runtime)
            assert attaching.calls == 0
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_signals_sent_meanwhile_are_for_the_program(machine: Machine) -> None:
    """A signal travels the way that the go does not: neither is taken for the other."""

    async def story() -> None:
        async with (
            machine.runtime() as runtime,
            started(machine, runtime, init=True) as (running, attaching),
        ):
            launcher = machine.launchers[0].pid
            await eventually("only the go is missing", lambda: waiting(launcher))
            killing = asyncio.create_task(runtime.kill("c1", signal.SIGKILL))
            await asyncio.sleep(0)
            assert not running.done()

            attaching.ending.set_result(None)

            await running
            await killing
            assert (await exit_of(runtime)).signal == signal.SIGKILL
            await runtime.delete("c1")

    asyncio.run(story())


def test_it_outlives_a_launcher_that_is_killed_meanwhile(machine: Machine) -> None:
    async def story() -> None:
        async with (
            machine.runtime() as runtime,
            started(machine, runtime) as (running, attaching),
        ):
            machine.launchers[0].kill()
            machine.launchers[0].wait()
            attaching.ending.set_result(None)

            assert Path(f"/proc/{(await running).pid}").exists()
            await runtime.delete("c1")

    asyncio.run(story())


def test_whoever_adopts_meanwhile_hears_what_becomes_of_it(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as first, machine.runtime() as second:
            async with started(machine, first, name="runs") as (running, attaching):
                adopting = asyncio.create_task(second.adopt())
                attaching.ending.set_result(None)
                [state] = await adopting
                assert state.pid == (await running).pid
                await second.delete("runs")

            async with started(machine, first, name="fails") as (running, attaching):
                adopting = asyncio.create_task(second.adopt())
                await asyncio.sleep(0)
                attaching.ending.set_exception(Unavailable("no address is free"))
                assert await adopting == []
                await failure_of(running, Unavailable)
            await nothing_is_left(machine)

    asyncio.run(story())


# --- a client that is killed ------------------------------------------------------------------


@pytest.fixture
def clients(machine: Machine) -> Iterator[Clients]:
    made = Clients(machine)
    yield made
    made.close()


async def adopted(machine: Machine) -> list[str]:
    """What a new client finds, which it deletes."""
    async with machine.runtime() as runtime:
        found = [state.container_id for state in await runtime.adopt()]
        for each in found:
            await runtime.delete(each)
        return found


@pytest.mark.parametrize("adopts", [False, True])
@pytest.mark.parametrize("variant", VARIANTS)
def test_a_client_that_is_killed_leaves_nothing_that_waits(
    machine: Machine, clients: Clients, variant: str, adopts: bool
) -> None:
    """Whether or not another one comes at that very moment."""
    spec = machine.spec("sleep", "99", awaits_network=True, **VARIANTS[variant])

    with clients.running(spec):
        wait_for("only the go is missing", lambda: waiting(machine.launchers[0].pid))
    if adopts:
        assert asyncio.run(adopted(machine)) == []

    wait_for("nothing is left", lambda: not left_alone(machine))
    machine.run("true")


def test_a_client_killed_at_any_moment_leaves_all_or_nothing(
    machine: Machine, clients: Clients
) -> None:
    """The moment is drawn at random, from before the request to after the start."""
    random, rounds, found = Random(5), int(40 / PATIENCE), 0
    for number in range(rounds):
        spec = machine.spec("sleep", "99", name=f"{number}", awaits_network=True)
        with clients.running(spec, takes_s=0.003) as client:
            ended, _, _ = select.select((client,), (), (), random.random() * 0.03)
            assert not ended
        found += len(asyncio.run(adopted(machine)))
        wait_for(f"nothing of {number} is left", lambda: not left_alone(machine))
    assert found < rounds
    machine.run("true")


@pytest.fixture
def faults(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Faults:
    path = tmp_path / "faults"
    monkeypatch.setenv(VARIABLE, str(path))
    return Faults(path)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("variant", ["plain", "mapped"])
def test_at_whatever_step_its_client_is_killed_it_gives_up(
    faults: Faults, machine: Machine, clients: Clients, variant: str
) -> None:
    """Process 1 is held at each step up to the wait for the go, and goes on without a client."""
    machine.replace_launcher(module="tests.kernel.faulty_launcher")
    volume = machine.base / "volume"
    volume.mkdir()
    mounts = (Mount(source=str(volume), target="/data", copy_up=True),)
    spec = machine.spec("sleep", "99", awaits_network=True, mounts=mounts, **VARIANTS[variant])

    faults.arm(Kind.NONE, 0)
    with clients.running(spec):
        wait_for("only the go is missing", lambda: waiting(machine.launchers[-1].pid))
        count = faults.count
    wait_for("nothing is left", lambda: not left_alone(machine))
    assert count > 20

    for number in range(0, count, 1 if PATIENCE == 1 else 7):
        faults.arm(Kind.DELAY, number)
        with clients.running(spec):
            wait_for("the step is reached", lambda: faults.reached)
        faults.release()
        wait_for(
            f"nothing of step {number} ({faults.step}) is left", lambda: not left_alone(machine)
        )
    machine.run("true")


def test_an_attach_that_fails_waits_for_no_step_that_takes_long(
    faults: Faults, machine: Machine
) -> None:
    """A volume may take minutes to fill; whoever wanted its container must not hang so long."""
    machine.replace_launcher(module="tests.kernel.faulty_launcher")
    volume = machine.base / "volume"
    volume.mkdir()
    mounts = (Mount(source=str(volume), target="/data", copy_up=True),)
    spec = machine.spec("true", awaits_network=True, mounts=mounts)

    async def story() -> None:
        async with machine.runtime() as runtime:
            step, number = "", -1
            while step != "copy up":
                number += 1
                faults.arm(Kind.FAIL, number)
                step = (await failure_of(runtime.run(spec, _connect), KernelRefused)).step
            faults.arm(Kind.HOLD, number)
            attaching = Attaching()
            running = asyncio.create_task(runtime.run(spec, attaching))
            await eventually("it fills its volume", lambda: faults.reached)

            attaching.ending.set_exception(Unavailable("no address is free"))
            await asyncio.wait((running,), timeout=5 * PATIENCE)

            assert await failure_of(running, Unavailable)
            assert list(volume.iterdir()) == []
            await nothing_is_left(machine)

    asyncio.run(story())


async def _connect(_: int) -> None:
    """Its network is fine as it is."""
