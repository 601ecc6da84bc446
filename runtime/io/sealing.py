"""Run from an executable that nobody can write, whoever gets hold of it.

A program in a container can open the executable of a process that comes to it, through
/proc/<pid>/exe, and once that process is gone, write it: then root on the host would run what
the container wrote (CVE-2019-5736). So whoever enters containers first replaces itself by the
same interpreter, reached through a mount of its own that is read-only and that no path leads
to. Where that cannot be had, a sealed copy in memory is as good; and where the interpreter is
small, most of it being a library, the copy is quicker, as it needs no ctypes. This runs before
everything else, once too often, and so it imports as little as can be.
"""

# Plain strings: pathlib would cost every command time.

import fcntl
import os

_OWN = "/proc/self/exe"
_SMALL_BYTES = 1 << 18
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def run_sealed(argv: list[str]) -> None:
    """Become `argv`, which is this program again, unless nobody can write its executable.

    Returns if all is well already. Raises `OSError`.
    """
    own = os.open(_OWN, os.O_RDONLY | os.O_CLOEXEC)
    try:
        if _is_sealed(own):
            return
        is_small = os.fstat(own).st_size <= _SMALL_BYTES
        sealed = -1 if is_small else _mounted(own)
        if sealed < 0:
            sealed = _copied(own)
        os.execve(sealed, argv, os.environ)
    finally:
        os.close(own)


def _is_sealed(descriptor: int) -> bool:
    if os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
        return True
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & _SEALS == _SEALS
    except OSError:  # most file systems have no seals
        return False


def _mounted(own: int) -> int:
    """The executable through a read-only mount of it alone, or -1."""
    from runtime import constants as k
    from runtime.io import kernel

    try:
        mount = kernel.open_tree("", directory=own, recursive=False)
        kernel.mount_setattr(mount, attributes=k.MOUNT_ATTR_RDONLY)
    except OSError:
        return -1
    return mount


def _copied(own: int) -> int:
    copy = os.memfd_create("runtime", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    size = os.fstat(own).st_size
    while size > 0:
        size -= os.sendfile(copy, own, None, size)
    fcntl.fcntl(copy, fcntl.F_ADD_SEALS, _SEALS)
    return copy
