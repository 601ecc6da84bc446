"""Decide what `image rm` takes away: a name, or the image.

A name goes first; the image goes with its last tag. An image that a task uses is never
deleted, not even by force: force only takes its names away, and garbage collection gets it
later.
"""

from msgspec import Struct

from agent.images.index import Index, Record, drop, find, rename
from swarm.errors import Invalid, Refused
from swarm.images.digest import is_digest
from swarm.images.reference import parse_reference


class Removal(Struct, frozen=True):
    """What was removed: familiar names, and ids of images that are gone."""

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()


def remove(
    index: Index, text: str, *, force: bool, in_use: frozenset[str]
) -> tuple[Index, Removal]:
    """The index without what `text` names, and what that took away.

    `Missing` when there is no such image, `Refused` when a task uses it or when an id has
    several tags and `force` is not given.
    """
    record = find(index, text)
    name = _own_name(record, text)
    if name and _is_extra(record, name):
        names = tuple(other for other in record.names if other != name)
        return rename(index, record.digest, names), Removal(untagged=_familiar((name,)))
    if record.id in in_use:
        if not (force and name):
            raise Refused(
                f"image {text} is used by a task on this node",
                hint="stop or update the service that uses it, or take only its name away with"
                " force",
            )
        return rename(index, record.digest, ()), Removal(untagged=_familiar(record.names))
    if not name and len(record.tags) > 1 and not force:
        raise Refused(
            f"image {text} has several tags: {', '.join(_familiar(record.tags))}",
            hint="remove them one by one, or use force",
        )
    gone = [other for other in index.images if _goes(other, record, whole=not name)]
    names = tuple(name for other in gone for name in other.names)
    left = drop(index, frozenset(other.digest for other in gone))
    return left, Removal(untagged=_familiar(names), deleted=(record.id,))


def _own_name(record: Record, text: str) -> str:
    """The name of `record` that `text` spells; empty when it spells an id or a digest."""
    if is_digest(text):
        return ""
    matches = [name for name in record.names if name == _canonical(text)]
    return matches[0] if matches else ""


def _canonical(text: str) -> str:
    if "@" in text:
        return str(parse_reference(text).untagged())
    try:
        return str(parse_reference(text).with_default_tag())
    except Invalid:
        return ""


def _is_extra(record: Record, name: str) -> bool:
    """Whether the image keeps a tag, or has another digest's name, without `name`."""
    if "@" in name:
        return len(record.names) > 1
    return len(record.tags) > 1


def _goes(other: Record, record: Record, *, whole: bool) -> bool:
    """An id takes every push of the image; a name only the one that it names."""
    return other.digest == record.digest or (whole and other.id == record.id)


def _familiar(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(parse_reference(name).familiar for name in names))
