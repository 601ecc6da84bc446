"""Describe the images of a node."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from swarm.images.config import ImageConfig

LayerStatus: TypeAlias = Literal[
    "waiting", "downloading", "verifying", "extracting", "done", "exists"
]


class Image(Struct, frozen=True, kw_only=True):
    """One image. `id` is the digest of its configuration, `digest` that of its manifest.

    Two pushes of the same image with different compression share the id, not the digest.
    `references` are familiar names, tags first; `size_bytes` is what its layers take unpacked;
    `local` says that it was loaded or imported here rather than pulled.
    """

    id: str
    digest: str
    references: tuple[str, ...]
    created_at: float
    size_bytes: int
    local: bool


class Inspected(Struct, frozen=True, kw_only=True):
    """An image with its configuration, and both documents as they were made."""

    image: Image
    config: ImageConfig
    config_json: bytes
    manifest_json: bytes


class RootFs(Struct, frozen=True, kw_only=True):
    """What overlayfs stacks for a container: `layer_dirs` topmost first, never empty."""

    layer_dirs: tuple[Path, ...]
    config: ImageConfig
    id: str
    digest: str


class LayerProgress(Struct, frozen=True, kw_only=True):
    """How far one layer of a pull is, in bytes of the status it is in."""

    layer: str
    status: LayerStatus
    current_bytes: int = 0
    total_bytes: int = 0


Progress: TypeAlias = Callable[[LayerProgress], None]
