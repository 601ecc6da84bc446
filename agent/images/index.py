"""Remember which images a node has and what they are called.

An image is known by the digest that its name resolved to. For an image of several platforms
that is the index, and `manifest` is the one platform we took from it: a service pinned to either
finds it. A tag belongs to one image only; moving it leaves the old image nameless, not gone.
References are kept in canonical form.
"""

import re
from contextlib import suppress

import msgspec
from msgspec import Struct, structs

from agent.images.image import Image
from swarm.errors import Invalid, Missing
from swarm.images.digest import is_digest
from swarm.images.reference import Reference, parse_reference

_HEX = re.compile(r"[0-9a-f]{1,64}\Z")


class Record(Struct, frozen=True, kw_only=True):
    """One image as the store keeps it. `blobs` are all it needs; `diff_ids` lowest first.

    `parent` is the id of the image that it was made from here. `tagged_at` is when it last got a
    name. `pushed` are digests of manifests that say the same of it in registries. One that
    `is_removed` is there only for the containers that use it: no name finds it.
    """

    id: str
    digest: str
    manifest: str
    blobs: tuple[str, ...]
    diff_ids: tuple[str, ...]
    size_bytes: int
    created_at: float
    local: bool
    names: tuple[str, ...] = ()
    parent: str = ""
    tagged_at: float = 0.0
    pushed: tuple[str, ...] = ()
    is_removed: bool = False

    @property
    def tags(self) -> tuple[str, ...]:
        """The names without a digest."""
        return tuple(name for name in self.names if "@" not in name)

    @property
    def digests(self) -> tuple[str, ...]:
        """Every digest that means this image, wherever it was heard."""
        return (self.digest, self.manifest, *self.pushed)

    def to_image(self) -> Image:
        """What callers see."""
        familiar = [parse_reference(name).familiar for name in self.names]
        return Image(
            id=self.id,
            digest=self.digest,
            references=tuple(sorted(familiar, key=lambda name: ("@" in name, name))),
            created_at=self.created_at,
            size_bytes=self.size_bytes,
            local=self.local,
            parent=self.parent,
            tagged_at=self.tagged_at,
        )


class Index(Struct, frozen=True):
    """All images of a node."""

    images: tuple[Record, ...] = ()

    def check(self) -> None:
        """Assert what must hold after every change."""
        digests = [record.digest for record in self.images]
        assert len(set(digests)) == len(digests), "an image is listed twice"
        names = [name for record in self.images for name in record.tags]
        assert len(set(names)) == len(names), "a tag belongs to two images"


def encode(index: Index) -> bytes:
    """The index as JSON."""
    return msgspec.json.format(msgspec.json.encode(index), indent=1)


def decode(body: bytes) -> Index:
    """Read `encode`'s JSON; `Invalid` when it is not that."""
    try:
        return msgspec.json.decode(body, type=Index)
    except (msgspec.MsgspecError, UnicodeDecodeError) as err:
        raise Invalid(f"image index: {err}") from err


def put(index: Index, added: Record) -> Index:
    """Add `added`, or give its names to the image that is already there.

    Its tags leave whatever image had them. An image that was pulled stays pulled, and one
    that was made here stays local, whoever brings it again. What was removed is back.
    """
    taken = frozenset(added.names)
    others = tuple(
        structs.replace(record, names=_without(record.names, taken))
        for record in index.images
        if record.digest != added.digest
    )
    known = next((record for record in index.images if record.digest == added.digest), None)
    if known is None:
        return Index((*others, added))
    new = _without(added.names, frozenset(known.names))
    whole = structs.replace(
        known,
        names=known.names + new,
        tagged_at=added.tagged_at if new else known.tagged_at,
        parent=known.parent or added.parent,
        is_removed=False,
    )
    return Index((*others, whole))


def tag(index: Index, source: str, name: str, *, now: float) -> Index:
    """Give the image that `source` means the canonical tag `name`, wherever it was before."""
    return put(index, structs.replace(find(index, source), names=(name,), tagged_at=now))


def find(index: Index, text: str) -> Record:
    """The image that `text` means: a name, a name with a digest, an id or the start of one.

    A digest decides alone; the name before it is where to pull from, not what to find. Raises
    `Missing`, and `Invalid` when several images match.
    """
    index = Index(tuple(record for record in index.images if not record.is_removed))
    digest = text if is_digest(text) else _reference_digest(text)
    if digest:
        return _only(text, _by_digest(index, digest))
    if by_name := _by_name(index, text):
        return by_name
    prefix = text.removeprefix("sha256:")
    if _HEX.match(prefix):
        matches = [record for record in index.images if record.id[7:].startswith(prefix)]
        return _only(text, matches)
    raise _missing(text)


def find_used(index: Index, text: str) -> Record:
    """As `find`; an id also means an image that was removed while a container used it."""
    removed = [each for each in index.images if each.id == text and each.is_removed]
    return removed[0] if removed and _is_all(index, text, removed) else find(index, text)


def _is_all(index: Index, image_id: str, records: list[Record]) -> bool:
    return sum(each.id == image_id for each in index.images) == len(records)


def _by_digest(index: Index, digest: str) -> list[Record]:
    exact = [record for record in index.images if digest in record.digests]
    return exact or [record for record in index.images if record.id == digest]


def _by_name(index: Index, text: str) -> Record | None:
    try:
        name = str(parse_reference(text).with_default_tag())
    except Invalid:
        if _HEX.match(text.removeprefix("sha256:")):
            return None
        raise
    return next((record for record in index.images if name in record.names), None)


def _only(text: str, matches: list[Record]) -> Record:
    if not matches:
        raise _missing(text)
    if len({record.id for record in matches}) > 1:
        shown = ", ".join(sorted(record.id[7:19] for record in matches))
        raise Invalid(f"image id {text!r} is ambiguous: {shown}", hint="give more of its digits")
    return matches[0]


def _missing(text: str) -> Missing:
    shown = text
    with suppress(Invalid):
        shown = parse_reference(text).with_default_tag().familiar
    return Missing(f"No such image: {shown}", hint="pull, load or import it first")


def _reference_digest(text: str) -> str:
    return parse_reference(text).digest if "@" in text else ""


def _without(names: tuple[str, ...], taken: frozenset[str]) -> tuple[str, ...]:
    return tuple(name for name in names if name not in taken)


def name_of(reference: Reference, digest: str) -> str:
    """What an image pulled as `reference` is called: its tag, or the digest it was asked by."""
    if reference.digest:
        return str(reference.untagged().with_digest(digest))
    return str(reference.with_default_tag())
