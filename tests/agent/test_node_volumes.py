"""Volumes of a real node: what containers find in them, how long they are mounted, who may go."""

import asyncio
import os
import signal
import subprocess
from pathlib import Path

import grpc
import pytest

from swarm.api.v1 import volumes_pb2, volumes_pb2_grpc
from swarm.objects import NodeDescription
from swarm.specs import Mount, MountKind
from swarm.states import TaskState
from tests.agent.managers import FakeManager
from tests.agent.node import TestNode, wait_for
from tests.agent.test_node import IMAGE, names, within

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

MEMORY = {"type": "tmpfs", "device": "tmpfs", "o": "size=2m,mode=755"}


def root(here: TestNode, task: str) -> Path:
    return Path(f"/proc/{here.pids()[task]}/root")


def mounted(here: TestNode) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [x.split()[4] for x in lines if f"{here.data_root}/agent/volumes" in x]


def volumes(here: TestNode) -> volumes_pb2_grpc.VolumesStub:
    here.images()
    channel = grpc.insecure_channel(f"unix:{here.run_root / 'agent.sock'}")
    return volumes_pb2_grpc.VolumesStub(channel)


def test_a_volume_with_options_is_there_from_the_first_task_to_the_last() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        first, second, third = names(3)
        mount = Mount(source="shared", target="/etc", volume_options=MEMORY)
        version = manager.version(image=IMAGE, mounts=(mount,))
        manager.assign(first, version=version)
        await manager.until(lambda: manager.are(TaskState.RUNNING, first))
        # What the image has at the target is in it, in memory of the asked size.
        assert (root(here, first) / "etc/passwd").exists()
        assert os.statvfs(root(here, first) / "etc").f_blocks * 4096 == 2 << 20
        (root(here, first) / "etc/mine").write_text("x")
        manager.assign(second, version=version)
        await manager.until(lambda: manager.are(TaskState.RUNNING, second))
        assert (root(here, second) / "etc/mine").exists()
        assert len(mounted(here)) == 1

        os.kill(here.pids()[first], signal.SIGKILL)
        await manager.until(lambda: manager.are(TaskState.FAILED, first))
        assert len(mounted(here)) == 1
        here.stop_agent(signal.SIGKILL)
        os.kill(here.pids()[second], signal.SIGKILL)
        here.start_agent()
        await manager.until(lambda: manager.are(TaskState.FAILED, second))
        wait_for("it is unmounted", lambda: not mounted(here))

        manager.assign(third, version=version)
        await manager.until(lambda: manager.are(TaskState.RUNNING, third))
        assert not (root(here, third) / "etc/mine").exists()  # memory forgets

    within(story)


def test_a_volume_that_cannot_be_mounted_is_the_tasks_reason() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        (task,) = names(1)
        options = {"type": "none", "device": "/no/such", "o": "bind"}
        mount = Mount(source="lost", target="/x", volume_options=options)
        manager.assign(task, version=manager.version(image=IMAGE, mounts=(mount,)))
        await manager.until(lambda: manager.are(TaskState.REJECTED, task))

        (error,) = [each.error for each in manager.seen.values()]
        assert error == (
            "volume lost: failed to mount local volume: mount /no/such: no such file or directory"
        )

    within(story)


def test_names_by_slot_copies_with_owners_subpaths_and_memory() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        one, two, three = names(3)
        inside = here.data_root / "agent/volumes/sub/_data"
        (inside / "a/b").mkdir(parents=True)
        (inside / "a/b/file").write_text("deep")
        # Whoever shares the volume may put links there; they lead nowhere outside of it.
        (inside / "root").symlink_to("/")
        (inside / "a/escape").symlink_to("../../../../../../../../../")
        mounts = (
            Mount(source="data-{{.Task.Slot}}", target="/etc", labels={"a": "b"}),
            Mount(source="sub", target="/sub", volume_subpath="a/b", read_only=True),
            Mount(source="sub", target="/sly", volume_subpath="root"),
            Mount(source="sub", target="/slier", volume_subpath="a/escape"),
            Mount(kind=MountKind.TMPFS, target="/mem", tmpfs_size_bytes=1 << 20, tmpfs_mode=0o700),
        )
        version = manager.version(image=IMAGE, mounts=mounts)
        manager.assign(one, two, version=version)
        bare = (Mount(source="bare", target="/etc", nocopy=True),)
        manager.assign(three, version=manager.version(image=IMAGE, mounts=bare))
        await manager.until(lambda: manager.are(TaskState.RUNNING, one, two, three))

        found = sorted(x.name for x in (here.data_root / "agent/volumes").iterdir())
        assert found == ["bare", "data-1", "data-2", "sub"]
        copied = here.data_root / "agent/volumes/data-2/_data/passwd"
        assert copied.read_bytes() == (root(here, two) / "etc/passwd").read_bytes()
        assert list((root(here, three) / "etc").glob("pass*")) == []
        assert (root(here, one) / "sub/file").read_text() == "deep"
        with pytest.raises(OSError, match="Read-only"):
            (root(here, one) / "sub/other").write_text("")
        for sly in ("sly", "slier"):
            assert sorted(x.name for x in (root(here, one) / sly).iterdir()) == ["a", "root"]
        memory = root(here, one) / "mem"
        assert oct(memory.stat().st_mode)[-3:] == "700"
        assert os.statvfs(memory).f_blocks * 4096 == 1 << 20

    within(story)


def test_binds_may_leave_out_what_is_below_and_make_their_source() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        whole, flat = names(2)
        source = here.base / "source"
        (source / "below").mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(source / "below")], check=True)
        try:
            (source / "below/file").write_text("x")
            for task, nonrecursive in ((whole, False), (flat, True)):
                bind = Mount(
                    kind=MountKind.BIND, source=str(source), target="/s", nonrecursive=nonrecursive
                )
                made = Mount(
                    kind=MountKind.BIND,
                    source=str(here.base / "made/here"),
                    target="/made",
                    create_source=True,
                )
                manager.assign(task, version=manager.version(image=IMAGE, mounts=(bind, made)))
            await manager.until(lambda: manager.are(TaskState.RUNNING, whole, flat))

            assert (root(here, whole) / "s/below/file").exists()
            assert not (root(here, flat) / "s/below/file").exists()
            assert (here.base / "made/here").is_dir()
        finally:
            subprocess.run(["umount", str(source / "below")], check=True)

    within(story)


def test_managers_hear_of_volumes_and_what_is_used_stays() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        (task,) = names(1)
        stub = await asyncio.to_thread(volumes, here)

        def call(method: str, request: object) -> object:
            return getattr(stub, method)(request, timeout=30)

        await asyncio.to_thread(
            call, "CreateVolume", volumes_pb2.CreateVolumeRequest(name="made", labels={"a": "b"})
        )
        mount = Mount(source="used-{{.Node.Hostname}}", target="/x")
        manager.assign(task, version=manager.version(image=IMAGE, mounts=(mount,)))
        await manager.until(lambda: manager.are(TaskState.RUNNING, task))
        told = ("made", "used-host1")
        await manager.until(
            lambda: any(isinstance(x, NodeDescription) and x.volumes == told for x in manager.heard)
        )

        for _ in range(2):  # the agent's successor asks the container what it uses
            remove = volumes_pb2.RemoveVolumeRequest(name="used-host1")
            with pytest.raises(grpc.RpcError, match=f"volume is in use: .*{task}"):
                await asyncio.to_thread(call, "RemoveVolume", remove)
            listed = await asyncio.to_thread(call, "ListVolumes", volumes_pb2.ListVolumesRequest())
            users = {each.name: list(each.users) for each in listed.volumes}  # type: ignore[attr-defined]
            assert users["made"] == []
            assert len(users["used-host1"]) == 1
            await manager.stop()
            here.stop_agent(signal.SIGKILL)
            here.start_agent()
            stub = await asyncio.to_thread(volumes, here)

        names_ = volumes_pb2.PruneVolumesRequest(names=["made", "used-host1", "none"])
        pruned = await asyncio.to_thread(call, "PruneVolumes", names_)
        assert list(pruned.removed) == ["made"]  # type: ignore[attr-defined]

    within(story)
