"""Shims that are ready before anyone asks: used once, missed by nobody, gone with the launcher."""

import asyncio
import contextlib
import os
import signal
from pathlib import Path

import pytest

from runtime.io.spares import KEPT
from runtime.spec import UserNamespace
from tests.kernel.faults import parentage
from tests.kernel.machine import Machine, command_lines, exit_of, wait_for
from tests.kernel.spawned import MAPPED

pytestmark = pytest.mark.kernel


def spares(machine: Machine) -> list[int]:
    """Both processes of each."""
    root = str(machine.base).encode()
    return [
        pid for pid, line in command_lines() if line.startswith(b"swarmd-spare") and root in line
    ]


def all_wait(machine: Machine) -> bool:
    return len(spares(machine)) == 2 * KEPT


def test_there_are_some_before_the_first_start_and_again_after_each(machine: Machine) -> None:
    wait_for("spares wait", lambda: all_wait(machine))
    before = set(spares(machine))

    assert machine.run("true")[0].exit_code == 0

    wait_for("spares wait again", lambda: all_wait(machine))
    assert len(before & set(spares(machine))) == 2 * (KEPT - 1)


def test_they_end_with_a_launcher_that_is_killed(machine: Machine) -> None:
    wait_for("spares wait", lambda: all_wait(machine))

    machine.launchers[0].kill()
    machine.launchers[0].wait()

    wait_for("no spare is left", lambda: not spares(machine))


@pytest.mark.parametrize("victims", ["shims", "first processes", "both"])
def test_those_that_are_killed_are_not_missed(machine: Machine, victims: str) -> None:
    wait_for("spares wait", lambda: all_wait(machine))
    before = spares(machine)
    parents = dict(parentage())
    for pid in before:
        if victims == "both" or (parents[pid] in before) is (victims == "first processes"):
            with contextlib.suppress(ProcessLookupError):  # it went with the other
                os.kill(pid, signal.SIGKILL)
    wait_for("the others end too", lambda: not set(before) & set(spares(machine)))

    for _ in range(KEPT + 1):
        assert machine.run("true")[0].exit_code == 0


def test_a_container_in_the_hosts_network_is_given_that_again(machine: Machine) -> None:
    wait_for("spares wait", lambda: all_wait(machine))

    _, output = machine.run("readlink", "/proc/self/ns/net", host_network=True)
    assert output.strip() == str(Path("/proc/self/ns/net").readlink())

    wait_for("it sees the host's links", lambda: _sees_the_hosts_links(machine))


def _sees_the_hosts_links(machine: Machine) -> bool:
    """Others may make and remove some just now."""
    _, output = machine.run("ls", "/sys/class/net", host_network=True)
    return output.split() == sorted(each.name for each in Path("/sys/class/net").iterdir())


def test_one_that_waited_is_like_one_that_did_not(machine: Machine) -> None:
    """What is mounted, and who is root of the namespaces, must not tell."""
    everything = "/dev /dev/* /dev/shm/* /dev/pts/*"  # but for when it was made
    script = (
        f"cat /proc/self/mountinfo; stat -c '%A %h %u %g %s %t:%T %N' {everything} 2>&1;"
        " ls /sys/class/net; ip a"
    )

    async def story() -> None:
        async with machine.runtime() as runtime:
            for number in range(2 * KEPT + 2):  # quicker than spares are made
                spec = machine.spec("sh", "-c", script, name=f"c{number}", hostname="same")
                await runtime.run(spec)
            for _ in range(2 * KEPT + 2):
                assert (await exit_of(runtime)).exit_code == 0
            seen = {_without_numbers(machine.output(f"c{n}"), f"c{n}") for n in range(2 * KEPT + 2)}
            for number in range(2 * KEPT + 2):
                await runtime.delete(f"c{number}")
            assert len(seen) == 1

    wait_for("spares wait", lambda: all_wait(machine))
    asyncio.run(story())


def test_what_is_made_ahead_is_not_for_a_user_namespace(machine: Machine) -> None:
    """A process that is forked for such a container may look for its order before that comes."""
    machine.replace_launcher(module="tests.kernel.eager_launcher")
    ids = UserNamespace(uids=MAPPED, gids=MAPPED)

    exited, output = machine.run(
        "sh", "-c", "ip link set lo down && hostname mine && hostname; stat -c %u /dev/pts /dev",
        user_namespace=ids, capabilities=("CAP_NET_ADMIN", "CAP_SYS_ADMIN"),
    )  # fmt: skip

    assert (exited.exit_code, output.split()) == (0, ["mine", "0", "0"])


def _without_numbers(output: str, name: str) -> str:
    """Without the numbers that the kernel counts up, in whose order mounts are listed."""
    lines: list[str] = []
    for line in output.replace(f"/{name}/", "/").splitlines():
        words = line.split()
        is_mount = len(words) > 6 and words[0].isdecimal() and ":" in words[2]
        lines.append(" ".join(words[3:] if is_mount else words))
    return "\n".join(sorted(lines))
