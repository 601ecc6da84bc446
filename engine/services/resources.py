"""Translate what a task may use, what is set aside for it, and what a node has."""

from collections.abc import Iterable, Iterator

from msgspec import structs

from engine.services.words import read_cpus, write_cpus
from engine.wire.services import (
    DiscreteResourceJson,
    GenericResourceJson,
    LimitJson,
    NamedResourceJson,
    ReservationJson,
    ResourcesJson,
)
from swarm.specs import LEAST_CPU_MILLIS, GenericResource, Limits, Resources, TaskSpec

_UNSET = Limits()


def read_resources(asked: ResourcesJson, before: TaskSpec) -> TaskSpec:
    """`before` with the limits and reservations that a client asks for.

    Without a limit of memory there is no swap on top of it.
    """
    limit, reservation = asked.limits or LimitJson(), asked.reservations or ReservationJson()
    swap, swappiness = asked.swap_bytes, asked.memory_swappiness
    millis, nanos = read_cpus(limit.nano_cpus, least=LEAST_CPU_MILLIS)
    limits = structs.replace(
        before.limits,
        cpu_millis=millis,
        nano_cpus=nanos,
        memory_bytes=limit.memory_bytes,
        pids=limit.pids,
    )
    if swap is not None:
        limits = structs.replace(limits, swap_bytes=swap)
    elif not limit.memory_bytes:
        limits = structs.replace(limits, swap_bytes=0)
    if swappiness is not None:
        limits = structs.replace(limits, swappiness=swappiness)
    millis, nanos = read_cpus(reservation.nano_cpus)
    return structs.replace(
        before,
        limits=limits,
        reservations=Resources(
            cpu_millis=millis,
            nano_cpus=nanos,
            memory_bytes=reservation.memory_bytes,
            generic=tuple(_read_generic(reservation.generic_resources)),
        ),
    )


def write_resources(task: TaskSpec) -> ResourcesJson:
    """A task's limits and reservations as Docker's clients read them."""
    limits = task.limits
    return ResourcesJson(
        limits=LimitJson(
            nano_cpus=write_cpus(limits.cpu_millis, limits.nano_cpus, least=LEAST_CPU_MILLIS),
            memory_bytes=limits.memory_bytes,
            pids=limits.pids,
        ),
        reservations=write_amounts(task.reservations),
        swap_bytes=limits.swap_bytes or None,
        memory_swappiness=limits.swappiness if limits.swappiness != _UNSET.swappiness else None,
    )


def write_amounts(resources: Resources) -> ReservationJson:
    """What is reserved, or what a node has."""
    return ReservationJson(
        nano_cpus=write_cpus(resources.cpu_millis, resources.nano_cpus),
        memory_bytes=resources.memory_bytes,
        generic_resources=tuple(write_generic(resources.generic)),
    )


def write_generic(resources: Iterable[GenericResource]) -> Iterator[GenericResourceJson]:
    """Counted and named resources, as one list."""
    for each in resources:
        for name in each.names:
            yield GenericResourceJson(
                named_resource_spec=NamedResourceJson(kind=each.kind, value=name)
            )
        if not each.names:
            yield GenericResourceJson(
                discrete_resource_spec=DiscreteResourceJson(kind=each.kind, value=each.count)
            )


def _read_generic(asked: Iterable[GenericResourceJson]) -> Iterator[GenericResource]:
    """One for each kind that is counted, and one with all the names of a kind."""
    names = dict[str, list[str]]()
    for each in asked:
        if (named := each.named_resource_spec) is not None:
            names.setdefault(named.kind, []).append(named.value)
        elif (counted := each.discrete_resource_spec) is not None:
            yield GenericResource(kind=counted.kind, count=counted.value)
    for kind, found in names.items():
        yield GenericResource(kind=kind, names=tuple(found))
