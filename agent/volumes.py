"""Decide where each mount of a task has its content on this host.

A named volume lies at `<volumes>/<name>/_data`, is made when first used, and survives every
task. An anonymous one, and each volume that the image declares and nobody mounted over,
lies in the task's own directory and goes with it. A bind's source is the operator's: it has
to be there already, unless the mount says to make it, and its owners are the host's even where
ids are remapped. Which named volumes a task uses is known once its templates are filled in.
"""

import contextlib
import re
from collections.abc import Iterable, Mapping
from posixpath import normpath

from msgspec import Struct

from agent.templates import expand
from runtime.spec import Mount, MountKind, Propagation
from swarm import specs
from swarm.errors import Invalid
from swarm.volumes import driver_problems

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_TMPFS_MODE = 0o1777


class Volume(Struct, frozen=True, kw_only=True):
    """A directory of ours that has to exist: a named volume's, or an anonymous one's.

    `options` are the local driver's, for when it is made; `subpath` has to be in it.
    """

    path: str
    name: str = ""
    labels: dict[str, str] = {}
    options: dict[str, str] = {}
    subpath: str = ""


class Source(Struct, frozen=True, kw_only=True):
    """A path of the host that has to be there; `field` is where the spec says so.

    With `create` a directory is made when there is nothing.
    """

    path: str
    field: str
    create: bool = False


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


def volume_path(volumes: str, name: str) -> str:
    """Where the content of a named volume is, or is mounted."""
    return f"{volumes}/{name}/_data"


def used_volumes(mounts: Iterable[specs.Mount], values: Mapping[str, str]) -> frozenset[str]:
    """The named volumes among `mounts`, with `values` filled in; templates that fail aside."""
    found = set[str]()
    for mount in mounts:
        if mount.kind is specs.MountKind.VOLUME and mount.source:
            with contextlib.suppress(Invalid):
                found.add(expand(mount.source, values, path="source"))
    return frozenset(found)


def sources(mounts: Iterable[specs.Mount]) -> tuple[Source, ...]:
    """The bind sources that every task of a spec needs, template or not yet known ones aside."""
    return tuple(
        Source(path=mount.source, field=_field(index))
        for index, mount in enumerate(mounts)
        if mount.kind is specs.MountKind.BIND
        and "{{" not in mount.source
        and not mount.create_source
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
            recursive=not mount.nonrecursive,
        ),
        needs=Source(path=normpath(mount.source), field=_field(index), create=mount.create_source),
    )


def _named(index: int, mount: specs.Mount, where: Place) -> Placed:
    if not _NAME.fullmatch(mount.source):
        raise Invalid(f"{_field(index)}: {mount.source!r} is not the name of a volume")
    for problem in driver_problems(mount.volume_driver):
        raise Invalid(f"container.mounts[{index}].volume_{problem}")
    path = volume_path(where.volumes, mount.source)
    needs = Volume(
        path=path,
        name=mount.source,
        labels=mount.labels,
        options=mount.volume_options,
        subpath=mount.volume_subpath,
    )
    return Placed(mount=_volume(mount, path), needs=needs)


def _anonymous(name: str, mount: specs.Mount, where: Place) -> Placed:
    path = f"{where.own}/volumes/{name}"
    return Placed(mount=_volume(mount, path), needs=Volume(path=path))


def _volume(mount: specs.Mount, path: str) -> Mount:
    subpath = mount.volume_subpath
    return Mount(
        source=path,
        subpath=subpath,
        target=mount.target,
        read_only=mount.read_only,
        copy_up=not mount.nocopy and not subpath,
        mapped=True,
    )
