"""Decide which content nobody needs any more.

An image without any name that no task uses goes first, and with it whatever only it
needed. What a pull or load is working on is held, and held content stays though no image
lists it yet: between the last blob and the new index there is no other sign of it.
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
    images = [
        record.digest for record in index.images if not record.names and record.id not in in_use
    ]
    kept = [record for record in index.images if record.digest not in images]
    needed_blobs = {digest for record in kept for digest in record.blobs} | set(held)
    needed_layers = {diff_id for record in kept for diff_id in record.diff_ids} | set(held)
    return Garbage(
        images=tuple(sorted(images)),
        layers=tuple(sorted(set(layers) - needed_layers)),
        blobs=tuple(sorted(set(blobs) - needed_blobs)),
    )
