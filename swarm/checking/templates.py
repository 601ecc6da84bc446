"""Judge the templates of a task: each node would refuse what holds an unknown name."""

from collections.abc import Iterator

from swarm.checking.basics import Problem
from swarm.placeholders import NAMES, unknown_names
from swarm.specs import ContainerSpec, ServiceSpec


def templates(spec: ServiceSpec) -> Iterator[Problem]:
    """Host name, environment and mounts, with the labels of the service."""
    for path, text in _texts(spec.task.container):
        for name in unknown_names(text, spec.labels):
            yield path, f"there is no {{{{{name}}}}}; use one of {_known(spec)}"


def _texts(container: ContainerSpec) -> Iterator[tuple[str, str]]:
    yield "task.container.hostname", container.hostname
    for index, variable in enumerate(container.env):
        yield f"task.container.env[{index}]", variable
    for index, mount in enumerate(container.mounts):
        yield f"task.container.mounts[{index}].source", mount.source
        yield f"task.container.mounts[{index}].target", mount.target


def _known(spec: ServiceSpec) -> str:
    return ", ".join((*NAMES, *(f".Service.Labels.{key}" for key in sorted(spec.labels))))
