"""Turn a stack file into what the swarm is to have: networks, secrets, configs and services.

Every problem of the file is told at once, and before anything is asked of the swarm. Only
networks, secrets and configs that a service uses are made, as are volumes.
"""

from collections.abc import Mapping

from msgspec import Struct

from swarm.checks import check_service
from swarm.specs import FileReference, ServiceSpec
from swarmctl.stacks.containers import Around, Read
from swarmctl.stacks.documents import Document
from swarmctl.stacks.fields import Fields
from swarmctl.stacks.names import scoped
from swarmctl.stacks.networks import StackNetwork, read_networks, used
from swarmctl.stacks.problems import located, refusal
from swarmctl.stacks.resources import Content, read_contents, read_volumes
from swarmctl.stacks.services import Found, read_service


class Stack(Struct, frozen=True, kw_only=True):
    """All of a stack; services refer to all else by name, and have no ids yet."""

    name: str
    services: tuple[ServiceSpec, ...]
    networks: tuple[StackNetwork, ...]
    secrets: tuple[Content, ...]
    configs: tuple[Content, ...]
    warnings: tuple[str, ...]

    def key(self, service: str) -> str:
        """What a service is called in the file."""
        return service.removeprefix(scoped(self.name, ""))


def read_stack(
    document: Document, *, name: str, directory: str, environ: Mapping[str, str], read: Read
) -> Stack:
    """The stack; `Invalid` tells of every problem. `directory` is that of the first file."""
    problems: list[str] = []
    top = Fields(document, "", problems)
    top.ignored(("version", "name"))
    around = Around(
        stack=name,
        directory=directory,
        environ=environ,
        read=read,
        volumes=read_volumes(name, top.within("volumes")),
        networks=read_networks(name, top.within("networks")),
        secrets=read_contents(name, top.within("secrets")),
        configs=read_contents(name, top.within("configs")),
    )
    section = top.within("services")
    found = {key: read_service(key, section.within(key), around) for key in section.names()}
    top.done()
    if not found:
        problems.append("services: there is none")
    if not problems:
        problems += _unsound(name, found)
    if problems:
        raise refusal(problems)
    specs = tuple(each.spec for each in found.values())
    return Stack(
        name=name,
        services=specs,
        networks=used(around.networks, [n for s in specs for n in s.task.networks]),
        secrets=_used(around.secrets, [r for s in specs for r in s.task.container.secrets]),
        configs=_used(around.configs, [r for s in specs for r in s.task.container.configs]),
        warnings=_warnings(found),
    )


def _unsound(stack: str, found: Mapping[str, Found]) -> list[str]:
    """What is wrong with the specs, in the words of the file."""
    problems = [
        located(key, each) for key, service in found.items() for each in check_service(service.spec)
    ]
    needs = {
        key: [each.service.removeprefix(scoped(stack, "")) for each in service.spec.task.depends_on]
        for key, service in found.items()
    }
    for key, others in needs.items():
        for each in others:
            if each not in needs:
                problems.append(f"services.{key}.depends_on: the file has no service {each!r}")
            elif _leads(each, key, needs):
                problems.append(f"services.{key}.depends_on: {key} and {each} wait for each other")
    return problems


def _leads(start: str, goal: str, needs: Mapping[str, list[str]]) -> bool:
    """Whether `start` waits for `goal`, itself or by way of others."""
    ways, seen = [start], set[str]()
    while ways:
        if (here := ways.pop()) == goal:
            return True
        if here not in seen:
            seen.add(here)
            ways += needs.get(here, ())
    return False


def _used(known: Mapping[str, Content], references: list[FileReference]) -> tuple[Content, ...]:
    names = {each.name for each in references}
    return tuple({each.name: each for each in known.values() if each.name in names}.values())


def _warnings(found: Mapping[str, Found]) -> tuple[str, ...]:
    """One line for all keys that are left out."""
    ignored = sorted({name for each in found.values() for name in each.ignored})
    return (f"Ignoring unsupported options: {', '.join(ignored)}",) if ignored else ()
