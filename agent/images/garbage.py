"""Decide which content nobody needs any more.

An image without any name that no container uses goes first, and with it whatever only it
needed; one that another image was made from stays as long as that. What a pull or load is
working on is held, and held content stays though no image lists it yet: between the last
blob and the new index there is no other sign of it.
"""

from collections.abc import Collection

from msgspec import Struct

from agent.images.index import Index


class Garbage(Struct, frozen=True):
    """What to delete, in this order; each kind sorted."""

    images: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()
    blobs: tuple[str, ...] = ()


def collect(
    index: Index,
    *,
    blobs: Collection[str],
    layers: Collection[str],
    held: Collection[str],
    in_use: Collection[str],
) -> Garbage:
    """What of `blobs` (digests) and `layers` (diff ids) may go; `in_use` are ids of images."""
    parents = _parents(index, in_use)
    images = [
        record.digest
        for record in index.images
        if not record.names and record.id not in in_use and record.id not in parents
    ]
    kept = [record for record in index.images if record.digest not in images]
    needed_blobs = {digest for record in kept for digest in record.blobs} | set(held)
    needed_layers = {diff_id for record in kept for diff_id in record.diff_ids} | set(held)
    return Garbage(
        images=tuple(sorted(images)),
        layers=tuple(sorted(set(layers) - needed_layers)),
        blobs=tuple(sorted(set(blobs) - needed_blobs)),
    )


def _parents(index: Index, in_use: Collection[str]) -> set[str]:
    """The ids of all images that an image which stays goes back to."""
    parent_of = {record.id: record.parent for record in index.images}
    found: set[str] = set()
    for record in index.images:
        if record.names or record.id in in_use:
            image_id = record.parent
            while image_id and image_id not in found:
                found.add(image_id)
                image_id = parent_of.get(image_id, "")
    return found
