"""Work out what one container may do on this node.

The spec asks, the node may be unable or unwilling: as with Docker, ids that are remapped admit
neither `privileged` nor the host's network, unless the service opts out with `--userns host`.
A privileged container may gain privileges, and has every capability that was not dropped.
"""

from collections.abc import Callable, Iterable, Iterator

from msgspec import Struct

from runtime.defaults import CAPABILITIES
from runtime.spec import Device, UserNamespace
from swarm import specs
from swarm.capabilities import ALL, effective, parse_capability
from swarm.seccomp import UNCONFINED
from swarm.specs import ContainerSpec, TaskSpec


class Fences(Struct, frozen=True, kw_only=True):
    """What this node has to fence containers in. `user_namespace` is its remapping of ids."""

    user_namespace: UserNamespace | None = None
    has_apparmor: bool = False


class Rights(Struct, frozen=True, kw_only=True):
    """What the runtime is told."""

    capabilities: tuple[str, ...]
    privileged: bool
    no_new_privs: bool
    seccomp: str
    apparmor: str
    devices: tuple[Device, ...]
    user_namespace: UserNamespace | None


def rights(asked: ContainerSpec, fences: Fences) -> Rights:
    """The rights of a container that this node does not refuse."""
    # What is no task has them as their operator wrote them.
    add = (ALL,) if asked.privileged else tuple(map(parse_capability, asked.cap_add))
    drop = tuple(map(parse_capability, asked.cap_drop))
    return Rights(
        capabilities=effective(add, drop, default=CAPABILITIES),
        privileged=asked.privileged,
        no_new_privs=not (asked.privileged or asked.allow_new_privileges),
        seccomp=asked.seccomp or (UNCONFINED if asked.privileged else "default"),
        apparmor="" if asked.apparmor == UNCONFINED else asked.apparmor,
        devices=tuple(
            Device(source=each.source, target=each.target, access=each.access)
            for each in asked.devices
        ),
        user_namespace=None if asked.host_user_namespace else fences.user_namespace,
    )


def unfit(spec: TaskSpec, fences: Fences) -> Iterator[str]:
    """Why this node refuses to give a task what it asks for, each with its path in the spec."""
    container = spec.container
    if fences.user_namespace is not None and not container.host_user_namespace:
        if container.privileged:
            yield "container.privileged: contradicts this node's remapped ids; use --userns host"
        if spec.is_on_host:
            yield "networks: host contradicts this node's remapped ids; use --userns host"
    if container.apparmor not in ("", UNCONFINED) and not fences.has_apparmor:
        yield f"container.apparmor: no AppArmor on this node, so no profile {container.apparmor}"


def absent_devices(devices: Iterable[specs.Device], why_not: Callable[[str], str]) -> Iterator[str]:
    """Devices that are not there: `why_not` is empty for a path that is a device."""
    for index, device in enumerate(devices):
        if reason := why_not(device.source):
            yield f"container.devices[{index}].source: {device.source} {reason}"
