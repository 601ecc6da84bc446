"""Refuse services that would wait for each other, or for themselves, for ever.

What does not exist yet may be depended on: services are created in any order, and a circle is
noticed by whoever closes it.
"""

from manager.view import ClusterView
from swarm.errors import Invalid
from swarm.ids import ServiceId
from swarm.specs import ServiceSpec


def check_dependencies(view: ClusterView, spec: ServiceSpec) -> None:
    """`Invalid` when the service, as `spec` says, would depend on itself."""
    for index, dependency in enumerate(spec.task.depends_on):
        path = f"task.depends_on[{index}]"
        if dependency.service == spec.name:
            raise Invalid(
                f"{path}: service {spec.name} cannot depend on itself",
                hint="name another service, or leave the dependency out",
            )
        circle = _way_back(view, dependency.service, spec.name)
        if circle:
            names = " -> ".join((spec.name, *circle))
            raise Invalid(
                f"{path}: {names} would wait for each other for ever",
                hint=f"remove one of these dependencies first, such as that of {circle[-2]}",
            )


def _way_back(view: ClusterView, start: str, home: str) -> tuple[str, ...]:
    """The services from `start` to `home` along what they depend on; empty if none leads there."""
    ways: list[tuple[str, ...]] = [(start,)]
    seen = {start}
    while ways:
        way = ways.pop()
        for name in _depends_on(view, way[-1]):
            if name == home:
                return (*way, name)
            if name not in seen:
                seen.add(name)
                ways.append((*way, name))
    return ()


def _depends_on(view: ClusterView, name: str) -> tuple[str, ...]:
    service = view.services.get(ServiceId(view.names.get(("service", name), "")))
    if service is None:
        return ()
    return tuple(dict.fromkeys(each.service for each in service.spec.task.depends_on))
