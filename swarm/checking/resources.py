"""Judge what a task may use and what is set aside for it."""

from collections.abc import Iterator

from swarm.checking.basics import MAX_COUNT, Problem, count
from swarm.quantities import format_cpus, format_memory
from swarm.specs import LEAST_CPU_MILLIS, LEAST_MEMORY_BYTES, GenericResource, Limits, TaskSpec


def resources(task: TaskSpec) -> Iterator[Problem]:
    """Limits and reservations, and that they agree."""
    limits, reserved = task.limits, task.reservations
    for part, cpu, memory in (
        ("limits", limits.cpu_millis, limits.memory_bytes),
        ("reservations", reserved.cpu_millis, reserved.memory_bytes),
    ):
        yield from count(f"task.{part}.cpu_millis", cpu, most=2**62)
        yield from count(f"task.{part}.memory_bytes", memory, most=2**62)
    yield from _least(limits)
    yield from count("task.limits.pids", limits.pids, most=2**22)
    yield from _swap(limits)
    for name, limit, reservation, text in (
        ("cpu_millis", limits.cpu_millis, reserved.cpu_millis, format_cpus),
        ("memory_bytes", limits.memory_bytes, reserved.memory_bytes, format_memory),
    ):
        if 0 < limit < reservation:
            yield (
                f"task.limits.{name}",
                f"{text(limit)} is below the reservation of {text(reservation)}",
            )
    yield from _generic(reserved.generic)


def _least(limits: Limits) -> Iterator[Problem]:
    if 0 < limits.memory_bytes < LEAST_MEMORY_BYTES:
        yield (
            "task.limits.memory_bytes",
            f"{format_memory(limits.memory_bytes)} is less than "
            f"{format_memory(LEAST_MEMORY_BYTES)}, the least that works",
        )
    if 0 < limits.cpu_millis < LEAST_CPU_MILLIS:
        yield (
            "task.limits.cpu_millis",
            f"{format_cpus(limits.cpu_millis)} is less than {format_cpus(LEAST_CPU_MILLIS)}, "
            "the least that works",
        )


def _swap(limits: Limits) -> Iterator[Problem]:
    if limits.swap_bytes != -1:
        yield from count("task.limits.swap_bytes", limits.swap_bytes, most=2**62)
    if limits.swap_bytes and not limits.memory_bytes:
        yield "task.limits.swap_bytes", "comes on top of a limit of memory, and there is none"
    if not -1 <= limits.swappiness <= 100:
        yield "task.limits.swappiness", f"{limits.swappiness} is not in 0..100, or -1 for unset"


def _generic(wanted: tuple[GenericResource, ...]) -> Iterator[Problem]:
    kinds: dict[str, int] = {}
    for index, each in enumerate(wanted):
        path = f"task.reservations.generic[{index}]"
        if not each.kind or any(map(str.isspace, each.kind)):
            yield f"{path}.kind", f"{each.kind!r} is not the name of a resource"
        elif each.kind in kinds:
            yield f"{path}.kind", f"{each.kind} is already in generic[{kinds[each.kind]}]"
        kinds.setdefault(each.kind, index)
        if each.names:
            yield f"{path}.names", "a task asks for a number; which ones it gets is decided later"
        elif not 1 <= each.count <= MAX_COUNT:
            yield f"{path}.count", f"{each.count} is not in 1..{MAX_COUNT}"
