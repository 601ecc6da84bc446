import asyncio
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from msgspec import structs

from manager.store import Commit, Put
from swarm.errors import Refused, Unavailable
from swarmd.etcd import command
from tests.etcd import build_rig, connected, kill, running
from tests.etcd_process import EtcdProcess
from tests.liveness import is_alive

pytestmark = pytest.mark.cluster


def run(story: Callable[[], Awaitable[None]]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(100):
            await story()

    asyncio.run(limited())


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not is_so():
            await asyncio.sleep(0.02)


def test_what_was_committed_survives_a_kill(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        async with running(rig) as process, connected(rig.target) as store:
            revision = await store.commit(Commit((), (Put("a", b"1"),)))
            await kill(process)
            assert process.returncode == -signal.SIGKILL
        async with running(rig), connected(rig.target) as store:
            item = (await store.read("a")).find("a")

            assert item
            assert (item.value, item.mod_revision) == (b"1", revision)

    run(story)


def test_it_stops_when_asked_and_says_how_it_ended(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        async with running(rig) as process:
            assert process.returncode is None
            assert b"etcd" in Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0")[0]

            await process.stop()

            assert process.returncode is not None
            assert await process.wait() == process.returncode
            assert not is_alive(process.pid)
            await process.stop()

    run(story)


def test_one_that_does_not_listen_to_sigterm_is_killed(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        async with running(rig) as process:
            os.kill(process.pid, signal.SIGSTOP)

            await process.stop(grace_s=0.2)

            assert process.returncode == -signal.SIGKILL

    run(story)


def test_a_start_that_fails_says_why(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        port = int(rig.config.client_url.rsplit(":", 1)[1])
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", port))
            taken.listen()
            process = rig.process()
            await process.start()
            with pytest.raises(Unavailable, match="address already in use") as failed:
                await process.wait_ready()
            await process.stop()

        assert str(rig.log_file) in failed.value.hint
        missing = structs.replace(rig.config, identity_file=tmp_path / "missing.pem")
        process = EtcdProcess(missing, log_file=rig.log_file)
        await process.start()
        with pytest.raises(Unavailable, match=r"missing\.pem"):
            await process.wait_ready()
        await process.stop()

    run(story)


def test_a_program_that_is_not_installed_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story() -> None:
        process = build_rig(tmp_path).process()
        with pytest.raises(Refused, match="setpriv") as refused:
            await process.start()

        assert "etcd-server" in refused.value.hint
        await process.stop()

    monkeypatch.setenv("PATH", str(tmp_path))
    run(story)


def test_a_member_that_lacks_its_majority_is_said_to(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)
        other = structs.replace(rig.config.members[0], name="other", peer_url="https://127.0.0.9:9")
        config = structs.replace(rig.config, members=(*rig.config.members, other))
        process = EtcdProcess(config, log_file=rig.log_file)
        await process.start()
        try:
            with pytest.raises(Unavailable, match="majority"):
                await process.wait_ready(timeout_s=1.0)
            assert process.returncode is None
        finally:
            await process.stop()

    run(story)


def test_it_dies_with_whoever_started_it(tmp_path: Path) -> None:
    """swarmd is killed: etcd must not go on under an address that the next swarmd needs."""

    async def story() -> None:
        rig = build_rig(tmp_path)
        argv = command(rig.config, parent_pid=0)
        script = "\n".join(
            (
                "import os, subprocess, sys, time",
                f"argv = {list(argv)!r}",
                f"argv[{argv.index('0')}] = str(os.getpid())",
                "print(subprocess.Popen(argv, stderr=subprocess.DEVNULL).pid, flush=True)",
                "time.sleep(60)",
            )
        )
        parent = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE
        )
        assert parent.stdout
        etcd = int(await parent.stdout.readline())
        try:
            patient = structs.replace(rig.target, timeout_s=30.0)  # nobody says when it serves
            async with connected(patient) as store:
                await store.commit(Commit((), (Put("a", b""),)))
            parent.kill()
            await parent.wait()

            await until(lambda: not is_alive(etcd))
        finally:
            if is_alive(etcd):
                os.kill(etcd, signal.SIGKILL)

    run(story)


def test_it_does_not_start_for_a_parent_that_is_gone(tmp_path: Path) -> None:
    async def story() -> None:
        rig = build_rig(tmp_path)

        orphan = await asyncio.create_subprocess_exec(*command(rig.config, parent_pid=1))

        async with asyncio.timeout(20):
            assert await orphan.wait() == 1
        assert not rig.config.data_dir.exists()

    run(story)
