"""Gather what is mounted into a container that somebody runs.

The nearer a wish is to this container, the more it counts: what other containers have comes
first, `-v` and `--mount` replace that, and a path of the image that nobody mounts anything over
gets a volume of its own. As with Docker, `-v` takes a path of the node, which is made when there
is none, or the name of a volume; sources that are made up are 64 digits long.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from posixpath import normpath

from msgspec import Struct
from msgspec.structs import replace

from runtime import spec as runtime
from swarm.errors import Invalid
from swarm.quantities import parse_bytes
from swarm.specs import Mount, MountKind
from swarm.standalone import StandaloneSpec

PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_ACCESS = ("ro", "rw")
_LABELS = ("z", "Z")  # of SELinux, which containers here do not have
_CONSISTENCY = ("consistent", "cached", "delegated", "default")
_TMPFS_MODE = 0o1777
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]*")


class Mounts(Struct, frozen=True, kw_only=True):
    """All mounts of a container, parents first, and the volumes that are made for it alone."""

    mounts: tuple[Mount, ...]
    own_volumes: tuple[str, ...]


def gathered(
    spec: StandaloneSpec,
    image_volumes: Iterable[str],
    lent: Iterable[Mount],
    make_name: Callable[[], str],
) -> Mounts:
    """What is mounted where; `Invalid` names what cannot be. `lent` are of `volumes_from`."""
    found = {normpath(each.target): each for each in lent}
    asked: dict[str, Mount] = {}
    own: list[str] = []
    for each in _asked(spec):
        target = normpath(each.target)
        if target in asked:
            raise Invalid(f"Duplicate mount point: {each.target}")
        asked[target] = each
    memory_only = {normpath(memory(*each).target) for each in spec.tmpfs.items()}
    for target in sorted(memory_only & asked.keys()):
        raise Invalid(f"Duplicate mount point: {target}")
    found |= asked
    for path in (*spec.volumes, *image_volumes):
        target = normpath(_target(path, path))
        if target not in found and target not in memory_only:
            found[target] = Mount(target=path, volume_driver=spec.volume_driver)
    for target, each in found.items():
        if target not in memory_only and each.kind is MountKind.VOLUME and not each.source:
            own.append(make_name())
            found[target] = replace(each, source=own[-1])
    kept = {target: each for target, each in found.items() if target not in memory_only}
    ordered = sorted(kept.items(), key=lambda item: (item[0].count("/"), item[0]))
    return Mounts(mounts=tuple(each for _, each in ordered), own_volumes=tuple(own))


def lent(mounts: Sequence[Mount], mode: str) -> Iterator[Mount]:
    """The mounts of another container, as this one may use them; memory is nobody else's."""
    for each in mounts:
        if each.kind is not MountKind.TMPFS:
            yield replace(each, read_only=True) if mode == "ro" else each


def lender(text: str) -> tuple[str, str]:
    """Of whom, and how, one of `volumes_from` is."""
    name, _, mode = text.partition(":")
    if not name:
        raise Invalid(f"invalid volumes-from specification: {text!r}")
    modes = [each for each in mode.split(",") if each not in _LABELS]
    if any(each not in ("", *_ACCESS) for each in modes) or len(modes) > 1:
        raise Invalid(f"invalid mode: {mode}")
    return name, modes[0] if modes else ""


def bind(text: str, driver: str = "") -> Mount:
    """One of `-v`: SOURCE:TARGET[:OPTIONS]."""
    parts = text.split(":")
    if not 2 <= len(parts) <= 3 or not all(parts):
        raise Invalid(f"invalid volume specification: '{text}'")
    source, target = parts[0], _target(parts[1], text)
    options = tuple(parts[2].split(",")) if len(parts) == 3 else ()
    is_path = source.startswith("/")
    _check_options(options, text, is_path=is_path)
    read_only = "ro" in options
    propagation = next((each for each in options if each in PROPAGATIONS), "")
    if is_path:
        if ".." in source.split("/"):
            source = normpath(source)
        return Mount(
            kind=MountKind.BIND,
            source=source,
            target=target,
            read_only=read_only,
            propagation=propagation,
            create_source=True,
        )
    if not _NAME.fullmatch(source):
        raise Invalid(
            f'create {source}: "{source}" includes invalid characters for a local volume name, '
            'only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host '
            "directory, use absolute path"
        )
    return Mount(
        source=source,
        target=target,
        read_only=read_only,
        nocopy="nocopy" in options,
        volume_driver=driver,
    )


def modes(spec: StandaloneSpec) -> dict[str, str]:
    """The options of each `-v` as they were written, by target."""
    found: dict[str, str] = {}
    for text in spec.binds:
        parts = text.split(":")
        if len(parts) > 1:
            found[normpath(parts[1])] = parts[2] if len(parts) > 2 else ""
    return found


def memory(target: str, options: str) -> runtime.Mount:
    """One of `--tmpfs`: a path and options of mount(8), the rest of which the kernel judges."""
    size, mode, read_only, rest = 0, _TMPFS_MODE, False, list[str]()
    for option in filter(None, options.split(",")):
        name, _, value = option.partition("=")
        match name:
            case "size" if not value.endswith("%"):
                size = parse_bytes(value)
            case "mode":
                mode = _mode(value, options)
            case "ro" | "rw":
                read_only = name == "ro"
            case _:
                rest.append(option)
    return runtime.Mount(
        kind=runtime.MountKind.TMPFS,
        target=_target(target, target),
        read_only=read_only,
        size_bytes=size,
        mode=mode,
        options=tuple(rest),
    )


def _asked(spec: StandaloneSpec) -> Iterator[Mount]:
    for text in spec.binds:
        yield bind(text, spec.volume_driver)
    yield from spec.container.mounts


def _mode(text: str, options: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o7777:
        raise Invalid(f"invalid tmpfs option: mode={text} in {options!r}")
    return mode


def _target(target: str, text: str) -> str:
    if not target.startswith("/"):
        raise Invalid(
            f"invalid volume specification: '{text}': invalid mount path: '{target}' mount path "
            "must be absolute"
        )
    if normpath(target) in ("/", "//"):
        raise Invalid(
            f"invalid volume specification: '{text}': invalid specification: "
            "destination can't be '/'"
        )
    if ".." in target.split("/"):
        return normpath(target)
    return target


def _check_options(options: tuple[str, ...], text: str, *, is_path: bool) -> None:
    known = (*_ACCESS, *_LABELS, *_CONSISTENCY, *(PROPAGATIONS if is_path else ("nocopy",)))
    groups = [
        [each for each in options if each in group]
        for group in (_ACCESS, _LABELS, _CONSISTENCY, PROPAGATIONS)
    ]
    if any(each not in known for each in options) or any(len(each) > 1 for each in groups):
        mode = ",".join(options)
        raise Invalid(f"invalid volume specification: '{text}': invalid mode: {mode}")
