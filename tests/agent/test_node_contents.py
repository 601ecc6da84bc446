"""Secrets and configs of a real node: what containers read, and where nothing of them is."""

import os
import signal
import stat
from pathlib import Path

import pytest

from swarm.dispatch import Content
from swarm.specs import FileReference
from swarm.states import TaskState
from tests.agent.managers import FakeManager
from tests.agent.node import TestNode, wait_for
from tests.agent.test_node import IMAGE, names, within

pytestmark = [pytest.mark.kernel, pytest.mark.cluster]

PLAIN = b"correct horse battery staple 7261"
SECRET = Content(id="s1", version=1, data=PLAIN)
CONFIG = Content(
    id="c1", version=1, data=b'{{.Service.Name}} {{secret "db"}} {{env "MODE"}}', templated=True
)
GIVEN = {
    "secrets": (
        FileReference(id="s1", name="db", target="db", uid="33", gid="34", mode=0o440),
        FileReference(id="s1", name="db", target="/etc/deep/er/key", mode=0o400),
    ),
    "configs": (FileReference(id="c1", name="conf", target="/etc/app.conf"),),
    "env": ("MODE=fast",),
}


def root(here: TestNode, task: str) -> Path:
    return Path(f"/proc/{here.pids()[task]}/root")


def told(here: TestNode, plain: bytes = PLAIN) -> list[Path]:
    """The files on disk (and in the run root) that hold `plain`; some go while we look."""
    below = [
        Path(directory, name)
        for base in (here.data_root, here.run_root)
        for directory, _, files in os.walk(base)
        for name in files
    ]
    return [
        path
        for path in (here.log, *below)
        if path.is_file()
        and "contents" not in path.relative_to(here.base).parts
        and plain in _content(path)
    ]


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def memories(here: TestNode) -> list[str]:
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    return [x.split()[4] for x in lines if f"{here.run_root}/contents/" in x]


def test_a_container_reads_its_secrets_and_nothing_of_them_is_anywhere_else() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        (task,) = names(1)
        manager.give(SECRET, CONFIG)
        manager.assign(task, version=manager.version(image=IMAGE, **GIVEN))
        await manager.until(lambda: manager.are(TaskState.PREPARING, task))
        assert not here.pids()  # what came before the task was of no use, and forgotten

        manager.give(SECRET, CONFIG)
        await manager.until(lambda: manager.are(TaskState.RUNNING, task))

        inside = root(here, task)
        key = (inside / "run/secrets/db").stat()
        assert (inside / "run/secrets/db").read_bytes() == PLAIN
        assert (key.st_uid, key.st_gid, stat.S_IMODE(key.st_mode)) == (33, 34, 0o440)
        assert stat.S_IMODE((inside / "etc/deep/er/key").stat().st_mode) == 0o400
        assert (inside / "etc/app.conf").read_bytes() == b"web " + PLAIN + b" fast"
        with pytest.raises(OSError, match="Read-only"):
            (inside / "run/secrets/other").write_bytes(b"")
        with pytest.raises(OSError, match="Read-only"):
            (inside / "etc/app.conf").write_bytes(b"")
        assert told(here) == []

        os.kill(here.pids()[task], signal.SIGKILL)
        await manager.until(lambda: manager.are(TaskState.FAILED, task))
        wait_for("its memory is gone", lambda: not memories(here))
        assert here.own(task).exists()  # its logs stay
        assert told(here) == []

    within(story)


def test_files_survive_the_agent_and_go_when_the_task_ended_without_one() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        stays, ends = names(2)
        manager.assign(stays, ends, version=manager.version(image=IMAGE, **GIVEN))
        manager.give(SECRET, CONFIG)
        await manager.until(lambda: manager.are(TaskState.RUNNING, stays, ends))
        pid = here.pids()[ends]
        here.stop_agent(signal.SIGKILL)
        assert (root(here, stays) / "run/secrets/db").read_bytes() == PLAIN

        os.kill(pid, signal.SIGKILL)
        here.start_agent()
        await manager.until(lambda: manager.are(TaskState.FAILED, ends))

        wait_for("one memory is left", lambda: len(memories(here)) == 1)
        assert memories(here)[0].endswith(stays)
        assert (root(here, stays) / "run/secrets/db").read_bytes() == PLAIN

    within(story)


def test_an_agent_that_is_killed_while_tasks_wait_starts_them_once() -> None:
    """The secret comes only to the agent's successor; each task starts, and once."""

    async def story(manager: FakeManager, here: TestNode) -> None:
        tasks = names(5)
        manager.assign(*tasks, version=manager.version(image=IMAGE, **GIVEN))
        await manager.until(lambda: manager.are(TaskState.PREPARING, *tasks))
        here.stop_agent(signal.SIGKILL)
        # As a kill between two steps may leave it.
        (here.run_root / "contents" / tasks[0]).mkdir(parents=True)
        (here.run_root / "contents" / "stale").mkdir()
        here.start_agent()
        await manager.until(lambda: len(manager.hellos) > 1)

        manager.give(SECRET, CONFIG)
        await manager.until(lambda: manager.are(TaskState.RUNNING, *tasks))

        assert here.pids().keys() == set(tasks)
        assert all((root(here, x) / "run/secrets/db").read_bytes() == PLAIN for x in tasks)
        assert sorted(Path(x).name for x in memories(here)) == sorted(tasks)
        assert not (here.run_root / "contents/stale").exists()

    within(story)


def test_owners_are_the_containers_ids_where_the_node_remaps_them() -> None:
    async def story(manager: FakeManager, here: TestNode) -> None:
        here.stop_agent()
        ids = [{"containerID": 0, "hostID": 300_000, "size": 65_536}]
        here.configure(user_namespace={"uids": ids, "gids": ids})
        here.start_agent()
        await manager.until(lambda: len(manager.hellos) > 1)
        (task,) = names(1)
        manager.assign(task, version=manager.version(image=IMAGE, **GIVEN))
        manager.give(SECRET, CONFIG)
        await manager.until(lambda: manager.are(TaskState.RUNNING, task))

        # Seen from here the ids are the host's; the container's are these less their offset.
        inside = root(here, task)
        key, directory = (inside / "run/secrets/db").stat(), (inside / "run/secrets").stat()
        assert (key.st_uid, key.st_gid) == (300_033, 300_034)
        assert (directory.st_uid, stat.S_IMODE(directory.st_mode)) == (300_000, 0o755)
        assert (inside / "etc/app.conf").stat().st_uid == 300_000

    within(story)
