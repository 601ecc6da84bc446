"""Describe the images of a node."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from msgspec import Struct

from swarm.images.config import ImageConfig

LayerStatus: TypeAlias = Literal[
    "waiting", "downloading", "verifying", "extracting", "done", "exists"
]

PushStatus: TypeAlias = Literal["waiting", "preparing", "pushing", "pushed", "exists", "mounted"]


class Image(Struct, frozen=True, kw_only=True):
    """One image. `id` is the digest of its configuration, `digest` that of its manifest.

    Two pushes of the same image with different compression share the id, not the digest.
    `references` are familiar names, tags first; `size_bytes` is what its layers take unpacked;
    `local` says that it was loaded, imported or made here rather than pulled; `parent` is the id
    of the image that it was made from here, and `tagged_at` when it last got a name.
    """

    id: str
    digest: str
    references: tuple[str, ...]
    created_at: float
    size_bytes: int
    local: bool
    parent: str = ""
    tagged_at: float = 0.0


class UnpackedLayer(Struct, frozen=True, kw_only=True):
    """A layer as it lies on this node."""

    diff_id: str
    directory: Path
    size_bytes: int


class Inspected(Struct, frozen=True, kw_only=True):
    """An image with its configuration, and both documents as they were made.

    `layers` has the lowest first.
    """

    image: Image
    config: ImageConfig
    config_json: bytes
    manifest_json: bytes
    layers: tuple[UnpackedLayer, ...] = ()


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


class PushProgress(Struct, frozen=True, kw_only=True):
    """How far one layer of a push is; `layer` is its diff id, whatever it is sent as.

    `origin` is the repository that it was mounted from.
    """

    layer: str
    status: PushStatus
    current_bytes: int = 0
    total_bytes: int = 0
    origin: str = ""


Progress: TypeAlias = Callable[[LayerProgress], None]
