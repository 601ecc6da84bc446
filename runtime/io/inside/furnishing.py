"""Carry out the steps that make a root file system look as programs expect it.

Devices, links, a terminal, kernel parameters, and what must not be seen or written.
"""

# Plain strings: pathlib would cost every start time.
# ruff: noqa: PTH109

import contextlib
import errno
import fcntl
import os
import stat
import struct
from collections.abc import Callable
from typing import Any, Final

from runtime import constants as k
from runtime import steps as s
from runtime.io import kernel
from runtime.io.inside.held import Held
from runtime.io.inside.mounting import attach, make_filesystem
from runtime.io.inside.targets import directory_for, find, find_or_make
from runtime.io.inside.writing import write
from runtime.oci.names import sysctl_file

_KINDS: Final = {"c": stat.S_IFCHR, "b": stat.S_IFBLK, "p": stat.S_IFIFO}
_NULL: Final = os.makedev(1, 3)
_PTMX: Final = os.makedev(5, 2)
_TIOCSPTLCK, _TIOCGPTPEER = 0x40045431, 0x5441
# As termios has them, which would have to be loaded by every process 1.
_TIOCSWINSZ, _TIOCSCTTY = 0x5414, 0x540E


def _make_node(held: Held, step: s.MakeNode) -> None:
    directory, name = directory_for(held, step.path)
    device = os.makedev(step.major, step.minor) if step.kind != "p" else 0
    try:
        os.mknod(name, _KINDS[step.kind] | step.mode, device, dir_fd=directory)
    except FileExistsError:
        return
    if step.uid or step.gid:
        os.chown(name, step.uid, step.gid, dir_fd=directory, follow_symlinks=False)


def _link(held: Held, step: s.Link) -> None:
    directory, name = directory_for(held, step.path)
    with contextlib.suppress(FileExistsError):
        os.symlink(step.target, name, dir_fd=directory)


def _mask_path(held: Held, step: s.MaskPath) -> None:
    try:
        found = find(held.root, step.path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        mask = _bare(held) if stat.S_ISDIR(os.fstat(found).st_mode) else _null(held)
        try:
            kernel.move_mount(mask, found)
        finally:
            os.close(mask)
    finally:
        os.close(found)


def _bare(held: Held) -> int:
    """An empty directory; the first one that was attached serves for all others."""
    if held.bare < 0:
        held.bare = make_filesystem(
            s.Filesystem(
                kind="tmpfs",
                source="tmpfs",
                attributes=k.MOUNT_ATTR_RDONLY,
                data=("size=0k", "mode=755"),
            )
        )
        return os.dup(held.bare)
    return kernel.open_tree("", directory=held.bare, recursive=False)


def _null(held: Held) -> int:
    """The container's /dev/null, if it is one: else a path would be unmasked, not masked."""
    if held.null < 0:
        found = find(held.root, "/dev/null")
        status = os.fstat(found)
        if not stat.S_ISCHR(status.st_mode) or status.st_rdev != _NULL:
            os.close(found)
            raise OSError(errno.ENODEV, "the container's /dev/null is not the null device")
        held.null = found
    return kernel.open_tree("", directory=held.null, recursive=False)


def _protect_path(held: Held, step: s.ProtectPath) -> None:
    """A bind of the path over itself, which alone turns read-only."""
    try:
        found = find(held.root, step.path)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        same = kernel.open_tree("", directory=found)
        try:
            kernel.mount_setattr(same, attributes=k.MOUNT_ATTR_RDONLY, recursive=True)
            kernel.move_mount(same, found)
        finally:
            os.close(same)
    finally:
        os.close(found)


def _open_proc(held: Held, _: s.OpenProc) -> None:
    held.proc = os.open("/proc", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    if kernel.filesystem_magic(held.proc) != k.PROC_SUPER_MAGIC:
        raise OSError(errno.ENODEV, "not the kernel's file system", "/proc")


def _write_sysctl(held: Held, step: s.WriteSysctl) -> None:
    """Through the host's procfs: it shows each process the parameters of its own namespaces."""
    path = sysctl_file(step.name)
    if ".." in path.split("/"):
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL), step.name)
    write(f"sys/{path}", step.value, directory=held.proc)


def _make_workdir(held: Held, step: s.MakeWorkdir) -> None:
    try:
        _enter_workdir(held, s.EnterWorkdir(step.path))
    except FileNotFoundError:
        os.close(find_or_make(held.root, step.path, is_dir=True))
        _enter_workdir(held, s.EnterWorkdir(step.path))


def _enter_workdir(held: Held, step: s.EnterWorkdir) -> None:
    """A descriptor of the host's that has slipped in must not be a way out."""
    try:
        os.chdir(step.path)
    except PermissionError:
        held.unreached_workdir = step.path  # the user may have rights that root has not
        return
    verify_workdir(step.path)


def verify_workdir(path: str) -> None:
    """Raise `OSError` if the working directory is not below the root."""
    try:
        os.getcwd()
    except FileNotFoundError as err:
        raise OSError(errno.EXDEV, "it is outside of the container", path) from err


def _open_terminal(held: Held, step: s.OpenTerminal) -> None:
    """The other side is asked of the master itself: no path could be tampered with."""
    master = find(held.root, "/dev/ptmx", os.O_RDWR | os.O_NOCTTY)
    try:
        if os.fstat(master).st_rdev != _PTMX:
            raise OSError(errno.ENODEV, "not a terminal multiplexer", "/dev/ptmx")
        fcntl.ioctl(master, _TIOCSPTLCK, struct.pack("i", 0))
        flags = os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC
        terminal = fcntl.ioctl(master, _TIOCGPTPEER, flags)
        if step.rows or step.columns:
            size = struct.pack("4H", step.rows, step.columns, 0, 0)
            fcntl.ioctl(terminal, _TIOCSWINSZ, size)
        if step.console:
            _be_console(held, terminal)
        held.overseer.terminal(master)
    finally:
        os.close(master)
    fcntl.ioctl(terminal, _TIOCSCTTY, 0)
    for number in (0, 1, 2):
        os.dup2(terminal, number, inheritable=True)
    os.close(terminal)


def _be_console(held: Held, terminal: int) -> None:
    mount = kernel.open_tree("", directory=terminal, recursive=False)
    try:
        attach(held, mount, "/dev/console")
    finally:
        os.close(mount)


STEPS: dict[type[s.ContainerStep], Callable[[Held, Any], None]] = {
    s.MakeNode: _make_node,
    s.Link: _link,
    s.MaskPath: _mask_path,
    s.ProtectPath: _protect_path,
    s.OpenProc: _open_proc,
    s.WriteSysctl: _write_sysctl,
    s.MakeWorkdir: _make_workdir,
    s.EnterWorkdir: _enter_workdir,
    s.OpenTerminal: _open_terminal,
}
