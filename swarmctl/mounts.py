"""Read `--mount type=bind,source=/x,target=/y,readonly`.

Whether the mount makes sense is `swarm.checks`' business; here every key is either understood
or refused, so that a misspelled option never silently becomes a default.
"""

from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.quantities import parse_bytes
from swarm.specs import Mount, MountKind

_HINT = "write it like type=bind,source=/srv/www,target=/www,readonly"
_KINDS = {"bind": MountKind.BIND, "volume": MountKind.VOLUME, "tmpfs": MountKind.TMPFS}
_SWITCHES = ("readonly", "volume-nocopy", "volume-roams", "bind-nonrecursive", "bind-create-src")
_REPEATED = ("volume-label", "volume-opt")
_REFUSED = {
    "consistency": "it changes nothing on Linux: leave it out",
    "image-subpath": "there are no mounts of images: use a volume",
}


def parse_mount(text: str) -> Mount:
    """The mount that `text` describes."""
    mount, seen = Mount(), set[str]()
    for piece in _split(text):
        key, equals, value = piece.partition("=")
        key = _SPELLINGS.get(key.strip().lower(), key.strip().lower())
        if not equals and key not in _SWITCHES:
            raise Invalid(f"{piece!r} in {text!r} is not KEY=VALUE", hint=_HINT)
        if key in seen and key not in _REPEATED:
            raise Invalid(f"{key} is given twice in {text!r}", hint=_HINT)
        seen.add(key)
        mount = _with(mount, key, value if equals else "true", text)
    if "target" not in seen:
        raise Invalid(f"{text!r} has no target", hint=_HINT)
    return mount


_SPELLINGS = {
    "src": "source",
    "dst": "target",
    "destination": "target",
    "ro": "readonly",
    "bind-create-source": "bind-create-src",
}


def _with(mount: Mount, key: str, value: str, text: str) -> Mount:
    match key:
        case "type":
            kind = _KINDS.get(value.lower())
            if kind is None:
                raise Invalid(f"there is no mount type {value!r}", hint="use bind, volume or tmpfs")
            return replace(mount, kind=kind)
        case "source":
            return replace(mount, source=value)
        case "target":
            return replace(mount, target=value)
        case "readonly":
            return replace(mount, read_only=_boolean(key, value))
        case "tmpfs-size":
            return replace(mount, tmpfs_size_bytes=parse_bytes(value))
        case "tmpfs-mode":
            return replace(mount, tmpfs_mode=_octal(value))
        case _ if key.startswith("volume-"):
            return _with_volume(mount, key, value, text)
        case _ if key.startswith("bind-"):
            return _with_bind(mount, key, value, text)
        case _:
            raise _unknown(key, text)


def _with_volume(mount: Mount, key: str, value: str, text: str) -> Mount:
    match key:
        case "volume-nocopy":
            return replace(mount, nocopy=_boolean(key, value))
        case "volume-label":
            name, _, label = value.partition("=")
            return replace(mount, labels=mount.labels | {name: label})
        case "volume-driver":
            return replace(mount, volume_driver=value)
        case "volume-opt":
            name, equals, option = value.partition("=")
            if not name or not equals:
                raise Invalid(
                    f"volume-opt={value} is not KEY=VALUE", hint="write volume-opt=type=tmpfs"
                )
            return replace(mount, volume_options=mount.volume_options | {name: option})
        case "volume-subpath":
            return replace(mount, volume_subpath=value)
        case "volume-roams":
            return replace(mount, roams=_boolean(key, value))
        case _:
            raise _unknown(key, text)


def _with_bind(mount: Mount, key: str, value: str, text: str) -> Mount:
    match key:
        case "bind-propagation":
            return replace(mount, propagation=value)
        case "bind-nonrecursive":
            return replace(mount, nonrecursive=_boolean(key, value))
        case "bind-create-src":
            return replace(mount, create_source=_boolean(key, value))
        case "bind-recursive" if value == "writable":
            raise Invalid(
                "bind-recursive=writable: what is mounted below a read-only bind is read-only too",
                hint="use bind-recursive=disabled to leave it out",
            )
        case "bind-recursive" if value in ("enabled", "disabled", "readonly"):
            return replace(mount, nonrecursive=value == "disabled")
        case "bind-recursive":
            raise Invalid(
                f"bind-recursive={value} is unknown", hint="use enabled, disabled or readonly"
            )
        case _:
            raise _unknown(key, text)


def _unknown(key: str, text: str) -> Invalid:
    if key in _REFUSED:
        return Invalid(f"mount option {key}: {_REFUSED[key]}", hint=_HINT)
    return Invalid(f"unknown mount option {key!r} in {text!r}", hint=_HINT)


def _boolean(key: str, value: str) -> bool:
    if value.lower() in ("true", "1"):
        return True
    if value.lower() in ("false", "0"):
        return False
    raise Invalid(f"{key}={value} is neither true nor false", hint=f"write {key} or {key}=false")


def _octal(value: str) -> int:
    try:
        return int(value, 8)
    except ValueError as err:
        raise Invalid(f"tmpfs-mode={value} is not octal", hint="write it like 1777") from err


def _split(text: str) -> list[str]:
    if '"' not in text:
        return text.split(",")
    import csv

    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as err:
        raise Invalid(f"{text!r}: {err}", hint=_HINT) from err
