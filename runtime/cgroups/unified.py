"""Write files of a v2 group by their names, for limits that OCI has no words for.

The names lead to files of the group itself and of its controllers, never elsewhere, and not to
those that move or kill processes: a config must not pull a stranger into the container.
"""

import re
from collections.abc import Iterator
from typing import Final

from runtime.cgroups.setting import Demand, Refusal, Setting
from runtime.oci.config import Resources

_NAME: Final = re.compile(r"[a-z_]+(\.[A-Za-z0-9_]+)+")
_OF_THE_GROUP: Final = ("cgroup.max.depth", "cgroup.max.descendants", "cgroup.pressure")


def controller(name: str) -> str:
    """The controller that a file belongs to; empty for the group's own."""
    first = name.partition(".")[0]
    return "" if first == "cgroup" else first


def v1(resources: Resources) -> Iterator[Refusal]:
    """There is nothing to write to."""
    for name in resources.unified:
        yield Refusal(f"unified.{name}", "this host's controllers are those of cgroup v1")


def v2(resources: Resources) -> Iterator[Demand]:
    """Each line of a value is written by itself, as the kernel wants it."""
    for name, value in resources.unified.items():
        field = f"unified.{name}"
        if not _NAME.fullmatch(name):
            yield Refusal(field, "is not the name of a file such as memory.high")
        elif not controller(name) and name not in _OF_THE_GROUP:
            yield Refusal(field, f"of the group itself only {', '.join(_OF_THE_GROUP)} may be set")
        else:
            yield Setting(name, tuple(value.splitlines()) or ("",))
