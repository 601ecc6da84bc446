"""Say what somebody wants done with the files of a container, and what came of it.

An errand is done by a process of its own, which goes into the container and stays there. What it
is told crosses its standard input as JSON, and so does its first answer on its standard output.
"""

from msgspec import Struct

from runtime.spec import Mount, UserNamespace

HEAD_BYTES = 8  # before the order: its length in digits


class Place(Struct, frozen=True, kw_only=True):
    """How to get to the files of a container.

    One that runs is entered: `pid` is its first process, in a control group named after
    `container`. Any other is put together from `layers` (the image's, topmost first), from what it
    wrote itself (`upper`; empty: nothing yet) and from `mounts`, over the directory `room`, which
    is out of sight for that. `work` is overlayfs' own, beside `upper`, and empty for one that
    cannot be written to.
    """

    container: str
    pid: int = 0
    layers: tuple[str, ...] = ()
    upper: str = ""
    work: str = ""
    room: str = ""
    mounts: tuple[Mount, ...] = ()
    user_namespace: UserNamespace | None = None
    read_only: bool = False


class Stat(Struct, frozen=True, tag=True):
    """Say what a path is."""

    path: str


class Read(Struct, frozen=True, tag=True):
    """Pack what is at a path."""

    path: str


class Write(Struct, frozen=True, tag=True):
    """Unpack the rest of standard input into a directory.

    With `keeps_kinds` no directory is replaced by something else, and nothing else by one. With
    `user` everything belongs to that user of the container; an empty one is nobody in particular.
    """

    path: str
    keeps_kinds: bool = False
    user: str = ""


class Export(Struct, frozen=True, tag=True):
    """Pack all that is in the container's own file system, and nothing that is mounted there."""


Errand = Stat | Read | Write | Export


class Order(Struct, frozen=True, kw_only=True):
    """What to do, and where."""

    place: Place
    errand: Errand


class PathStat(Struct, frozen=True, kw_only=True):
    """What is at a path. `mode` is as Go has it, `link_target` a path in the container."""

    name: str
    size_bytes: int
    mode: int
    modified_at: float
    link_target: str = ""


class Missed(Struct, frozen=True, tag=True):
    """There is nothing at the path."""


class Failed(Struct, frozen=True, tag=True):
    """It did not work. `errno` is the kernel's, if that said no; `is_refused`: it may not be.

    `is_gone`: the container has ended since.
    """

    message: str
    hint: str = ""
    errno: int = 0
    is_refused: bool = False
    is_gone: bool = False


class Done(Struct, frozen=True, tag=True):
    """It is done, or what follows on standard output is what was asked for."""

    stat: PathStat | None = None


Outcome = Done | Missed | Failed
