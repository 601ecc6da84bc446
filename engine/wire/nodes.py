"""Lay out a node's spec as Docker's API writes it, for both directions; see `engine.wire.shape`."""

from msgspec import Struct

from engine.wire.decoding import Int64


class TaintJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """Ours: what keeps tasks away that do not tolerate it."""

    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpecJson(Struct, frozen=True, kw_only=True, omit_defaults=True, rename="pascal"):
    """A node as its operator wants it."""

    name: str = ""
    labels: dict[str, str] | None = None
    role: str = ""
    availability: str = ""
    taints: tuple[TaintJson, ...] | None = None  # ours, and what follows
    drain_timeout: Int64 | None = None
