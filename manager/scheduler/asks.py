"""Say what tasks of one service and version want of a node.

An ask is also what such a task costs the node that has it: what is placed is charged with the
very values that it was placed by.
"""

from msgspec import Struct

from swarm.constraints import Constraint, canonical, constraints_of, spread_over
from swarm.errors import Invalid
from swarm.ids import ServiceId
from swarm.objects import Service, SpecVersion
from swarm.specs import (
    Affinity,
    Mount,
    MountKind,
    Platform,
    Port,
    PublishMode,
    Strategy,
    TaskSpec,
    Toleration,
)

LOCAL_DRIVERS = ("", "local")
EVERYWHERE = ("", "0.0.0.0", "::")
"""Addresses that stand for all of a host's."""


class Ask(Struct, frozen=True, kw_only=True):
    """What the tasks of one service and version want of a node.

    `preferences` and the topologies of `affinities` are canonical attributes; `generic` are
    counts by kind; `ports` are those of the host that a task needs for itself alone; `volumes`
    the names, templates unfilled, of volumes that tasks follow; `networks` the ids of those that
    they are in; `needs` the services that have to be there before the tasks may start.
    """

    service_id: ServiceId
    name: str = ""
    version: int = 0
    constraints: tuple[Constraint, ...] = ()
    platforms: tuple[Platform, ...] = ()
    tolerations: tuple[Toleration, ...] = ()
    affinities: tuple[Affinity, ...] = ()
    preferences: tuple[str, ...] = ()
    strategy: Strategy = Strategy.SPREAD
    cpu_millis: int = 0
    memory_bytes: int = 0
    generic: tuple[tuple[str, int], ...] = ()
    ports: tuple[Port, ...] = ()
    volumes: tuple[str, ...] = ()
    networks: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    max_per_node: int = 0
    priority: int = 0

    @property
    def keeps_away(self) -> tuple[Affinity, ...]:
        """The services that it must not meet."""
        return tuple(each for each in self.affinities if each.anti and each.required)


def ask_for(
    service_id: ServiceId,
    spec: TaskSpec,
    *,
    name: str = "",
    version: int = 0,
    ports: tuple[Port, ...] = (),
) -> Ask:
    """What tasks of `spec` want of a node; `name` and `ports` are their service's."""
    placement = spec.placement
    return Ask(
        service_id=service_id,
        name=name,
        version=version,
        constraints=constraints_of(spec),
        platforms=placement.platforms,
        tolerations=placement.tolerations,
        affinities=tuple(map(_readable, placement.affinities)),
        preferences=tuple(filter(None, map(_spread_over, placement.preferences))),
        strategy=placement.strategy,
        cpu_millis=spec.reservations.cpu_millis,
        memory_bytes=spec.reservations.memory_bytes,
        generic=tuple((each.kind, each.count) for each in spec.reservations.generic),
        ports=tuple(each for each in ports if _is_exclusive(each)),
        volumes=tuple(each.source for each in spec.container.mounts if _is_followed(each)),
        networks=tuple(each.target for each in spec.networks),
        needs=tuple(each.service for each in spec.depends_on),
        max_per_node=placement.max_replicas_per_node,
        priority=spec.priority,
    )


def ask_of(service: Service) -> Ask:
    """What new tasks of a service want of a node."""
    return ask_of_version(SpecVersion.of(service), service.spec.name)


def ask_of_version(version: SpecVersion, name: str) -> Ask:
    """What tasks of this version of the service called `name` want of a node."""
    return ask_for(
        version.service_id, version.task, name=name, version=version.version, ports=version.ports
    )


def _is_exclusive(port: Port) -> bool:
    return port.mode is PublishMode.HOST and port.published > 0


def _is_followed(mount: Mount) -> bool:
    is_named = mount.kind is MountKind.VOLUME and bool(mount.source)
    return is_named and not mount.roams and mount.volume_driver in LOCAL_DRIVERS


def _readable(wish: Affinity) -> Affinity:
    """The wish with its topology as columns are called; one that is unreadable is each node."""
    topology = _canonical(wish.topology) or "node.id"
    return (
        wish
        if topology == wish.topology
        else Affinity(
            service=wish.service, anti=wish.anti, required=wish.required, topology=topology
        )
    )


def _spread_over(attribute: str) -> str:
    try:
        return spread_over(attribute)
    except Invalid:
        return ""


def _canonical(attribute: str) -> str:
    try:
        return canonical(attribute)
    except Invalid:
        return ""
