"""Carry out the steps that bring a process into the namespaces of its container."""

# Plain strings: pathlib would cost every start time.
# ruff: noqa: PTH115

import contextlib
import errno
import fcntl
import os
import signal
import struct
from _socket import AF_INET, SOCK_DGRAM, SocketType
from collections.abc import Callable
from typing import Any

from runtime import constants as k
from runtime import steps as s
from runtime.io import kernel
from runtime.io.inside.dying import still_dying
from runtime.io.inside.held import Held
from runtime.io.inside.writing import write
from runtime.oci.config import IdMapping
from swarm.errors import KernelRefused

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1


def make_user_namespace(uids: tuple[IdMapping, ...], gids: tuple[IdMapping, ...]) -> int:
    """A user namespace with these ids, as a descriptor; nobody is in it.

    A process lives in it for as long as we write its maps and open it. It tells its number
    itself: we may be counting in another pid namespace than /proc does.
    """
    said, saying = os.pipe()
    pid = kernel.clone(0)
    if pid == 0:
        _be_in_user_namespace(saying)
    os.close(saying)
    try:
        answer = os.read(said, 64).decode()
        if not answer.isdecimal():
            number = int(answer.removeprefix("!") or errno.EIO)
            raise OSError(number, os.strerror(number))
        write(f"/proc/{answer}/uid_map", _map(uids))
        write(f"/proc/{answer}/gid_map", _map(gids))
        return os.open(f"/proc/{answer}/ns/user", os.O_RDONLY | os.O_CLOEXEC)
    finally:
        os.close(said)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


def _be_in_user_namespace(saying: int) -> None:
    try:
        kernel.prctl(k.PR_SET_PDEATHSIG, signal.SIGKILL)
        number = os.readlink("/proc/self")
        kernel.unshare(k.CLONE_NEWUSER)
        os.write(saying, number.encode())
        signal.pause()
    except OSError as err:
        os.write(saying, f"!{err.errno}".encode())
    finally:
        os._exit(1)


def _map(mappings: tuple[IdMapping, ...]) -> str:
    return "".join(f"{each.container_id} {each.host_id} {each.size}\n" for each in mappings)


def _make_user_namespace(held: Held, step: s.MakeUserNamespace) -> None:
    held.user_namespace = make_user_namespace(step.uids, step.gids)


def _open_user_namespace(held: Held, step: s.OpenUserNamespace) -> None:
    held.user_namespace = os.open(step.path, os.O_RDONLY | os.O_CLOEXEC)


def _enter_namespaces(_: Held, step: s.EnterNamespaces) -> None:
    """All are opened before the first is joined: paths mean something else after it."""
    opened: list[tuple[int, int]] = []
    try:
        for flag, path in step.paths:
            opened.append((flag, os.open(path, os.O_RDONLY | os.O_CLOEXEC)))
        with still_dying():
            for flag, descriptor in opened:
                kernel.setns(descriptor, flag)
    finally:
        for _flag, descriptor in opened:
            os.close(descriptor)


def _enter_container(held: Held, step: s.EnterContainer) -> None:
    """Nothing in there may look into this process, as long as it is still one of the host's."""
    kernel.prctl(k.PR_SET_DUMPABLE, 0)
    pidfd = step.pidfd if step.pidfd >= 0 else os.pidfd_open(step.pid)
    path = "/" if step.flags & k.CLONE_NEWNS else f"/proc/{step.pid}/root"
    root = os.open(path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with still_dying():
            kernel.setns(pidfd, step.flags)
    except OSError as err:
        # The kernel refuses a process its own user namespace, which a path may have named.
        if err.errno != errno.EINVAL or not step.flags & k.CLONE_NEWUSER:
            raise
        kernel.setns(pidfd, step.flags & ~k.CLONE_NEWUSER)
    finally:
        if step.pidfd < 0:
            os.close(pidfd)
    if step.flags & k.CLONE_NEWNS:  # our root is that of its mounts now
        os.close(root)
        root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    else:
        os.fchdir(root)
        os.chroot(".")
    held.root = root
    if step.flags & k.CLONE_NEWUSER:
        _become_root(held, s.BecomeRoot())


def _enter_user_namespace(held: Held, _: s.EnterUserNamespace) -> None:
    with still_dying():
        kernel.setns(held.user_namespace, k.CLONE_NEWUSER)


def _become_root(_: Held, __: s.BecomeRoot) -> None:
    """What the namespace has no root for stays nobody."""
    with contextlib.suppress(OSError):
        os.setgroups([])
    for become in (os.setresgid, os.setresuid):
        try:
            with still_dying():
                become(0, 0, 0)
        except OSError as err:
            if err.errno != errno.EINVAL:
                raise


def _set_time_offsets(_: Held, step: s.SetTimeOffsets) -> None:
    lines = (f"{clock} {secs} {nanosecs}\n" for clock, secs, nanosecs in step.offsets)
    # The file is the root's of the host, not of our user namespace, while we may not be dumped.
    kernel.prctl(k.PR_SET_DUMPABLE, 1)
    write("/proc/self/timens_offsets", "".join(lines))
    kernel.prctl(k.PR_SET_DUMPABLE, 0)


def _fork(held: Held, _: s.Fork) -> None:
    """The child is our parent's, as if there had been nobody in between."""
    if kernel.clone(k.CLONE_PARENT):
        os._exit(0)
    with contextlib.suppress(PermissionError):
        os.setsid()
    held.overseer.continued()


def loopback_up() -> None:
    """Bring up `lo` in the network namespace that we are in, unless it is."""
    with contextlib.closing(SocketType(AF_INET, SOCK_DGRAM)) as link:
        request = bytearray(struct.pack("16sh14x", b"lo", 0) + bytes(8))
        fcntl.ioctl(link, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", request, 16)
        if not flags & _IFF_UP:
            struct.pack_into("h", request, 16, flags | _IFF_UP)
            fcntl.ioctl(link, _SIOCSIFFLAGS, request)


def _offer_network(held: Held, _: s.OfferNetwork) -> None:
    """Nobody but whoever connects it can let us go on, so with him we give up."""
    assert held.offer is not None, "only planned for somebody who connects it"
    namespace = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    held.go, go = os.pipe()
    try:
        held.offer(namespace, go)
    finally:
        os.close(namespace)
        os.close(go)


def _await_network(held: Held, _: s.AwaitNetwork) -> None:
    if not os.read(held.go, 1):
        raise KernelRefused(
            "await network", errno.ECANCELED, "whoever was to connect its network has given up",
            hint="try again; the agent was restarted, or the container deleted, while it started",
        )  # fmt: skip
    os.close(held.go)


STEPS: dict[type[s.ContainerStep], Callable[[Held, Any], None]] = {
    s.MakeUserNamespace: _make_user_namespace,
    s.OpenUserNamespace: _open_user_namespace,
    s.EnterNamespaces: _enter_namespaces,
    s.EnterContainer: _enter_container,
    s.EnterUserNamespace: _enter_user_namespace,
    s.Unshare: lambda held, step: kernel.unshare(step.flags & ~held.ahead.namespaces),
    s.SetTimeOffsets: _set_time_offsets,
    s.Fork: _fork,
    s.BecomeRoot: _become_root,
    s.LoopbackUp: lambda _, __: loopback_up(),
    s.OfferNetwork: _offer_network,
    s.AwaitNetwork: _await_network,
    s.SetHostname: lambda _, step: kernel.sethostname(step.hostname),
    s.SetDomainname: lambda _, step: kernel.setdomainname(step.domainname),
}
