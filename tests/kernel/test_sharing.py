"""Containers that share namespaces with the host, or with one another."""

import asyncio
import os
import signal
from pathlib import Path

import pytest

from runtime.io.client import Runtime
from runtime.oci.config import IdMapping
from runtime.spec import ContainerSpec, Health, UserNamespace
from swarm.errors import Invalid, KernelRefused
from tests.kernel.joined import run, running
from tests.kernel.machine import Machine, eventually, exit_of, failure_of
from tests.liveness import is_alive

pytestmark = pytest.mark.kernel

KINDS = ("pid", "ipc", "net", "uts", "cgroup", "mnt")
MAPPED = (IdMapping(container_id=0, host_id=100_000, size=65_536),)


def namespaces(pid: int) -> dict[str, str]:
    return {kind: str(Path(f"/proc/{pid}/ns/{kind}").readlink()) for kind in KINDS}


def shared(one: int, other: int) -> set[str]:
    """The kinds of namespaces that two processes are both in."""
    first, second = namespaces(one), namespaces(other)
    return {kind for kind in KINDS if first[kind] == second[kind]}


async def donor(machine: Machine, runtime: Runtime) -> tuple[ContainerSpec, int]:
    spec = machine.spec("sh", "-c", "echo here > /dev/shm/mark; exec sleep 999", name="donor")
    pid = (await runtime.run(spec)).pid
    await eventually("it has begun", lambda: Path(f"/proc/{pid}/root/dev/shm/mark").exists())
    return spec, pid


def test_by_default_nothing_is_shared(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec, pid = await donor(machine, runtime)
            assert shared(pid, os.getpid()) == set()
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_namespaces_of_the_host_are_stayed_in(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec(
                "sleep", "99", pid_namespace="host", ipc_namespace="host", uts_namespace="host",
                cgroup_namespace="host", host_network=True, hostname="other", domainname="other",
            )  # fmt: skip
            pid = (await runtime.run(spec)).pid
            assert shared(pid, os.getpid()) == {"pid", "ipc", "net", "uts", "cgroup"}
            assert os.uname().nodename != "other"
            code, out, _ = await run(runtime, spec.id, "sh", "-c", f"echo $$; test -d /proc/{pid}")
            assert code == 0
            assert int(out) > 1
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_the_host_sees_what_is_put_into_its_shared_memory(machine: Machine) -> None:
    mark = Path(f"/dev/shm/swarm-test-{os.getpid()}")
    try:
        machine.run("touch", str(mark), ipc_namespace="host")
        assert mark.exists()
    finally:
        mark.unlink(missing_ok=True)


def test_one_may_join_the_namespaces_of_another(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec, pid = await donor(machine, runtime)
            joining = machine.spec(
                "cat", "/dev/shm/mark", "-", open_stdin=True, network_namespace="container:donor",
                pid_namespace="container:donor", ipc_namespace="container:donor",
            )  # fmt: skip
            joined = (await runtime.run(joining)).pid
            assert shared(joined, pid) == {"pid", "ipc", "net"}
            await eventually("it has read", lambda: machine.output(joining.id) == "here\n")

            await run(runtime, joining.id, "sh", "-c", "echo back > /dev/shm/answer")
            code, out, _ = await run(runtime, spec.id, "cat", "/dev/shm/answer")
            assert (code, out) == (0, b"back\n")
            await runtime.delete(joining.id)
            assert (await runtime.adopt())[0].exited is None  # the other one goes on
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_programs_and_checks_join_a_container_that_shares_its_processes(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec, _ = await donor(machine, runtime)
            for number, asked in enumerate(("container:donor", "host")):
                mine = machine.spec(
                    "sh", "-c", f"echo {number} > /number; exec sleep 999", pid_namespace=asked,
                    health=Health(args=("grep", str(number), "/number"), interval_s=0.1),
                )  # fmt: skip
                pid = (await runtime.run(mine)).pid
                health = await asyncio.wait_for(anext(runtime.healths()), 10)
                while health.status.value != "healthy":
                    health = await asyncio.wait_for(anext(runtime.healths()), 10)
                async with running(runtime, mine.id, "sleep", "98") as program:
                    assert shared(program.pid, pid) == shared(pid, pid)
                    assert program.pid in await runtime.processes(mine.id)
                code, out, _ = await run(runtime, mine.id, "cat", "/number")
                assert (code, out) == (0, b"%d\n" % number)
                await runtime.delete(mine.id)
            await runtime.delete(spec.id)

    asyncio.run(story())


@pytest.mark.parametrize("asked", ["container:donor", "host"])
def test_nothing_outlives_a_container_that_shares_its_processes(
    machine: Machine, asked: str
) -> None:
    """Its first process is no init: what it has begun would go on without it."""

    async def story() -> None:
        async with machine.runtime() as runtime:
            spec, _ = await donor(machine, runtime)
            script = "sh -c 'trap \"\" TERM; sleep 97 & sleep 96' & sleep 95 & read x; exit 5"
            mine = machine.spec("sh", "-c", script, pid_namespace=asked, open_stdin=True)
            await runtime.run(mine)

            while len(await runtime.processes(mine.id)) < 4:
                await asyncio.sleep(0.01)
            pids = await runtime.processes(mine.id)
            async with running(runtime, mine.id, "sleep", "94") as program:
                view = await runtime.attach(mine.id)
                os.write(view.stdin_fd, b"\n")
                exited = await exit_of(runtime)
                assert (exited.container_id, exited.exit_code) == (mine.id, 5)
                assert await asyncio.wait_for(program.wait(), 20) == 137
                view.close()
            assert not [pid for pid in pids if is_alive(pid)]
            await runtime.delete(mine.id)
            await runtime.delete(spec.id)

    asyncio.run(story())


@pytest.mark.parametrize("asked", ["container:donor", "host"])
def test_a_lost_shim_takes_them_along_too(machine: Machine, asked: str) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec, _ = await donor(machine, runtime)
            mine = machine.spec("sh", "-c", "sleep 97 & sleep 96", pid_namespace=asked)
            await runtime.run(mine)
            os.kill(machine.shim_of(mine.id), signal.SIGKILL)
            assert (await exit_of(runtime)).exit_code == 137
            await runtime.delete(mine.id)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_network_that_is_joined_keeps_its_parameters(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            name = "net.ipv4.ip_unprivileged_port_start"
            spec = machine.spec("sleep", "99", sysctls={name: "77"})
            await runtime.run(spec)
            mine = machine.spec(
                "cat", f"/proc/sys/{name.replace('.', '/')}",
                network_namespace=f"container:{spec.id}",
            )  # fmt: skip
            await machine.finish(runtime, mine)
            assert machine.output(mine.id) == "77\n"
            await runtime.delete(mine.id)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_who_does_not_run_cannot_be_joined(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("true", name="donor")
            await machine.finish(runtime, spec)
            for kind in ("pid", "ipc", "network"):
                for other in ("donor", "never-was"):
                    joining = {f"{kind}_namespace": f"container:{other}"}
                    mine = machine.spec("true", **joining)
                    no = await failure_of(runtime.run(mine), KernelRefused)
                    assert no.message == f"container {other} is not running"
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_number_that_was_given_to_somebody_else_is_not_joined(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec, pid = await donor(machine, runtime)
            file = machine.run_root / "containers" / spec.id / "state.json"
            text = file.read_text()
            file.write_text(text.replace(f'"pid":{pid}', f'"pid":{os.getpid()}'))
            mine = machine.spec("true", network_namespace="container:donor")
            await failure_of(runtime.run(mine), KernelRefused)
            file.write_text(text)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_shared_memory_has_the_size_that_was_asked_for(machine: Machine) -> None:
    for size, found in ((64 << 20, "65536"), (1 << 20, "1024"), (128 << 20, "131072")):
        _, output = machine.run("sh", "-c", "stat -f -c '%b %s' /dev/shm", shm_bytes=size)
        blocks, block = output.split()
        assert int(blocks) * int(block) // 1024 == int(found)
    _, output = machine.run("sh", "-c", "grep -c /dev/shm /proc/mounts", shm_bytes=0)
    assert output == "0\n"


def test_a_domain_and_a_name_are_the_containers_own(machine: Machine) -> None:
    _, output = machine.run(
        "cat", "/proc/sys/kernel/hostname", "/proc/sys/kernel/domainname",
        hostname="web", domainname="example.org",
    )  # fmt: skip
    assert output == "web\nexample.org\n"


def test_device_rules_add_to_what_may_be_opened(machine: Machine) -> None:
    script = "mknod /tmp/tun c 10 200; true < /tmp/tun && echo opened"
    _, refused = machine.run("sh", "-c", script)
    _, opened = machine.run("sh", "-c", script, device_rules=("c 10:* r",))
    assert "not permitted" in refused
    assert "not permitted" not in opened  # not every host has it


def test_parameters_that_would_be_the_hosts_are_refused(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            wrong = machine.spec("true", ipc_namespace="host", sysctls={"kernel.msgmax": "1"})
            no = await failure_of(runtime.run(wrong), Invalid)
            assert "would change the host" in no.message

    asyncio.run(story())


def test_in_a_user_namespace_the_rest_may_be_the_hosts(machine: Machine) -> None:
    """Not the host's processes: nobody may mount a /proc that shows them."""
    mapped = UserNamespace(uids=MAPPED, gids=MAPPED)
    exited, output = machine.run(
        "id", "-u", user_namespace=mapped, ipc_namespace="host", uts_namespace="host",
        cgroup_namespace="host",
    )  # fmt: skip
    assert (exited.exit_code, output) == (0, "0\n")
