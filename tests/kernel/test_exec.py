"""Run programs in a running container, and kill whoever is involved at bad moments."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from runtime.io.client import Runtime
from runtime.joining import ExecSpec, refusal_code
from runtime.oci.config import IdMapping
from runtime.spec import Rlimit, UserNamespace
from swarm.errors import Invalid, KernelRefused, Missing, Refused
from tests.kernel.joined import read_all, read_until, run, running, tell
from tests.kernel.machine import (
    REPOSITORY,
    Machine,
    descriptors_at_rest,
    eventually,
    exit_of,
    failure_of,
)
from tests.liveness import children

pytestmark = pytest.mark.kernel


def test_streams_and_the_exit_code_are_the_programs(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        code, output, errors = await run(
            runtime, name, "sh", "-c", "cat; echo no >&2; exit 7", stdin=b"yes\n"
        )
        assert (code, output, errors) == (7, b"yes\n", b"no\n")

    tell(machine, story)


def test_without_stdin_there_is_nothing_to_read(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        assert await run(runtime, name, "cat") == (0, b"", b"")

    tell(machine, story)


SHOW = (
    "for n in cgroup ipc mnt net pid user uts; do readlink /proc/self/ns/$n; done; "
    "grep -E '^(Cap|Sig(Blk|Ign|Cgt)|NoNewPrivs|Seccomp:|Groups|Uid)' /proc/self/status; "
    "cat /proc/self/oom_score_adj /proc/self/cgroup; ulimit -n; pwd; echo $A $B $HOME; umask; "
    "ls /proc/self/fd | wc -l; echo end"
)
MAPPED = (IdMapping(container_id=0, host_id=100_000, size=65_536),)
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "user": {
        "env": ("PATH=/bin", "A=1", "B=2"), "user": "1000:1001", "additional_groups": ("7",),
        "workdir": "/tmp", "oom_score_adj": 100, "hostname": "h",
    },
    "limits": {"rlimits": (Rlimit(name="nofile", soft=77, hard=99),), "umask": 0o077},
    "privileged": {"privileged": True},
    "no capability": {"capabilities": (), "no_new_privs": False},
    "unconfined": {"seccomp": "unconfined", "no_new_privs": False},
    "host network": {"host_network": True},
    "mapped": {"user_namespace": UserNamespace(uids=MAPPED, gids=MAPPED)},
    "mapped user": {"user_namespace": UserNamespace(uids=MAPPED, gids=MAPPED), "user": "1000"},
    "init": {"init": True},
    "read-only": {"read_only_rootfs": True},
}  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_it_has_the_namespaces_rights_and_limits_of_process_one(
    machine: Machine, kind: str
) -> None:
    """Groups, filters, signals, user, directory and environment too, in every kind."""

    async def story(runtime: Runtime, name: str) -> None:
        await eventually("all is said", lambda: machine.output(name).endswith("end\n"))
        first = machine.output(name).encode()
        assert await run(runtime, name, "sh", "-c", SHOW) == (0, first, b"")

    tell(machine, story, "sh", "-c", f"{SHOW}; exec sleep 999", **KINDS[kind])


def test_it_can_be_another_user_elsewhere_with_more_variables(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        script = "id -u; id -g; pwd; echo $A $B $HOME"
        assert await run(
            runtime, name, "sh", "-c", script, user="7:8", workdir="/bin", env=("B=new",)
        ) == (0, b"7\n8\n/bin\n1 new /\n", b"")

    tell(machine, story, env=("PATH=/bin", "A=1", "B=2"))


def test_privileged_has_every_capability_and_its_container_has_not(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        show = ("grep", "CapEff", "/proc/self/status")
        _, plain, _ = await run(runtime, name, *show)
        _, privileged, _ = await run(runtime, name, *show, privileged=True)
        assert int(plain.split()[1], 16) == 0xA80425FB
        assert int(privileged.split()[1], 16) > 1 << 37

    tell(machine, story)


@pytest.mark.parametrize(
    ("args", "fields", "code", "says"),
    [
        (("nothing",), {}, 127, "exec nothing: no such file or directory in any directory of PATH"),
        (("/nothing",), {}, 127, "exec /nothing: no such file or directory"),
        (("/etc",), {}, 126, "exec /etc: permission denied"),
        (("sh",), {"user": "nobody-here"}, 126, "nobody-here"),
        (("sh",), {"workdir": "/not/there"}, 126, "/not/there"),
    ],
)
def test_a_refusal_says_why_and_has_the_exit_code_of_docker(
    machine: Machine, args: tuple[str, ...], fields: dict[str, Any], code: int, says: str
) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        no = await failure_of(runtime.exec(name, ExecSpec(args=args, **fields)), KernelRefused)
        assert says in no.message
        assert refusal_code(no) == code
        assert await run(runtime, name, "true") == (0, b"", b"")

    tell(machine, story)


def test_a_bad_request_names_all_that_is_wrong(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        bad = ExecSpec(args=(), env=("x",), workdir="a", rows=-1)
        no = await failure_of(runtime.exec(name, bad), Invalid)
        assert [each.split(":")[0] for each in no.problems] == [
            "args", "env[0]", "workdir", "rows",
        ]  # fmt: skip

    tell(machine, story)


def test_a_container_that_does_not_run_has_no_programs(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            await failure_of(runtime.exec("never-was", ExecSpec(args=("true",))), Missing)
            spec = machine.spec("true")
            await machine.finish(runtime, spec)
            await failure_of(runtime.exec(spec.id, ExecSpec(args=("true",))), Missing)
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_signal_reaches_the_program_alone(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        script = 'trap "echo got; exit 3" USR1; echo up; while :; do sleep 0.01; done'
        async with running(runtime, name, "sh", "-c", script) as program:
            await read_until(program.stdout_fd, b"up\n")
            await program.kill(signal.SIGUSR1)
            assert await program.wait() == 3
            assert await read_all(program.stdout_fd) == b"got\n"
            await failure_of(program.kill(signal.SIGUSR1), Missing)

    tell(machine, story)


def test_a_killed_program_has_the_code_of_its_signal(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        async with running(runtime, name, "sleep", "99") as program:
            await failure_of(program.kill(500), Invalid)
            await program.kill(signal.SIGKILL)
            assert await program.wait() == 137
        code, _, _ = await run(runtime, name, "sh", "-c", "kill -15 $$")
        assert code == 143

    tell(machine, story)


def test_closing_ends_the_program_and_what_it_started(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        async with running(runtime, name, "sh", "-c", "sleep 99 & echo up; wait") as program:
            await read_until(program.stdout_fd, b"up\n")
            await eventually("it runs", lambda: len(_pids(machine, name)) == 3)
        await eventually("only process 1 is left", lambda: len(_pids(machine, name)) == 1)

    tell(machine, story)


def test_a_detached_program_outlives_its_client(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        async with running(runtime, name, "sleep", "99", detach=True) as program:
            assert (program.stdin_fd, program.stdout_fd, program.stderr_fd) == (-1, -1, -1)
        async with machine.runtime() as other:
            await other.adopt()
            assert await run(other, name, "true") == (0, b"", b"")
            assert len(await other.processes(name)) == 2
        null = Path("/dev/null").stat()
        assert (null.st_uid, null.st_gid) == (0, 0)

    tell(machine, story, user="1000")


def test_much_data_passes_both_ways_unchanged(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        content = os.urandom(1 << 20) * 8
        code, output, _ = await run(runtime, name, "cat", stdin=content)
        assert code == 0
        assert output == content

    tell(machine, story)


def test_a_large_request_arrives_whole(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        env = tuple(f"V{number}={'x' * 5000}" for number in range(100))
        code, output, _ = await run(runtime, name, "sh", "-c", "echo $V99", env=env)
        assert (code, len(output)) == (0, 5001)

    tell(machine, story)


def test_a_hundred_at_once(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        found = await asyncio.gather(
            *(run(runtime, name, "sh", "-c", f"echo {n}; exit {n}") for n in range(100))
        )
        assert [(code, int(output)) for code, output, _ in found] == [(n, n) for n in range(100)]

    tell(machine, story)


def test_a_thousand_leave_no_descriptor_and_no_memory_in_the_shim(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        shim = machine.shim_of(name)
        # Before there is anything that could be left.
        descriptors = await eventually("it rests", lambda: descriptors_at_rest(shim))
        for _ in range(10):
            await run(runtime, name, "true")
        size = _private_kib(shim)
        limit = asyncio.Semaphore(10)

        async def one(number: int) -> None:
            async with limit:
                match number % 4:
                    case 0:
                        await failure_of(
                            runtime.exec(name, ExecSpec(args=("none",))), KernelRefused
                        )
                    case 1:
                        async with running(runtime, name, "sleep", "9"):
                            pass
                    case _:
                        await run(runtime, name, "true")

        await asyncio.gather(*(one(number) for number in range(1000)))
        while len(await runtime.processes(name)) > 1:  # or this test takes too long
            await asyncio.sleep(0.01)
        await eventually("all are gone", lambda: descriptors_at_rest(shim) == descriptors)
        assert _private_kib(shim) < size + 600  # 1,000 objects more would be this much

    tell(machine, story)


def test_a_program_ends_with_its_container_and_that_is_told(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            async with running(runtime, spec.id, "sh", "-c", "trap '' TERM; sleep 99") as program:
                await runtime.kill(spec.id, signal.SIGKILL)
                assert await asyncio.wait_for(program.wait(), 10) == 137
                assert (await exit_of(runtime)).exit_code == 137
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_programs_asked_for_while_the_container_ends_run_or_are_refused(machine: Machine) -> None:
    """Whoever comes at any moment around the end gets an answer, and nothing is left."""

    async def ask(runtime: Runtime, name: str) -> None:
        try:
            code, _, _ = await run(runtime, name, "sh", "-c", "exit 4")
        except (KernelRefused, Missing):
            return
        assert code in (4, 137)

    async def story() -> None:
        async with machine.runtime() as runtime:
            for number in range(15):
                spec = machine.spec("sleep", f"0.0{number}")
                await runtime.run(spec)
                asked = [asyncio.create_task(ask(runtime, spec.id)) for _ in range(5)]
                await exit_of(runtime)
                await asyncio.wait_for(asyncio.gather(*asked), 20)
                await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_paused_container_refuses_clearly(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        await runtime.pause(name)
        no = await failure_of(runtime.exec(name, ExecSpec(args=("true",))), Refused)
        assert (no.message, no.hint) == (f"container {name} is paused", "resume it first")
        await runtime.resume(name)
        assert await run(runtime, name, "true") == (0, b"", b"")

    tell(machine, story)


CLIENT = """
import asyncio, sys
from pathlib import Path
from runtime.io.client import Runtime
from runtime.joining import ExecSpec

async def main() -> None:
    base, name, tty = Path(sys.argv[1]), sys.argv[2], sys.argv[3] == "tty"
    runtime = Runtime(run_root=base / "run", launcher_socket=base / "launcher.sock")
    await runtime.adopt()
    spec = ExecSpec(args=("sh", "-c", "trap '' HUP; sleep 99; sleep 99"), tty=tty)
    await runtime.exec(name, spec)
    print("ready", flush=True)
    await asyncio.sleep(99)

asyncio.run(main())
"""


@pytest.mark.parametrize("kind", ["pipes", "tty"])
def test_a_program_dies_with_a_client_that_is_killed(machine: Machine, kind: str) -> None:
    """An agent dies in the middle of an exec; nobody could ever reach the program again."""

    async def story(runtime: Runtime, name: str) -> None:
        with subprocess.Popen(
            [sys.executable, "-c", CLIENT, str(machine.base), name, kind],
            cwd=REPOSITORY, stdout=subprocess.PIPE,
        ) as client:  # fmt: skip
            assert client.stdout is not None
            assert await asyncio.to_thread(client.stdout.readline) == b"ready\n"
            await eventually("it runs", lambda: len(_pids(machine, name)) == 3)
            client.kill()
        await eventually("only process 1 is left", lambda: len(_pids(machine, name)) == 1)
        assert await run(runtime, name, "true") == (0, b"", b"")

    tell(machine, story)


def test_a_program_killed_at_any_moment_is_refused_or_has_ended(machine: Machine) -> None:
    """The moment is drawn at random; every outcome is fine but a leak, a lie or a silence."""
    random = Random("exec")

    async def story(runtime: Runtime, name: str) -> None:
        shim = machine.shim_of(name)
        (first,) = await eventually("there is one", lambda: _single(children(shim)))
        for _ in range(20):
            asked = asyncio.create_task(runtime.exec(name, ExecSpec(args=("sleep", "99"))))
            await eventually("it is forked", lambda: len(children(shim)) == 2)
            await asyncio.sleep(random.random() * 0.01)
            for pid in set(children(shim)) - {first}:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            await asyncio.wait((asked,), timeout=20)
            err = asked.exception()
            if err is None:
                assert await asyncio.wait_for(asked.result().wait(), 10) == 137
                asked.result().close()
            else:
                assert isinstance(err, KernelRefused)
                assert "ended with -9" in err.message
        assert await run(runtime, name, "echo", "fine") == (0, b"fine\n", b"")
        await eventually("all are reaped", lambda: children(shim) == [first])

    tell(machine, story)


def test_requests_that_are_given_up_leave_no_program(machine: Machine) -> None:
    async def story(runtime: Runtime, name: str) -> None:
        random = Random("given up")
        for _ in range(20):
            asked = asyncio.create_task(runtime.exec(name, ExecSpec(args=("sleep", "99"))))
            await asyncio.sleep(random.random() * 0.02)
            asked.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                (await asked).close()
        shim = machine.shim_of(name)
        assert await run(runtime, name, "true") == (0, b"", b"")  # all before it have been heard
        await eventually("only process 1 is left", lambda: len(children(shim)) == 1)
        assert len(_pids(machine, name)) == 1

    tell(machine, story)


def test_a_lost_shim_ends_the_program_and_whoever_waits_is_told(machine: Machine) -> None:
    async def story() -> None:
        async with machine.runtime() as runtime:
            spec = machine.spec("sleep", "99")
            await runtime.run(spec)
            async with running(runtime, spec.id, "sleep", "99") as program:
                os.kill(machine.shim_of(spec.id), signal.SIGKILL)
                with pytest.raises(Exception, match="nobody can tell"):
                    await asyncio.wait_for(program.wait(), 10)
                assert await read_all(program.stdout_fd) == b""
                assert (await exit_of(runtime)).exit_code == 137
            await runtime.delete(spec.id)

    asyncio.run(story())


def test_a_client_that_says_nothing_or_nonsense_harms_nobody(machine: Machine) -> None:
    """Connections that stay silent, lie, or leave in the middle of a request.

    1. Each of them comes, and some stay.
    2. A decent client still runs programs, and the container goes on.
    """

    async def story(runtime: Runtime, name: str) -> None:
        path = machine.run_root / "containers" / name / "shim.sock"
        held: list[asyncio.StreamWriter] = []
        for words in (b"", b"w", b"x", b"x{", b"x{}\n", b"z", b"a", b"wnonsense\n", b"\0" * 9):
            for stays in (True, False):
                _, writer = await asyncio.open_unix_connection(path)
                for start in range(len(words)):
                    writer.write(words[start : start + 1])
                    with contextlib.suppress(OSError):
                        await writer.drain()
                if stays:
                    held.append(writer)
                else:
                    writer.close()
        assert await run(runtime, name, "echo", "fine") == (0, b"fine\n", b"")
        for writer in held:
            writer.close()
        await eventually("nobody is left", lambda: len(_pids(machine, name)) == 1)

    tell(machine, story)


def _pids(machine: Machine, name: str) -> list[str]:
    return (machine.cgroup("pids", name) / "cgroup.procs").read_text().split()


def _single(pids: list[int]) -> list[int]:
    return pids if len(pids) == 1 else []


def _private_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_"))
