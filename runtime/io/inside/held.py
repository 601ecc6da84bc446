"""Hold what earlier steps leave for later ones: descriptors, the identity, a filter."""

from socket import socket
from typing import Protocol

from runtime.users import Identity


class Overseer(Protocol):
    """Whoever had the process made, as the process sees it. Each call may raise `OSError`.

    `title` is where the process's arguments lie (`runtime.io.title`), `preserved` how many
    descriptors behind the standard ones the program inherits. Without `has_gate`, `ready` is
    never called.
    """

    title: tuple[int, int]
    preserved: int
    has_gate: bool

    def forked(self, pid: int) -> None:
        """A child with this number goes on, and this process is about to end."""
        ...

    def continued(self) -> None:
        """This is that child."""
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


class Held:
    """The process's own side of things; -1 is nothing."""

    def __init__(self, overseer: Overseer) -> None:
        self.overseer = overseer
        self.mounts: dict[int, int] = {}
        self.root = -1
        self.proc = -1
        self.user_namespace = -1
        self.directory: tuple[str, int] = ("", -1)  # the last one that something was made in
        self.null = -1
        self.bare = -1
        self.filter = b""
        self.is_filtered = False
        self.listener: socket | None = None  # who answers a filter's notifications
        self.unreached_workdir = ""
        self.identity = Identity()
