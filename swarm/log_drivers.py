"""Say how a task's output is kept, by the names and options of Docker's log drivers.

Output is kept on the node, as JSON lines in rotating files: that is `json-file`, and `local`
by another name. `none` keeps nothing. Drivers that send output elsewhere do not exist here;
whoever collects logs reads the files or follows `swarmctl service logs`.
"""

from msgspec import Struct

from swarm.errors import Invalid
from swarm.quantities import parse_bytes
from swarm.specs import LogDriver

FILES = ("", "json-file", "local")
NOTHING = "none"

DEFAULT_BYTES = 10 << 20
DEFAULT_FILES = 3
LEAST_BYTES = 4 << 10
MOST_FILES = 1000

_OPTIONS = ("max-size", "max-file")


class Rotation(Struct, frozen=True, kw_only=True):
    """`max_files` files of `max_bytes` each, the oldest dropped; 0 bytes never rotate."""

    max_bytes: int = DEFAULT_BYTES
    max_files: int = DEFAULT_FILES


def rotation(driver: LogDriver) -> Rotation | None:
    """How the output is kept, or `None` if it is not; `Invalid` for what cannot be."""
    if driver.name == NOTHING:
        for name in sorted(driver.options):
            raise Invalid(f"{NOTHING} has no option {name!r}", hint="leave the options out")
        return None
    if is_unknown(driver):
        raise Invalid(
            f"there is no log driver {driver.name!r}: output is kept on the node",
            hint="use json-file, local or none",
        )
    for name in sorted(driver.options):
        if name not in _OPTIONS:
            raise Invalid(f"there is no option {name!r}", hint="use max-size and max-file")
    found = Rotation()
    return Rotation(
        max_bytes=_size(driver.options.get("max-size", ""), found.max_bytes),
        max_files=_files(driver.options.get("max-file", ""), found.max_files),
    )


def is_unknown(driver: LogDriver) -> bool:
    """Whether there is no driver of that name."""
    return driver.name not in (*FILES, NOTHING)


def _size(text: str, default: int) -> int:
    if not text:
        return default
    if text.strip() == "-1":
        return 0
    size = parse_bytes(text)
    if size < LEAST_BYTES:
        raise Invalid(f"max-size={text} is less than {LEAST_BYTES} bytes", hint="like 10m; or -1")
    return size


def _files(text: str, default: int) -> int:
    if not text:
        return default
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= MOST_FILES:
        raise Invalid(f"max-file={text} is not a number in 1..{MOST_FILES}", hint="like 3")
    return int(text)
