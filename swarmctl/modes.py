"""Turn the flags about how many tasks there are into a service's mode.

Contradictions are refused, as in Docker, and so is changing the number of replicas that
somebody else looks after: the autoscaler, or the number of nodes.
"""

from msgspec.structs import replace

from swarm.errors import Invalid
from swarm.specs import Global, GlobalJob, Mode, Replicated, ReplicatedJob, ServiceSpec
from swarmctl.flags import ServiceFlags

_MODES: dict[str, Mode] = {
    "replicated": Replicated(),
    "global": Global(),
    "replicated-job": ReplicatedJob(),
    "global-job": GlobalJob(),
}


def new_mode(name: str | None, flags: ServiceFlags) -> Mode:
    """The mode of a new service; what is scheduled is a job, unless another mode is named."""
    asked = name or ("replicated-job" if flags.schedule else "replicated")
    found = _MODES.get(asked)
    if found is None:
        raise Invalid(f"--mode {asked!r} is unknown", hint=f"use {', '.join(_MODES)}")
    return found


def with_numbers(spec: ServiceSpec, flags: ServiceFlags, *, is_new: bool) -> ServiceSpec:
    """`spec` with the numbers of tasks that the flags ask for."""
    mode = spec.mode
    if flags.replicas is not None:
        if is_new and isinstance(mode, Global | GlobalJob):
            raise Invalid(
                f"--replicas contradicts --mode {mode_name(mode)}, which has one task per node",
                hint="leave one of them out",
            )
        spec = replace(spec, mode=_counted(spec, flags.replicas))
    if flags.max_concurrent is not None:
        if not isinstance(spec.mode, ReplicatedJob):
            raise Invalid(
                f"--max-concurrent is for replicated jobs, and this is {mode_name(mode)}",
                hint="create the service with --mode replicated-job, or leave it out",
            )
        spec = replace(spec, mode=replace(spec.mode, max_concurrent=flags.max_concurrent))
    if flags.replicas_max_per_node and isinstance(mode, Global | GlobalJob):
        raise Invalid(
            "--replicas-max-per-node is for replicated services",
            hint="leave it out; in global mode every node has one task",
        )
    if flags.update_canary and isinstance(mode, Global | GlobalJob):
        raise Invalid("--update-canary is for replicated services", hint="leave it out")
    return spec


def scaled(spec: ServiceSpec, replicas: int) -> ServiceSpec:
    """`spec` with another number of replicas, or of tasks that a job runs in all."""
    if spec.autoscale is not None:
        least, most = spec.autoscale.least, spec.autoscale.most
        raise Invalid(
            f"service {spec.name} is autoscaled between {least} and {most} replicas",
            hint=f"change that with `service update --autoscale min=…,max=… {spec.name}`, or end "
            f"it with --no-autoscale",
        )
    return replace(spec, mode=_counted(spec, replicas))


def mode_name(mode: Mode) -> str:
    """The mode as users type it."""
    return next(name for name, each in _MODES.items() if type(each) is type(mode))


def _counted(spec: ServiceSpec, number: int) -> Mode:
    match spec.mode:
        case Replicated():
            return Replicated(replicas=number)
        case ReplicatedJob() as job:
            return replace(job, total=number)
        case Global() | GlobalJob():
            raise Invalid(
                f"service {spec.name} is global and has one task per node",
                hint="--replicas and scale are for replicated services",
            )
