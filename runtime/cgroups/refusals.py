"""Put the kernel's answer about a control group into words that help.

The kernel says only a number; which rule of its own it means follows from the file.
"""

import errno

from msgspec import Struct

from runtime.steps import (
    CheckUsage,
    ContainerStep,
    FilterDevices,
    HostStep,
    JoinCgroup,
    MakeCgroup,
    RefuseLimit,
    WriteKernelFile,
)


class Words(Struct, frozen=True):
    """What to say; empty where there is nothing to add to what the step says."""

    message: str = ""
    hint: str = ""


def explain(step: HostStep | ContainerStep, number: int) -> Words:
    """Say what `number` means for `step`."""
    match step:
        case RefuseLimit(limit=limit, reason=reason):
            return Words(f"{limit}: {reason}", "leave it out for this host")
        case WriteKernelFile(path=path, otherwise=other) if number == errno.ENOENT:
            lacking = (other.path if other is not None else path).rpartition("/")[2]
            return Words(
                f"{lacking}: not on this host",
                "its kernel has no such limit, or the container no group in that hierarchy",
            )
        case WriteKernelFile(path=path) if path.endswith("/cgroup.subtree_control"):
            return _handing_down(path.rpartition("/")[0], number)
        case WriteKernelFile(path=path, values=values):
            return _writing(path.rpartition("/")[2], " ".join(values), number)
        case CheckUsage(most=most):
            text = f"memory.limit: more than {most} bytes are in use"
            return Words(
                text, "the container would be killed; leave checkBeforeUpdate out to do so"
            )
        case MakeCgroup(path=path) if number in (errno.EBUSY, errno.ENOTEMPTY):
            return Words(f"cgroup {path} is in use", "give each container a cgroup of its own")
        case MakeCgroup(path=path) if number in (errno.EROFS, errno.EACCES, errno.EPERM):
            return Words(f"cgroup {path}: may not be made", "mount /sys/fs/cgroup writable")
        case JoinCgroup(path=path) if number == errno.EOPNOTSUPP:
            return Words(
                f"cgroup {path} is threaded or below one that is, and takes no process",
                "choose a parent that is not threaded",
            )
        case FilterDevices() if number == errno.EPERM:
            hint = "CAP_BPF or CAP_SYS_ADMIN of the host is needed, and a parent may forbid it"
            return Words(hint=hint)
        case _:
            return Words()


def _handing_down(group: str, number: int) -> Words:
    if number == errno.EBUSY:
        return Words(
            f"cgroup {group} has processes of its own, so groups below it cannot be limited",
            f"move them into a group below, such as {group}/init",
        )
    if number == errno.EOPNOTSUPP:
        return Words(
            f"cgroup {group} is threaded, so groups below it cannot be limited",
            "choose a parent that is not threaded",
        )
    return Words()


def _writing(file: str, value: str, number: int) -> Words:
    if file == "memory.limit_in_bytes" and number == errno.EINVAL:
        hint = "it may not be above memory and swap together: give memory.swap with it"
        return Words(hint=hint)
    if file.startswith("memory.") and number == errno.EBUSY:
        return Words(f"{file}: more than {value} bytes are in use and cannot be freed")
    if file in ("cpuset.cpus", "cpuset.mems") and number in (errno.EINVAL, errno.EACCES):
        return Words(hint="they must be there, and the parent group's")
    if file.startswith("cpu.cfs_quota") and number == errno.EINVAL:
        return Words(hint="at least 1000, and no more of a CPU than the parent group has")
    if file == "cpu.rt_runtime_us" and number == errno.EINVAL:
        return Words(hint="the parent group has not that much to give: set its cpu.rt_runtime_us")
    if number == errno.ENODEV:
        return Words(f"{file}: there is no such device: {value}")
    return Words()
