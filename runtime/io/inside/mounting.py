"""Carry out the steps that mount: the root, what is bound, new file systems.

Mounts are made detached, changed while nobody sees them, and attached to a descriptor of their
target. Errors carry what the file system itself says about them.
"""

# Plain strings: pathlib would cost every start time and every shim memory.
# ruff: noqa: PTH102, PTH112, PTH115, PTH116

import contextlib
import errno
import os
import stat
from collections.abc import Callable
from typing import Any, Final

from runtime import constants as k
from runtime import steps as s
from runtime.io import kernel
from runtime.io.copying import copy_tree, copy_up
from runtime.io.inside.held import Held
from runtime.io.inside.namespaces import make_user_namespace
from runtime.io.inside.targets import find, find_or_make, forget_directory

_MOUNT_OPTIONS_MAX = 4000
_LONGEST_VALUE = 255  # of one option, for fsconfig(2)
_LOG_BYTES = 4096
_FLAGS: Final = {
    k.MS_SYNCHRONOUS: "sync",
    k.MS_DIRSYNC: "dirsync",
    k.MS_MANDLOCK: "mand",
    k.MS_LAZYTIME: "lazytime",
}
# A device's file system may have to know that nothing is written; these are always writable.
_VIRTUAL: Final = ("proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2")
_OLD_FLAGS: Final = {
    k.MOUNT_ATTR_RDONLY: k.MS_RDONLY,
    k.MOUNT_ATTR_NOSUID: k.MS_NOSUID,
    k.MOUNT_ATTR_NODEV: k.MS_NODEV,
    k.MOUNT_ATTR_NOEXEC: k.MS_NOEXEC,
    k.MOUNT_ATTR_NOATIME: k.MS_NOATIME,
    k.MOUNT_ATTR_STRICTATIME: k.MS_STRICTATIME,
    k.MOUNT_ATTR_NODIRATIME: k.MS_NODIRATIME,
    k.MOUNT_ATTR_NOSYMFOLLOW: k.MS_NOSYMFOLLOW,
}


def attach(held: Held, mount: int, target: str, *, strict: bool = False) -> None:
    """Attach a detached mount at `target`; a missing one is made, as file or directory."""
    is_dir = stat.S_ISDIR(os.fstat(mount).st_mode)
    found = find_or_make(held.root, target, is_dir=is_dir, strict=strict)
    try:
        kernel.move_mount(mount, found)
    except OSError as err:
        if err.errno == errno.EINVAL and stat.S_ISDIR(os.fstat(found).st_mode) is not is_dir:
            raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), target) from err
        raise
    finally:
        os.close(found)
    forget_directory(held)


def make_filesystem(wanted: s.Filesystem) -> int:
    """A new file system as a detached mount."""
    context = kernel.fsopen(wanted.kind)
    try:
        return _configure(context, wanted)
    except OSError as err:
        said = _log(context)
        if said:
            raise OSError(err.errno, f"{os.strerror(err.errno or errno.EIO)}: {said}") from err
        raise
    finally:
        os.close(context)


def _configure(context: int, wanted: s.Filesystem) -> int:
    if wanted.source:
        kernel.fsconfig(context, k.FSCONFIG_SET_STRING, "source", wanted.source)
    if wanted.attributes & k.MOUNT_ATTR_RDONLY and wanted.kind not in _VIRTUAL:
        kernel.fsconfig(context, k.FSCONFIG_SET_FLAG, "ro")
    for flag, name in _FLAGS.items():
        if wanted.flags & flag:
            kernel.fsconfig(context, k.FSCONFIG_SET_FLAG, name)
    for option in wanted.data:
        key, has_value, value = option.partition("=")
        if has_value:
            kernel.fsconfig(context, k.FSCONFIG_SET_STRING, key, value)
        else:
            kernel.fsconfig(context, k.FSCONFIG_SET_FLAG, key)
    kernel.fsconfig(context, k.FSCONFIG_CMD_CREATE)
    return kernel.fsmount(context, wanted.attributes)


def _log(context: int) -> str:
    """The last error that the file system has put into words."""
    said = ""
    with contextlib.suppress(OSError):
        while line := os.read(context, _LOG_BYTES).decode("utf-8", "replace").strip():
            if line.startswith("e "):
                said = line.removeprefix("e ")
    return said


def _is_old_fashioned(wanted: s.Filesystem) -> bool:
    """Whether only mount(2) can say it: long values, subtypes such as fuse.x."""
    return "." in wanted.kind or any(
        len(option.partition("=")[2]) > _LONGEST_VALUE for option in wanted.data
    )


def _mount_old_fashioned(held: Held, step: s.MountFilesystem) -> None:
    wanted = step.filesystem
    flags = wanted.flags | sum(
        old for attribute, old in _OLD_FLAGS.items() if wanted.attributes & attribute
    )
    target = find_or_make(held.root, step.target, is_dir=True, strict=step.strict)
    try:
        kernel.mount(
            wanted.source or wanted.kind, f"/proc/self/fd/{target}", wanted.kind, flags,
            ",".join(wanted.data),
        )  # fmt: skip
    finally:
        os.close(target)
    forget_directory(held)
    for each in step.propagation:
        found = find(held.root, step.target)
        _spread(found, each)
        os.close(found)


def _mount_filesystem(held: Held, step: s.MountFilesystem) -> None:
    if _is_old_fashioned(step.filesystem):
        _mount_old_fashioned(held, step)
        return
    mount = -1 if step.copy_up else held.ahead.take(step.filesystem)
    if mount < 0:
        mount = make_filesystem(step.filesystem)
    try:
        for each in step.propagation:
            _spread(mount, each)
        if step.copy_up:
            _fill(held, mount, step.target)
        attach(held, mount, step.target, strict=step.strict)
    finally:
        os.close(mount)


def _fill(held: Held, mount: int, target: str) -> None:
    """Copy what the image has at `target`, with the owner and mode of the directory itself."""
    try:
        origin = find(held.root, target, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return
    try:
        room = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount)
        try:
            copy_tree(origin, room)
        finally:
            os.close(room)
    finally:
        os.close(origin)


def _open_filesystem(held: Held, step: s.OpenFilesystem) -> None:
    held.mounts[step.number] = make_filesystem(step.filesystem)


def _open_bind(held: Held, step: s.OpenBind) -> None:
    if step.device:
        mode = os.stat(step.source).st_mode
        if not (stat.S_ISCHR(mode) or stat.S_ISBLK(mode)):
            raise OSError(errno.ENODEV, "not a device", step.source)
    mount = _copy_of(step)
    held.mounts[step.number] = mount
    for each in step.propagation:
        _spread(mount, each)
    change(mount, step.attributes)
    if step.translate is not None:
        _translate(held, mount, step.translate)


def _copy_of(step: s.OpenBind) -> int:
    if step.owner:
        return _borrowed(step)
    if not step.below:
        return kernel.open_tree(step.source, recursive=step.recursive)
    root = os.open(step.source, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        found = kernel.open_in_root(root, step.below, os.O_PATH)
        try:
            return kernel.open_tree("", directory=found, recursive=step.recursive)
        finally:
            os.close(found)
    finally:
        os.close(root)


def _borrowed(step: s.OpenBind) -> int:
    """A mount can be copied by those alone who are in its namespace, so we are for a moment.

    Whoever comes back to a namespace stands at its root, which need not be where he stood.
    """
    namespaces, places = os.O_RDONLY | os.O_CLOEXEC, os.O_PATH | os.O_CLOEXEC
    own, other = os.open("/proc/self/ns/mnt", namespaces), os.open(step.owner, namespaces)
    root, here = os.open("/", places), os.open(".", places)
    try:
        kernel.setns(other, k.CLONE_NEWNS)
        try:
            return kernel.open_tree(step.source, recursive=step.recursive)
        finally:
            kernel.setns(own, k.CLONE_NEWNS)
            os.fchdir(root)
            os.chroot(".")
            os.fchdir(here)
    finally:
        for descriptor in (own, other, root, here):
            os.close(descriptor)


def _spread(mount: int, propagation: int) -> None:
    kernel.mount_setattr(
        mount, propagation=propagation & ~k.MS_REC, recursive=bool(propagation & k.MS_REC)
    )


def change(mount: int, attributes: s.Attributes) -> None:
    """Change one mount, or all that are below it too."""
    if attributes.recursive_set or attributes.recursive_clear:
        kernel.mount_setattr(
            mount,
            attributes=attributes.recursive_set,
            clear=attributes.recursive_clear,
            recursive=True,
        )
    if attributes.set or attributes.clear:
        kernel.mount_setattr(mount, attributes=attributes.set, clear=attributes.clear)


def _translate(held: Held, mount: int, wanted: s.Translate) -> None:
    own = bool(wanted.uids or wanted.gids)
    namespace = make_user_namespace(wanted.uids, wanted.gids) if own else held.user_namespace
    try:
        _map_ids(mount, namespace, recursive=wanted.recursive)
    finally:
        if own:
            os.close(namespace)


def _map_ids(mount: int, namespace: int, *, recursive: bool = False) -> None:
    if namespace < 0:
        raise OSError(errno.EINVAL, "there is no user namespace whose ids it could have")
    kernel.mount_setattr(
        mount, attributes=k.MOUNT_ATTR_IDMAP, user_namespace=namespace, recursive=recursive
    )


def _attach_bind(held: Held, step: s.AttachBind) -> None:
    mount = _renewed(held.mounts.pop(step.number))
    try:
        for each in step.propagation:
            _spread(mount, each)
        attach(held, mount, step.target, strict=step.strict)
    finally:
        os.close(mount)


def _renewed(mount: int) -> int:
    """A copy as it would be if it were made now, where the kernel can copy what is detached.

    Since Linux 6.8 mounts are listed by age, and readers of the list expect the config's order.
    """
    try:
        copy = kernel.open_tree("", directory=mount)
    except OSError:  # before 6.15, or from another mount namespace
        return mount
    os.close(mount)
    return copy


def _attach_root_on_host(held: Held, step: s.AttachRootOnHost) -> None:
    """The mark below it stays until the last of our mounts is gone."""
    kernel.mount(step.mark, step.path, "tmpfs", 0, "size=0k,mode=700")
    os.chdir(step.path)
    kernel.mount("", ".", "", k.MS_PRIVATE)
    kernel.move_mount(held.root, k.AT_FDCWD)


def _change_root(held: Held, _: s.ChangeRoot) -> None:
    forget_directory(held)
    os.fchdir(held.root)
    os.chroot(".")
    os.chdir("/")


def _set_attributes(held: Held, step: s.SetAttributes) -> None:
    mount = find(held.root, step.target)
    try:
        change(mount, step.attributes)
        if step.propagation:
            _spread(mount, step.propagation)
    finally:
        os.close(mount)


def _isolate_mounts(_: Held, __: s.IsolateMounts) -> None:
    kernel.mount("", "/", "", k.MS_REC | k.MS_SLAVE)


def _mount_overlay(held: Held, step: s.MountOverlay) -> None:
    """Layers are named by numbers of descriptors where their paths are too long, or hold `:`."""
    _overlay(step, step.lower_dirs)
    held.root = os.open(step.target, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)


def _overlay(step: s.MountOverlay | s.MountMappedOverlay, lower: tuple[str, ...]) -> None:
    asked, opened = lower, list[int]()
    upper, work = step.upper_dir, step.work_dir
    plain = "".join((upper, work, *lower))
    if len(plain) + len(lower) > _MOUNT_OPTIONS_MAX or any(c in plain for c in ":,\\"):
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        opened = [os.open(path, flags) for path in (upper, work, *lower)]
        upper, work, *rest = map(str, opened)
        lower = tuple(rest)
    # `volatile`: unmounting would otherwise write back the whole file system below, for
    # files that are removed a moment later.
    options = f"lowerdir={':'.join(lower)},upperdir={upper},workdir={work}"
    if step.volatile:
        options += ",volatile"
    before = -1
    try:
        if opened:
            before = os.open(".", os.O_PATH | os.O_CLOEXEC)
            os.chdir("/proc/self/fd")  # all options have to fit into one page: numbers do
        kernel.mount("overlay", step.target, "overlay", 0, options)
    except FileNotFoundError as err:
        missing = [path for path in asked if not os.path.isdir(path)]
        raise FileNotFoundError(err.errno, err.strerror, *missing[:1]) from err
    finally:
        if before >= 0:
            os.fchdir(before)
            os.close(before)
        for descriptor in opened:
            os.close(descriptor)


def _mount_mapped_overlay(held: Held, step: s.MountMappedOverlay) -> None:
    """Layers have to be attached somewhere to be mounted, so they get a room of their own."""
    kernel.unshare(k.CLONE_NEWNS)
    _isolate_mounts(held, s.IsolateMounts())
    kernel.mount("tmpfs", step.target, "tmpfs", k.MS_NOSUID | k.MS_NODEV, "mode=700")
    os.chdir(step.target)
    for number, path in enumerate(step.lower_dirs):
        layer = kernel.open_tree(path, recursive=False)
        _map_ids(layer, held.user_namespace)
        os.mkdir(str(number))
        place = os.open(str(number), os.O_PATH | os.O_CLOEXEC)
        kernel.move_mount(layer, place)
        os.close(place)
        os.close(layer)
    names = tuple(str(number) for number in range(len(step.lower_dirs)))
    _overlay(step, names)
    os.chdir(step.target)
    held.root = kernel.open_tree(step.target, recursive=False)


def _open_root(held: Held, step: s.OpenRoot) -> None:
    held.root = kernel.open_tree(step.path)
    _spread(held.root, (k.MS_SLAVE if step.follows else k.MS_PRIVATE) | k.MS_REC)
    os.chdir(step.path)


def _attach_root(held: Held, step: s.AttachRoot) -> None:
    if step.path:
        os.chdir(step.path)
    kernel.move_mount(held.root, k.AT_FDCWD)


def _pivot_root(held: Held, _: s.PivotRoot) -> None:
    forget_directory(held)
    os.fchdir(held.root)
    kernel.pivot_root(".", ".")
    # The old root now lies over the new one, and is where we still are.
    kernel.unmount(".", k.MNT_DETACH)
    os.chdir("/")


def _move_root(held: Held, _: s.MoveRoot) -> None:
    """What the kernel shows elsewhere than in the root would be a way out of it."""
    forget_directory(held)
    inside = os.readlink(f"/proc/self/fd/{held.root}")
    for point in reversed(_kernel_mounts(inside)):
        try:
            kernel.unmount(point, k.MNT_DETACH)
        except OSError:
            kernel.mount("tmpfs", point, "tmpfs", 0, "size=0k")
    os.fchdir(held.root)
    kernel.mount(".", "/", "", k.MS_MOVE)
    os.chroot(".")
    os.chdir("/")


def _kernel_mounts(inside: str) -> list[str]:
    found: list[str] = []
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
        for line in file:
            mount, _, filesystem = line.partition(" - ")
            point = mount.split(" ")[4]
            is_ours = point == inside or point.startswith(f"{inside}/")
            if filesystem.split(" ")[0] in ("proc", "sysfs") and not is_ours:
                found.append(point)
    return found


def _copy_up(_: Held, step: s.CopyUp) -> None:
    copy_up(step.rootfs, step.origin, step.source, step.gathering, uids=step.uids, gids=step.gids)


STEPS: dict[type[s.ContainerStep], Callable[[Held, Any], None]] = {
    s.OpenBind: _open_bind,
    s.OpenFilesystem: _open_filesystem,
    s.AttachBind: _attach_bind,
    s.MountFilesystem: _mount_filesystem,
    s.SetAttributes: _set_attributes,
    s.IsolateMounts: _isolate_mounts,
    s.MountOverlay: _mount_overlay,
    s.MountMappedOverlay: _mount_mapped_overlay,
    s.OpenRoot: _open_root,
    s.AttachRoot: _attach_root,
    s.AttachRootOnHost: _attach_root_on_host,
    s.ChangeRoot: _change_root,
    s.PivotRoot: _pivot_root,
    s.MoveRoot: _move_root,
    s.CopyUp: _copy_up,
}
