"""Read what `docker save` and OCI tools pack, from the names and digests of their members.

Two layouts, and modern `docker save` writes both at once: then the OCI half decides, because
it keeps the digest that the registry knew, and the other adds its names. A docker-archive has
no manifest of its own, so one is made, always the same from the same content: nodes that load
the same file agree on its digest.
"""

from collections.abc import Iterable
from posixpath import dirname, join, normpath

import msgspec
from msgspec import Struct, field

from agent.images.compression import GZIP, ZSTD
from swarm.errors import Invalid, Missing
from swarm.images.config import ImageConfig, parse_config
from swarm.images.digest import digest_of, hex_of
from swarm.images.manifest import (
    DOCKER_CONFIG,
    OCI_CONFIG,
    OCI_LAYER,
    OCI_MANIFEST,
    Descriptor,
    Index,
    Manifest,
    choose,
    is_image,
    parse_document,
)
from swarm.images.platform import Platform, suits
from swarm.images.reference import parse_reference

_IMAGE_NAME = "io.containerd.image.name"
_REF_NAME = "org.opencontainers.image.ref.name"
_SUFFIXES = {"": "", GZIP: "+gzip", ZSTD: "+zstd"}
_HINT = "the file may be cut short or edited: save the image again"


class Member(Struct, frozen=True, kw_only=True):
    """One file of an archive, known by its content."""

    digest: str
    size: int
    compression: str = ""
    is_document: bool = False  # small, and starts like JSON


class Contents(Struct, frozen=True, kw_only=True):
    """What an archive holds: files and links by name, and the bytes of its JSON by digest."""

    members: dict[str, Member]
    links: dict[str, str] = field(default_factory=dict[str, str])
    documents: dict[str, bytes] = field(default_factory=dict[str, bytes])


class Found(Struct, frozen=True, kw_only=True):
    """An image in an archive. `layers` are blobs, lowest first, each a member of it.

    `documents` are the bytes of its config, manifest and index, by digest; `names` canonical.
    """

    names: tuple[str, ...]
    digest: str
    manifest: str
    config_digest: str
    config: ImageConfig
    layers: tuple[Descriptor, ...]
    documents: dict[str, bytes]


class _Saved(Struct, rename="pascal"):
    config: str
    repo_tags: tuple[str, ...] | None = None
    layers: tuple[str, ...] | None = None


def find_images(contents: Contents, platform: Platform) -> tuple[Found, ...]:
    """All images of an archive that run on `platform`; at least one, or an error that says why."""
    saved = _saved(contents)
    if "index.json" in contents.members and "oci-layout" in contents.members:
        return _from_layout(contents, saved, platform)
    if saved is None:
        raise Invalid(
            "not an image archive: it holds neither manifest.json nor index.json",
            hint="for a tar of a root file system use image import",
        )
    if not saved:
        raise Invalid("archive: manifest.json lists no image", hint=_HINT)
    return tuple(_from_saved(contents, number, item) for number, item in enumerate(saved))


def make_manifest(config: bytes, layers: tuple[Descriptor, ...]) -> bytes:
    """An OCI manifest; the same bytes for the same content, whoever makes it."""
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": {"mediaType": OCI_CONFIG, "digest": digest_of(config), "size": len(config)},
        "layers": [
            {"mediaType": layer.media_type, "digest": layer.digest, "size": layer.size}
            for layer in layers
        ],
    }
    return msgspec.json.encode(document)


def layer_type(compression: str) -> str:
    """The media type of a layer that is compressed so."""
    return OCI_LAYER + _SUFFIXES[compression]


def _saved(contents: Contents) -> tuple[_Saved, ...] | None:
    if "manifest.json" not in contents.members:
        return None
    try:
        return msgspec.json.decode(_document(contents, "manifest.json"), type=tuple[_Saved, ...])
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise Invalid(f"archive: manifest.json: {err}", hint=_HINT) from err


def _from_saved(contents: Contents, number: int, item: _Saved) -> Found:
    where = f"manifest.json[{number}]"
    body = _document(contents, item.config, where=f"{where}.Config")
    config = parse_config(body)
    layers = tuple(
        _as_layer(_member(contents, name, where=f"{where}.Layers")) for name in item.layers or ()
    )
    if len(layers) != len(config.diff_ids):
        raise Invalid(
            f"archive: {where}: {len(layers)} layers, but its config lists"
            f" {len(config.diff_ids)} diff_ids",
            hint=_HINT,
        )
    manifest = make_manifest(body, layers)
    digest, config_digest = digest_of(manifest), digest_of(body)
    return Found(
        names=_canonical(item.repo_tags or (), where=f"{where}.RepoTags"),
        digest=digest,
        manifest=digest,
        config_digest=config_digest,
        config=config,
        layers=layers,
        documents={digest: manifest, config_digest: body},
    )


def _as_layer(member: Member) -> Descriptor:
    return Descriptor(
        media_type=layer_type(member.compression), digest=member.digest, size=member.size
    )


def _from_layout(
    contents: Contents, saved: tuple[_Saved, ...] | None, platform: Platform
) -> tuple[Found, ...]:
    index = parse_document(_document(contents, "index.json"), what="index.json")
    if not isinstance(index, Index):
        raise Invalid("archive: index.json is a manifest, not an index", hint=_HINT)
    entries = [entry for entry in index.manifests if is_image(entry)]
    if not entries:
        raise Invalid("archive: index.json lists no image", hint=_HINT)
    fitting = [entry for entry in entries if not entry.platform or suits(entry.platform, platform)]
    if not fitting:
        offered = ", ".join(sorted({str(entry.platform) for entry in entries}))
        raise Missing(f"archive: no image for {platform}", hint=f"it holds {offered}")
    found = _merged(_from_entry(contents, entry, platform) for entry in fitting)
    tags = {
        digest_of(_document(contents, item.config)): _canonical(
            item.repo_tags or (), where="manifest.json: RepoTags"
        )
        for item in saved or ()
    }
    return tuple(
        msgspec.structs.replace(
            image, names=tuple(dict.fromkeys((*image.names, *tags.get(image.config_digest, ()))))
        )
        for image in found
    )


def _merged(found: Iterable[Found]) -> list[Found]:
    """Each image once: an index has an entry for each of its names."""
    images: dict[str, Found] = {}
    for image in found:
        known = images.get(image.digest)
        names = (*known.names, *image.names) if known else image.names
        images[image.digest] = msgspec.structs.replace(image, names=tuple(dict.fromkeys(names)))
    return list(images.values())


def _from_entry(contents: Contents, entry: Descriptor, platform: Platform) -> Found:
    documents = {entry.digest: _blob_document(contents, entry)}
    parsed = parse_document(documents[entry.digest], what=f"archive: {entry.digest}")
    manifest_digest = entry.digest
    if isinstance(parsed, Index):
        # Tools that save one platform keep the whole index, so only what is here is on offer.
        here = tuple(part for part in parsed.manifests if _path(part) in contents.members)
        chosen = choose(msgspec.structs.replace(parsed, manifests=here), platform, what="archive")
        manifest_digest = chosen.digest
        documents[chosen.digest] = _blob_document(contents, chosen)
        parsed = parse_document(documents[chosen.digest], what=f"archive: {chosen.digest}")
    if not isinstance(parsed, Manifest):
        raise Invalid(f"archive: {manifest_digest} is an index within an index", hint=_HINT)
    config_body = _blob_document(contents, parsed.config)
    documents[parsed.config.digest] = config_body
    config = check_config(parsed, config_body, what="archive")
    for layer in parsed.layers:
        _check_blob(contents, layer)
    return Found(
        names=_entry_names(entry),
        digest=entry.digest,
        manifest=manifest_digest,
        config_digest=parsed.config.digest,
        config=config,
        layers=parsed.layers,
        documents=documents,
    )


def check_config(manifest: Manifest, body: bytes, *, what: str) -> ImageConfig:
    """The configuration of `manifest`; `Invalid` when it is no image's or does not fit."""
    if manifest.config.media_type not in ("", OCI_CONFIG, DOCKER_CONFIG):
        raise Invalid(f"{what}: not a container image but {manifest.config.media_type!r}")
    config = parse_config(body)
    if len(config.diff_ids) != len(manifest.layers):
        raise Invalid(
            f"{what}: {len(manifest.layers)} layers, but its config lists"
            f" {len(config.diff_ids)} diff_ids"
        )
    return config


def _entry_names(entry: Descriptor) -> tuple[str, ...]:
    """The names in an entry's annotations; a bare word is a tag of nobody knows what."""
    annotations = entry.annotations or {}
    full, short = annotations.get(_IMAGE_NAME, ""), annotations.get(_REF_NAME, "")
    names = [full] if full else [short] if ":" in short or "/" in short else []
    return _canonical(tuple(names), where="index.json: annotations")


def _canonical(names: tuple[str, ...], *, where: str) -> tuple[str, ...]:
    try:
        return tuple(str(parse_reference(name).with_default_tag()) for name in names)
    except Invalid as err:
        raise Invalid(f"archive: {where}: {err.message}", hint=err.hint) from err


def _document(contents: Contents, name: str, *, where: str = "") -> bytes:
    member = _member(contents, name, where=where)
    body = contents.documents.get(member.digest)
    if body is None:
        raise Invalid(f"archive: {name} is not JSON", hint=_HINT)
    return body


def _member(contents: Contents, name: str, *, where: str = "") -> Member:
    path = normpath(name)
    for _ in range(8):
        if path in contents.members:
            return contents.members[path]
        if path not in contents.links:
            break
        path = normpath(join(dirname(path), contents.links[path]))
    place = f"{where}: " if where else ""
    raise Invalid(f"archive: {place}{name!r} is not in it", hint=_HINT)


def _path(blob: Descriptor) -> str:
    return f"blobs/sha256/{hex_of(blob.digest)}"


def _check_blob(contents: Contents, blob: Descriptor) -> Member:
    member = _member(contents, _path(blob))
    if member.digest != blob.digest:
        raise Invalid(
            f"archive: blob is corrupted: expected {blob.digest}, actual {member.digest}",
            hint=_HINT,
        )
    if member.size != blob.size:
        raise Invalid(
            f"archive: blob {blob.digest}: expected {blob.size} bytes, actual {member.size}",
            hint=_HINT,
        )
    return member


def _blob_document(contents: Contents, blob: Descriptor) -> bytes:
    _check_blob(contents, blob)
    return _document(contents, _path(blob))
