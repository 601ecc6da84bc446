"""Decide where each mount of a task has its content on this host.

A named volume lies at `<volumes>/<name>/_data`, is made when first used, and survives every
task. An anonymous one, and each volume that the image declares and nobody mounted over,
lies in the task's own directory and goes with it. A bind's source is the operator's: it has
to be there already, and its owners are the host's even where ids are remapped.
"""

import re
from collections.abc import Iterable
from posixpath import normpath

from msgspec import Struct

from runtime.spec import Mount, MountKind, Propagation
from swarm import specs
from swarm.errors import Invalid

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TMPFS_MODE = 0o1777


class Volume(Struct, frozen=True, kw_only=True):
    """A directory of ours that has to exist: a named volume's, or an anonymous one's."""

    path: str
    name: str = ""
    labels: dict[str, str] = {}


class Source(Struct, frozen=True, kw_only=True):
    """A path of the host that has to be there; `field` is where the spec says so."""

    path: str
    field: str


class Place(Struct, frozen=True, kw_only=True):
    """Where this node keeps volumes, and where one task keeps what is its own."""

    volumes: str
    own: str


class Placed(Struct, frozen=True, kw_only=True):
    """A mount as the runtime makes it, and what it needs beforehand."""

    mount: Mount
    needs: Volume | Source | None = None


def place(
    mounts: Iterable[specs.Mount], image_volumes: Iterable[str], where: Place
) -> tuple[Placed, ...]:
    """Place every mount, parents before what is mounted inside them."""
    placed = [_placed(index, mount, where) for index, mount in enumerate(mounts)]
    taken = {normpath(each.mount.target) for each in placed}
    wanted = [path for path in image_volumes if normpath(path) not in taken]
    placed += [
        _anonymous(f"image-{number}", specs.Mount(target=path), where)
        for number, path in enumerate(wanted)
    ]
    return tuple(sorted(placed, key=lambda each: normpath(each.mount.target).count("/")))


def sources(mounts: Iterable[specs.Mount]) -> tuple[Source, ...]:
    """The bind sources that every task of a spec needs, template or not yet known ones aside."""
    return tuple(
        Source(path=mount.source, field=_field(index))
        for index, mount in enumerate(mounts)
        if mount.kind is specs.MountKind.BIND and "{{" not in mount.source
    )


def absent(source: Source) -> str:
    """What is said of a bind whose source is not there."""
    return f'invalid mount config for type "bind": bind source path does not exist: {source.path}'


def _field(index: int) -> str:
    return f"container.mounts[{index}].source"


def _placed(index: int, mount: specs.Mount, where: Place) -> Placed:
    match mount.kind:
        case specs.MountKind.BIND:
            return _bind(index, mount)
        case specs.MountKind.TMPFS:
            return Placed(
                mount=Mount(
                    kind=MountKind.TMPFS,
                    target=mount.target,
                    read_only=mount.read_only,
                    size_bytes=mount.tmpfs_size_bytes,
                    mode=mount.tmpfs_mode or _TMPFS_MODE,
                )
            )
        case specs.MountKind.VOLUME if not mount.source:
            return _anonymous(str(index), mount, where)
        case specs.MountKind.VOLUME:
            return _named(index, mount, where)


def _bind(index: int, mount: specs.Mount) -> Placed:
    if not mount.source.startswith("/"):
        raise Invalid(f"{_field(index)}: {mount.source!r} must be absolute for a bind mount")
    return Placed(
        mount=Mount(
            source=normpath(mount.source),
            target=mount.target,
            read_only=mount.read_only,
            propagation=Propagation(mount.propagation or "rprivate"),
        ),
        needs=Source(path=normpath(mount.source), field=_field(index)),
    )


def _named(index: int, mount: specs.Mount, where: Place) -> Placed:
    if not _NAME.fullmatch(mount.source):
        raise Invalid(f"{_field(index)}: {mount.source!r} is not the name of a volume")
    path = f"{where.volumes}/{mount.source}/_data"
    needs = Volume(path=path, name=mount.source, labels=mount.labels)
    return Placed(mount=_volume(mount, path), needs=needs)


def _anonymous(name: str, mount: specs.Mount, where: Place) -> Placed:
    path = f"{where.own}/volumes/{name}"
    return Placed(mount=_volume(mount, path), needs=Volume(path=path))


def _volume(mount: specs.Mount, path: str) -> Mount:
    return Mount(
        source=path,
        target=mount.target,
        read_only=mount.read_only,
        copy_up=not mount.nocopy,
        mapped=True,
    )
