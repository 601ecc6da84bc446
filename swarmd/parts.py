"""Say which processes make up a node, and how each is started.

Every host has a launcher and an agent; a manager has etcd and a manager besides. They start
in this order and stop in the reverse one, none waits for another: each rides out the time in
which what it needs is not there yet.
"""

import sys

from msgspec import Struct, field


class Part(Struct, frozen=True, kw_only=True):
    """One child process: its command line, and how long it may take to stop."""

    name: str
    argv: tuple[str, ...]
    env: dict[str, str] = field(default_factory=dict[str, str])
    stop_grace_s: float = 5.0


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Run one of our modules; never one that happens to lie in the working directory (-P)."""
    return (sys.executable, "-P", "-m", name, *arguments)
