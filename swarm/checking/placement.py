"""Judge where tasks may run and what they wait for."""

from collections.abc import Iterator

from swarm.checking.basics import MAX_COUNT, Problem, all_readable, count, readable
from swarm.constraints import canonical, spread_over
from swarm.constraints import parse as parse_constraint
from swarm.specs import Affinity, Dependency, Global, GlobalJob, ServiceSpec, Toleration

_LEAST_PRIORITY = -(2**31)


def placement(spec: ServiceSpec) -> Iterator[Problem]:
    """All wishes of the task about its place."""
    wishes = spec.task.placement
    yield from all_readable("task.placement.constraints", parse_constraint, wishes.constraints)
    yield from count("task.placement.max_replicas_per_node", wishes.max_replicas_per_node)
    if wishes.max_replicas_per_node and isinstance(spec.mode, Global | GlobalJob):
        yield "task.placement.max_replicas_per_node", "has no meaning in global mode"
    yield from all_readable("task.placement.preferences", spread_over, wishes.preferences)
    for index, affinity in enumerate(wishes.affinities):
        yield from _affinity(f"task.placement.affinities[{index}]", affinity)
    for index, toleration in enumerate(wishes.tolerations):
        yield from _toleration(f"task.placement.tolerations[{index}]", toleration)
    for index, platform in enumerate(wishes.platforms):
        if not platform.os and not platform.arch:
            yield f"task.placement.platforms[{index}]", "names neither a system nor a machine"
    if not _LEAST_PRIORITY <= spec.task.priority <= MAX_COUNT:
        yield "task.priority", f"{spec.task.priority} is not in {_LEAST_PRIORITY}..{MAX_COUNT}"
    yield from count("max_unavailable", spec.max_unavailable)
    yield from _dependencies(spec.name, spec.task.depends_on)


def _affinity(path: str, wish: Affinity) -> Iterator[Problem]:
    if not wish.service:
        yield f"{path}.service", "must not be empty"
    yield from readable(f"{path}.topology", canonical, wish.topology)


def _toleration(path: str, wish: Toleration) -> Iterator[Problem]:
    if any(map(str.isspace, wish.key)):
        yield f"{path}.key", f"{wish.key!r} must not hold a space"
    if not wish.key and not wish.any_value:
        yield f"{path}.key", "without a key it must bear any value"


def _dependencies(own: str, wishes: tuple[Dependency, ...]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for index, wish in enumerate(wishes):
        path = f"task.depends_on[{index}].service"
        if not wish.service:
            yield path, "must not be empty"
        elif wish.service == own:
            yield path, "a service cannot wait for itself"
        elif wish.service in seen:
            yield path, f"{wish.service} is already in depends_on[{seen[wish.service]}]"
        seen.setdefault(wish.service, index)
