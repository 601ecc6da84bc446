"""Hold what earlier steps leave for later ones: descriptors, the identity, a filter."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct

from runtime.steps import Filesystem
from runtime.users import Identity

if TYPE_CHECKING:
    import socket


class Overseer(Protocol):
    """Whoever had the process made, as the process sees it. Each call may raise `OSError`.

    `title` is where the process's arguments lie (`runtime.io.title`), `preserved` how many
    descriptors behind the standard ones the program inherits. Without `has_gate`, `ready` is
    never called.
    """

    title: tuple[int, int]
    preserved: int
    has_gate: bool

    def continued(self) -> None:
        """This is a child that goes on; the process before it is about to end."""
        ...

    def created(self) -> None:
        """Namespaces and mounts are there; returns when process 1 may let go of the host."""
        ...

    def terminal(self, master: int) -> None:
        """The master of the process's terminal, to be kept or passed on."""
        ...

    def ready(self) -> None:
        """All is done but what follows at the gate; returns when it is open."""
        ...

    def executing(self) -> None:
        """What follows is the program, or why it cannot be had."""
        ...


class Ahead(Struct):
    """What a process has made before it knew what for (`runtime.io.inside.ahead`).

    CLONE_NEW* flags of the namespaces that it is in; the host's own, each with its flag, to go
    back to; file systems as detached mounts.
    """

    namespaces: int = 0
    hosts: tuple[tuple[int, int], ...] = ()
    filesystems: dict[Filesystem, int] = {}

    def take(self, wanted: Filesystem) -> int:
        """A file system like this, which is the caller's now; -1 if there is none."""
        return self.filesystems.pop(wanted, -1)


# Takes our network namespace to whoever connects it, and where he writes to after that.
Offering = Callable[[int, int], None]


class Held:
    """The process's own side of things; -1 is nothing."""

    def __init__(self, overseer: Overseer, ahead: Ahead, offer: Offering | None) -> None:
        self.overseer = overseer
        self.ahead = ahead
        self.offer = offer
        self.mounts: dict[int, int] = {}
        self.root = -1
        self.proc = -1
        self.user_namespace = -1
        self.go = -1  # readable once the network is connected, or nobody is to connect it
        self.directory: tuple[str, int] = ("", -1)  # the last one that something was made in
        self.null = -1
        self.bare = -1
        self.filter = b""
        self.is_filtered = False
        self.listener: socket.socket | None = None  # who answers a filter's notifications
        self.unreached_workdir = ""
        self.identity = Identity()
