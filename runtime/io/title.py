"""Show a forked process under its own name.

A fork keeps the command line of what it was forked from, and shims that look like launchers
would be killed with one. The kernel shows whatever lies where the arguments once were, so
the new title is written there; it is cut to the room that the old one left.
"""

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
        title = b"\0".join(word.encode() for word in (name, *words))
        kernel.overwrite(start, title[: room - 1].ljust(room, b"\0"))
