"""Carry out the steps that make, limit and remove control groups.

A group is in use while a process is in it, and zombies count for a moment: whoever removes one
waits for them. Parents are shared with containers that are being made right now, so making one
that exists is fine, even half made.
"""

# Plain strings: pathlib would cost every start time and every shim memory.
# ruff: noqa: PTH102, PTH106

import contextlib
import errno
import os
import select
import time

from runtime import steps as s

_BUSY_GROUP_S = 2.0
_MOST_BYTES, _HALF_PAGE = 65536, 2048


def make(step: s.MakeCgroup) -> None:
    """Make a group. One that is left from a crash is made anew, one in use refuses."""
    try:
        os.mkdir(step.path, 0o755)
    except FileExistsError:
        if not step.shared:
            _remove_below(step.path)
            os.rmdir(step.path)
            os.mkdir(step.path, 0o755)
    for file in step.inherit:
        _inherit(step.path, file)


def _inherit(path: str, file: str) -> None:
    """Fill it unless it is: another container may have made the parent, or be about to."""
    if not read(f"{path}/{file}").strip():
        parent = path.rpartition("/")[0]
        write_values(f"{path}/{file}", (read(f"{parent}/{file}").strip(),))


def write(step: s.WriteKernelFile) -> None:
    """Write a file of the kernel."""
    try:
        write_values(step.path, step.values)
    except FileNotFoundError:
        if step.otherwise is not None:
            write(step.otherwise)
        elif not (step.optional or step.tentative):
            raise
    except OSError:
        if not step.tentative:
            raise


def write_values(path: str, values: tuple[str, ...]) -> None:
    """Each value with a write(2) of its own."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        for value in values:
            os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def check_usage(step: s.CheckUsage) -> None:
    """Raise if there is more than the limit to be."""
    if int(read(step.path).strip() or 0) > step.most:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), step.path)


def refuse(step: s.RefuseLimit) -> None:
    """Raise what `runtime.cgroups.refusals` puts into words."""
    raise OSError(errno.EOPNOTSUPP, step.reason, step.limit)


def filter_devices(step: s.FilterDevices) -> None:
    """Attach a program to a v2 group."""
    from runtime.io import bpf  # hosts of v1 never need it

    group = os.open(step.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        bpf.filter_devices(step.program, group)
    finally:
        os.close(group)


def replace_devices(step: s.ReplaceDevices) -> None:
    """Add what is new, then take away what is gone. Another default begins from nothing."""
    allow, deny = f"{step.path}/devices.allow", f"{step.path}/devices.deny"
    listed = read(f"{step.path}/devices.list").splitlines()
    add, drop = (deny, allow) if step.allow else (allow, deny)
    if step.allow:
        # The kernel does not list what is excepted from everything.
        write_values(allow, ("a",))
        write_values(deny, step.exceptions)
        return
    if "a *:* rwm" in listed:
        write_values(deny, ("a",))
        listed = []
    write_values(add, step.exceptions)
    write_values(drop, tuple(line for line in _surplus(listed, step.exceptions)))


def _surplus(listed: list[str], wanted: tuple[str, ...]) -> list[str]:
    """What is allowed and no longer wanted, as lines that name only that."""
    access = {line.rpartition(" ")[0]: set(line.rpartition(" ")[2]) for line in wanted}
    found: list[str] = []
    for line in listed:
        device, _, letters = line.rpartition(" ")
        if left := "".join(x for x in letters if x not in access.get(device, set[str]())):
            found.append(f"{device} {left}")
    return found


def remove(undo: s.RemoveCgroup) -> None:
    """Wait for the last process to be gone from the group, and from those made in it."""
    deadline = time.monotonic() + (0.0 if undo.shared else _BUSY_GROUP_S)
    while True:
        try:
            os.rmdir(undo.path)
        except FileNotFoundError:
            return
        except OSError as err:
            if err.errno != errno.EBUSY or time.monotonic() >= deadline:
                raise
            if undo.shared or not _remove_below(undo.path):
                select.select((), (), (), 0.002)
        else:
            return


def _remove_below(path: str) -> bool:
    """Remove what the container has made in its own group; whether there was anything."""
    removed = False
    with contextlib.suppress(FileNotFoundError), os.scandir(path) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _remove_below(entry.path)
                with contextlib.suppress(OSError):
                    os.rmdir(entry.path)
                    removed = True
    return removed


def kill(kill_file: str) -> None:
    """Have the kernel kill a whole v2 group, if it can."""
    if kill_file:
        with contextlib.suppress(OSError):
            write_values(kill_file, ("1",))


def read(path: str) -> str:
    """The text of a file of the kernel; nothing if it is not there."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return ""
    try:
        text = part = os.read(descriptor, _MOST_BYTES)
        # The kernel writes whole records into pages: what is shorter than half of one is all.
        while len(part) > _HALF_PAGE:
            part = os.read(descriptor, _MOST_BYTES)
            text += part
        return text.decode(errors="replace")
    except OSError:
        return ""
    finally:
        os.close(descriptor)
