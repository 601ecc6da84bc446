"""Carry out the steps of the container, in the process that becomes its process 1.

It runs between fork and exec, so it imports nothing and reads nothing that it need not. After
`PivotRoot` every path is the container's, and the image may have made each of them a link:
they lead only to other places in the image, never to the host.
"""

# Plain strings: pathlib would cost every start time and every shim memory.
# ruff: noqa: PTH103, PTH112, PTH114, PTH116, PTH120, PTH211

import array
import contextlib
import errno
import fcntl
import os
import resource
import socket
import stat
import struct
from collections.abc import Callable
from typing import Any

from runtime import constants as k
from runtime import steps as s
from runtime.io import kernel
from runtime.io.copying import copy_up
from runtime.users import Identity, resolve

_SIOCGIFFLAGS, _SIOCSIFFLAGS, _IFF_UP = 0x8913, 0x8914, 0x1
_MOUNT_OPTIONS_MAX = 4000
_OOM_SCORE = "/proc/self/oom_score_adj"


class Inside:
    """What earlier steps leave for later ones: opened mounts, the identity."""

    def __init__(self) -> None:
        self.mounts: dict[int, int] = {}
        self.identity = Identity()
        self._mask = -1
        self._apply: dict[type[s.ContainerStep], Callable[[Any], object]] = {
            s.JoinCgroup: self._join_cgroup,
            s.OpenBind: self._open_bind,
            s.EnterNetwork: self._enter_network,
            s.Unshare: lambda step: kernel.unshare(step.flags),
            s.IsolateMounts: lambda _: kernel.mount("", "/", "", k.MS_REC | k.MS_SLAVE),
            s.MountOverlay: _mount_overlay,
            s.CopyUp: lambda step: copy_up(step.rootfs, step.origin, step.source, step.gathering),
            s.PivotRoot: _pivot_root,
            s.MountFilesystem: _mount_filesystem,
            s.AttachBind: self._attach_bind,
            s.MakeNode: _make_node,
            s.Link: lambda step: os.symlink(step.target, step.path),
            s.RemountReadOnly: _remount_read_only,
            s.ProtectPath: _protect_path,
            s.MaskPath: self._mask_path,
            s.SetHostname: lambda step: kernel.sethostname(step.hostname),
            s.LoopbackUp: _loopback_up,
            s.WriteSysctl: _write_sysctl,
            s.SetOomScore: _set_oom_score,
            s.SetRlimit: _set_rlimit,
            s.JoinKeyring: lambda _: kernel.join_session_keyring(),
            s.MakeWorkdir: _make_workdir,
            s.DropBounding: _drop_bounding,
            s.SetIdentity: self._set_identity,
            s.SetCapabilities: lambda step: kernel.capset(0 if os.getuid() else step.mask),
            s.NoNewPrivileges: lambda _: kernel.prctl(k.PR_SET_NO_NEW_PRIVS, 1),
            s.SetUmask: lambda step: os.umask(step.mask),
        }

    def apply(self, step: s.ContainerStep) -> None:
        """Carry out one step, but `Execute`; raises `OSError` or `KernelRefused`."""
        self._apply[type(step)](step)

    def _join_cgroup(self, step: s.JoinCgroup) -> None:
        _write(f"{step.path}/cgroup.procs", "0")

    def _open_bind(self, step: s.OpenBind) -> None:
        descriptor = kernel.open_tree(step.source)
        self.mounts[step.number] = descriptor
        kernel.mount_setattr(
            descriptor,
            propagation=step.propagation & ~k.MS_REC,
            recursive=bool(step.propagation & k.MS_REC),
        )
        if step.flags:  # read-only means everything below, too
            kernel.mount_setattr(descriptor, attributes=step.flags, recursive=True)

    def _enter_network(self, step: s.EnterNetwork) -> None:
        descriptor = os.open(step.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            kernel.setns(descriptor, k.CLONE_NEWNET)
        finally:
            os.close(descriptor)

    def _attach_bind(self, step: s.AttachBind) -> None:
        descriptor = self.mounts.pop(step.number)
        is_dir = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        try:
            kernel.move_mount(descriptor, step.target)
        except FileNotFoundError:
            _make_target(step.target, is_dir=is_dir)
            kernel.move_mount(descriptor, step.target)
        os.close(descriptor)

    def _mask_path(self, step: s.MaskPath) -> None:
        try:
            is_dir = stat.S_ISDIR(os.stat(step.path).st_mode)
        except OSError:
            return
        if not is_dir:
            kernel.mount("/dev/null", step.path, "", k.MS_BIND)
        elif self._mask >= 0:
            kernel.mount(f"/proc/self/fd/{self._mask}", step.path, "", k.MS_BIND)
        else:  # the first bare directory serves for all others
            kernel.mount("tmpfs", step.path, "tmpfs", k.MS_RDONLY, "size=0k,mode=755")
            self._mask = os.open(step.path, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)

    def _set_identity(self, step: s.SetIdentity) -> None:
        passwd, group = _read("/etc/passwd"), _read("/etc/group")
        self.identity = resolve(step.user, step.additional_groups, passwd, group)
        for descriptor in (1, 2):  # or /dev/stdout could not be opened by the program
            os.fchown(descriptor, self.identity.uid, self.identity.gid)
        os.setgroups(self.identity.groups)
        os.setgid(self.identity.gid)
        os.setuid(self.identity.uid)


def _write(path: str, value: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _mount_overlay(step: s.MountOverlay) -> None:
    """Layers are named by descriptor where their paths are too long or hold `:` or `,`."""
    upper, work, lower = step.upper_dir, step.work_dir, step.lower_dirs
    opened: list[int] = []
    plain = "".join((upper, work, *lower))
    if len(plain) + len(lower) > _MOUNT_OPTIONS_MAX or any(c in plain for c in ":,\\"):
        flags = os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC
        opened = [os.open(path, flags) for path in (upper, work, *lower)]
        upper, work, *rest = (f"/proc/self/fd/{descriptor}" for descriptor in opened)
        lower = tuple(rest)
    # `volatile`: unmounting would otherwise write back the whole file system below, for
    # files that are removed a moment later.
    options = f"lowerdir={':'.join(lower)},upperdir={upper},workdir={work},volatile"
    try:
        kernel.mount("overlay", step.target, "overlay", 0, options)
    except FileNotFoundError as err:
        missing = [path for path in step.lower_dirs if not os.path.isdir(path)]
        raise FileNotFoundError(err.errno, err.strerror, *missing[:1]) from err
    finally:
        for descriptor in opened:
            os.close(descriptor)


def _pivot_root(step: s.PivotRoot) -> None:
    os.chdir(step.path)
    kernel.pivot_root(".", ".")
    # The old root now lies over the new one, and is where we still are.
    kernel.unmount(".", k.MNT_DETACH)
    os.chdir("/")


def _mount_filesystem(step: s.MountFilesystem) -> None:
    if step.strict and os.path.islink(step.target):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), step.target)
    try:
        kernel.mount(step.kind, step.target, step.kind, step.flags, step.options)
    except FileNotFoundError:
        _make_target(step.target, is_dir=True)
        kernel.mount(step.kind, step.target, step.kind, step.flags, step.options)


def _make_target(path: str, *, is_dir: bool) -> None:
    path = os.path.realpath(path)  # a link of the image that dangles is followed, in the image
    if is_dir:
        os.makedirs(path, 0o755, exist_ok=True)
        return
    os.makedirs(os.path.dirname(path), 0o755, exist_ok=True)
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o644))


def _make_node(step: s.MakeNode) -> None:
    os.mknod(step.path, stat.S_IFCHR | 0o666, os.makedev(step.major, step.minor))


def _remount_read_only(step: s.RemountReadOnly) -> None:
    flags = k.MS_REMOUNT | k.MS_BIND | k.MS_RDONLY | step.flags
    kernel.mount("", step.path, "", flags)


def _protect_path(step: s.ProtectPath) -> None:
    """A bind of the path over itself, which alone turns read-only."""
    try:
        kernel.mount(step.path, step.path, "", k.MS_BIND | k.MS_REC)
    except (FileNotFoundError, NotADirectoryError):
        return
    flags = k.MS_NOSUID | k.MS_NOEXEC | k.MS_NODEV
    kernel.mount("", step.path, "", k.MS_BIND | k.MS_REMOUNT | k.MS_RDONLY | flags)


def _loopback_up(_: s.LoopbackUp) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        request = array.array("b", struct.pack("16sh14x", b"lo", 0) + bytes(8))
        fcntl.ioctl(link, _SIOCGIFFLAGS, request)
        (flags,) = struct.unpack_from("h", request, 16)
        struct.pack_into("h", request, 16, flags | _IFF_UP)
        fcntl.ioctl(link, _SIOCSIFFLAGS, request)


def _write_sysctl(step: s.WriteSysctl) -> None:
    _write(f"/proc/sys/{step.name.replace('.', '/')}", step.value)


def _set_oom_score(step: s.SetOomScore) -> None:
    """Always, or the container would inherit what protects the launcher."""
    if _read(_OOM_SCORE).strip() != str(step.score):
        _write(_OOM_SCORE, str(step.score))


def _set_rlimit(step: s.SetRlimit) -> None:
    try:
        resource.setrlimit(step.number, (step.soft, step.hard))
    except ValueError as err:  # what Python makes of both EPERM and EINVAL
        raise OSError(errno.EPERM, os.strerror(errno.EPERM)) from err


def _make_workdir(step: s.MakeWorkdir) -> None:
    try:
        os.chdir(step.path)
    except FileNotFoundError:
        os.makedirs(step.path, 0o755, exist_ok=True)
        os.chdir(step.path)


def _drop_bounding(step: s.DropBounding) -> None:
    for number in step.numbers:
        kernel.prctl(k.PR_CAPBSET_DROP, number)
    with contextlib.suppress(OSError):  # kernels that have no ambient set
        kernel.prctl(k.PR_CAP_AMBIENT, k.PR_CAP_AMBIENT_CLEAR_ALL)
