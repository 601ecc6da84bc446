"""Call the kernel where Python does not: mounts, namespaces, capabilities, keys.

Beside those of BPF and seccomp the only module with ctypes in it. Every function is one system
call, named after it, and raises `OSError` with the kernel's error number; what to do about that
is decided above.
"""

import ctypes
import errno
import os
import signal
import struct
from typing import Final

from runtime import constants as k

# What this process ignored when it began: as Python does, or who started it (`nohup`, `&`).
_IGNORED: Final = tuple(
    int(each) for each in signal.valid_signals() if signal.getsignal(each) is signal.SIG_IGN
)

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_SYSCALL: Final = _LIBC.syscall
_SYSCALL.restype = ctypes.c_long
# Keeps the interpreter's lock, which must not be let go between the two sides of a fork.
_LOCKED_SYSCALL: Final = ctypes.PyDLL(None, use_errno=True).syscall
_LOCKED_SYSCALL.restype = ctypes.c_long

# Looked up now: a forked process would otherwise do it again, and keep the memory.
for _name in (
    "mount", "umount2", "pivot_root", "unshare", "setns", "sethostname", "setdomainname",
    "prctl", "capset", "capget", "signal", "fstatfs", "personality",
    "inotify_init1", "inotify_add_watch", "accept4",
):  # fmt: skip
    getattr(_LIBC, _name)

# Numbers from 424 on are the same everywhere; older ones differ.
_OPEN_TREE, _MOVE_MOUNT, _FSOPEN, _FSCONFIG, _FSMOUNT, _FSPICK = 428, 429, 430, 431, 432, 433
_CLOSE_RANGE, _OPENAT2, _MOUNT_SETATTR = 436, 437, 442
_KEYCTL, _RT_SIGACTION, _CLONE, _IOPRIO_SET, _SCHED_SETATTR = {
    "x86_64": (250, 13, 56, 251, 314),
    "aarch64": (219, 134, 220, 30, 274),
}.get(os.uname().machine, (0, 0, 0, 0, 0))
_DEFAULT_ACTION: Final = bytes(32)  # struct sigaction as the kernel has it: SIG_DFL, no flags
_KEYCTL_JOIN_SESSION_KEYRING: Final = 1
_CLOSE_RANGE_CLOEXEC: Final = 4
_CHILD_ENDED: Final = 17  # SIGCHLD
_IOPRIO_WHO_PROCESS: Final = 1
_IOPRIO_CLASS_SHIFT: Final = 13
_STATFS_BYTES: Final = 256  # more than any struct statfs has
_FSMOUNT_CLOEXEC: Final = 1
_FSOPEN_CLOEXEC: Final = 1
_FSPICK_CLOEXEC: Final = 1
_CAPABILITY_VERSION_3: Final = 0x20080522
_ZEROS: Final = (ctypes.c_ulong(0),) * 4
_MAX_UINT: Final = 0xFFFFFFFF
_RACES: Final = 1000  # lost in a row by whoever looks a path up, before it is called a failure


def _check(result: int, path: str = "") -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path or None)
    return result


def mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    """mount(2)."""
    _check(
        _LIBC.mount(
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() or None,
            ctypes.c_ulong(flags),
            os.fsencode(options) or None,
        ),
        target,
    )


def unmount(target: str, flags: int) -> None:
    """umount2(2)."""
    _check(_LIBC.umount2(os.fsencode(target), flags), target)


def pivot_root(new_root: str, old_root: str) -> None:
    """pivot_root(2)."""
    _check(_LIBC.pivot_root(os.fsencode(new_root), os.fsencode(old_root)), new_root)


def unshare(flags: int) -> None:
    """unshare(2)."""
    _check(_LIBC.unshare(flags))


def setns(descriptor: int, kind: int) -> None:
    """setns(2)."""
    _check(_LIBC.setns(descriptor, kind))


def sethostname(hostname: str) -> None:
    """sethostname(2)."""
    raw = hostname.encode()
    _check(_LIBC.sethostname(raw, len(raw)))


def accept(descriptor: int) -> int:
    """accept4(2), close-on-exec, without the usual module for sockets around it."""
    return _check(_LIBC.accept4(descriptor, None, None, os.O_CLOEXEC))


def prctl(option: int, *arguments: int) -> None:
    """prctl(2) with numbers as arguments."""
    given = [ctypes.c_ulong(each) for each in arguments]
    _check(_LIBC.prctl(option, *given, *_ZEROS[len(given) :]))


def death_signal() -> int:
    """prctl(2): what this process is sent when its parent dies, 0 for nothing."""
    number = ctypes.c_int()
    _check(_LIBC.prctl(k.PR_GET_PDEATHSIG, ctypes.byref(number), 0, 0, 0))
    return number.value


def set_name(name: str) -> None:
    """Name this thread, as ps and top show it: at most 15 bytes."""
    _check(_LIBC.prctl(k.PR_SET_NAME, name.encode()[:15], 0, 0, 0))


def reset_signal(number: int) -> None:
    """signal(2): have the default action. Python's own function would touch far more memory."""
    _LIBC.signal(number, None)


def reset_signals(*changed: int) -> None:
    """signal(2): have the default action for `changed`, and for whatever we began by ignoring.

    Two more are hidden by glibc, which refuses to touch them: its posix_spawn(3) leaves them
    ignored in what it starts, and so does everything that GNU make starts.
    """
    for number in (*_IGNORED, *changed):
        reset_signal(number)
    for number in (32, 33):
        _SYSCALL(_RT_SIGACTION, number, _DEFAULT_ACTION, None, ctypes.c_size_t(8))


def setdomainname(domainname: str) -> None:
    """setdomainname(2)."""
    raw = domainname.encode()
    _check(_LIBC.setdomainname(raw, len(raw)))


def personality(persona: int) -> None:
    """personality(2)."""
    _check(_LIBC.personality(ctypes.c_ulong(persona)))


def clone(flags: int) -> int:
    """clone(2) as fork(2) uses it, with CLONE_* `flags`: 0 in the child.

    With CLONE_PARENT the child is our parent's. Only for processes with a single thread. What
    libraries do at a fork is left out: one that waits for its threads would wait forever in a
    process that was made by this itself.
    """
    ctypes.pythonapi.PyOS_BeforeFork()
    pid = int(_LOCKED_SYSCALL(_CLONE, ctypes.c_ulong(flags | _CHILD_ENDED), None, None, None, None))
    number = ctypes.get_errno()
    if pid == 0:
        ctypes.pythonapi.PyOS_AfterFork_Child()
    else:
        ctypes.pythonapi.PyOS_AfterFork_Parent()
    if pid < 0:
        raise OSError(number, os.strerror(number))
    return pid


def capset(effective: int, permitted: int, inheritable: int) -> None:
    """capset(2) with bit masks."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    sets = (effective, permitted, inheritable)
    low, high = (each & _MAX_UINT for each in sets), (each >> 32 for each in sets)
    _check(_LIBC.capset(header, struct.pack("<6I", *low, *high)))


def capget() -> tuple[int, int, int]:
    """capget(2): the effective, permitted and inheritable sets, as bit masks."""
    header = struct.pack("<Ii", _CAPABILITY_VERSION_3, 0)
    room = ctypes.create_string_buffer(24)
    _check(_LIBC.capget(header, room))
    low_e, low_p, low_i, high_e, high_p, high_i = struct.unpack("<6I", room.raw)
    return low_e | high_e << 32, low_p | high_p << 32, low_i | high_i << 32


def ioprio_set(io_class: int, priority: int) -> None:
    """ioprio_set(2) for this process."""
    value = io_class << _IOPRIO_CLASS_SHIFT | priority
    _check(_SYSCALL(_IOPRIO_SET, _IOPRIO_WHO_PROCESS, 0, value))


def sched_setattr(
    *, policy: int, flags: int, nice: int, priority: int, runtime: int, deadline: int, period: int
) -> None:
    """sched_setattr(2) for this process; times in nanoseconds."""
    size = struct.calcsize("<IIQiIQQQ")
    wanted = struct.pack(
        "<IIQiIQQQ", size, policy, flags, nice, priority, runtime, deadline, period
    )
    _check(_SYSCALL(_SCHED_SETATTR, 0, wanted, 0))


def filesystem_magic(descriptor: int) -> int:
    """fstatfs(2): which kind of file system an open file is in."""
    room = ctypes.create_string_buffer(_STATFS_BYTES)
    _check(_LIBC.fstatfs(descriptor, room))
    return int(struct.unpack_from("@l", room)[0])


def open_tree(path: str, *, directory: int = k.AT_FDCWD, recursive: bool = True) -> int:
    """open_tree(2): a detached copy of the mounts at and below `path`, as a descriptor.

    With an empty `path` it is the mount that `directory` is open in.
    """
    flags = k.OPEN_TREE_CLONE | k.OPEN_TREE_CLOEXEC | (k.AT_RECURSIVE if recursive else 0)
    flags |= 0 if path else k.AT_EMPTY_PATH
    return _check(_SYSCALL(_OPEN_TREE, directory, os.fsencode(path), flags), path)


def mount_setattr(
    descriptor: int,
    *,
    attributes: int = 0,
    clear: int = 0,
    propagation: int = 0,
    user_namespace: int = 0,
    recursive: bool = False,
) -> None:
    """mount_setattr(2) on the mount whose root is open. MOUNT_ATTR_IDMAP takes a namespace."""
    flags = k.AT_EMPTY_PATH | (k.AT_RECURSIVE if recursive else 0)
    wanted = struct.pack("<4Q", attributes, clear, propagation, user_namespace)
    _check(_SYSCALL(_MOUNT_SETATTR, descriptor, b"", flags, wanted, len(wanted)))


def move_mount(descriptor: int, target: int) -> None:
    """move_mount(2): attach a detached mount to what is open as `target`, or AT_FDCWD."""
    flags = k.MOVE_MOUNT_F_EMPTY_PATH | k.MOVE_MOUNT_T_EMPTY_PATH
    _check(_SYSCALL(_MOVE_MOUNT, descriptor, b"", target, b"", flags))


def fsopen(kind: str) -> int:
    """fsopen(2): begin to make a file system."""
    return _check(_SYSCALL(_FSOPEN, kind.encode(), _FSOPEN_CLOEXEC))


def fspick(path: str) -> int:
    """fspick(2): begin to change the file system that is mounted at `path`."""
    return _check(_SYSCALL(_FSPICK, k.AT_FDCWD, os.fsencode(path), _FSPICK_CLOEXEC), path)


def fsconfig(context: int, command: int, key: str = "", value: str = "") -> None:
    """fsconfig(2): a flag (`key`), a string (`key` and `value`), or a command."""
    is_string = command == k.FSCONFIG_SET_STRING
    _check(
        _SYSCALL(
            _FSCONFIG,
            context,
            command,
            os.fsencode(key) or None,
            os.fsencode(value) if is_string else None,
            0,
        )
    )


def fsmount(context: int, attributes: int) -> int:
    """fsmount(2): a detached mount of a file system that was made."""
    return _check(_SYSCALL(_FSMOUNT, context, _FSMOUNT_CLOEXEC, attributes))


def open_in_root(root: int, path: str, flags: int) -> int:
    """openat2(2), with `root` as the root directory for `..` and every link.

    Whatever is renamed or mounted anywhere while the kernel goes up a `..` makes it start anew.
    """
    resolve = k.RESOLVE_IN_ROOT | k.RESOLVE_NO_MAGICLINKS
    how = struct.pack("<3Q", flags | os.O_CLOEXEC, 0, resolve)
    for _ in range(_RACES):
        opened = int(_SYSCALL(_OPENAT2, root, os.fsencode(path), how, len(how)))
        if opened >= 0 or ctypes.get_errno() != errno.EAGAIN:
            return _check(opened, path)
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN), path)


def close_range_on_exec(first: int) -> None:
    """close_range(2): no descriptor from `first` on survives an exec."""
    _check(_SYSCALL(_CLOSE_RANGE, first, ctypes.c_uint(_MAX_UINT), _CLOSE_RANGE_CLOEXEC))


def join_session_keyring() -> None:
    """keyctl(2): a fresh anonymous session keyring."""
    _check(_SYSCALL(_KEYCTL, _KEYCTL_JOIN_SESSION_KEYRING, None))


def inotify_init() -> int:
    """inotify_init1(2): a descriptor that never blocks."""
    return _check(_LIBC.inotify_init1(os.O_CLOEXEC | os.O_NONBLOCK))


def inotify_add_watch(descriptor: int, path: str, mask: int) -> int:
    """inotify_add_watch(2)."""
    return _check(_LIBC.inotify_add_watch(descriptor, os.fsencode(path), mask), path)


def overwrite(address: int, content: bytes) -> None:
    """Put `content` at `address` of this process."""
    ctypes.memmove(address, content, len(content))
