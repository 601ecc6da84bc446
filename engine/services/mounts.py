"""Translate the mounts of services.

What a mount has besides Docker's (`roams`) belongs to its target: a client that sends the mount
back without it changes nothing.
"""

from collections.abc import Iterable
from typing import TypeVar

from msgspec import structs

from engine.services.words import ordered
from engine.wire.mounts import BindJson, MountJson, TmpfsJson, VolumeDriverJson, VolumeOptionsJson
from swarm.errors import Invalid
from swarm.specs import Mount, MountKind

S = TypeVar("S")

_KINDS = {
    "": MountKind.BIND,  # the zero of Docker's own kinds
    "bind": MountKind.BIND,
    "volume": MountKind.VOLUME,
    "tmpfs": MountKind.TMPFS,
}
_CONSISTENCIES = ("", "consistent", "cached", "delegated", "default")


def read_mounts(
    path: str, asked: Iterable[MountJson], before: Iterable[Mount]
) -> tuple[Mount, ...]:
    """The mounts that a client asks for, where there were others `before`."""
    known = {each.target: each for each in before}
    return tuple(
        _read(f"{path}[{index}]", each, known.get(each.target, Mount()))
        for index, each in enumerate(asked)
    )


def write_mount(mount: Mount) -> MountJson:
    """A mount as Docker's clients read it."""
    return MountJson(
        type=mount.kind.name.lower(),
        source=mount.source,
        target=mount.target,
        read_only=mount.read_only,
        bind_options=_set(
            BindJson(
                propagation=mount.propagation,
                non_recursive=mount.nonrecursive,
                create_mountpoint=mount.create_source,
            ),
            BindJson(),
        ),
        volume_options=_set(
            VolumeOptionsJson(
                no_copy=mount.nocopy,
                labels=ordered(mount.labels),
                subpath=mount.volume_subpath,
                driver_config=_set(
                    VolumeDriverJson(
                        name=mount.volume_driver, options=ordered(mount.volume_options)
                    ),
                    VolumeDriverJson(),
                ),
                roams=mount.roams or None,
            ),
            VolumeOptionsJson(),
        ),
        tmpfs_options=_set(
            TmpfsJson(size_bytes=mount.tmpfs_size_bytes, mode=mount.tmpfs_mode), TmpfsJson()
        ),
    )


def _read(path: str, asked: MountJson, before: Mount) -> Mount:
    kind = _KINDS.get(asked.type.lower())
    if kind is None:
        raise Invalid(
            f"{path}.Type: there are no mounts of type {asked.type!r}",
            hint="use bind, volume or tmpfs",
        )
    if asked.consistency not in _CONSISTENCIES:
        raise Invalid(f"{path}.Consistency: there is no {asked.consistency!r}")
    bind, volume = asked.bind_options or BindJson(), asked.volume_options or VolumeOptionsJson()
    tmpfs, driver = asked.tmpfs_options or TmpfsJson(), volume.driver_config or VolumeDriverJson()
    _refuse_the_rest(path, asked, bind, tmpfs)
    return structs.replace(
        before,
        kind=kind,
        source=asked.source,
        target=asked.target,
        read_only=asked.read_only,
        propagation=bind.propagation,
        nonrecursive=bind.non_recursive,
        create_source=bind.create_mountpoint,
        nocopy=volume.no_copy,
        labels=volume.labels,
        volume_subpath=volume.subpath,
        volume_driver=driver.name,
        volume_options=driver.options,
        roams=_roams(kind, volume, before),
        tmpfs_size_bytes=tmpfs.size_bytes,
        tmpfs_mode=tmpfs.mode,
    )


def _roams(kind: MountKind, asked: VolumeOptionsJson, before: Mount) -> bool:
    if asked.roams is not None:
        return asked.roams
    return kind is MountKind.VOLUME and before.roams


def _refuse_the_rest(path: str, asked: MountJson, bind: BindJson, tmpfs: TmpfsJson) -> None:
    if bind.read_only_non_recursive:
        raise Invalid(
            f"{path}.BindOptions.ReadOnlyNonRecursive: what is mounted below a read-only bind is "
            "read-only too",
            hint="use NonRecursive to leave it out",
        )
    if tmpfs.options:
        raise Invalid(
            f"{path}.TmpfsOptions.Options: a tmpfs has a size and a mode only",
            hint="use SizeBytes and Mode",
        )
    if asked.tmpfs_options and not 0 <= tmpfs.mode < 2**31:
        raise Invalid(f"{path}.TmpfsOptions.Mode: {tmpfs.mode:o} is not a file mode")
    for name, value in (
        ("ImageOptions", asked.image_options),
        ("ClusterOptions", asked.cluster_options),
    ):
        if value:
            raise Invalid(
                f"{path}.{name}: there are no such mounts", hint="use bind, volume or tmpfs"
            )


def _set(value: S, empty: S) -> S | None:
    return None if value == empty else value
