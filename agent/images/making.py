"""Name what is made here, of layers that nobody packed yet."""

from swarm.errors import Invalid
from swarm.images.manifest import OCI_LAYER, Descriptor
from swarm.images.reference import parse_reference


def names_of(references: tuple[str, ...]) -> tuple[str, ...]:
    """Canonical names; `Invalid` for one that chooses its digest."""
    names: list[str] = []
    for reference in references:
        parsed = parse_reference(reference)
        if parsed.digest:
            raise Invalid(
                f"reference {reference!r}: an image that is made here cannot choose its digest",
                hint="write it as NAME[:TAG]",
            )
        names.append(str(parsed.with_default_tag()))
    return tuple(dict.fromkeys(names))


def packed_as(diff_id: str, tar_bytes: int) -> Descriptor:
    """How a layer that is packed here would be: not compressed, so its digest is its diff id."""
    return Descriptor(media_type=OCI_LAYER, digest=diff_id, size=tar_bytes)
