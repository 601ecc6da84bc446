"""Pair a file of a control group with what is written there, or say why nothing can be."""

from typing import TypeAlias

from msgspec import Struct


class Setting(Struct, frozen=True):
    """Each value is one write(2). `optional`: not every kernel has the file.

    `bound`: the kernel judges the value together with the settings that follow, so which of
    them has to be written first depends on what is in force. `otherwise` takes its place on
    kernels that lack the file.
    """

    file: str
    values: tuple[str, ...]
    optional: bool = False
    bound: bool = False
    otherwise: "Setting | None" = None


class Refusal(Struct, frozen=True):
    """What `field` of the resources asks for cannot be had here."""

    field: str
    reason: str


Demand: TypeAlias = Setting | Refusal
