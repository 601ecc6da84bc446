"""Judge what is mounted into a container."""

import re
from collections.abc import Iterator
from posixpath import normpath

from swarm.checking.basics import Problem
from swarm.specs import Mount, MountKind
from swarm.volumes import LOCAL, option_problems

_VOLUME_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_PROPAGATIONS = frozenset(("", "private", "rprivate", "shared", "rshared", "slave", "rslave"))


def mounts(asked: tuple[Mount, ...]) -> Iterator[Problem]:
    """Every mount, and that no two have one target."""
    targets: dict[str, int] = {}
    for index, mount in enumerate(asked):
        path = f"task.container.mounts[{index}]"
        yield from _mount(path, mount)
        target = normpath(mount.target) if mount.target else ""
        if target in targets:
            yield (
                f"{path}.target",
                f"{mount.target} is already the target of mounts[{targets[target]}]",
            )
        elif target:
            targets[target] = index


def _mount(path: str, mount: Mount) -> Iterator[Problem]:
    templated = "{{" in mount.target
    if not mount.target:
        yield f"{path}.target", "must not be empty"
    elif not mount.target.startswith("/") and not templated:
        yield f"{path}.target", f"{mount.target!r} must be absolute"
    elif normpath(mount.target) in ("/", "//"):
        yield f"{path}.target", "must not be the root of the container"
    elif ".." in mount.target.split("/"):
        yield f"{path}.target", f"{mount.target!r} must not contain `..`"
    yield from _mount_source(path, mount)
    yield from _mount_options(path, mount)


def _mount_source(path: str, mount: Mount) -> Iterator[Problem]:
    source = mount.source
    match mount.kind:
        case MountKind.BIND:
            if not source:
                yield f"{path}.source", "must not be empty for a bind mount"
            elif not source.startswith("/"):
                yield f"{path}.source", f"{source!r} must be absolute for a bind mount"
            elif ".." in source.split("/"):
                yield f"{path}.source", f"{source!r} must not contain `..`"
        case MountKind.VOLUME:
            if source and "{{" not in source and not _VOLUME_NAME.fullmatch(source):
                yield f"{path}.source", f"{source!r} is not the name of a volume"
        case MountKind.TMPFS:
            if source:
                yield f"{path}.source", "must be empty for a tmpfs mount"


def _mount_options(path: str, mount: Mount) -> Iterator[Problem]:
    for name, is_set, kind in (
        ("propagation", bool(mount.propagation), MountKind.BIND),
        ("nonrecursive", mount.nonrecursive, MountKind.BIND),
        ("create_source", mount.create_source, MountKind.BIND),
        ("nocopy", mount.nocopy, MountKind.VOLUME),
        ("volume_driver", bool(mount.volume_driver), MountKind.VOLUME),
        ("volume_options", bool(mount.volume_options), MountKind.VOLUME),
        ("volume_subpath", bool(mount.volume_subpath), MountKind.VOLUME),
        ("roams", mount.roams, MountKind.VOLUME),
        ("labels", bool(mount.labels), MountKind.VOLUME),
        ("tmpfs_size_bytes", mount.tmpfs_size_bytes != 0, MountKind.TMPFS),
        ("tmpfs_mode", mount.tmpfs_mode != 0, MountKind.TMPFS),
    ):
        if is_set and mount.kind is not kind:
            yield f"{path}.{name}", f"belongs to {kind.name.lower()} mounts only"
    if mount.propagation not in _PROPAGATIONS:
        yield f"{path}.propagation", f"there is no propagation {mount.propagation!r}"
    if mount.volume_driver not in ("", LOCAL):
        yield f"{path}.volume_driver", f"there is no driver {mount.volume_driver!r}; use {LOCAL}"
    if mount.kind is MountKind.VOLUME:
        if mount.volume_options and not mount.source:
            yield f"{path}.volume_options", "need a volume with a name; give it a source"
        for problem in option_problems(mount.volume_options):
            name, _, text = problem.partition(": ")
            yield f"{path}.volume_options[{name}]", text
    subpath = mount.volume_subpath
    if subpath.startswith("/") or ".." in subpath.split("/"):
        yield f"{path}.volume_subpath", f"{subpath!r} must be below the volume"
    if mount.tmpfs_size_bytes < 0:
        yield f"{path}.tmpfs_size_bytes", "must not be negative"
    if not 0 <= mount.tmpfs_mode <= 0o7777:
        yield f"{path}.tmpfs_mode", f"{mount.tmpfs_mode:o} is not a file mode"
