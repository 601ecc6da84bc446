"""Read `volumes` and `tmpfs` of a service.

A source that begins with `/`, `.` or `~` is a path of the hosts, relative to the first stack
file; any other is a key of the file's `volumes`.
"""

from collections.abc import Mapping
from posixpath import expanduser, join, normpath

from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import Mount, MountKind
from swarmctl.edits import with_given
from swarmctl.mounts import parse_mount
from swarmctl.stacks.documents import Value
from swarmctl.stacks.fields import Fields
from swarmctl.stacks.resources import Volume

_KINDS = {"bind": MountKind.BIND, "volume": MountKind.VOLUME, "tmpfs": MountKind.TMPFS}
_PROPAGATIONS = ("private", "rprivate", "shared", "rshared", "slave", "rslave")
_MEANINGLESS = ("z", "Z", "rw", "cached", "consistent", "delegated")


def read_mounts(
    service: Fields, volumes: Mapping[str, Volume], *, directory: str
) -> tuple[Mount, ...]:
    """All mounts of a service."""
    found: list[Mount] = []
    for at, item in enumerate(service.items("volumes")):
        name = f"volumes[{at}]"
        try:
            mount = _mount(item, service, name)
            found.append(_sourced(mount, volumes, directory))
        except Invalid as err:
            service.problem(name, f"{err.message}; {err.hint}" if err.hint else err.message)
    return (*found, *service.read_all("tmpfs", parse_tmpfs))


def parse_tmpfs(text: str) -> Mount:
    """`/run`, or `/run:size=64m,mode=1777`."""
    target, _, options = text.partition(":")
    known = [each for each in options.split(",") if each and each not in ("rw", "exec", "noexec")]
    flags = ",".join(f"tmpfs-{each}" if "=" in each else each for each in known)
    return parse_mount(f"type=tmpfs,target={target}{',' if flags else ''}{flags}")


def parse_short(text: str) -> Mount:
    """`[SOURCE:]TARGET[:OPTIONS]`; a source is yet as it was written."""
    pieces = text.split(":")
    if len(pieces) > 3 or not all(pieces):
        raise Invalid(f"{text!r} is not [SOURCE:]TARGET[:OPTIONS]", hint="like data:/data:ro")
    if len(pieces) == 1:
        return Mount(target=text)
    source, target = pieces[:2]
    is_path = source[0] in "/.~"
    mount = Mount(
        kind=MountKind.BIND if is_path else MountKind.VOLUME, source=source, target=target
    )
    for option in pieces[2].split(",") if len(pieces) == 3 else ():
        mount = _with_option(mount, option, text)
    return mount


def _with_option(mount: Mount, option: str, text: str) -> Mount:
    if option == "ro":
        return replace(mount, read_only=True)
    if option == "nocopy":
        return replace(mount, nocopy=True)
    if option in _PROPAGATIONS:
        return replace(mount, propagation=option)
    if option in _MEANINGLESS:
        return mount
    raise Invalid(f"unknown option {option!r} in {text!r}", hint="use ro, rw or nocopy")


def _mount(item: Value, service: Fields, name: str) -> Mount:
    if isinstance(item, dict):
        return _long(Fields(item, service.at(name), service.problems))
    return parse_short(str(item))


def _long(fields: Fields) -> Mount:
    kind = fields.text("type") or "volume"
    if kind not in _KINDS:
        fields.problem("type", f"there is no mount type {kind!r}; use bind, volume or tmpfs")
    if "target" not in fields:
        fields.problem("target", "is missing")
    bind, volume, tmpfs = map(fields.within, ("bind", "volume", "tmpfs"))
    mount = with_given(
        Mount(kind=_KINDS.get(kind, MountKind.VOLUME)),
        source=fields.text("source"),
        target=fields.text("target"),
        read_only=fields.boolean("read_only"),
        propagation=bind.text("propagation"),
        create_source=bind.boolean("create_host_path"),
        nonrecursive=bind.read("recursive", _is_nonrecursive),
        nocopy=volume.boolean("nocopy"),
        volume_subpath=volume.text("subpath"),
        labels=volume.labels("labels") or None,
        tmpfs_size_bytes=tmpfs.size("size"),
        tmpfs_mode=tmpfs.mode("mode"),
    )
    fields.ignored(("consistency",))
    bind.ignored(("selinux",))
    for each in (bind, volume, tmpfs, fields):
        each.done()
    return mount


def _is_nonrecursive(text: str) -> bool:
    return parse_mount(f"type=bind,target=/x,bind-recursive={text}").nonrecursive


def _sourced(mount: Mount, volumes: Mapping[str, Volume], directory: str) -> Mount:
    """The mount with what its source stands for in the swarm."""
    if mount.kind is MountKind.BIND and mount.source:
        return replace(mount, source=normpath(join(directory, expanduser(mount.source))))
    if mount.kind is not MountKind.VOLUME or not mount.source:
        return mount
    volume = volumes.get(mount.source)
    if volume is None:
        raise Invalid(
            f"there is no volume {mount.source!r}",
            hint=f"declare it: `volumes: {{{mount.source}: }}` at the top of the file",
        )
    return replace(
        mount,
        source=volume.name,
        volume_driver=volume.driver,
        volume_options=volume.options,
        labels={**volume.labels, **mount.labels},
    )
