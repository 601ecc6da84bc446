"""Name what a container changed of its image."""

from enum import IntEnum

from msgspec import Struct


class Difference(IntEnum):
    """What became of a path; the numbers are Docker's."""

    MODIFIED = 0
    ADDED = 1
    DELETED = 2


class Change(Struct, frozen=True):
    """One path of the container, absolute in its root, as its file system has it."""

    path: bytes
    kind: Difference
