"""Show a forked process under its own name.

A fork keeps the command line of what it was forked from, and shims that look like launchers
would be killed with one. The kernel shows whatever lies where the arguments once were, so
the new title is written there; it is cut to the room that the old one left.
"""

import os

from runtime.io import kernel
from runtime.io.host import read

_ARG_START = 48


def arguments() -> tuple[int, int]:
    """Where this process's arguments lie, and how many bytes they have (proc_pid_stat(5))."""
    fields = read("/proc/self/stat").rpartition(")")[2].split()
    start, end = (int(fields[number - 3]) for number in (_ARG_START, _ARG_START + 1))
    return start, end - start


def set_title(name: str, *words: str, place: tuple[int, int]) -> None:
    """Be called `name` in every listing, with `words` behind it on the command line."""
    kernel.set_name(name)
    start, room = place
    if start and room:
        kernel.overwrite(start, _fitted(name, words, room))


def set_title_through_proc(name: str, *words: str, place: tuple[int, int]) -> None:
    """Do the same where /proc is the host's: calls by ctypes would cost a shim 60 KiB."""
    start, room = place
    descriptor = os.open("/proc/self/comm", os.O_WRONLY | os.O_CLOEXEC)
    os.write(descriptor, name.encode())
    os.close(descriptor)
    if start and room:
        descriptor = os.open("/proc/self/mem", os.O_WRONLY | os.O_CLOEXEC)
        os.pwrite(descriptor, _fitted(name, words, room), start)
        os.close(descriptor)


def _fitted(name: str, words: tuple[str, ...], room: int) -> bytes:
    title = "\0".join((name, *words)).encode()
    return title[: room - 1].ljust(room, b"\0")
