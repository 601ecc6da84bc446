"""Check what a container may do: capabilities, devices, profiles, and how its health is asked.

Part of `swarm.checks`, with the same paths. What only a node can tell, that a device or an
AppArmor profile is there, is asked of the node; what a seccomp profile says, of the runtime.
"""

import math
import re
from collections.abc import Iterator

from swarm import capabilities, seccomp
from swarm.errors import Invalid
from swarm.specs import ContainerSpec, Device, Healthcheck

Problem = tuple[str, str]

LEAST_HEALTH_S = 0.001
MAX_RETRIES = 2**31 - 1

_APPARMOR = re.compile(r"[^\s\0]{1,255}")
_DURATIONS = ("interval_s", "timeout_s", "start_period_s", "start_interval_s")


def check_rights(path: str, container: ContainerSpec) -> Iterator[Problem]:
    """Every problem of the container at `path` that this module knows of."""
    for kind, names in (("cap_add", container.cap_add), ("cap_drop", container.cap_drop)):
        for index, name in enumerate(names):
            yield from _capability(f"{path}.{kind}[{index}]", name)
    yield from _devices(f"{path}.devices", container.devices)
    if seccomp.is_too_large(container.seccomp):
        yield f"{path}.seccomp", f"has more than {seccomp.LARGEST_BYTES >> 10} KiB"
    if container.apparmor and not _APPARMOR.fullmatch(container.apparmor):
        yield f"{path}.apparmor", f"{container.apparmor!r} is not the name of a profile"
    yield from check_health(f"{path}.health", container.health)


def check_health(path: str, health: Healthcheck) -> Iterator[Problem]:
    """Every problem of a probe."""
    match health.test:
        case () | ("NONE",):
            pass
        case ("CMD-SHELL", command):
            if not command.strip():
                yield f"{path}.test", "CMD-SHELL needs a command"
        case ("CMD", *words):
            if not words or not words[0]:
                yield f"{path}.test", "CMD needs a command"
        case _:
            kind = health.test[0]
            yield f"{path}.test", f"{kind!r} is not how a test begins; use NONE, CMD or CMD-SHELL"
    if any("\0" in word for word in health.test):
        yield f"{path}.test", "must not hold a NUL character"
    for name in _DURATIONS:
        yield from _health_duration(f"{path}.{name}", getattr(health, name))
    if not 0 <= health.retries <= MAX_RETRIES:
        yield f"{path}.retries", f"{health.retries} is not in 0..{MAX_RETRIES}"


def _health_duration(path: str, seconds: float) -> Iterator[Problem]:
    if not math.isfinite(seconds) or seconds < 0:
        yield path, f"{seconds:g} s must not be negative"
    elif 0 < seconds < LEAST_HEALTH_S:
        yield path, f"{seconds:g} s is less than 1ms; 0 is the default"


def _capability(path: str, name: str) -> Iterator[Problem]:
    try:
        known = capabilities.parse_capability(name)
    except Invalid as err:
        yield path, f"{err.message}; {err.hint}"
        return
    if known != name:
        yield path, f"{name!r} must be written {known}"


def _devices(path: str, devices: tuple[Device, ...]) -> Iterator[Problem]:
    targets: dict[str, int] = {}
    for index, device in enumerate(devices):
        here = f"{path}[{index}]"
        yield from _device_path(f"{here}.source", device.source)
        yield from _device_path(f"{here}.target", device.target)
        if not device.access or len(set(device.access)) < len(device.access):
            yield f"{here}.access", f"{device.access!r} must be of r, w and m, each once"
        elif not set(device.access) <= set("rwm"):
            yield f"{here}.access", f"{device.access!r} must be of r, w and m"
        if device.target in targets:
            yield (
                f"{here}.target",
                f"{device.target} is already the target of devices[{targets[device.target]}]",
            )
        targets.setdefault(device.target, index)


def _device_path(path: str, text: str) -> Iterator[Problem]:
    if not text.startswith("/") or "\0" in text:
        yield path, f"{text!r} must be an absolute path"
    elif ".." in text.split("/"):
        yield path, f"{text!r} must not contain `..`"
    elif not text.strip("/"):
        yield path, "must not be the root directory"
