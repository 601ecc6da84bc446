"""Keep this node's volumes: make, mount, list and remove them.

A named volume's directory is made with its description in one rename, and removed by renaming
it away first, so that a crash leaves either a whole volume or none. One with options is mounted
when the first task uses it and unmounted after the last; what is mounted is asked of the
kernel and never remembered, so an agent that was killed goes on where it was. `users` says
which tasks need which volume now. Nothing here removes a named volume but `remove` and `prune`.
"""

import asyncio
import errno
import os
import socket
import time
from collections.abc import Callable, Collection, Coroutine, Iterable, Mapping
from pathlib import Path

import msgspec
from msgspec import Struct

from agent.mounting import Bind, FileSystem, Mounting, mounting
from agent.standalone.naming import ID_LENGTH
from agent.volumes import Placed, Source, Volume, absent, volume_path
from runtime import constants as k
from runtime.io import host, kernel
from swarm.errors import Invalid, Missing, Refused
from swarm.volumes import name_problems

Users = Mapping[str, tuple[str, ...]]


class Description(Struct, frozen=True, kw_only=True):
    """What is remembered of a named volume beside its content."""

    name: str
    created_at: float
    labels: dict[str, str] = {}
    options: dict[str, str] = {}


class Volumes:
    """The volumes below `directory`. `changed` is told when there are others than before.

    `users` says who keeps each volume from being removed, and `needed` which ones are to be
    mounted now: those that have users, unless somebody knows better. `tell` is told what was done
    to which volume: create or destroy.
    """

    def __init__(
        self,
        directory: Path,
        *,
        users: Callable[[], Users],
        changed: Callable[[], None],
        needed: Callable[[], Collection[str]] | None = None,
        tell: Callable[[str, str], None] = lambda action, name: None,
    ) -> None:
        self._directory = directory
        self._users = users
        self._needed = needed or users
        self._changed = changed
        self._tell = tell
        self._locks: dict[str, asyncio.Lock] = {}

    def names(self) -> tuple[str, ...]:
        """What volumes there are."""
        return names(self._directory)

    def path(self, name: str) -> str:
        """Where the content of a volume is."""
        return volume_path(str(self._directory), name)

    def users(self) -> Users:
        """The tasks that need each volume that is needed."""
        return self._users()

    def describe(self, name: str) -> Description:
        """One volume; `Missing` when there is none."""
        home = self._directory / name
        if "/" in name or name.startswith(".") or not (home / "_data").is_dir():
            raise Missing(f"no such volume: {name}", hint="list what there is: swarmctl volume ls")
        try:
            return msgspec.json.decode((home / "volume.json").read_bytes(), type=Description)
        except (OSError, msgspec.DecodeError):
            # Its content matters more than what was said of it.
            return Description(name=name, created_at=home.stat().st_mtime)

    async def provide(self, placed: Iterable[Placed]) -> None:
        """Make and mount what mounts need; `Refused` names what is missing or cannot be made."""
        for each in placed:
            match each.needs:
                case Source():
                    _find(each.needs)
                case Volume(name=""):
                    _make_directory(Path(each.needs.path))
                case Volume():
                    await _to_its_end(self._provide(each.needs))
                case None:
                    pass

    async def create(
        self, name: str, *, labels: dict[str, str], options: dict[str, str]
    ) -> Description:
        """Make a volume, or find it as it is asked for; `Refused` when it is another."""
        problems = tuple(name_problems(name))
        if problems:
            raise Invalid(problems[0], problems=problems)
        mounting(name, options)
        async with self._lock(name):
            if name in self.names():
                found = self.describe(name)
                if options and options != found.options:
                    raise Refused(
                        f"a volume named {name} already exists with other options",
                        hint="choose another name, or remove it first",
                    )
                return found
            self._make(name, labels, options)
            return self.describe(name)

    async def remove(self, name: str, *, force: bool = False) -> None:
        """Remove a volume with its content; `Refused` names the task that uses it."""
        async with self._lock(name):
            if force and name not in self.names():
                return
            self.describe(name)
            if users := self._users().get(name):
                raise _in_use(name, users)
            await asyncio.to_thread(self._unmount, name)
            if any(each.startswith(f"{_escaped(self.path(name))}/") for each in _mount_points()):
                raise Refused(
                    f"something is mounted in volume {name}", hint="unmount it on this node first"
                )
            gone = self._directory / f".{name}.removed"
            host.discard_tree(str(gone))
            (self._directory / name).rename(gone)
            await asyncio.to_thread(host.discard_tree, str(gone))
        self._changed()
        self._tell("destroy", name)

    async def release(self, wanted: Collection[str] | None = None) -> None:
        """Unmount those of `wanted` (of all, when it is None) that no task needs any more."""
        for name in sorted(self._mounted()):
            if wanted is None or name in wanted:
                async with self._lock(name):
                    if name not in self._needed():
                        await asyncio.to_thread(self._unmount, name)

    async def _provide(self, volume: Volume) -> None:
        async with self._lock(volume.name):
            if not Path(volume.path).is_dir():
                mounting(volume.name, volume.options)
                self._make(volume.name, volume.labels, volume.options)
            wanted = mounting(volume.name, self.describe(volume.name).options)
            if wanted is not None and volume.name not in self._mounted():
                await asyncio.to_thread(_mount, volume, wanted)
            if volume.subpath:
                _enter(volume)

    def _make(self, name: str, labels: dict[str, str], options: dict[str, str]) -> None:
        try:
            _make_named(
                self._directory / name,
                Description(name=name, created_at=time.time(), labels=labels, options=options),
            )
        except OSError as err:
            raise Refused(
                f"volume {name} cannot be made: {err.strerror}",
                hint=f"look at {self._directory} on this node",
            ) from err
        self._changed()
        self._tell("create", name)

    def _mounted(self) -> set[str]:
        """The volumes on which something is mounted."""
        points = _mount_points()
        return {name for name in self.names() if _escaped(self.path(name)) in points}

    def _unmount(self, name: str) -> None:
        while name in self._mounted():
            try:
                kernel.unmount(self.path(name), 0)
            except OSError as err:
                if err.errno != errno.EBUSY:
                    raise Refused(f"volume {name} cannot be unmounted: {err.strerror}") from err
                kernel.unmount(self.path(name), k.MNT_DETACH)

    def _lock(self, name: str) -> asyncio.Lock:
        return self._locks.setdefault(name, asyncio.Lock())


def names(directory: Path) -> tuple[str, ...]:
    """What volumes there are, for whoever needs no more than that."""
    try:
        found = [entry.name for entry in os.scandir(directory) if not entry.name.startswith(".")]
    except FileNotFoundError:
        return ()
    return tuple(sorted(found))


def _in_use(name: str, users: Iterable[str]) -> Refused:
    """Tasks have names, and containers ids with many digits."""
    others = [each for each in users if len(each) == ID_LENGTH and "." not in each]
    if others:
        return Refused(f"remove {name}: volume is in use - [{', '.join(others)}]")
    return Refused(
        f"volume is in use: {name} is used by task {', '.join(users)}",
        hint="remove what uses it, or wait until it has ended",
    )


def clean(directory: Path) -> None:
    """Remove what a crash left of volumes that were about to be made or to go."""
    for half in directory.glob(".*"):
        host.discard_tree(str(half))


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Do `work` even if nobody waits for it any more: a thread of it may be in the kernel."""
    task = asyncio.ensure_future(work)
    task.add_done_callback(lambda done: done.cancelled() or done.exception())
    await asyncio.shield(task)


def _mount_points() -> set[str]:
    text = Path("/proc/self/mountinfo").read_text()
    return {line.split(" ", 5)[4] for line in text.splitlines()}


def _find(source: Source) -> None:
    path = Path(source.path)
    if path.exists():
        return
    if not source.create:
        raise Refused(absent(source), hint="create it on this node")
    _make_directory(path)


def _make_directory(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as err:
        raise Refused(
            f"{path} cannot be made: {err.strerror}", hint=f"look at {path.parent} on this node"
        ) from err


def _make_named(home: Path, described: Description) -> None:
    home.parent.mkdir(parents=True, exist_ok=True, mode=0o711)
    fresh = home.with_name(f".{home.name}.{os.getpid()}")
    host.discard_tree(str(fresh))
    (fresh / "_data").mkdir(parents=True)
    (fresh / "volume.json").write_bytes(msgspec.json.encode(described))
    fresh.rename(home)


def _mount(volume: Volume, wanted: Mounting) -> None:
    try:
        match wanted:
            case Bind():
                _bind(wanted, volume.path)
            case FileSystem():
                data = wanted.data
                if wanted.address:
                    data = wanted.with_address(socket.gethostbyname(wanted.address))
                kernel.mount(wanted.device, volume.path, wanted.kind, wanted.flags, ",".join(data))
    except OSError as err:
        device = wanted.source if isinstance(wanted, Bind) else wanted.device
        raise Refused(
            f"volume {volume.name}: failed to mount local volume: mount {device}: "
            f"{_why(err, wanted)}",
            hint="look at the volume's options: swarmctl volume inspect",
        ) from err


def _why(err: OSError, wanted: Mounting) -> str:
    if err.errno == errno.ENODEV and isinstance(wanted, FileSystem):
        return f"this node's kernel knows no file system {wanted.kind!r}"
    return (err.strerror or str(err)).lower()


def _bind(wanted: Bind, path: str) -> None:
    mount = kernel.open_tree(wanted.source, recursive=wanted.is_recursive)
    try:
        if wanted.attributes:
            kernel.mount_setattr(mount, attributes=wanted.attributes)
        target = os.open(path, os.O_PATH | os.O_DIRECTORY)
        try:
            kernel.move_mount(mount, target)
        finally:
            os.close(target)
    finally:
        os.close(mount)


def _enter(volume: Volume) -> None:
    """Find the subpath in the volume, as the runtime will: links lead nowhere else."""
    root = os.open(volume.path, os.O_PATH | os.O_DIRECTORY)
    try:
        os.close(kernel.open_in_root(root, volume.subpath, os.O_PATH))
    except OSError as err:
        raise Refused(
            f"volume {volume.name} has no {volume.subpath}: {(err.strerror or '').lower()}",
            hint="make it in the volume first",
        ) from err
    finally:
        os.close(root)


def _escaped(path: str) -> str:
    """As /proc writes it (proc_pid_mountinfo(5))."""
    for number, character in ((0o134, "\\"), (0o40, " "), (0o11, "\t"), (0o12, "\n")):
        path = path.replace(character, f"\\{number:03o}")
    return path
