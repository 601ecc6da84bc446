"""Keep the files of secrets and configs in memory, one small file system for each task.

A task's file system is filled while nobody can see it and then attached at once, so its
directory holds either all of the files or none; whatever was there of an earlier attempt to
start is taken away first. Its pages are not swapped: `noswap` where the kernel's tmpfs has it
(6.4), otherwise ramfs, which never swaps. Nothing is left to do after a reboot.

The directory of all of them is a mount that shares with nobody and that cannot be bound: who
binds the host's `/run`, before or after, finds empty directories.
"""

import asyncio
import contextlib
import errno
import os
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from agent.assignments import Wanted
from agent.contents import Files, Written, missing
from runtime import constants as k
from runtime.io import kernel
from swarm.dispatch import Content
from swarm.errors import KernelRefused

_FENCED = k.MOUNT_ATTR_NOSUID | k.MOUNT_ATTR_NODEV | k.MOUNT_ATTR_NOEXEC


class Contents:
    """The contents of this node. `held` gives what the managers have sent."""

    def __init__(self, directory: Path, held: Callable[[], Mapping[str, Content]]) -> None:
        self._directory = directory
        self._held = held
        self._arrived = asyncio.Event()
        self._is_isolated = False

    def arrived(self) -> None:
        """Some may have come: whoever waits looks again."""
        self._arrived.set()
        self._arrived = asyncio.Event()

    def missing(self, wanted: Wanted) -> tuple[str, ...]:
        """The ids of the files that a task cannot start without."""
        return missing(wanted, self._held())

    async def ready(self, wanted: Wanted) -> Mapping[str, Content]:
        """All files that a task needs, as soon as they are here; gone a moment later, maybe."""
        while missing(wanted, self._held()):
            await self._arrived.wait()
        return self._held()

    def login(self, wanted: Wanted) -> Content | None:
        """What a task's image is to be fetched with, if it is here."""
        return self._held().get(wanted.task.service_id)

    async def login_ready(self, wanted: Wanted) -> Content:
        """What a task's image is to be fetched with, as soon as it is here."""
        while (content := self.login(wanted)) is None:
            await self._arrived.wait()
        return content

    def write(self, task_id: str, files: Files) -> None:
        """Have a task's files in memory; `KernelRefused` when they cannot be."""
        if not files.written:
            return
        place = self._directory / task_id
        try:
            self.remove(task_id)
            self._isolate()
            place.mkdir(mode=0o700)
            mount = _memory(sum(len(each.data) for each in files.written), len(files.written))
            try:
                _fill(Path(f"/proc/self/fd/{mount}"), files)
                _attach(mount, place)
            finally:
                os.close(mount)
        except OSError as err:
            self.remove(task_id)
            raise KernelRefused(
                "keep secrets and configs in memory", err.errno or errno.EIO, err.strerror or ""
            ) from err

    def remove(self, task_id: str) -> None:
        """Forget a task's files; fine when there are none."""
        _remove(self._directory / task_id)

    def sweep(self, kept: Collection[str]) -> None:
        """Forget the files of every task that is not `kept`."""
        with contextlib.suppress(FileNotFoundError):
            for place in tuple(self._directory.iterdir()):
                if place.name not in kept:
                    self.remove(place.name)

    def dissolve(self) -> None:
        """Forget everything: this node leaves its swarm."""
        self.sweep(())
        self._is_isolated = False
        _remove(self._directory)

    def _isolate(self) -> None:
        """Have the directory share its mounts with nobody (mount_namespaces(7))."""
        if self._is_isolated:
            return
        self._directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        if str(self._directory) not in _mount_points():
            mount = kernel.open_tree(str(self._directory), recursive=False)
            try:
                _attach(mount, self._directory)
            finally:
                os.close(mount)
        # What is attached below a mount that is shared becomes shared, so this comes second.
        top = os.open(self._directory, os.O_PATH | os.O_DIRECTORY)
        try:
            kernel.mount_setattr(top, propagation=k.MS_UNBINDABLE)
        finally:
            os.close(top)
        self._is_isolated = True


def _remove(place: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        while True:
            try:
                kernel.unmount(str(place), k.MNT_DETACH)
            except OSError as err:
                if err.errno != errno.EINVAL:  # which says that nothing is mounted there
                    raise
                break
        place.rmdir()


def _mount_points() -> set[str]:
    """Where something is mounted; a run root has no spaces, which would be escaped here."""
    text = Path("/proc/self/mountinfo").read_text()
    return {line.split(" ", 5)[4] for line in text.splitlines()}


def _memory(size: int, count: int) -> int:
    """A detached file system with room for `size` bytes in `count` files."""
    pages = size // os.sysconf("SC_PAGE_SIZE") + 3 * count + 8
    try:
        return _file_system("tmpfs", {"size": str(pages * os.sysconf("SC_PAGE_SIZE"))}, "noswap")
    except OSError as err:
        if err.errno != errno.EINVAL:
            raise
        return _file_system("ramfs", {})


def _file_system(kind: str, options: Mapping[str, str], *flags: str) -> int:
    context = kernel.fsopen(kind)
    try:
        kernel.fsconfig(context, k.FSCONFIG_SET_STRING, "source", "swarm")
        for key, value in {"mode": "700", **options}.items():
            kernel.fsconfig(context, k.FSCONFIG_SET_STRING, key, value)
        for flag in flags:
            kernel.fsconfig(context, k.FSCONFIG_SET_FLAG, flag)
        kernel.fsconfig(context, k.FSCONFIG_CMD_CREATE)
        return kernel.fsmount(context, _FENCED)
    finally:
        os.close(context)


def _fill(root: Path, files: Files) -> None:
    for each in files.written:
        _make_directories(root, Path(each.path).parent, files)
        _write(root / each.path, each)


def _make_directories(root: Path, wanted: Path, files: Files) -> None:
    """The container's own root could list and enter them, as any other directory of its."""
    for directory in (*reversed(wanted.parents), wanted):
        path = root / directory
        if directory.parts and not path.exists():
            path.mkdir()
            os.chown(path, files.uid, files.gid)
            path.chmod(0o755)


def _write(path: Path, each: Written) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    with os.fdopen(descriptor, "wb") as file:
        file.write(each.data)
        os.fchown(descriptor, each.uid, each.gid)
        os.fchmod(descriptor, each.mode)


def _attach(mount: int, place: Path) -> None:
    target = os.open(place, os.O_PATH | os.O_DIRECTORY)
    try:
        kernel.move_mount(mount, target)
    finally:
        os.close(target)
