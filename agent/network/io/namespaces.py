"""Be in another network namespace for a moment; make, find and remove named ones.

A namespace belongs to a thread. Sockets and processes keep the one that their thread had when it
made them, and /proc/sys/net shows that of the thread which opens a file there, so all of this is
done inside `entered`, which cannot be left but to where the thread came from.

A namespace lives on without processes as the mount of its descriptor on a file (as `ip netns` does
it). A crash while one is made leaves the file without the mount, one while it is removed too:
what is no mount is no namespace, and `make` and `names` clear it away.
"""

import contextlib
import errno
import os
from collections.abc import Generator, Mapping
from pathlib import Path
from typing import Final

from runtime import constants as k
from runtime.io import kernel
from swarm.errors import KernelRefused, Missing

_MINE: Final = "/proc/thread-self/ns/net"
_NAMESPACE_FILES: Final = 0x6E736673  # NSFS_MAGIC of linux/magic.h
_SYSCTLS: Final = Path("/proc/sys")


def mine() -> int:
    """A descriptor of the namespace of this thread."""
    return os.open(_MINE, os.O_RDONLY | os.O_CLOEXEC)


def of_process(pid: int) -> int:
    """A descriptor of the namespace of a process; `Missing` when it is gone."""
    try:
        return os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError) as err:
        raise Missing(f"process {pid} has ended, and its network with it") from err


def identity(netns: int) -> int:
    """What tells a namespace from all others that there are."""
    return os.fstat(netns).st_ino


@contextlib.contextmanager
def entered(netns: int) -> Generator[None]:
    """Have this thread in the namespace that is open as `netns`. Never await in here."""
    home = mine()
    try:
        try:
            kernel.setns(netns, k.CLONE_NEWNET)
            yield
        finally:
            _return(home)
    finally:
        os.close(home)


def _return(home: int) -> None:
    """Go home; die rather than go on elsewhere, and speak to the wrong network for ever."""
    try:
        kernel.setns(home, k.CLONE_NEWNET)
    except OSError:
        os.abort()


def make(path: Path) -> None:
    """Have a namespace at `path`, a fresh one with only `lo` (down) if there was none."""
    try:
        if is_namespace(path):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o444)
        fresh = _fresh()
        try:
            kernel.mount(f"/proc/self/fd/{fresh}", str(path), "", k.MS_BIND)
        finally:
            os.close(fresh)
    except OSError as err:
        raise KernelRefused(
            "make network namespace",
            err.errno or 0,
            f"no network namespace can be made at {path}: {err.strerror}",
            hint="swarmd must run as root; see user.max_net_namespaces" * (err.errno in _LIMITS),
        ) from err


_LIMITS: Final = {errno.EPERM, errno.ENOSPC}


def _fresh() -> int:
    """A descriptor of a namespace that nobody else has."""
    home = mine()
    try:
        try:
            kernel.unshare(k.CLONE_NEWNET)
            return mine()
        finally:
            _return(home)
    finally:
        os.close(home)


def opened(path: Path) -> int:
    """A descriptor of the namespace at `path`; `Missing` when there is none."""
    descriptor = _opened(path)
    if descriptor is None:
        raise Missing(f"there is no network namespace at {path}")
    return descriptor


def remove(path: Path) -> None:
    """Remove the namespace at `path`, if there is one. It ends once nobody is in it."""
    with contextlib.suppress(FileNotFoundError):
        while is_namespace(path):
            kernel.unmount(str(path), k.MNT_DETACH)
        path.unlink()


def names(directory: Path) -> tuple[str, ...]:
    """The names of the namespaces in `directory`; half-made and half-removed ones are cleared."""
    found: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        for path in sorted(directory.iterdir()):
            if is_namespace(path):
                found.append(path.name)
            else:
                remove(path)
    return tuple(found)


def is_namespace(path: Path) -> bool:
    """Whether a namespace is mounted there."""
    descriptor = _opened(path)
    if descriptor is None:
        return False
    os.close(descriptor)
    return True


def _opened(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    if kernel.filesystem_magic(descriptor) == _NAMESPACE_FILES:
        return descriptor
    os.close(descriptor)
    return None


def set_sysctls(netns: int, wanted: Mapping[str, str]) -> None:
    """Write settings of a namespace, by path below /proc/sys (`net/ipv4/ip_forward`).

    Those that have their value already are not written. One that this kernel has not is refused
    like any other failure: leave out what is optional.
    """
    with entered(netns):
        for path, value in wanted.items():
            try:
                _set(_SYSCTLS / path, value)
            except OSError as err:
                raise KernelRefused(
                    "set sysctl",
                    err.errno or 0,
                    f"{path.replace('/', '.')} cannot be set to {value}: {err.strerror}",
                    hint="is /proc/sys mounted read-only?" if err.errno == errno.EROFS else "",
                ) from err


def _set(path: Path, value: str) -> None:
    if path.read_text().strip() != value:
        path.write_text(value)
