"""Say what an archive of images holds, that Docker and the tools of the OCI read alike.

Everything lies in it by digest, as in an OCI layout, and `manifest.json` says the same in Docker's
words. Layers are as they are here, compressed or not, so that an image keeps its digest on its
way through an archive. The same images make the same bytes: nothing in it has a date.
"""

from collections.abc import Iterable

import msgspec
from msgspec import Struct

from agent.images.index import Index, Record, find
from swarm.errors import Invalid
from swarm.images.digest import hex_of, is_digest
from swarm.images.manifest import Descriptor
from swarm.images.reference import Reference, parse_reference

BLOBS = "blobs/sha256"
_IMAGE_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"


class Choice(Struct, frozen=True):
    """An image to be saved, and the canonical tags that it keeps."""

    record: Record
    names: tuple[str, ...]


class Saved(Struct, frozen=True, kw_only=True):
    """What is saved of one image. `entry` is what its digest names: a manifest or an index."""

    names: tuple[str, ...]
    entry: Descriptor
    config: str
    layers: tuple[str, ...]
    top: str  # the diff id of its last layer


def choose(index: Index, texts: Iterable[str]) -> tuple[Choice, ...]:
    """What `texts` mean, each image once: a name alone is all its tags, an id has none.

    Raises `Missing` for the first that is not here.
    """
    chosen: dict[str, tuple[Record, dict[str, None]]] = {}
    for text in texts:
        for record, names in _chosen(index, text):
            kept = chosen.setdefault(record.digest, (record, {}))[1]
            kept.update(dict.fromkeys(names))
    return tuple(Choice(record, tuple(names)) for record, names in chosen.values())


def documents(saved: Iterable[Saved]) -> dict[str, bytes]:
    """The files beside the blobs, by name, in the order they are written in."""
    images = tuple(saved)
    repositories: dict[str, dict[str, str]] = {}
    for image in images:
        for name in image.names:
            parsed = parse_reference(name)
            repositories.setdefault(parsed.familiar_name, {})[parsed.tag] = hex_of(image.top)
    index = {
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [entry for image in images for entry in _entries(image)],
    }
    manifest = [
        {
            "Config": _path(image.config),
            "RepoTags": [parse_reference(name).familiar for name in image.names] or None,
            "Layers": [_path(layer) for layer in image.layers],
        }
        for image in images
    ]
    written: dict[str, object] = {
        "index.json": index,
        "manifest.json": manifest,
        "oci-layout": {"imageLayoutVersion": "1.0.0"},
    }
    if repositories:
        written["repositories"] = repositories
    return {name: msgspec.json.encode(content) for name, content in written.items()}


def _chosen(index: Index, text: str) -> list[tuple[Record, tuple[str, ...]]]:
    reference = _reference(text)
    if reference is not None and not reference.digest and not reference.tag:
        prefix = f"{reference}:"
        found = [
            (record, tags)
            for record in index.images
            if (tags := tuple(name for name in record.tags if name.startswith(prefix)))
        ]
        if found:
            return found
    record = find(index, text)
    name = "" if reference is None else str(reference.with_default_tag())
    return [(record, (name,) if name in record.tags else ())]


def _reference(text: str) -> Reference | None:
    if is_digest(text):
        return None
    try:
        return parse_reference(text)
    except Invalid:
        return None


def _entries(image: Saved) -> list[dict[str, object]]:
    entry: dict[str, object] = {
        "mediaType": image.entry.media_type,
        "digest": image.entry.digest,
        "size": image.entry.size,
    }
    named: list[dict[str, object]] = [
        entry | {"annotations": {_IMAGE_NAME: name, _REF_NAME: parse_reference(name).tag}}
        for name in image.names
    ]
    return named or [entry]


def _path(digest: str) -> str:
    return f"{BLOBS}/{hex_of(digest)}"
