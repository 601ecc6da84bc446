"""List images, and choose which of them a filter selects."""

from collections.abc import Sequence
from fnmatch import fnmatchcase

from engine import times
from engine.filters import Filters, check, has_label, has_labels, truth
from engine.images import names
from engine.replies import JsonObject
from engine.versions import Version
from swarm.api.v1 import images_pb2 as pb
from swarm.errors import Invalid, Missing
from swarm.images.reference import parse_reference

KNOWN = ("before", "dangling", "label", "reference", "since", "until")
PRUNED = ("dangling", "label", "label!", "until")

_VIRTUAL_UNTIL = Version(1, 44)

Images = Sequence[pb.Image]


def choose(images: Images, filters: Filters, *, every: bool, now: float) -> Images:
    """Those that are asked for; without `every` those between two others are left out.

    Of an image that was asked for by name only the names that were meant are shown.
    """
    check(filters, KNOWN)
    least, most = 0.0, float("inf")
    for text in filters.get("since", ()):
        least = max(least, find(images, text).created_at)
    for text in filters.get("before", ()):
        most = min(most, find(images, text).created_at)
    if (until := read_until(filters, now=now)) is not None:
        most = min(most, until)
    dangling = truth(filters, "dangling")
    parents = {each.parent_id for each in images if each.parent_id}
    patterns = filters.get("reference", ())
    return [
        _named(image, patterns) if patterns else image
        for image in images
        if (not least or image.created_at > least)
        and image.created_at < most
        and (every or image.references or image.id not in parents)
        and (dangling is None or _is_dangling(image, parents) is dangling)
        and has_labels(image.labels, filters)
        and (not patterns or _meant(image, patterns))
    ]


def to_prune(images: Images, filters: Filters, *, now: float) -> list[str]:
    """The ids of those that may go, if nothing uses them."""
    check(filters, PRUNED)
    until = read_until(filters, now=now)
    only_dangling = truth(filters, "dangling") is not False
    return [
        image.id
        for image in images
        if not (only_dangling and image.references)
        and (until is None or image.created_at < until)
        and has_labels(image.labels, filters)
        and not any(has_label(image.labels, each) for each in filters.get("label!", ()))
    ]


def read_until(filters: Filters, *, now: float) -> float | None:
    """Only what is older than this is meant; None for all."""
    values = filters.get("until", ())
    if len(values) > 1:
        raise Invalid("more than one until filter specified")
    return times.moment(values[0], now=now, name="until") if values else None


def find(images: Images, text: str) -> pb.Image:
    """The image that a name, an id or the beginning of one means."""
    bare = text.removeprefix("sha256:")
    for image in images:
        if len(bare) >= 4 and image.id.removeprefix("sha256:").startswith(bare):
            return image
    try:
        wanted = parse_reference(text).with_default_tag().familiar
    except Invalid:
        wanted = ""
    for image in images:
        if wanted in (*image.references, *names.digests(image)):
            return image
    raise Missing(f"No such image: {text}")


def write_line(
    image: pb.Image, *, version: Version, containers: int = -1, shared_bytes: int = -1
) -> JsonObject:
    """One image as lists have it."""
    tags, digests = names.shown(image, version)
    found: JsonObject = {
        "Id": image.id,
        "ParentId": image.parent_id,
        "RepoTags": tags,
        "RepoDigests": digests,
        "Created": int(image.created_at),
        "Size": image.size_bytes,
        "SharedSize": shared_bytes,
        "Labels": dict(image.labels) or None,
        "Containers": containers,
    }
    if version < _VIRTUAL_UNTIL:
        found["VirtualSize"] = image.size_bytes
    return found


def _is_dangling(image: pb.Image, parents: set[str]) -> bool:
    return not image.references and image.id not in parents


def _named(image: pb.Image, patterns: Sequence[str]) -> pb.Image:
    found = pb.Image()
    found.CopyFrom(image)
    found.references[:] = _meant(image, patterns)
    return found


def _meant(image: pb.Image, patterns: Sequence[str]) -> list[str]:
    """The names of an image that one of the patterns fits, with or without their tag."""
    return [
        text
        for text in image.references
        for each in (parse_reference(text),)
        if any(
            _matches(name, pattern)
            for pattern in patterns
            for name in (each.familiar, each.familiar_name)
        )
    ]


def _matches(text: str, pattern: str) -> bool:
    """As Go's path.Match: a star does not cross a slash."""
    pieces, wanted = text.split("/"), pattern.split("/")
    return len(pieces) == len(wanted) and all(map(fnmatchcase, pieces, wanted))
