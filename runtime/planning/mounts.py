"""Plan what is mounted in a container, in the order of its config.

Everything that needs the host, or rights over it, is opened before the container has
namespaces, and attached later by descriptor onto a target that is looked up within the root.
A tmpfs that is to be read-only turns so last: others may be mounted, and devices made, in it.
"""

from typing import Final

from msgspec import Struct

from runtime import constants as k
from runtime.cgroups import groups
from runtime.oci.config import Config, Linux, Mount, Resources
from runtime.oci.names import PROPAGATION
from runtime.planning import devices
from runtime.planning.options import Options, parse
from runtime.planning.place import (
    CopyingUp,
    Extras,
    Place,
    has_user_namespace,
    is_new,
    namespace_path,
)
from runtime.steps import (
    AttachBind,
    Attributes,
    ContainerStep,
    CopyUp,
    Filesystem,
    Link,
    MountFilesystem,
    OpenBind,
    OpenFilesystem,
    SetAttributes,
    Translate,
)

# Where the image must not have put a link: we would take its own files for the kernel's.
_STRICT_KINDS: Final = ("proc", "sysfs")
_STRICT_TARGETS: Final = ("/proc", "/sys", "/dev")
_LABELLED: Final = ("tmpfs", "devpts", "ramfs")
_SHARED: Final = (k.MS_SHARED, k.MS_SHARED | k.MS_REC)
# The namespace that a file system shows, where that is another than the mount's own.
_SHOWN: Final = {"sysfs": "network", "mqueue": "ipc"}


class Arranged(Struct):
    """Steps by when they are taken.

    `outside` opens what the host has, `joined` what the host's root may make once in the
    container's joined namespaces, `filled` what the image has filled before; `inside` mounts,
    and `sealed` comes when all is mounted.
    """

    outside: list[ContainerStep]
    joined: list[ContainerStep]
    filled: list[ContainerStep]
    inside: list[ContainerStep]
    sealed: list[ContainerStep]
    opened: int = 0

    def number(self) -> int:
        """The next number for something opened."""
        self.opened += 1
        return self.opened - 1


def arrange(config: Config, place: Place, extras: Extras) -> Arranged:
    """Plan all mounts and devices of `config`."""
    arranged = Arranged([], [], [], [], [])
    ups = {(each.source, each.target): each for each in extras.copy_ups}
    parts = {(each.source, each.target): each.below for each in extras.parts}
    owners = {each.target: each.namespace for each in extras.borrowed}
    for mount in config.mounts:
        options = parse(mount.options)
        if options.is_bind or mount.type == "bind":
            up = ups.get((mount.source, mount.destination))
            filling = None if up is None else _copy_up(config, place, mount, up)
            below = parts.get((mount.source, mount.destination), "")
            owner = owners.get(mount.destination, "") if mount.source == mount.destination else ""
            _bind(arranged, mount, options, place, filling=filling, below=below, owner=owner)
        elif mount.type == "cgroup":
            _cgroup(arranged, config, place, mount, options)
        else:
            _filesystem(arranged, config, place, mount, options)
    _files(arranged, config, place, extras)
    _devices(arranged, config)
    return arranged


def gathering(place: Place, up: CopyingUp) -> str:
    """Where the content of a volume is gathered, beside it."""
    return f"{_plain(up.source)}.filling-{place.directory.rpartition('/')[2]}"


def propagation_of_root(asked: str) -> int:
    """Flags of mount(2) for what a config calls `rootfsPropagation`."""
    return PROPAGATION[asked] if asked else 0


def root_path(place: Place) -> str:
    """Where the root file system is while the host is in sight."""
    return place.rootfs or f"{place.directory}/rootfs"


def file_path(place: Place, number: int) -> str:
    """Where one of `Extras.files` is on the host."""
    return f"{place.directory}/files/{number}"


def _plain(path: str) -> str:
    return path.rstrip("/") or "/"


def _bind(
    arranged: Arranged,
    mount: Mount,
    options: Options,
    place: Place,
    *,
    filling: CopyUp | None,
    below: str,
    owner: str,
) -> None:
    number = arranged.number()
    opening = OpenBind(
        number=number,
        source=_source(mount, place),
        below=below,
        owner=owner,
        recursive=options.is_recursive,
        attributes=options.attributes,
        propagation=_propagation(tuple(each for each in options.propagation if not _is_last(each))),
        translate=_translate(mount, options),
    )
    if filling is None:
        arranged.outside.append(opening)
    else:  # which replaces the directory, so opening it earlier would open the old one
        arranged.filled += [filling, opening]
    last = tuple(each for each in options.propagation if _is_last(each))
    arranged.inside.append(AttachBind(number, _target(mount), propagation=last))


def _copy_up(config: Config, place: Place, mount: Mount, up: CopyingUp) -> CopyUp:
    linux = config.linux or Linux()
    return CopyUp(
        rootfs=root_path(place),
        origin=_target(mount),
        source=_source(mount, place),
        gathering=gathering(place, up),
        uids=linux.uid_mappings if up.mapped else (),
        gids=linux.gid_mappings if up.mapped else (),
    )


def _source(mount: Mount, place: Place) -> str:
    is_absolute = mount.source.startswith("/")
    return _plain(mount.source if is_absolute else f"{place.bundle}/{mount.source}")


def _is_last(propagation: int) -> bool:
    return bool(propagation & k.MS_UNBINDABLE)


def _propagation(asked: tuple[int, ...]) -> tuple[int, ...]:
    """Nothing below reaches the host, or comes from it, that was not asked for."""
    if any(each in _SHARED for each in asked):
        return asked
    return (k.MS_SLAVE | k.MS_REC, *asked)


def _translate(mount: Mount, options: Options) -> Translate | None:
    if not (options.translate or mount.uid_mappings or mount.gid_mappings):
        return None
    return Translate(
        uids=mount.uid_mappings,
        gids=mount.gid_mappings,
        recursive=options.translate == "ridmap",
    )


def _target(mount: Mount) -> str:
    return mount.destination if mount.destination.startswith("/") else f"/{mount.destination}"


def _filesystem(
    arranged: Arranged, config: Config, place: Place, mount: Mount, options: Options
) -> None:
    target, attributes = _target(mount), options.attributes.set
    is_late = mount.type == "tmpfs" and attributes & k.MOUNT_ATTR_RDONLY
    if is_late:
        attributes &= ~k.MOUNT_ATTR_RDONLY
        only = Attributes(set=k.MOUNT_ATTR_RDONLY)
        arranged.sealed.append(SetAttributes(target, only))
    filesystem = Filesystem(
        kind=mount.type,
        source=mount.source,
        flags=options.flags,
        attributes=attributes,
        data=(*options.data, *_labels(config, place, mount.type)),
    )
    strict = mount.type in _STRICT_KINDS or target in _STRICT_TARGETS
    shown = _SHOWN.get(mount.type)
    if shown and has_user_namespace(config) and not is_new(config, shown):
        # Its root has no rights over a namespace that was there before it.
        number = arranged.number()
        arranged.joined.append(OpenFilesystem(number, filesystem))
        arranged.inside.append(AttachBind(number, target, strict))
        return
    arranged.inside.append(
        MountFilesystem(
            target=target,
            filesystem=filesystem,
            strict=strict,
            copy_up=options.copies_up,
            propagation=options.propagation,
        )
    )


def _labels(config: Config, place: Place, kind: str) -> tuple[str, ...]:
    """What is written into a fresh file system is labelled as the container's."""
    label = config.linux.mount_label if config.linux and place.labels else ""
    return (f"context={label}",) if label and kind in _LABELLED else ()


def _cgroup(
    arranged: Arranged, config: Config, place: Place, mount: Mount, options: Options
) -> None:
    """A hierarchy without a group of ours would show the host's whole tree.

    On v2 that is what a container in the host's cgroup namespace sees, as under runc: there
    /proc/self/cgroup names a path in that tree.
    """
    target, attributes = _target(mount), options.attributes.set
    has_own_view = namespace_path(config, "cgroup") is not None
    if not place.layout.v1:
        if has_own_view or not has_user_namespace(config):
            whole = Filesystem(kind="cgroup2", source="cgroup", attributes=attributes)
            arranged.inside.append(
                MountFilesystem(target=target, filesystem=whole, propagation=options.propagation)
            )
        else:
            _bind_group(arranged, place.layout.unified, target, attributes)
        return
    room = Filesystem(
        kind="tmpfs",
        source="tmpfs",
        attributes=attributes & ~k.MOUNT_ATTR_RDONLY,
        data=("mode=755", "size=64k"),
    )
    arranged.inside.append(
        MountFilesystem(target=target, filesystem=room, propagation=options.propagation)
    )
    resources = _resources(config)
    for point in groups.hierarchies(place.layout, resources):
        tree = place.layout.hierarchy(point)
        below = f"{target}/{tree.name}"
        if has_own_view:
            names = tuple(tree.options.split(",")) if tree.options else ()
            hierarchy = Filesystem(
                kind=tree.type, source="cgroup", attributes=attributes, data=names
            )
            arranged.inside.append(MountFilesystem(target=below, filesystem=hierarchy))
        else:
            _bind_group(arranged, f"{point}/{place.cgroup}", below, attributes)
        if "," in tree.name:
            arranged.inside += [
                Link(f"{target}/{name}", tree.name) for name in tree.name.split(",")
            ]
    if attributes & k.MOUNT_ATTR_RDONLY:
        arranged.inside.append(SetAttributes(target, Attributes(set=k.MOUNT_ATTR_RDONLY)))


def _bind_group(arranged: Arranged, source: str, target: str, attributes: int) -> None:
    number = arranged.number()
    arranged.outside.append(
        OpenBind(
            number=number,
            source=source,
            attributes=Attributes(set=attributes),
            propagation=(k.MS_PRIVATE | k.MS_REC,),
        )
    )
    arranged.inside.append(AttachBind(number, target))


def _resources(config: Config) -> Resources:
    return (config.linux and config.linux.resources) or Resources()


def _files(arranged: Arranged, config: Config, place: Place, extras: Extras) -> None:
    """A file over which a mount was asked for yields to it."""
    taken = {_plain(_target(mount)) for mount in config.mounts}
    for index, file in enumerate(extras.files):
        if file.path not in taken:
            number = arranged.number()
            arranged.outside.append(
                OpenBind(
                    number=number,
                    source=file_path(place, index),
                    recursive=False,
                    propagation=(k.MS_PRIVATE,),
                )
            )
            arranged.inside.append(AttachBind(number, file.path))


def _devices(arranged: Arranged, config: Config) -> None:
    """Only the host's root can make devices, so others get the host's own."""
    if not devices.are_made(config):
        return
    for device in devices.wanted(config):
        if has_user_namespace(config) and device.type != "p":
            number = arranged.number()
            arranged.outside.append(
                OpenBind(
                    number=number,
                    source=device.path,
                    recursive=False,
                    propagation=(k.MS_PRIVATE,),
                    device=True,
                )
            )
            arranged.inside.append(AttachBind(number, device.path))
        else:
            arranged.inside.append(devices.node(device))
    arranged.inside += devices.links()
