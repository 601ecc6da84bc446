"""Fill a new volume with what the image holds at its mount point.

Owners, modes, times, links, device nodes and extended attributes are kept. The copy grows
beside the volume and takes its place by one rename, so that a volume is either untouched or
complete; when two containers do this at once, the first rename wins and the other yields. Where
something is mounted on the volume there is no place to take, and files are copied into it.
"""

# Plain strings: pathlib would cost every start time and every shim memory.
# ruff: noqa: PTH104, PTH208

import contextlib
import errno
import os
import stat
from collections.abc import Callable, Generator

from runtime.io import kernel
from runtime.io.host import remove_tree
from runtime.oci.config import IdMapping

_CHUNK = 1 << 20


Owner = Callable[[os.stat_result], tuple[int, int]]


def copy_up(
    rootfs: str,
    origin: str,
    source: str,
    gathering: str,
    *,
    uids: tuple[IdMapping, ...] = (),
    gids: tuple[IdMapping, ...] = (),
) -> None:
    """Copy `origin` of the image mounted at `rootfs` into `source`, if that is empty.

    Files of the host's ids in `uids` and `gids` are the container's in the copy.
    """

    def owner(status: os.stat_result) -> tuple[int, int]:
        return _translated(status.st_uid, uids), _translated(status.st_gid, gids)

    root = os.open(rootfs, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        if not os.listdir(source):
            _replace(root, origin, source, gathering, owner)
    finally:
        os.close(root)
        remove_tree(gathering)


def _translated(number: int, mappings: tuple[IdMapping, ...]) -> int:
    for mapping in mappings:
        if mapping.host_id <= number < mapping.host_id + mapping.size:
            return number - mapping.host_id + mapping.container_id
    return number


def _same(status: os.stat_result) -> tuple[int, int]:
    return status.st_uid, status.st_gid


def _replace(root: int, origin: str, source: str, gathering: str, owner: Owner) -> None:
    try:
        found = kernel.open_in_root(root, origin, os.O_RDONLY | os.O_DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return  # the image has no such directory, so there is nothing to copy
    try:
        target = os.open(gathering, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            copy_tree(found, target, owner)
        finally:
            os.close(target)
    finally:
        os.close(found)
    try:
        os.rename(gathering, source)
    except OSError as err:
        if err.errno == errno.EBUSY:  # it is a mount point
            _copy_into(gathering, source)
        elif err.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _copy_into(gathering: str, source: str) -> None:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
    gathered, target = os.open(gathering, flags), os.open(source, flags)
    try:
        with contextlib.suppress(FileExistsError):  # somebody else does the same
            copy_tree(gathered, target)
    finally:
        os.close(gathered)
        os.close(target)


def copy_tree(source: int, target: int, owner: Owner = _same) -> None:
    """Copy the directory `source` with all it holds into the empty directory `target`."""
    _copy_entries(source, target, owner)
    _copy_attributes(source, target, owner)


def _copy_entries(source: int, target: int, owner: Owner) -> None:
    for name in os.listdir(source):
        status = os.stat(name, dir_fd=source, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            os.mkdir(name, 0o700, dir_fd=target)
            with _opened(name, source) as inner, _opened(name, target) as copy:
                copy_tree(inner, copy, owner)
        elif stat.S_ISREG(status.st_mode):
            _copy_file(name, source, target, owner)
        elif stat.S_ISLNK(status.st_mode):
            os.symlink(os.readlink(name, dir_fd=source), name, dir_fd=target)
            _copy_owner(name, target, status, owner)
        elif not stat.S_ISSOCK(status.st_mode):
            os.mknod(name, status.st_mode, status.st_rdev, dir_fd=target)
            _copy_owner(name, target, status, owner)
            os.chmod(name, stat.S_IMODE(status.st_mode), dir_fd=target)


@contextlib.contextmanager
def _opened(name: str, directory: int) -> Generator[int]:
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=directory)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _copy_file(name: str, source: int, target: int, owner: Owner) -> None:
    read = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=source)
    try:
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        write = os.open(name, flags, 0o600, dir_fd=target)
        try:
            while os.sendfile(write, read, None, _CHUNK):
                pass
            _copy_attributes(read, write, owner)
        finally:
            os.close(write)
    finally:
        os.close(read)


def _copy_attributes(source: int, target: int, owner: Owner) -> None:
    status = os.fstat(source)
    os.fchown(target, *owner(status))
    os.fchmod(target, stat.S_IMODE(status.st_mode))
    for name in os.listxattr(source):
        if not name.startswith("trusted.overlay."):
            with contextlib.suppress(OSError):  # the volume's file system may not know it
                os.setxattr(target, name, os.getxattr(source, name))
    os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))


def _copy_owner(name: str, target: int, status: os.stat_result, owner: Owner) -> None:
    os.chown(name, *owner(status), dir_fd=target, follow_symlinks=False)
    times = (status.st_atime_ns, status.st_mtime_ns)
    os.utime(name, ns=times, dir_fd=target, follow_symlinks=False)
