"""Decide what becomes of each service of a stack: it is created, changed, or left alone.

A service's image is pinned to a digest when it is stored, so its spec never equals what a file
says. The label with the file's own words tells whether the file changed; where it did not, the
digest stays, unless it is to be looked up anew, and then only a manager knows whether there is
another one.
"""

from collections.abc import Collection, Iterator, Sequence
from enum import Enum

from msgspec import Struct
from msgspec.structs import replace

from swarm.checking.networks import BUILT_IN
from swarm.specs import EndpointMode, ServiceSpec
from swarmctl import attachments
from swarmctl.stacks.names import IMAGE, NAMESPACE


class Resolve(Enum):
    """When images are looked up."""

    ALWAYS = "always"
    CHANGED = "changed"
    NEVER = "never"


class Create(Struct, frozen=True):
    """There is no such service yet."""

    spec: ServiceSpec
    resolve: bool


class Change(Struct, frozen=True):
    """It is to become this; with `resolve`, of an unchanged file, it may be this already."""

    spec: ServiceSpec
    resolve: bool
    is_doubtful: bool = False


class Keep(Struct, frozen=True):
    """It is as the file says."""


Step = Create | Change | Keep


def decide(wanted: ServiceSpec, present: ServiceSpec | None, resolve: Resolve) -> Step:
    """What to do so that there is `wanted` where `present` is."""
    if present is None:
        return Create(wanted, resolve is not Resolve.NEVER)
    task = replace(
        wanted.task,
        force_update=present.task.force_update,
        registry_login=present.task.registry_login,
    )
    is_same_image = present.labels.get(IMAGE) == wanted.labels[IMAGE]
    if is_same_image:
        container = replace(task.container, image=present.task.container.image)
        task = replace(task, container=container)
    spec = replace(wanted, task=task)
    if not is_same_image:
        return Change(spec, resolve is not Resolve.NEVER)
    if resolve is not Resolve.ALWAYS:
        return Keep() if spec == present else Change(spec, False)
    container = replace(task.container, image=wanted.task.container.image)
    looked_up = replace(spec, task=replace(task, container=container))
    return Change(looked_up, True, is_doubtful=True)


def with_ids(
    spec: ServiceSpec,
    *,
    secrets: dict[str, str],
    configs: dict[str, str],
    networks: dict[str, str],
) -> ServiceSpec:
    """`spec` with the ids of what it refers to; what there is not yet is left out.

    So is what its name stands for, while there is no network that it could be looked up in.
    """
    container = spec.task.container
    reachable = tuple(
        each for each in spec.task.networks if each.target in BUILT_IN or each.target in networks
    )
    container = replace(
        container,
        secrets=tuple(
            replace(each, id=secrets[each.name])
            for each in container.secrets
            if each.name in secrets
        ),
        configs=tuple(
            replace(each, id=configs[each.name])
            for each in container.configs
            if each.name in configs
        ),
    )
    if spec.task.networks and not reachable:
        spec = replace(spec, endpoint=replace(spec.endpoint, mode=EndpointMode.VIP))
    attached = attachments.with_ids(reachable, networks)
    return replace(spec, task=replace(spec.task, container=container, networks=attached))


def missing(
    spec: ServiceSpec,
    secrets: Collection[str],
    configs: Collection[str],
    networks: Collection[str],
) -> Iterator[tuple[str, str]]:
    """The paths and names of what `with_ids` leaves out, for a plan to show them all the same."""
    container = spec.task.container
    for word, there, references in (
        ("secrets", secrets, container.secrets),
        ("configs", configs, container.configs),
    ):
        for each in references:
            if each.name not in there:
                yield f"task.container.{word}[{each.target or each.name}]", each.name
    for attachment in spec.task.networks:
        if attachment.target not in (*BUILT_IN, *networks):
            yield f"task.networks[{attachment.target}]", " ".join(attachment.aliases) or "attached"


def obstacle(wanted: ServiceSpec, present: ServiceSpec | None) -> str:
    """Why `present` cannot become `wanted`, as `PATH: why`; empty when it can.

    These are told before anything is made; a manager would refuse them half way.
    """
    if present is None:
        return ""
    name, stack = wanted.name, wanted.labels[NAMESPACE]
    if (owner := present.labels.get(NAMESPACE, "")) != stack:
        whose = f"stack {owner} has it" if owner else "it belongs to no stack"
        return f"name: there is a service {name} already, and {whose}; give one another name"
    if type(wanted.mode) is not type(present.mode):
        return (
            f"mode: service {name} is {_words(present)} and cannot become {_words(wanted)};"
            f" remove it first: swarmctl service rm {name}"
        )
    return ""


def _words(spec: ServiceSpec) -> str:
    """A mode as files say it: `replicated-job`."""
    name = type(spec.mode).__name__
    return f"{name.removesuffix('Job')}-job".lower() if name.endswith("Job") else name.lower()


def superfluous(present: Sequence[str], wanted: Sequence[ServiceSpec]) -> tuple[str, ...]:
    """The services of a stack that its file does not have any more."""
    names = {spec.name for spec in wanted}
    return tuple(sorted(name for name in present if name not in names))
