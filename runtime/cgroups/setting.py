"""Pair a file of a control group with what is written there."""

from msgspec import Struct


class Setting(Struct, frozen=True):
    """Each value is one write(2). `optional`: not every kernel has the file."""

    file: str
    values: tuple[str, ...]
    optional: bool = False
