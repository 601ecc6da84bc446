"""Know every name that a config.json may use for something of the kernel's.

One table a kind, from the name to what the kernel calls it. What is not in a table is a
mistake of the file, with one exception: a mount option that is unknown here is passed on, for
each file system has options of its own.
"""

from typing import Final

from runtime import constants as k
from swarm import capabilities

CAPABILITIES: Final = {name: number for number, name in enumerate(capabilities.NAMES)}

# From asm-generic/resource.h.
RLIMITS: Final = {
    name: number
    for number, name in enumerate(
        (
            "RLIMIT_CPU", "RLIMIT_FSIZE", "RLIMIT_DATA", "RLIMIT_STACK", "RLIMIT_CORE",
            "RLIMIT_RSS", "RLIMIT_NPROC", "RLIMIT_NOFILE", "RLIMIT_MEMLOCK", "RLIMIT_AS",
            "RLIMIT_LOCKS", "RLIMIT_SIGPENDING", "RLIMIT_MSGQUEUE", "RLIMIT_NICE",
            "RLIMIT_RTPRIO", "RLIMIT_RTTIME",
        )
    )
}  # fmt: skip

# The flag of clone(2), and the file in /proc/<pid>/ns.
NAMESPACES: Final = {
    "mount": (k.CLONE_NEWNS, "mnt"),
    "cgroup": (k.CLONE_NEWCGROUP, "cgroup"),
    "uts": (k.CLONE_NEWUTS, "uts"),
    "ipc": (k.CLONE_NEWIPC, "ipc"),
    "user": (0x10000000, "user"),
    "pid": (k.CLONE_NEWPID, "pid"),
    "network": (k.CLONE_NEWNET, "net"),
    "time": (0x00000080, "time"),
}

# By the number that linux/time.h gives each clock that a time namespace can shift.
CLOCKS: Final = {"monotonic": 1, "boottime": 7}

# Options of mount(8) for one mount or file system: (set?, flag of mount(2)).
MOUNT_FLAGS: Final = {
    "async": (False, k.MS_SYNCHRONOUS),
    "atime": (False, k.MS_NOATIME),
    "bind": (True, k.MS_BIND),
    "defaults": (True, 0),
    "dev": (False, k.MS_NODEV),
    "diratime": (False, k.MS_NODIRATIME),
    "dirsync": (True, k.MS_DIRSYNC),
    "exec": (False, k.MS_NOEXEC),
    "iversion": (True, k.MS_I_VERSION),
    "lazytime": (True, k.MS_LAZYTIME),
    "loud": (False, k.MS_SILENT),
    "mand": (True, k.MS_MANDLOCK),
    "noatime": (True, k.MS_NOATIME),
    "nodev": (True, k.MS_NODEV),
    "nodiratime": (True, k.MS_NODIRATIME),
    "noexec": (True, k.MS_NOEXEC),
    "noiversion": (False, k.MS_I_VERSION),
    "nolazytime": (False, k.MS_LAZYTIME),
    "nomand": (False, k.MS_MANDLOCK),
    "norelatime": (False, k.MS_RELATIME),
    "nostrictatime": (False, k.MS_STRICTATIME),
    "nosuid": (True, k.MS_NOSUID),
    "nosymfollow": (True, k.MS_NOSYMFOLLOW),
    "rbind": (True, k.MS_BIND | k.MS_REC),
    "relatime": (True, k.MS_RELATIME),
    "remount": (True, k.MS_REMOUNT),
    "ro": (True, k.MS_RDONLY),
    "rw": (False, k.MS_RDONLY),
    "silent": (True, k.MS_SILENT),
    "strictatime": (True, k.MS_STRICTATIME),
    "suid": (False, k.MS_NOSUID),
    "symfollow": (False, k.MS_NOSYMFOLLOW),
    "sync": (True, k.MS_SYNCHRONOUS),
}

# Options that say with whom later mounts are shared.
PROPAGATION: Final = {
    "private": k.MS_PRIVATE,
    "rprivate": k.MS_PRIVATE | k.MS_REC,
    "rshared": k.MS_SHARED | k.MS_REC,
    "rslave": k.MS_SLAVE | k.MS_REC,
    "runbindable": k.MS_UNBINDABLE | k.MS_REC,
    "shared": k.MS_SHARED,
    "slave": k.MS_SLAVE,
    "unbindable": k.MS_UNBINDABLE,
}

# Options for a mount with all that is below it: mount_setattr(2)'s (attr_set, attr_clr).
# Access times are one field of several bits, so they are cleared before they are set.
RECURSIVE_ATTRIBUTES: Final = {
    "ratime": (0, k.MOUNT_ATTR_ATIME),
    "rdev": (0, k.MOUNT_ATTR_NODEV),
    "rdiratime": (0, k.MOUNT_ATTR_NODIRATIME),
    "rexec": (0, k.MOUNT_ATTR_NOEXEC),
    "rnoatime": (k.MOUNT_ATTR_NOATIME, k.MOUNT_ATTR_ATIME),
    "rnodev": (k.MOUNT_ATTR_NODEV, 0),
    "rnodiratime": (k.MOUNT_ATTR_NODIRATIME, 0),
    "rnoexec": (k.MOUNT_ATTR_NOEXEC, 0),
    "rnorelatime": (0, k.MOUNT_ATTR_ATIME),
    "rnostrictatime": (0, k.MOUNT_ATTR_ATIME),
    "rnosuid": (k.MOUNT_ATTR_NOSUID, 0),
    "rnosymfollow": (k.MOUNT_ATTR_NOSYMFOLLOW, 0),
    "rrelatime": (0, k.MOUNT_ATTR_ATIME),  # relatime is 0
    "rro": (k.MOUNT_ATTR_RDONLY, 0),
    "rrw": (0, k.MOUNT_ATTR_RDONLY),
    "rstrictatime": (k.MOUNT_ATTR_STRICTATIME, k.MOUNT_ATTR_ATIME),
    "rsuid": (0, k.MOUNT_ATTR_NOSUID),
    "rsymfollow": (0, k.MOUNT_ATTR_NOSYMFOLLOW),
}

# Options that are the runtime's own work.
MOUNT_EXTENSIONS: Final = ("idmap", "ridmap", "tmpcopyup")

# From linux/personality.h.
PERSONALITIES: Final = {"LINUX": 0x0000, "LINUX32": 0x0008}

# From linux/sched.h.
SCHEDULERS: Final = {
    "SCHED_OTHER": 0,
    "SCHED_FIFO": 1,
    "SCHED_RR": 2,
    "SCHED_BATCH": 3,
    "SCHED_ISO": 4,
    "SCHED_IDLE": 5,
    "SCHED_DEADLINE": 6,
}
SCHEDULER_FLAGS: Final = {
    "SCHED_FLAG_RESET_ON_FORK": 0x01,
    "SCHED_FLAG_RECLAIM": 0x02,
    "SCHED_FLAG_DL_OVERRUN": 0x04,
    "SCHED_FLAG_KEEP_POLICY": 0x08,
    "SCHED_FLAG_KEEP_PARAMS": 0x10,
    "SCHED_FLAG_UTIL_CLAMP_MIN": 0x20,
    "SCHED_FLAG_UTIL_CLAMP_MAX": 0x40,
}

# From linux/ioprio.h.
IO_CLASSES: Final = {"IOPRIO_CLASS_RT": 1, "IOPRIO_CLASS_BE": 2, "IOPRIO_CLASS_IDLE": 3}

# From linux/seccomp.h; those of KILL are two names for the same.
SECCOMP_ACTIONS: Final = {
    "SCMP_ACT_KILL": 0x00000000,
    "SCMP_ACT_KILL_PROCESS": 0x80000000,
    "SCMP_ACT_KILL_THREAD": 0x00000000,
    "SCMP_ACT_TRAP": 0x00030000,
    "SCMP_ACT_ERRNO": 0x00050000,
    "SCMP_ACT_TRACE": 0x7FF00000,
    "SCMP_ACT_ALLOW": 0x7FFF0000,
    "SCMP_ACT_LOG": 0x7FFC0000,
    "SCMP_ACT_NOTIFY": 0x7FC00000,
}
SECCOMP_OPERATORS: Final = {
    "SCMP_CMP_NE": 1,
    "SCMP_CMP_LT": 2,
    "SCMP_CMP_LE": 3,
    "SCMP_CMP_EQ": 4,
    "SCMP_CMP_GE": 5,
    "SCMP_CMP_GT": 6,
    "SCMP_CMP_MASKED_EQ": 7,
}
# The flags of seccomp(2). The listener's is not here: the runtime adds it where it is needed.
SECCOMP_FLAGS: Final = {
    "SECCOMP_FILTER_FLAG_TSYNC": 0x01,
    "SECCOMP_FILTER_FLAG_LOG": 0x02,
    "SECCOMP_FILTER_FLAG_SPEC_ALLOW": 0x04,
    "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV": 0x20,
}
# AUDIT_ARCH_* of linux/audit.h, which libseccomp takes as its own numbers; x32 shares the
# 64-bit number with a bit of its own.
SECCOMP_ARCHITECTURES: Final = {
    "SCMP_ARCH_X86": 0x40000003,
    "SCMP_ARCH_X86_64": 0xC000003E,
    "SCMP_ARCH_X32": 0x4000003E,
    "SCMP_ARCH_ARM": 0x40000028,
    "SCMP_ARCH_AARCH64": 0xC00000B7,
    "SCMP_ARCH_MIPS": 0x00000008,
    "SCMP_ARCH_MIPS64": 0x80000008,
    "SCMP_ARCH_MIPS64N32": 0xA0000008,
    "SCMP_ARCH_MIPSEL": 0x40000008,
    "SCMP_ARCH_MIPSEL64": 0xC0000008,
    "SCMP_ARCH_MIPSEL64N32": 0xE0000008,
    "SCMP_ARCH_PPC": 0x00000014,
    "SCMP_ARCH_PPC64": 0x80000015,
    "SCMP_ARCH_PPC64LE": 0xC0000015,
    "SCMP_ARCH_S390": 0x00000016,
    "SCMP_ARCH_S390X": 0x80000016,
    "SCMP_ARCH_PARISC": 0x0000000F,
    "SCMP_ARCH_PARISC64": 0x8000000F,
    "SCMP_ARCH_RISCV64": 0xC00000F3,
    "SCMP_ARCH_LOONGARCH64": 0xC0000102,
    "SCMP_ARCH_M68K": 0x00000004,
    "SCMP_ARCH_SH": 0x4000002A,
    "SCMP_ARCH_SHEB": 0x0000002A,
}

_SWAP: Final = str.maketrans("./", "/.")


def dotted(sysctl: str) -> str:
    """A kernel parameter's name with dots between its parts, whichever way it was written.

    As in sysctl(8) the first separator, dot or slash, is the one that separates; the other
    one then stands for it within a part: `net/ipv4/conf/eth0.1/forwarding`.
    """
    dot, slash = sysctl.find("."), sysctl.find("/")
    if slash == -1 or (dot != -1 and dot < slash):
        return sysctl
    return sysctl.translate(_SWAP)


def sysctl_file(sysctl: str) -> str:
    """Where the parameter is below /proc/sys."""
    return dotted(sysctl).translate(_SWAP)
