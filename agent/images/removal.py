"""Decide what `image rm` takes away: a name, or the image.

As with Docker: a name goes first, and the image with its last one. A tag takes the digests
along that its repository knew the image by. An image that others were made from stays, and so
does one that a running container uses, whatever force; one that only stopped containers use goes by
force, and its content stays for them. With an image go those that it was made from, as far as
they have no name and nobody else needs them.
"""

from collections.abc import Iterable

from msgspec import Struct, structs

from agent.images.index import Index, Record, find
from swarm.errors import Invalid, Missing, Refused
from swarm.images.digest import digest_of, is_digest
from swarm.images.reference import Reference, parse_reference

_SHORT = 12


class Use(Struct, frozen=True, kw_only=True):
    """A container that was made from an image, by ids; one of a task has the task's."""

    image_id: str
    container: str
    is_running: bool = True


class Removal(Struct, frozen=True):
    """What was removed: familiar names, ids of images that are gone, and layers.

    These are chain ids, of layers with all that lie below them, which no image has any more.
    """

    untagged: tuple[str, ...] = ()
    deleted: tuple[str, ...] = ()
    layers: tuple[str, ...] = ()


class _Obstacle(Struct, frozen=True):
    """Why an image stays. `is_use`: somebody needs it, so a name may go all the same."""

    reason: str
    is_hard: bool
    is_use: bool = True


def remove(
    index: Index,
    text: str,
    *,
    force: bool = False,
    uses: Iterable[Use] = (),
    keep_parents: bool = False,
) -> tuple[Index, Removal]:
    """The index without what `text` names, and what that took away.

    `Missing` when there is no such image, `Refused` when it has to stay.
    """
    used = tuple(uses)
    record = find(index, text)
    name = own_name(record, text)
    names = _names(index, record.id)
    if not name:
        if _is_single(names):
            _refuse(text, _obstacle(index, record.id, used, force=force, whatever_names=True))
        else:
            _refuse(text, _obstacle(index, record.id, used, force=force))
        return _delete(index, record.id, used, (), keep_parents=keep_parents)
    users = [use for use in used if use.image_id == record.id]
    if users and not force and _is_single(names):
        raise Refused(
            f'conflict: unable to remove repository reference "{text}" (must force) - container'
            f" {users[0].container[:_SHORT]} is using its referenced image {_short(record.id)}",
            hint="remove the container or service first, or take only the name away with force",
        )
    gone = (name, *_stranded(names, name))
    index = _without_names(index, record.id, gone)
    untagged = tuple(sorted(_familiar(gone), key=lambda each: ("@" in each, each)))
    if _names(index, record.id):
        return _without_nameless_twins(index, record.id), Removal(untagged=untagged)
    obstacle = _obstacle(index, record.id, used, force=force)
    if obstacle is not None:
        return index, Removal(untagged=untagged)
    return _delete(index, record.id, used, untagged, keep_parents=keep_parents)


def prune(index: Index, texts: Iterable[str], *, uses: Iterable[Use] = ()) -> tuple[Index, Removal]:
    """The index without those images of `texts` that nobody needs, whatever they are called.

    One goes after those that were made from it; what is not here is gone already.
    """
    used = tuple(uses)
    wanted, removal = list(dict.fromkeys(texts)), Removal()
    is_done = False
    while not is_done:
        is_done = True
        for text in tuple(wanted):
            left, step = _prune(index, text, used)
            if left != index:
                wanted.remove(text)
                index, is_done = left, False
                removal = Removal(removal.untagged + step.untagged, removal.deleted + step.deleted)
    return index, removal


def _prune(index: Index, text: str, used: tuple[Use, ...]) -> tuple[Index, Removal]:
    """One step of `prune`; the same index when nothing can be done (yet)."""
    try:
        record = find(index, text)
    except (Missing, Invalid):
        return index, Removal()
    name = own_name(record, text)
    if name and len([each for each in _names(index, record.id) if "@" not in each]) > 1:
        left = _without_names(index, record.id, (name,))
        return left, Removal(untagged=_familiar((name,)))
    if _obstacle(index, record.id, used, force=False, whatever_names=True) is not None:
        return index, Removal()
    return _delete(index, record.id, used, (), keep_parents=False)


def chain_ids(diff_ids: Iterable[str]) -> tuple[str, ...]:
    """The names of a layer with all below it, lowest first (OCI image specification, "ChainID")."""
    chain: list[str] = []
    for diff_id in diff_ids:
        chain.append(digest_of(f"{chain[-1]} {diff_id}".encode()) if chain else diff_id)
    return tuple(chain)


def layers_gone(before: Index, after: Index) -> tuple[str, ...]:
    """The chain ids that only images had which are gone, the topmost first."""
    kept = {each for record in after.images for each in chain_ids(record.diff_ids)}
    gone: dict[str, None] = {}
    for record in before.images:
        for each in reversed(chain_ids(record.diff_ids)):
            if each not in kept:
                gone.setdefault(each)
    return tuple(gone)


def forget(index: Index, uses: Iterable[Use]) -> Index:
    """The index without removed images that no container needs any more."""
    used = {use.image_id for use in uses}
    return Index(tuple(each for each in index.images if not each.is_removed or each.id in used))


def own_name(record: Record, text: str) -> str:
    """The name of `record` that `text` spells; empty when it spells an id or a digest."""
    if is_digest(text):
        return ""
    matches = [name for name in record.names if name == _canonical(text)]
    return matches[0] if matches else ""


def _obstacle(
    index: Index, image_id: str, used: tuple[Use, ...], *, force: bool, whatever_names: bool = False
) -> _Obstacle | None:
    """The first thing that keeps an image from being deleted."""
    if children(index, image_id):
        return _Obstacle("image has dependent child images", is_hard=True)
    users = sorted(
        (use for use in used if use.image_id == image_id), key=lambda use: not use.is_running
    )
    if users and users[0].is_running:
        running = users[0].container[:_SHORT]
        return _Obstacle(f"image is being used by running container {running}", is_hard=True)
    if force:
        return None
    if _names(index, image_id) and not whatever_names:
        reason = "image is referenced in multiple repositories"
        return _Obstacle(reason, is_hard=False, is_use=False)
    if users:
        stopped = users[0].container[:_SHORT]
        return _Obstacle(f"image is being used by stopped container {stopped}", is_hard=False)
    return None


def children(index: Index, image_id: str) -> tuple[str, ...]:
    """The ids of the images that were made from this one here."""
    return tuple(
        each.id for each in index.images if each.parent == image_id and not each.is_removed
    )


def _refuse(text: str, obstacle: _Obstacle | None) -> None:
    if obstacle is None:
        return
    manner = "cannot be forced" if obstacle.is_hard else "must be forced"
    hint = "remove what needs it first"
    raise Refused(
        f"conflict: unable to delete {_shown(text)} ({manner}) - {obstacle.reason}",
        hint=hint if obstacle.is_hard else f"{hint}, or use force",
    )


def _delete(
    index: Index,
    image_id: str,
    used: tuple[Use, ...],
    untagged: tuple[str, ...],
    *,
    keep_parents: bool,
) -> tuple[Index, Removal]:
    """Without the image and, unless they are kept, those that it was made from."""
    deleted: list[str] = []
    names: list[str] = []
    while image_id:
        parent = _parent(index, image_id)
        names += _names(index, image_id)
        index = _drop(index, image_id, used)
        deleted.append(image_id)
        image_id = "" if keep_parents or not _is_forlorn(index, parent, used) else parent
    shown = (*untagged, *sorted(_familiar(names), key=lambda each: ("@" in each, each)))
    return index, Removal(untagged=shown, deleted=tuple(deleted))


def _drop(index: Index, image_id: str, used: tuple[Use, ...]) -> Index:
    """What stopped containers use stays for them alone."""
    if any(use.image_id == image_id for use in used):
        return Index(
            tuple(
                structs.replace(each, names=(), is_removed=True) if each.id == image_id else each
                for each in index.images
            )
        )
    return Index(tuple(each for each in index.images if each.id != image_id))


def _is_forlorn(index: Index, image_id: str, used: tuple[Use, ...]) -> bool:
    is_here = any(each.id == image_id and not each.is_removed for each in index.images)
    return is_here and _obstacle(index, image_id, used, force=False) is None


def _parent(index: Index, image_id: str) -> str:
    return next((each.parent for each in index.images if each.id == image_id and each.parent), "")


def _names(index: Index, image_id: str) -> tuple[str, ...]:
    return tuple(name for each in index.images if each.id == image_id for name in each.names)


def _is_single(names: tuple[str, ...]) -> bool:
    """Whether all names are one tag at most, and digests in the same repository."""
    if len(names) <= 1:
        return True
    parsed = [parse_reference(name) for name in names]
    return sum(bool(each.tag) for each in parsed) <= 1 and len({each.name for each in parsed}) == 1


def _stranded(names: tuple[str, ...], gone: str) -> tuple[str, ...]:
    """The digests of a repository that has no tag of the image any more."""
    removed = parse_reference(gone)
    if removed.digest:
        return ()
    same = [name for name in names if name != gone and _is_of(removed, name)]
    return () if any("@" not in name for name in same) else tuple(same)


def _is_of(reference: Reference, name: str) -> bool:
    return parse_reference(name).name == reference.name


def _without_names(index: Index, image_id: str, gone: tuple[str, ...]) -> Index:
    return Index(
        tuple(
            structs.replace(each, names=tuple(name for name in each.names if name not in gone))
            if each.id == image_id
            else each
            for each in index.images
        )
    )


def _without_nameless_twins(index: Index, image_id: str) -> Index:
    """Another push of the same image has the names now: what lost its last one says nothing."""
    return Index(tuple(each for each in index.images if each.id != image_id or each.names))


def _canonical(text: str) -> str:
    try:
        if "@" in text:
            return str(parse_reference(text).untagged())
        return str(parse_reference(text).with_default_tag())
    except Invalid:
        return ""


def _familiar(names: Iterable[str]) -> tuple[str, ...]:
    return tuple(sorted(parse_reference(name).familiar for name in names))


def _shown(text: str) -> str:
    return _short(text) if is_digest(text) else text


def _short(image_id: str) -> str:
    return image_id.removeprefix("sha256:")[:_SHORT]
