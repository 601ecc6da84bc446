"""Turn the flags about where and after what tasks run into a task's wishes.

What a `-rm` flag names is the wish as it was given, or what it is about: a service, a kind of
resource, the key of a taint.
"""

from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import (
    Affinity,
    Dependency,
    DependencyCondition,
    GenericResource,
    Placement,
    TaskSpec,
    Toleration,
)
from swarmctl.edits import edited, keyed, read_all
from swarmctl.flags import CreateFlags, UpdateFlags


def new_placement(own: CreateFlags) -> Placement:
    """Where the tasks of a new service may run."""
    if not (own.affinity or own.toleration or own.platform or own.placement_pref):
        return Placement(constraints=own.constraint)
    from swarm import wishes

    return Placement(
        constraints=own.constraint,
        preferences=read_all("--placement-pref", wishes.parse_preference, own.placement_pref),
        platforms=read_all("--platform", wishes.parse_platform, own.platform),
        affinities=read_all("--affinity", wishes.parse_affinity, own.affinity),
        tolerations=read_all("--toleration", wishes.parse_toleration, own.toleration),
    )


def new_generic(own: CreateFlags) -> tuple[GenericResource, ...]:
    """What the tasks of a new service need of what their node counts."""
    return _generic("--generic-resource", own.generic_resource)


def new_dependencies(own: CreateFlags) -> tuple[Dependency, ...]:
    """What the tasks of a new service wait for."""
    return read_all("--depends-on", parse_dependency, own.depends_on)


def placed(task: TaskSpec, own: UpdateFlags) -> TaskSpec:
    """`task` with its wishes edited."""
    depends_on = read_all("--depends-on-add", parse_dependency, own.depends_on_add)
    generic = _generic("--generic-resource-add", own.generic_resource_add)
    kinds = [each.partition("=")[0] for each in own.generic_resource_rm]
    reserved = task.reservations
    return replace(
        task,
        depends_on=keyed(
            task.depends_on,
            (each.partition("=")[0] for each in own.depends_on_rm),
            depends_on,
            key=lambda each: each.service,
        ),
        placement=_edited(task.placement, own),
        reservations=replace(
            reserved, generic=keyed(reserved.generic, kinds, generic, key=lambda each: each.kind)
        ),
    )


def parse_dependency(text: str) -> Dependency:
    """`db`, `db=healthy` or `migrate=complete`."""
    service, equals, condition = text.partition("=")
    try:
        found = DependencyCondition[condition.upper()] if equals else DependencyCondition.RUNNING
    except KeyError as err:
        raise Invalid(
            f"{text!r}: {condition!r} is nothing to wait for",
            hint="there are running, healthy and complete",
        ) from err
    if not service:
        raise Invalid(f"{text!r} names no service", hint="write it like db=healthy")
    return Dependency(service=service, condition=found)


def _edited(old: Placement, own: UpdateFlags) -> Placement:
    constraints = edited(old.constraints, own.constraint_rm, own.constraint_add, key=_squeezed)
    old = replace(old, constraints=constraints)
    if not any(
        getattr(own, f"{name}_{verb}")
        for name in ("affinity", "toleration", "platform", "placement_pref")
        for verb in ("add", "rm")
    ):
        return old
    from swarm import wishes

    preferences = (
        read_all("--placement-pref-rm", wishes.parse_preference, own.placement_pref_rm),
        read_all("--placement-pref-add", wishes.parse_preference, own.placement_pref_add),
    )
    platforms = (
        read_all("--platform-rm", wishes.parse_platform, own.platform_rm),
        read_all("--platform-add", wishes.parse_platform, own.platform_add),
    )
    affinities = read_all("--affinity-add", wishes.parse_affinity, own.affinity_add)
    tolerations = read_all("--toleration-add", wishes.parse_toleration, own.toleration_add)
    return replace(
        old,
        preferences=edited(old.preferences, *preferences, key=str),
        platforms=edited(old.platforms, *platforms, key=lambda each: (each.os, each.arch)),
        affinities=edited(
            (each for each in old.affinities if not _is_about(each, own.affinity_rm)),
            (),
            affinities,
            key=lambda each: (each.service, each.anti, each.topology),
        ),
        tolerations=edited(
            (each for each in old.tolerations if not _bears(each, own.toleration_rm)),
            (),
            tolerations,
            key=lambda each: (each.key, each.value, each.any_value),
        ),
    )


def _is_about(wish: Affinity, texts: tuple[str, ...]) -> bool:
    """Whether one of the texts is the wish in full, or the service that it is about."""
    from swarm import wishes

    return any(
        wishes.parse_affinity(text) == wish if "=" in text else text == wish.service
        for text in texts
    )


def _bears(wish: Toleration, texts: tuple[str, ...]) -> bool:
    from swarm import wishes

    return any(text == wish.key or wishes.parse_toleration(text) == wish for text in texts)


def _generic(flag: str, texts: tuple[str, ...]) -> tuple[GenericResource, ...]:
    if not texts:
        return ()
    from swarm import wishes

    return read_all(flag, wishes.parse_reservation, texts)


def _squeezed(constraint: str) -> str:
    return "".join(constraint.split())
