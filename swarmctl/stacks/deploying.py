"""Read `deploy` of a service: how many there are, where, with what, and how they are replaced."""

from collections.abc import Callable, Iterator

from msgspec import Struct

from swarm.errors import Invalid
from swarm.specs import (
    EndpointMode,
    FailureAction,
    GenericResource,
    Global,
    GlobalJob,
    Limits,
    Mode,
    Placement,
    Platform,
    Replicated,
    ReplicatedJob,
    Resources,
    RestartCondition,
    RestartPolicy,
    UpdateOrder,
    UpdatePolicy,
)
from swarm.wishes import parse_preference
from swarmctl.edits import with_given
from swarmctl.policies import E, chosen
from swarmctl.stacks.fields import Fields

_MODES: dict[str, Callable[[int], Mode]] = {
    "replicated": lambda count: Replicated(replicas=count),
    "replicated-job": lambda count: ReplicatedJob(total=count),
    "global": lambda _: Global(),
    "global-job": lambda _: GlobalJob(),
}


class Deployment(Struct, frozen=True, kw_only=True):
    """All of `deploy`."""

    mode: Mode
    labels: dict[str, str]
    update: UpdatePolicy
    rollback: UpdatePolicy
    restart: RestartPolicy
    limits: Limits
    reservations: Resources
    placement: Placement
    endpoint_mode: EndpointMode


def read_deployment(deploy: Fields, *, platforms: tuple[Platform, ...]) -> Deployment:
    """The section, or what holds where there is none."""
    mode = _mode(deploy)
    resources = deploy.within("resources")
    deployment = Deployment(
        mode=mode,
        labels=deploy.labels("labels"),
        update=_policy(deploy.within("update_config")),
        rollback=_policy(deploy.within("rollback_config")),
        restart=_restart(
            deploy.within("restart_policy"), is_job=isinstance(mode, ReplicatedJob | GlobalJob)
        ),
        limits=_limits(resources.within("limits")),
        reservations=_reservations(resources.within("reservations")),
        placement=_placement(deploy.within("placement"), platforms),
        endpoint_mode=_word(deploy, "endpoint_mode", EndpointMode) or EndpointMode.VIP,
    )
    resources.done()
    deploy.done()
    return deployment


def _mode(deploy: Fields) -> Mode:
    name = deploy.text("mode") or "replicated"
    replicas = deploy.count("replicas")
    if name not in _MODES:
        deploy.problem("mode", f"{name!r} is unknown; use {', '.join(_MODES)}")
        return Replicated()
    if replicas is not None and name.startswith("global"):
        deploy.problem("replicas", f"contradicts mode {name}, which has one task per node")
    return _MODES[name](1 if replicas is None else replicas)


def _policy(fields: Fields) -> UpdatePolicy:
    policy = with_given(
        UpdatePolicy(),
        parallelism=fields.count("parallelism"),
        delay_s=fields.duration("delay"),
        order=_word(fields, "order", UpdateOrder),
        monitor_s=fields.duration("monitor"),
        max_failure_ratio=fields.ratio("max_failure_ratio"),
        failure_action=_word(fields, "failure_action", FailureAction),
    )
    fields.done()
    return policy


def _restart(fields: Fields, *, is_job: bool) -> RestartPolicy:
    """What becomes of tasks that end; those of a job are to end, so only failures count."""
    condition = _word(fields, "condition", RestartCondition)
    if is_job and condition is RestartCondition.ANY:
        fields.problem("condition", "any would repeat a job for ever; use on-failure or none")
    if is_job and condition is None:
        condition = RestartCondition.ON_FAILURE
    policy = with_given(
        RestartPolicy(),
        condition=condition,
        delay_s=fields.duration("delay"),
        max_attempts=fields.count("max_attempts"),
        window_s=fields.duration("window"),
    )
    fields.done()
    return policy


def _limits(fields: Fields) -> Limits:
    limits = with_given(
        Limits(),
        cpu_millis=fields.cpus("cpus"),
        memory_bytes=fields.size("memory"),
        pids=fields.count("pids"),
    )
    fields.done()
    return limits


def _reservations(fields: Fields) -> Resources:
    reservations = with_given(
        Resources(generic=tuple(_generic(fields))),
        cpu_millis=fields.cpus("cpus"),
        memory_bytes=fields.size("memory"),
    )
    fields.done(_no_devices)
    return reservations


def _generic(fields: Fields) -> Iterator[GenericResource]:
    """`discrete_resource_spec: {kind: gpu, value: 2}` each."""
    for at, item in enumerate(fields.items("generic_resources")):
        entry = Fields(item, fields.at(f"generic_resources[{at}]"), fields.problems)
        wish = entry.within("discrete_resource_spec")
        kind, count = wish.text("kind"), wish.count("value")
        wish.done()
        entry.done()
        if kind and count and count > 0:
            yield GenericResource(kind=kind, count=count)
        else:
            entry.problem("discrete_resource_spec", "needs a kind, and a value above 0")


def _no_devices(name: str) -> str:
    return "use generic_resources, which nodes offer" if name == "devices" else ""


def _placement(fields: Fields, platforms: tuple[Platform, ...]) -> Placement:
    placement = with_given(
        Placement(
            constraints=fields.texts("constraints"),
            preferences=tuple(_preferences(fields)),
            platforms=platforms,
        ),
        max_replicas_per_node=fields.count("max_replicas_per_node"),
    )
    fields.done()
    return placement


def _preferences(fields: Fields) -> Iterator[str]:
    for at, item in enumerate(fields.items("preferences")):
        entry = Fields(item, fields.at(f"preferences[{at}]"), fields.problems)
        attribute = entry.read("spread", lambda text: parse_preference(f"spread={text}"))
        entry.done()
        if attribute is not None:
            yield attribute


def _word(fields: Fields, name: str, kind: type[E]) -> E | None:
    """A word of a closed set, such as `start-first`."""

    def read(text: str) -> E:
        found = chosen(name, kind, text)
        if found is None:
            raise Invalid(f"{text!r} is unknown")
        return found

    return fields.read(name, read)
