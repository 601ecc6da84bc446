"""Go into a container's file system, and leave the host and most of root's rights behind.

One that runs is entered as it is, with its memory file systems and whatever was mounted in it. Any
other is put together in a mount namespace of our own, so nothing is left of it when we end,
however that comes. Where it is only to be read, what its mounts need is made in memory. In the
end we are root of the container, which is not more than the container's own root is.
"""

# Plain strings: paths mean something else every few lines.
# ruff: noqa: PTH101, PTH102, PTH103, PTH110, PTH112, PTH207, PTH116, PTH118, PTH211

import errno
import os
import select
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from glob import escape, glob
from pathlib import Path

from agent.standalone.errands import Place
from runtime import constants as k
from runtime.io import kernel
from runtime.io.copying import copy_up
from runtime.io.host import remove_tree
from runtime.io.inside.dying import still_dying
from runtime.io.inside.namespaces import make_user_namespace
from runtime.io.inside.targets import find_or_make
from runtime.oci.names import CAPABILITIES
from runtime.spec import Mount, MountKind, UserNamespace
from swarm.errors import Unavailable

_KEPT_NAMES = (
    "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_DAC_READ_SEARCH", "CAP_FOWNER", "CAP_FSETID",
    "CAP_MKNOD", "CAP_SETFCAP",
)  # fmt: skip
_KEPT = sum(1 << CAPABILITIES[name] for name in _KEPT_NAMES)
_ROOT = "root"


def enter(place: Place, *, mounts: bool) -> None:
    """Have the container's root as our own; without `mounts` its own file system alone."""
    kernel.prctl(k.PR_SET_DUMPABLE, 0)
    if place.pid:
        _join(place)
        if not mounts:
            _see_root_alone()
    else:
        _assemble(place, mounts=mounts)
    _give_up_rights()


def _join(place: Place) -> None:
    """Enter its mounts, and its ids. A number may be another process' by the time we look."""
    gone = Unavailable(f"container {place.container} has just ended", hint="ask again")
    try:
        pidfd = os.pidfd_open(place.pid)
        groups = Path(f"/proc/{place.pid}/cgroup").read_text(errors="replace")
        flags = k.CLONE_NEWNS
        if _namespace(place.pid, "user") != _namespace("self", "user"):
            flags |= k.CLONE_NEWUSER
    except (FileNotFoundError, ProcessLookupError) as err:
        raise gone from err
    is_its = any(f"/{place.container}/" in f"{line}/" for line in groups.splitlines())
    if not is_its or select.select([pidfd], [], [], 0)[0]:
        raise gone
    with still_dying():
        kernel.setns(pidfd, flags)
    os.close(pidfd)
    if flags & k.CLONE_NEWUSER:
        _become_root()
    os.chdir("/")


def _namespace(pid: int | str, kind: str) -> tuple[int, int]:
    status = os.stat(f"/proc/{pid}/ns/{kind}")
    return status.st_dev, status.st_ino


def _see_root_alone() -> None:
    root = kernel.open_tree("/", recursive=False)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)


def _assemble(place: Place, *, mounts: bool) -> None:
    kernel.unshare(k.CLONE_NEWNS)
    kernel.mount("", "/", "", k.MS_REC | k.MS_PRIVATE)
    mapped = place.user_namespace
    namespace = make_user_namespace(mapped.uids, mapped.gids) if mapped else -1
    wanted = [each for each in place.mounts if mounts and each.kind is MountKind.BIND]
    kernel.mount("tmpfs", place.room, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=700")
    os.chdir(place.room)
    _mount_overlay(place, namespace)
    root = os.open(_ROOT, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    for mount in _in_order(wanted):
        _bind(place, mount, root, namespace)
    os.fchdir(root)
    os.close(root)
    kernel.pivot_root(".", ".")
    kernel.unmount(".", k.MNT_DETACH)
    os.chdir("/")
    if namespace >= 0:
        with still_dying():
            kernel.setns(namespace, k.CLONE_NEWUSER)
        _become_root()


def _mount_overlay(place: Place, namespace: int) -> None:
    """In the room, where short links stand for layers: the kernel takes a page of options."""
    lower = [_named(str(number), path) for number, path in enumerate(place.layers)]
    if namespace >= 0:
        lower = [_translated(f"m{name}", name, namespace) for name in lower]
    if place.work:
        _make_own(place.upper, place.user_namespace)
        _make_own(place.work, None)
        upper, work = _named("u", place.upper), _named("w", place.work)
    else:
        upper, work = "su", "sw"
        os.mkdir(upper, 0o755)
        os.mkdir(work, 0o700)
        if place.upper:
            lower.insert(0, _named("u", place.upper))
            _look_like(place.upper, upper)
    if not lower:
        os.mkdir("none", 0o755)
        lower = ["none"]
    os.mkdir(_ROOT, 0o700)
    options = f"lowerdir={':'.join(lower)},upperdir={upper},workdir={work}"
    kernel.mount("overlay", _ROOT, "overlay", 0, options)


def _look_like(source: str, target: str) -> None:
    """The root of a merged file system is that of its topmost layer."""
    status = os.stat(source)
    os.chown(target, status.st_uid, status.st_gid)
    os.chmod(target, status.st_mode & 0o7777)
    os.utime(target, ns=(status.st_mtime_ns, status.st_mtime_ns))


def _named(name: str, path: str) -> str:
    os.symlink(path, name)
    return name


def _translated(name: str, source: str, namespace: int) -> str:
    """A layer whose ids are the container's; it has to be attached somewhere to be mounted."""
    layer = kernel.open_tree(source, recursive=False)
    kernel.mount_setattr(layer, attributes=k.MOUNT_ATTR_IDMAP, user_namespace=namespace)
    os.mkdir(name)
    target = os.open(name, os.O_PATH | os.O_CLOEXEC)
    kernel.move_mount(layer, target)
    os.close(target)
    os.close(layer)
    return name


def _make_own(path: str, mapped: UserNamespace | None) -> None:
    """As the runtime makes it, where the container has never run."""
    try:
        os.mkdir(path, 0o755)
    except FileExistsError:
        return
    if mapped is not None:
        ids = (_root_of((each.container_id, each.host_id) for each in mapped.uids),
               _root_of((each.container_id, each.host_id) for each in mapped.gids))  # fmt: skip
        os.chown(path, *ids)


def _root_of(ids: Iterable[tuple[int, int]]) -> int:
    return next((host for inside, host in ids if inside == 0), 0)


def _in_order(mounts: list[Mount]) -> list[Mount]:
    return sorted(mounts, key=lambda mount: mount.target.rstrip("/").split("/"))


def _bind(place: Place, mount: Mount, root: int, namespace: int) -> None:
    """What is not there cannot be seen; the container would not start either."""
    try:
        if mount.copy_up:
            _fill(place, mount)
        source = _opened(mount)
    except FileNotFoundError:
        return
    try:
        if mount.mapped and namespace >= 0:
            kernel.mount_setattr(source, attributes=k.MOUNT_ATTR_IDMAP, user_namespace=namespace)
        if mount.read_only:
            kernel.mount_setattr(source, attributes=k.MOUNT_ATTR_RDONLY, recursive=mount.recursive)
        is_dir = os.path.isdir(f"/proc/self/fd/{source}")
        target = find_or_make(root, mount.target, is_dir=is_dir)
        try:
            kernel.move_mount(source, target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def _fill(place: Place, mount: Mount) -> None:
    """A new volume has what the image has, whoever looks at it first.

    It is gathered apart from what a start gathers, which may come at the same time.
    """
    mark = f"{mount.source.rstrip('/')}.filling-{place.container}-"
    for path in glob(f"{escape(mark)}*"):
        if not os.path.exists(f"/proc/{path.removeprefix(mark)}"):
            remove_tree(path)  # of one that was killed
    gathering = f"{mark}{os.getpid()}"
    os.makedirs(gathering, 0o755, exist_ok=True)
    mapped = place.user_namespace if mount.mapped else None
    copy_up(
        os.path.join(place.room, _ROOT), mount.target, mount.source, gathering,
        uids=mapped.uids if mapped else (), gids=mapped.gids if mapped else (),
    )  # fmt: skip


def _opened(mount: Mount) -> int:
    if not mount.subpath:
        return kernel.open_tree(mount.source, recursive=mount.recursive)
    above = os.open(mount.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = kernel.open_in_root(above, mount.subpath, os.O_PATH)
        try:
            return kernel.open_tree("", directory=found, recursive=mount.recursive)
        finally:
            os.close(found)
    finally:
        os.close(above)


def _become_root() -> None:
    """Of the user namespace that we are in."""
    with _if_there_is_one():
        os.setgroups([])
    with _if_there_is_one():
        os.setresgid(0, 0, 0)
    with _if_there_is_one():
        os.setresuid(0, 0, 0)


@contextmanager
def _if_there_is_one() -> Generator[None]:
    """Whoever has no root there stays nobody."""
    try:
        with still_dying():
            yield
    except OSError as err:
        if err.errno not in (errno.EINVAL, errno.EPERM):
            raise


def _give_up_rights() -> None:
    """What is left is what it takes to read any file, and to make one of any kind and owner."""
    kernel.prctl(k.PR_SET_NO_NEW_PRIVS, 1)
    there = kernel.capget()[1]
    kernel.capset(_KEPT & there, _KEPT & there, 0)
    kernel.prctl(k.PR_SET_DUMPABLE, 0)
    os.umask(0)
