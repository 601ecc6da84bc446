"""Say how the volume of a local driver with options is mounted.

What no table knows is for the file system itself, as in mount(8). A bind is another thing than
a file system: it is a copy of a mount, with attributes of its own.
"""

from collections.abc import Mapping

from msgspec import Struct

from runtime import constants as k
from runtime.oci.names import MOUNT_FLAGS
from runtime.planning.options import parse
from swarm.errors import Invalid
from swarm.volumes import option_problems


class Bind(Struct, frozen=True, kw_only=True):
    """A directory of the host; `attributes` are MOUNT_ATTR_*."""

    source: str
    is_recursive: bool = False
    attributes: int = 0


class FileSystem(Struct, frozen=True, kw_only=True):
    """A file system; `flags` are MS_*, `address` is what `addr=` names."""

    kind: str
    device: str
    flags: int = 0
    data: tuple[str, ...] = ()
    address: str = ""

    def with_address(self, address: str) -> tuple[str, ...]:
        """The file system's options with the number of the host that they name."""
        return tuple(f"addr={address}" if each.startswith("addr=") else each for each in self.data)


Mounting = Bind | FileSystem


def mounting(name: str, options: Mapping[str, str]) -> Mounting | None:
    """What to mount for a volume; None when it is a plain directory. `Invalid` says why not."""
    problems = tuple(option_problems(options))
    if problems:
        raise Invalid(f"volume {name}: option {problems[0]}", problems=problems)
    if not options:
        return None
    texts = tuple(filter(None, options.get("o", "").split(",")))
    read = parse(texts)
    if read.is_bind:
        return Bind(
            source=options["device"],
            is_recursive=read.is_recursive,
            attributes=read.attributes.set,
        )
    flags = 0
    for text in texts:
        wanted, flag = MOUNT_FLAGS.get(text, (True, 0))
        flags = flags | flag if wanted else flags & ~flag
    if flags & (k.MS_REMOUNT | k.MS_MOVE):
        raise Invalid(f"volume {name}: option o: remount is none for a volume")
    data = tuple(text for text in texts if text not in MOUNT_FLAGS)
    addresses = [text.removeprefix("addr=") for text in data if text.startswith("addr=")]
    return FileSystem(
        kind=options["type"],
        device=options["device"],
        flags=flags,
        data=data,
        address=addresses[-1] if addresses else "",
    )
