"""Decide what a registry is given of an image that is here.

What came from a registry goes back as it came, byte for byte. What was loaded, imported or made
here may have layers that nobody compressed: those are, and the manifest that says so is
another than ours, with a digest of its own. A registry shares blobs between its repositories, so
whatever says that one of them has a layer is worth a try.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct, structs

from agent.images.index import Index, Record
from swarm.images.manifest import OCI_LAYER, Descriptor, Manifest
from swarm.images.reference import Reference, parse_reference

_GZIPPED = OCI_LAYER + "+gzip"
_PLAIN = (OCI_LAYER, "application/vnd.docker.image.rootfs.diff.tar")
REMEMBERED = 16


class Elsewhere(Struct, frozen=True, kw_only=True):
    """A compressed form of a layer, and the repositories (with their registry) that have it."""

    digest: str
    size: int
    repositories: tuple[str, ...] = ()

    @property
    def descriptor(self) -> Descriptor:
        """As a manifest lists it."""
        return Descriptor(media_type=_GZIPPED, digest=self.digest, size=self.size)


def is_to_compress(record: Record, layer: Descriptor) -> bool:
    """Whether nobody compressed the layer, and nobody's manifest says that this has to be."""
    return record.local and layer.media_type in _PLAIN


def compressed(digest: str, size: int) -> Descriptor:
    """A layer that was compressed here."""
    return Elsewhere(digest=digest, size=size).descriptor


def with_layers(manifest_json: bytes, layers: tuple[Descriptor, ...]) -> bytes:
    """The same manifest with other layers; the same bytes if they are its own."""
    document: dict[str, object] = msgspec.json.decode(manifest_json)
    before = msgspec.json.decode(manifest_json, type=Manifest).layers
    if [each.digest for each in before] == [each.digest for each in layers]:
        return manifest_json
    document["layers"] = [
        {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
        for layer in layers
    ]
    return msgspec.json.encode(document)


def origins(
    index: Index, blob: str, target: Reference, known: Iterable[Elsewhere] = ()
) -> tuple[str, ...]:
    """Repositories of the target's registry that may have `blob`, sorted, itself left out."""
    names = {
        parse_reference(name).name
        for record in index.images
        if blob in record.blobs and not record.local
        for name in record.names
    }
    names |= {name for each in known if each.digest == blob for name in each.repositories}
    prefix = f"{target.registry}/"
    found = {name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    return tuple(sorted(found - {target.repository}))


def remembered(
    known: tuple[Elsewhere, ...], digest: str, size: int, repository: str
) -> tuple[Elsewhere, ...]:
    """`known`, and that `repository` has the layer as `digest`; the latest first, and few."""
    old = next((each for each in known if each.digest == digest), None)
    others = old.repositories if old else ()
    names = (repository, *(each for each in others if each != repository))[:REMEMBERED]
    new = Elsewhere(digest=digest, size=size, repositories=names)
    return (new, *(each for each in known if each is not old))[:REMEMBERED]


def pushed(index: Index, digest: str, name: str, manifest: str) -> Index:
    """The index after the image `digest` was pushed to `name` as the manifest `manifest`.

    From then on that digest means the image, too.
    """
    pinned = str(parse_reference(name).untagged().with_digest(manifest))
    return Index(
        tuple(
            structs.replace(
                record,
                names=record.names if pinned in record.names else (*record.names, pinned),
                pushed=_with(record, manifest),
            )
            if record.digest == digest
            else record
            for record in index.images
        )
    )


def _with(record: Record, manifest: str) -> tuple[str, ...]:
    if manifest in (record.digest, record.manifest, *record.pushed):
        return record.pushed
    return (*record.pushed, manifest)
