"""Read the options of one mount, those of mount(8) and those of the OCI specification.

Later options win over earlier ones. What no table knows is for the file system itself. The
flags of mount(2) mix what belongs to a mount, what to a file system and what is a command;
here they are taken apart as the newer system calls want them. Access times are one field of
several bits, which is cleared before it is set.
"""

import functools
from typing import Final

from msgspec import Struct

from runtime import constants as k
from runtime.oci.names import (
    MOUNT_EXTENSIONS,
    MOUNT_FLAGS,
    PROPAGATION,
    RECURSIVE_ATTRIBUTES,
)
from runtime.steps import Attributes

# Flags of mount(2) that are attributes of a mount.
_ATTRIBUTES: Final = {
    k.MS_RDONLY: k.MOUNT_ATTR_RDONLY,
    k.MS_NOSUID: k.MOUNT_ATTR_NOSUID,
    k.MS_NODEV: k.MOUNT_ATTR_NODEV,
    k.MS_NOEXEC: k.MOUNT_ATTR_NOEXEC,
    k.MS_NODIRATIME: k.MOUNT_ATTR_NODIRATIME,
    k.MS_NOSYMFOLLOW: k.MOUNT_ATTR_NOSYMFOLLOW,
}
_TIMES: Final = {
    k.MS_NOATIME: k.MOUNT_ATTR_NOATIME,
    k.MS_STRICTATIME: k.MOUNT_ATTR_STRICTATIME,
    k.MS_RELATIME: 0,
}
# And those of a file system.
FILESYSTEM_FLAGS: Final = (
    k.MS_SYNCHRONOUS | k.MS_DIRSYNC | k.MS_MANDLOCK | k.MS_LAZYTIME | k.MS_I_VERSION | k.MS_SILENT
)


class Options(Struct, frozen=True, kw_only=True):
    """What a list of options says.

    `flags` are MS_* of a file system; `propagation` MS_* in the order they were given;
    `translate` is empty, `idmap` or `ridmap`.
    """

    flags: int = 0
    attributes: Attributes = Attributes()
    propagation: tuple[int, ...] = ()
    is_bind: bool = False
    is_recursive: bool = False
    copies_up: bool = False
    translate: str = ""
    data: tuple[str, ...] = ()


@functools.lru_cache(maxsize=256)  # those that every container has are read once
def parse(options: tuple[str, ...]) -> Options:
    """Read the options of one mount."""
    flags, commands = 0, 0
    plain, recursive = _Change(), _Change()
    extensions: list[str] = []
    data: list[str] = []
    for option in options:
        if option in MOUNT_FLAGS:
            wanted, flag = MOUNT_FLAGS[option]
            flags = flags | flag & FILESYSTEM_FLAGS if wanted else flags & ~flag
            commands |= flag & (k.MS_BIND | k.MS_REC)
            plain.add(*_attribute(flag, wanted=wanted))
        elif option in RECURSIVE_ATTRIBUTES:
            recursive.add(*RECURSIVE_ATTRIBUTES[option])
        elif option in MOUNT_EXTENSIONS:
            extensions.append(option)
        elif option not in PROPAGATION and option:
            data.append(option)
    maps = [option for option in extensions if option.endswith("idmap")]
    return Options(
        flags=flags,
        attributes=Attributes(
            set=plain.wanted,
            clear=plain.clear,
            recursive_set=recursive.wanted,
            recursive_clear=recursive.clear,
        ),
        propagation=tuple(PROPAGATION[each] for each in options if each in PROPAGATION),
        is_bind=bool(commands & k.MS_BIND),
        is_recursive=bool(commands & k.MS_REC),
        copies_up="tmpcopyup" in extensions,
        translate=maps[-1] if maps else "",
        data=tuple(data),
    )


class _Change:
    """Attributes to be set and cleared, the last word on each."""

    def __init__(self) -> None:
        self.wanted = 0
        self.clear = 0

    def add(self, wanted: int, clear: int) -> None:
        """Have it said once more."""
        if (wanted | clear) & k.MOUNT_ATTR_ATIME:
            clear |= k.MOUNT_ATTR_ATIME
        self.wanted = self.wanted & ~clear | wanted
        self.clear = self.clear & ~wanted | clear


def _attribute(flag: int, *, wanted: bool) -> tuple[int, int]:
    """What to set and to clear for one flag of mount(2)."""
    if flag in _TIMES:
        return (_TIMES[flag] if wanted else 0), k.MOUNT_ATTR_ATIME
    attribute = _ATTRIBUTES.get(flag, 0)
    return (attribute, 0) if wanted else (0, attribute)
