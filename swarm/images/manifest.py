"""Read manifests and indexes, which come from strangers.

OCI and Docker (schema 2) documents differ only in their media types, so both are read as one
value. The media type that a registry announces is a hint; the document itself decides,
because archives and some registries announce nothing.
"""

from typing import TypeVar

import msgspec
from msgspec import Struct, field

from swarm.errors import Invalid, Missing
from swarm.images.digest import is_digest
from swarm.images.platform import Platform, suits

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"

ACCEPTED = (OCI_INDEX, DOCKER_INDEX, OCI_MANIFEST, DOCKER_MANIFEST)
MANIFEST_LIMIT_BYTES = 4 << 20
LAYERS_LIMIT = 500  # overlayfs stacks no more

S = TypeVar("S", bound=Struct)


class Descriptor(Struct, frozen=True, rename="camel", kw_only=True):
    """Names content by what it is; `size` is in bytes."""

    media_type: str = ""
    digest: str
    size: int
    platform: Platform | None = None
    annotations: dict[str, str] | None = None


class Manifest(Struct, frozen=True, rename="camel", kw_only=True):
    """One image for one platform: its configuration and its layers, lowest first."""

    schema_version: int
    media_type: str = ""
    config: Descriptor
    layers: tuple[Descriptor, ...]

    @property
    def size_bytes(self) -> int:
        """What a node without any of it would download."""
        return self.config.size + sum(layer.size for layer in self.layers)


class Index(Struct, frozen=True, rename="camel", kw_only=True):
    """One image for several platforms, or the table of contents of an archive."""

    schema_version: int
    media_type: str = ""
    manifests: tuple[Descriptor, ...] = ()


class _Shape(Struct, rename="camel"):
    schema_version: int = 0
    media_type: str = ""
    config: msgspec.Raw = field(default_factory=msgspec.Raw)
    manifests: msgspec.Raw = field(default_factory=msgspec.Raw)


def parse_document(body: bytes, *, what: str = "manifest") -> Manifest | Index:
    """Read a manifest or an index; every problem is `Invalid` and says where it is."""
    if len(body) > MANIFEST_LIMIT_BYTES:
        raise Invalid(f"{what}: {len(body)} bytes are more than the {MANIFEST_LIMIT_BYTES} allowed")
    shape = _decode(body, _Shape, what)
    if shape.schema_version == 1:
        raise Invalid(
            f"{what}: schema 1 images are no longer supported",
            hint="push the image again with a current tool",
        )
    if shape.schema_version != 2:
        raise Invalid(f"{what}: schemaVersion: must be 2, is {shape.schema_version}")
    if bytes(shape.manifests) and not bytes(shape.config):
        index = _decode(body, Index, what)
        _check(what, "manifests", index.manifests)
        return index
    manifest = _decode(body, Manifest, what)
    _check(what, "config", (manifest.config,))
    _check(what, "layers", manifest.layers)
    if len(manifest.layers) > LAYERS_LIMIT:
        raise Invalid(f"{what}: {len(manifest.layers)} layers are more than {LAYERS_LIMIT}")
    return manifest


def choose(index: Index, platform: Platform, *, what: str = "image") -> Descriptor:
    """The manifest that runs best on `platform`; `Missing` lists what is offered instead."""
    images = [entry for entry in index.manifests if is_image(entry)]
    ranked = [(suits(entry.platform, platform) if entry.platform else 1, entry) for entry in images]
    best = max((rank for rank, _ in ranked), default=0)
    for rank, entry in ranked:
        if rank and rank == best:
            return entry
    offered = ", ".join(sorted({str(entry.platform) for entry in images})) or "no platform"
    raise Missing(f"{what} has no image for {platform}", hint=f"it is offered for {offered}")


def is_image(entry: Descriptor) -> bool:
    """Whether an index entry is an image, not an attestation or another kind of artefact."""
    if (entry.annotations or {}).get("vnd.docker.reference.type"):
        return False
    if entry.platform and entry.platform.os == "unknown":
        return False
    return entry.media_type in ("", *ACCEPTED)


def _decode(body: bytes, kind: type[S], what: str) -> S:
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as err:
        raise Invalid(f"{what}: {err}") from err
    except (msgspec.DecodeError, UnicodeDecodeError) as err:
        raise Invalid(f"{what}: not JSON: {err}") from err


def _check(what: str, path: str, entries: tuple[Descriptor, ...]) -> None:
    for number, entry in enumerate(entries):
        if not is_digest(entry.digest):
            raise Invalid(f"{what}: {path}[{number}].digest: {entry.digest!r} is not sha256")
        if entry.size < 0:
            raise Invalid(f"{what}: {path}[{number}].size: {entry.size} is negative")
