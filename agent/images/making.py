"""Say what an image is that is made here, of layers on top of another image.

What is made of the same is the same, to the digest, on whatever host: times and names are the
caller's, and nothing else comes in.
"""

from msgspec import Struct, structs

from agent.images.archive import make_manifest
from agent.images.config_json import encode_config
from agent.images.index import Record
from swarm.errors import Invalid
from swarm.images.config import ImageConfig, Step
from swarm.images.digest import digest_of
from swarm.images.manifest import LAYERS_LIMIT, OCI_LAYER, Descriptor
from swarm.images.reference import parse_reference


class Draft(Struct, frozen=True, kw_only=True):
    """An image to be made. `parent` is the id of the image that it goes on from, or empty.

    `layers` are diff ids, those that come on top of the parent's, the lowest first. `config` is
    how it runs, when it was made, by whom and for which platform; its own `diff_ids` are not
    asked. `steps` tell of each layer, and may tell of more. `references` are names as users
    type them, without a digest.
    """

    config: ImageConfig
    parent: str = ""
    layers: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    comment: str = ""
    references: tuple[str, ...] = ()


class Parent(Struct, frozen=True, kw_only=True):
    """What is known of the image that another one goes on from."""

    record: Record
    config_json: bytes
    layers: tuple[Descriptor, ...]


class Layer(Struct, frozen=True, kw_only=True):
    """A new layer. `descriptor` says how it would be packed; `is_kept`: there is a blob of it."""

    diff_id: str
    descriptor: Descriptor
    size_bytes: int
    is_kept: bool = False


class Made(Struct, frozen=True, kw_only=True):
    """An image, and the two documents that are to be kept before it is listed."""

    record: Record
    config_json: bytes
    manifest_json: bytes


def made(draft: Draft, layers: tuple[Layer, ...], parent: Parent | None, *, now: float) -> Made:
    """The image of `draft`; `Invalid` when it cannot be. `layers` are those of the draft."""
    below = parent.record.diff_ids if parent else ()
    diff_ids = (*below, *(layer.diff_id for layer in layers))
    if len(diff_ids) > LAYERS_LIMIT:
        raise Invalid(
            f"the image would have {len(diff_ids)} layers, more than {LAYERS_LIMIT}",
            hint="start from an image with fewer layers, or do more in one step",
        )
    telling = sum(not step.is_empty for step in draft.steps)
    assert telling == len(layers), "a step for each layer"
    config = structs.replace(draft.config, diff_ids=diff_ids)
    config_json = encode_config(
        config,
        steps=draft.steps,
        comment=draft.comment,
        parent=parent.config_json if parent else b"",
    )
    descriptors = (*(parent.layers if parent else ()), *(layer.descriptor for layer in layers))
    manifest_json = make_manifest(config_json, descriptors)
    digest, image_id = digest_of(manifest_json), digest_of(config_json)
    kept = {layer.descriptor.digest for layer in layers if layer.is_kept}
    inherited = {layer.digest for layer in parent.layers} if parent else set[str]()
    blobs = inherited & set(parent.record.blobs) if parent else set[str]()
    size = sum(layer.size_bytes for layer in layers)
    record = Record(
        id=image_id,
        digest=digest,
        manifest=digest,
        blobs=tuple(sorted({digest, image_id, *kept, *blobs})),
        diff_ids=diff_ids,
        size_bytes=size + (parent.record.size_bytes if parent else 0),
        created_at=config.created_at,
        local=True,
        names=names_of(draft.references),
        parent=draft.parent,
        tagged_at=now if draft.references else 0.0,
    )
    return Made(record=record, config_json=config_json, manifest_json=manifest_json)


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
