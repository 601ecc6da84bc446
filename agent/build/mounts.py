"""Read what `RUN --mount=` asks for.

Caches, temporary memory, and files of the context, a stage or an image. Secrets and agents of
ssh come over a channel to the client that this builder does not have: an optional secret is absent,
a required one is refused.
"""

import csv
from collections.abc import Callable
from enum import Enum

from msgspec import Struct

from swarm.errors import Invalid
from swarm.quantities import parse_bytes


class MountType(Enum):
    """Where a mount's content comes from."""

    BIND = "bind"
    CACHE = "cache"
    TMPFS = "tmpfs"
    SECRET = "secret"


class Sharing(Enum):
    """What builds that want the same cache at once do."""

    SHARED = "shared"
    PRIVATE = "private"
    LOCKED = "locked"


class Mount(Struct, frozen=True, kw_only=True):
    """One mount of a RUN. `size_bytes` 0 is the kernel's own bound."""

    type: MountType = MountType.BIND
    origin: str = ""
    source: str = ""
    target: str = ""
    is_read_only: bool = True
    size_bytes: int = 0
    cache_id: str = ""
    sharing: Sharing = Sharing.SHARED
    is_required: bool = False
    mode: int = 0o755
    uid: int = 0
    gid: int = 0


_ALIASES = {"src": "source", "dst": "target", "destination": "target", "ro": "readonly"}
_KEYS = ("type", "from", "source", "target", "readonly", "readwrite", "rw", "required", "size",
         "id", "sharing", "mode", "uid", "gid", "env")  # fmt: skip


def parse_mount(text: str, fill: Callable[[str], str] = str) -> Mount:
    """Read the value of one flag, its values filled in by `fill`; `Invalid` names the key."""
    fields = {key: fill(value) for key, value in _fields(text).items()}
    name = fields.get("type", "bind").lower()
    if name == "ssh":
        raise Invalid(
            "RUN --mount=type=ssh needs a client's agent, which this builder cannot reach",
            hint="fetch what needs a key before the build, and COPY it",
        )
    try:
        kind = MountType(name)
    except ValueError:
        raise Invalid(
            f"unsupported mount type {name!r}", hint="bind, cache, tmpfs or secret"
        ) from None
    _check(fields, kind)
    return Mount(
        type=kind,
        origin=fields.get("from", ""),
        source=fields.get("source", ""),
        target=fields.get("target", ""),
        is_read_only=_is_read_only(fields, kind),
        size_bytes=parse_bytes(fields["size"]) if "size" in fields else 0,
        cache_id=fields.get("id", ""),
        sharing=_sharing(fields.get("sharing", "shared")),
        is_required=_truth("required", fields.get("required", "false")),
        mode=_number("mode", fields.get("mode", "755"), 8),
        uid=_number("uid", fields.get("uid", "0"), 10),
        gid=_number("gid", fields.get("gid", "0"), 10),
    )


def _fields(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    try:
        split = next(csv.reader([text], strict=True), list[str]())
    except csv.Error as err:
        raise Invalid(f"--mount={text}: {err}") from err
    for field in split:
        key, equals, value = field.partition("=")
        key = _ALIASES.get(key.lower(), key.lower())
        if key not in _KEYS:
            raise Invalid(f"unexpected key '{key}' in '{field}'", hint=f"one of {', '.join(_KEYS)}")
        if not equals and key not in ("readonly", "readwrite", "rw", "required"):
            raise Invalid(f"invalid field '{field}' must be a key=value pair")
        found["readwrite" if key == "rw" else key] = value if equals else "true"
    return found


def _check(fields: dict[str, str], kind: MountType) -> None:
    allowed = {
        MountType.BIND: {"type", "from", "source", "target", "readonly", "readwrite"},
        MountType.CACHE: {"type", "from", "source", "target", "readonly", "readwrite", "id",
                          "sharing", "mode", "uid", "gid"},
        MountType.TMPFS: {"type", "target", "size", "readonly", "readwrite"},
        MountType.SECRET: {"type", "id", "source", "target", "required", "mode", "uid", "gid",
                           "env"},
    }[kind]  # fmt: skip
    for key in fields:
        if key not in allowed:
            raise Invalid(f"unexpected key '{key}' for mount type '{kind.value}'")
    if not fields.get("target") and kind is not MountType.SECRET:
        raise Invalid(f"RUN --mount=type={kind.value}: target is required")


def _is_read_only(fields: dict[str, str], kind: MountType) -> bool:
    if "readonly" in fields:
        return _truth("readonly", fields["readonly"])
    if "readwrite" in fields:
        return not _truth("readwrite", fields["readwrite"])
    return kind in (MountType.BIND, MountType.SECRET)


def _sharing(text: str) -> Sharing:
    try:
        return Sharing(text.lower())
    except ValueError:
        raise Invalid(
            f"unsupported sharing value {text!r}", hint="shared, private or locked"
        ) from None


def _truth(key: str, text: str) -> bool:
    if text.lower() in ("1", "t", "true"):
        return True
    if text.lower() in ("0", "f", "false"):
        return False
    raise Invalid(f"invalid value for {key}: {text}", hint="true or false")


def _number(key: str, text: str, base: int) -> int:
    try:
        found = int(text, base)
    except ValueError:
        found = -1
    if not 0 <= found < 1 << 31:
        raise Invalid(f"invalid value {text} for {key}")
    return found
