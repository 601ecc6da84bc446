"""Turn the flags of rights and fences into fields of a container.

`--cap-add` and `--cap-drop` change what the service has, as Docker's do: to drop what was added
only takes it back, and the other way round; `RESET` begins again. A `--security-opt` names what
it sets, so of two that set the same the later one counts.
"""

import re
from collections.abc import Iterable

from msgspec.structs import replace

from swarm.capabilities import parse_capability, settled
from swarm.errors import Invalid
from swarm.seccomp import UNCONFINED
from swarm.specs import ContainerSpec, Device

RESET = "RESET"
_DEVICE_HINT = "write it like /dev/fuse, /dev/sda:/dev/disk or /dev/snd:/dev/snd:r"
_OPTION = re.compile(r"([a-z-]+)(?:[=:](.*))?", re.DOTALL)
_OPTION_HINT = "there are seccomp=…, no-new-privileges[=true|false] and apparmor=…"


def parse_device(text: str) -> Device:
    """`HOST[:CONTAINER[:rwm]]`; the container's path is the host's unless it is given."""
    source, *rest = text.split(":")
    target, access = source, "rwm"
    if len(rest) == 2:
        target, access = rest
    elif len(rest) == 1 and _is_access(rest[0]):
        access = rest[0]
    elif len(rest) == 1:
        target = rest[0]
    if len(rest) > 2 or not source or not target:
        raise Invalid(f"{text!r} is not HOST[:CONTAINER[:rwm]]", hint=_DEVICE_HINT)
    if not _is_access(access):
        raise Invalid(f"{access!r} in {text!r} is not of r, w and m", hint=_DEVICE_HINT)
    return Device(source=source, target=target, access=access)


def with_capabilities(
    container: ContainerSpec, *, add: Iterable[str], drop: Iterable[str]
) -> ContainerSpec:
    """The container with capabilities added and dropped."""
    adds, drops = set(container.cap_add), set(container.cap_drop)
    new_adds, new_drops = _named("--cap-add", add), _named("--cap-drop", drop)
    if RESET in new_adds:
        adds.clear()
    if RESET in new_drops:
        drops.clear()
    for name in new_drops - new_adds - {RESET}:
        (adds.discard if name in adds else drops.add)(name)
    for name in new_adds - {RESET}:
        (drops.discard if name in drops else adds.add)(name)
    cap_add, cap_drop = settled(adds, drops)
    return replace(container, cap_add=cap_add, cap_drop=cap_drop)


def with_options(container: ContainerSpec, options: Iterable[str]) -> ContainerSpec:
    """The container with each `--security-opt` applied; profiles have been read from files."""
    for text in options:
        container = _with_option(container, text)
    return container


def seccomp_file(option: str) -> str:
    """The file that a `--security-opt` names, if it names one."""
    found = _OPTION.fullmatch(option)
    value = (found[2] or "") if found and found[1] == "seccomp" else ""
    return "" if value in _SECCOMP or value.startswith("{") else value


_SECCOMP = {"": "", "default": "", "builtin": "", UNCONFINED: UNCONFINED}
_BOOLEANS = {"": True, "true": True, "false": False}


def _with_option(container: ContainerSpec, text: str) -> ContainerSpec:
    found = _OPTION.fullmatch(text)
    key, value = (found[1], found[2] or "") if found else (text, "")
    match key:
        case "seccomp" if value:
            return replace(container, seccomp=_SECCOMP.get(value, value))
        case "no-new-privileges" if value in _BOOLEANS:
            return replace(container, allow_new_privileges=not _BOOLEANS[value])
        case "apparmor" if value:
            return replace(container, apparmor=value)
        case "label":
            raise Invalid(
                f"--security-opt {text!r}: SELinux labels are not supported",
                hint="leave it out; AppArmor and seccomp profiles are",
            )
        case _:
            raise Invalid(f"--security-opt {text!r} cannot be read", hint=_OPTION_HINT)


def _named(flag: str, texts: Iterable[str]) -> set[str]:
    found = set[str]()
    for text in texts:
        if text.upper() == RESET:
            found.add(RESET)
            continue
        try:
            found.add(parse_capability(text))
        except Invalid as err:
            raise Invalid(f"{flag}: {err.message}", hint=err.hint) from err
    return found


def _is_access(text: str) -> bool:
    return bool(text) and set(text) <= set("rwm") and len(set(text)) == len(text)
