"""Carry out the steps that touch the host, and take them back.

Both directions bear repeating: making what is there and removing what is gone are fine. That
is what lets a crash anywhere be cleaned up by whoever finds the leftovers.
"""

# Plain strings: pathlib would cost every start time and every shim memory.
# ruff: noqa: PTH102, PTH103, PTH104, PTH106, PTH108, PTH116, PTH208

import contextlib
import errno
import itertools
import os
from collections.abc import Callable, Iterable
from typing import Any

from runtime import constants as k
from runtime import steps as s
from runtime.cgroups.refusals import explain
from runtime.io import cgroups, kernel
from swarm.errors import KernelRefused

_ESCAPED = (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\043", "#"), ("\\134", "\\"))


def apply(step: s.HostStep) -> None:
    """Carry out one step; raises `OSError`."""
    _APPLY[type(step)](step)


def revert(undos: Iterable[s.Undo]) -> None:
    """Take back what can be; one that fails does not keep the others from it."""
    for undo in undos:
        with contextlib.suppress(OSError):
            _REVERT[type(undo)](undo)


def refusal(step: s.HostStep | s.ContainerStep, err: OSError) -> KernelRefused:
    """Put the kernel's answer into the words of the step."""
    number = err.errno or errno.EIO
    reason = (err.strerror or os.strerror(number)).lower()
    what = s.subject(step) or (err.filename or "")
    words = explain(step, number)
    match step:
        case _ if words.message:
            return KernelRefused(s.name(step), number, words.message, hint=words.hint)
        case s.OpenBind() if number == errno.ENOENT:
            return KernelRefused(
                s.name(step), number, f"bind source path does not exist: {what}",
                hint="create it on this node, or use a volume",
            )  # fmt: skip
        case s.MountOverlay() | s.MountMappedOverlay() if err.filename:
            what = str(err.filename)
        case s.WriteKernelFile(path=path, values=values):
            what = f"{' '.join(values)} > {path}"
        case s.SetRlimit(hard=hard) | s.RaiseRlimit(hard=hard):
            what = f"{what}={hard}"
        case _:
            pass
    hint = words.hint or _hint(step, number)
    text = f"{s.name(step)} {what}".rstrip()
    return KernelRefused(s.name(step), number, f"{text}: {reason}", hint=hint)


def _hint(step: s.HostStep | s.ContainerStep, number: int) -> str:
    match step:
        case s.AttachBind() if number == errno.ENOTDIR:
            return "one of source and target is a directory, the other is not"
        case s.MountMappedOverlay() if number in (errno.EINVAL, errno.EOPNOTSUPP):
            return "id-mapped layers need Linux 5.19, and ext4, xfs or btrfs below them"
        case s.OpenBind(translate=translate) if translate and number == errno.EINVAL:
            return "its file system cannot be id-mapped: ext4, xfs, btrfs and tmpfs can"
        case s.MountFilesystem(filesystem=filesystem) if number == errno.EINVAL and any(
            option.startswith("context=") for option in filesystem.data
        ):
            return "a mount label needs a kernel with SELinux: leave linux.mountLabel out"
        case s.SetTimeOffsets() if number == errno.ERANGE:
            return "no clock may be set before the start of the host"
        case _:
            return ""


def _make_dir(step: s.MakeDir) -> None:
    if step.owned:
        with contextlib.suppress(FileExistsError):
            os.mkdir(step.path, step.mode)
        if step.uid or step.gid:
            status = os.stat(step.path)
            # One that was there before may have been given to somebody else since.
            if (status.st_uid, status.st_gid) == (0, 0):
                os.chown(step.path, step.uid, step.gid)
    else:
        os.makedirs(step.path, step.mode, exist_ok=True)


def _write_file(step: s.WriteFile) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
    descriptor = os.open(step.path, flags, 0o600)
    try:
        _write_all(descriptor, step.content.encode())
        if step.uid or step.gid:
            os.fchown(descriptor, step.uid, step.gid)
        os.fchmod(descriptor, step.mode)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, content: bytes) -> None:
    while content:
        content = content[os.write(descriptor, content) :]


def _remove_tree(undo: s.RemoveTree) -> None:
    remove_tree(undo.path)


def remove_tree(path: str) -> None:
    """Remove a directory with all it holds, following no link. Nothing there is fine.

    A program can nest directories deeper than any path may be long. So what is found below
    is moved up beside its parent, and nothing is ever reached by more than one name.
    """
    try:
        top = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as err:
        if err.errno not in (errno.ENOTDIR, errno.ELOOP):
            raise
        os.unlink(path)
        return
    try:
        pending = os.listdir(top)
        while pending:
            pending += _remove_level(top, pending.pop())
    finally:
        os.close(top)
    os.rmdir(path)


def discard_tree(path: str) -> None:
    """Remove it where nobody could do anything about what stays: the next sweep finds that."""
    with contextlib.suppress(OSError):
        remove_tree(path)


def _remove_level(top: int, name: str) -> list[str]:
    """Remove entry `name` of `top`; the names under which its directories now lie in `top`."""
    if _removed(name, top):
        return []
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    inner = os.open(name, flags, dir_fd=top)
    try:
        moved = [
            _moved_up(each, inner, top) for each in os.listdir(inner) if not _removed(each, inner)
        ]
    finally:
        os.close(inner)
    os.rmdir(name, dir_fd=top)
    return moved


def _removed(name: str, directory: int) -> bool:
    """Whether `name` is gone; a directory that holds something stays."""
    try:
        os.unlink(name, dir_fd=directory)
    except FileNotFoundError:
        pass  # a directory that was moved up has taken the place of an empty one of this name
    except IsADirectoryError:
        try:
            os.rmdir(name, dir_fd=directory)
        except OSError as err:
            if err.errno != errno.ENOTEMPTY:
                raise
            return False
    return True


def _moved_up(name: str, directory: int, top: int) -> str:
    for number in itertools.count():
        new = f".removing-{number}"
        try:
            os.rename(name, new, src_dir_fd=directory, dst_dir_fd=top)
        except OSError as err:
            if err.errno not in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):
                raise
        else:
            return new
    raise AssertionError("there is always a next number")


def _release_mounts(undo: s.ReleaseMounts | s.MarkMounts) -> None:
    """The topmost goes first, and the marked one last, so nothing that lies below is touched."""
    while point := _marked(undo.mark):
        kernel.unmount(point, k.MNT_DETACH | k.UMOUNT_NOFOLLOW)


def _marked(mark: str) -> str:
    """Where the mark is mounted; the kernel writes odd characters as octal numbers."""
    for line in read("/proc/self/mountinfo").splitlines():
        mount, _, filesystem = line.partition(" - ")
        kind, source, *_ = filesystem.split(" ")
        if kind == "tmpfs" and _plain(source) == mark:
            return _plain(mount.split(" ")[4])
    return ""


def _plain(escaped: str) -> str:
    for number, character in _ESCAPED:
        escaped = escaped.replace(number, character)
    return escaped


def _remove_empty_dir(undo: s.RemoveEmptyDir) -> None:
    os.rmdir(undo.path)


def replace_file(path: str, content: bytes) -> None:
    """Write a file of root's in one step: nobody ever reads half of it."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
    descriptor = os.open(f"{path}.new", flags, 0o600)
    try:
        _write_all(descriptor, content)
    finally:
        os.close(descriptor)
    os.rename(f"{path}.new", path)


def read(path: str) -> str:
    """The text of a small file; nothing if it is not there."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


_APPLY: dict[type[s.HostStep], Callable[[Any], None]] = {
    s.MakeDir: _make_dir,
    s.WriteFile: _write_file,
    s.MarkMounts: _release_mounts,
    s.MakeCgroup: cgroups.make,
    s.WriteKernelFile: cgroups.write,
    s.CheckUsage: cgroups.check_usage,
    s.RefuseLimit: cgroups.refuse,
    s.FilterDevices: cgroups.filter_devices,
    s.ReplaceDevices: cgroups.replace_devices,
}

_REVERT: dict[type[s.Undo], Callable[[Any], None]] = {
    s.RemoveTree: _remove_tree,
    s.RemoveEmptyDir: _remove_empty_dir,
    s.ReleaseMounts: _release_mounts,
    s.RemoveCgroup: cgroups.remove,
}
