"""Judge what a volume of the local driver is asked to be, with Docker's options.

Without options it is a directory of its node. With `type` and `device` it is whatever those
mount, with the options of mount(8) in `o`: memory (tmpfs), a network file system (nfs), or a
directory of the host (`type=none`, `o=bind`).
"""

import re
from collections.abc import Iterator, Mapping

LOCAL = "local"
ANONYMOUS = "com.docker.volume.anonymous"
"""The label of volumes whose name was made up, which nobody misses."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
_LONGEST_NAME = 255
_KNOWN = ("device", "o", "type")


def name_problems(name: str) -> Iterator[str]:
    """Why a volume cannot be called `name`."""
    if not _NAME.fullmatch(name) or len(name) > _LONGEST_NAME:
        yield (
            f"name: {name!r} must be letters, digits, -, _ and ., begin with a letter or digit, "
            f"and have 1 to {_LONGEST_NAME} characters"
        )


def driver_problems(driver: str) -> Iterator[str]:
    """Why a volume cannot have this driver."""
    if driver not in ("", LOCAL):
        yield f"driver: there is no volume driver {driver!r}; use {LOCAL}"


def option_problems(options: Mapping[str, str]) -> Iterator[str]:
    """What is wrong with the options of the local driver, each with its name."""
    for name in sorted(options.keys() - set(_KNOWN)):
        if name == "size":
            yield "size: the local driver has no quotas; for tmpfs write o=size=100m"
        else:
            yield f"{name}: there is no such option; there are {', '.join(_KNOWN)}"
    if options:
        for name in ("type", "device"):
            if not options.get(name):
                yield f"{name}: is missing; with options a volume needs both type and device"
    flags = options.get("o", "").split(",")
    if options.get("type") == "none" and not {"bind", "rbind"} & set(flags):
        yield "o: type=none mounts nothing without bind or rbind"
    if "bind" in flags and not options.get("device", "").startswith("/"):
        yield "device: must be absolute for a bind"
