"""Print specs for people, as `inspect --pretty` does: only what is set, indented by part.

A line is a name and a value. A value that is empty was never set and is left out; `None` is
the heading of a part.
"""

from collections.abc import Iterable, Mapping

from swarm import wishes
from swarm.objects import ServiceEndpoint
from swarm.quantities import format_cpus, format_duration, format_memory
from swarm.seccomp import UNCONFINED
from swarm.specs import (
    Autoscale,
    ContainerSpec,
    EndpointSpec,
    FileReference,
    Healthcheck,
    Limits,
    Mount,
    NetworkAttachment,
    Placement,
    Replicated,
    ReplicatedJob,
    Schedule,
    ServiceSpec,
    TaskSpec,
    UpdatePolicy,
)
from swarmctl.modes import mode_name
from swarmctl.spec_details import word

Line = tuple[str, str | None]

WIDTH = 24


def text(lines: Iterable[Line]) -> str:
    """The lines that are set, in two columns."""
    return "".join(
        f"{name:<{WIDTH}}{value or ''}".rstrip() + "\n" for name, value in lines if value != ""
    )


def mapping(name: str, values: Mapping[str, str]) -> Iterable[Line]:
    """One line for all of `values`."""
    if values:
        yield name, ", ".join(f"{key}={values[key]}" for key in sorted(values))


def mode(spec: ServiceSpec) -> Iterable[Line]:
    """What the service is, and how many."""
    yield "Service Mode:", mode_name(spec.mode).replace("-", " ").title().replace(" ", "")
    match spec.mode:
        case Replicated(replicas=replicas):
            yield " Replicas:", str(replicas)
        case ReplicatedJob(max_concurrent=at_once, total=total):
            yield " Max Concurrent:", str(at_once or total)
            yield " Total Completions:", str(total)
        case _:
            pass


def policies(spec: ServiceSpec) -> Iterable[Line]:
    """What governs its changes."""
    if not spec.is_job:
        yield from _policy("UpdateConfig:", spec.update)
        yield from _policy("RollbackConfig:", spec.rollback)
    if spec.schedule is not None:
        yield from _schedule(spec.schedule)
    if spec.autoscale is not None:
        yield from _autoscale(spec.autoscale)
    yield "Max unavailable:", str(spec.max_unavailable or "")


def task(spec: TaskSpec, network_names: Mapping[str, str]) -> Iterable[Line]:
    """What its tasks are made from; `network_names` are those of ids."""
    yield "ContainerSpec:", None
    yield from _container(spec.container)
    yield from _limits(spec.limits)
    reserved = spec.reservations
    if reserved.cpu_millis or reserved.memory_bytes or reserved.generic:
        yield "Reservations:", None
        yield from _amounts(reserved.cpu_millis, reserved.memory_bytes)
        yield " Generic:", ", ".join(map(wishes.print_reservation, reserved.generic))
    restart = spec.restart
    yield "RestartPolicy:", None
    yield " Condition:", word(restart.condition)
    yield " Delay:", format_duration(restart.delay_s)
    yield " Max delay:", format_duration(restart.max_delay_s) if restart.max_delay_s else ""
    yield " Max attempts:", str(restart.max_attempts)
    yield " Window:", format_duration(restart.window_s) if restart.window_s else ""
    if spec.placement != Placement():
        yield "Placement:", None
        yield from _placement(spec.placement)
    yield "Priority:", str(spec.priority or "")
    for each in spec.depends_on:
        yield "Depends on:", f"{each.service} ({word(each.condition)})"
    if spec.log_driver.name or spec.log_driver.options:
        yield "LogDriver:", None
        yield " Name:", spec.log_driver.name
        yield from mapping(" LogOpts:", spec.log_driver.options)
    yield "Networks:", ", ".join(_network(each, network_names) for each in spec.networks)


def _network(each: NetworkAttachment, names: Mapping[str, str]) -> str:
    name = names.get(each.target, each.target)
    return f"{name} (as {', '.join(each.aliases)})" if each.aliases else name


def endpoint(spec: EndpointSpec, decided: ServiceEndpoint) -> Iterable[Line]:
    """How it is reached, as it was decided; before that, as it is wanted."""
    yield "Endpoint Mode:", word(spec.mode)
    for port in decided.ports or spec.ports:
        yield "Ports:", None
        yield " PublishedPort:", str(port.published or "")
        yield "  Protocol:", port.protocol.word
        yield "  TargetPort:", str(port.target)
        yield "  PublishMode:", word(port.mode)
        yield "  HostIP:", port.ip


def _policy(name: str, policy: UpdatePolicy) -> Iterable[Line]:
    yield name, None
    yield " Parallelism:", str(policy.parallelism)
    yield " Delay:", format_duration(policy.delay_s) if policy.delay_s else ""
    yield " On failure:", word(policy.failure_action)
    yield " Monitoring Period:", format_duration(policy.monitor_s)
    yield " Max failure ratio:", f"{policy.max_failure_ratio:g}"
    yield " Order:", word(policy.order)
    yield " Canaries:", str(policy.canary or "")


def _schedule(schedule: Schedule) -> Iterable[Line]:
    yield "Schedule:", None
    yield " Expression:", schedule.expression
    yield " Time zone:", schedule.timezone or "UTC"
    yield " Catch up:", word(schedule.catchup)
    yield " Concurrency:", word(schedule.concurrency)
    yield " Kept:", f"{schedule.keep_completed} completed, {schedule.keep_failed} failed"


def _autoscale(wish: Autoscale) -> Iterable[Line]:
    yield "Autoscale:", None
    yield " Replicas:", f"{wish.least} to {wish.most}"
    yield " CPU:", f"{wish.cpu_percent:g}%" if wish.cpu_percent else ""
    yield " Memory:", f"{wish.memory_percent:g}%" if wish.memory_percent else ""
    yield " Query:", f"{wish.query} = {wish.target:g} per replica" if wish.query else ""
    windows = format_duration(wish.up_window_s), format_duration(wish.down_window_s)
    yield " Windows:", f"{windows[0]} up, {windows[1]} down"


def _placement(placement: Placement) -> Iterable[Line]:
    yield " Constraints:", ", ".join(placement.constraints)
    yield " Preferences:", ", ".join(map(wishes.print_preference, placement.preferences))
    yield " Max Replicas Per Node:", str(placement.max_replicas_per_node or "")
    yield " Platforms:", ", ".join(map(wishes.print_platform, placement.platforms))
    for affinity in placement.affinities:
        yield " Affinity:", wishes.print_affinity(affinity)
    yield " Tolerations:", ", ".join(map(wishes.print_toleration, placement.tolerations))
    yield " Strategy:", word(placement.strategy) if placement.strategy else ""


def _limits(limits: Limits) -> Iterable[Line]:
    if limits == Limits():
        return
    yield "Limits:", None
    yield from _amounts(limits.cpu_millis, limits.memory_bytes)
    yield " Pids:", str(limits.pids or "")
    yield " Swap:", _swap(limits.swap_bytes)
    yield " Swappiness:", str(limits.swappiness) if limits.swappiness >= 0 else ""


def _container(container: ContainerSpec) -> Iterable[Line]:
    yield " Image:", container.image
    yield " Command:", " ".join(container.command)
    yield " Args:", " ".join(container.args)
    yield " Env:", " ".join(container.env)
    yield " Hostname:", container.hostname
    yield " Dir:", container.workdir
    yield " User:", container.user
    yield " Groups:", ", ".join(container.groups)
    yield " Init:", "true" if container.init else ""
    yield " Read-only:", "true" if container.read_only else ""
    yield " Stop signal:", container.stop_signal
    yield " Stop grace:", format_duration(container.stop_grace_s)
    yield from mapping(" Labels:", container.labels)
    yield from mapping(" Sysctls:", container.sysctls)
    for limit in container.ulimits:
        yield " Ulimit:", f"{limit.name}={limit.soft}:{limit.hard}"
    for mount in container.mounts:
        yield " Mount:", _mount(mount)
    yield from _references(" Secret:", container.secrets)
    yield from _references(" Config:", container.configs)
    yield " DNS:", ", ".join(container.dns_servers)
    yield " DNS search:", ", ".join(container.dns_search)
    yield " DNS options:", ", ".join(container.dns_options)
    yield " Hosts:", ", ".join(container.hosts)
    yield " OOM score:", str(container.oom_score_adj or "")
    yield " TTY:", "true" if container.tty else ""
    yield " Stdin:", "open" if container.open_stdin else ""
    yield from _rights(container)
    yield from _health(container.health)


def _references(name: str, wanted: Iterable[FileReference]) -> Iterable[Line]:
    for each in wanted:
        owner = f"{each.uid}:{each.gid}"
        yield name, f"{each.name} as {each.target} ({each.mode:04o}, {owner})"


def _rights(container: ContainerSpec) -> Iterable[Line]:
    yield " Privileged:", "true" if container.privileged else ""
    yield " Capabilities added:", ", ".join(container.cap_add)
    yield " Capabilities dropped:", ", ".join(container.cap_drop)
    profile = container.seccomp
    yield " Seccomp:", profile if profile in ("", UNCONFINED) else "a profile of its own"
    yield " AppArmor:", container.apparmor
    yield " New privileges:", "allowed" if container.allow_new_privileges else ""
    yield " User namespace:", "host" if container.host_user_namespace else ""
    for each in container.devices:
        yield " Device:", f"{each.source} on {each.target} ({each.access})"


def _health(health: Healthcheck) -> Iterable[Line]:
    yield " Health test:", " ".join(health.test)
    for name, seconds in (
        (" Health interval:", health.interval_s),
        (" Health timeout:", health.timeout_s),
        (" Health start period:", health.start_period_s),
        (" Health start interval:", health.start_interval_s),
    ):
        yield name, format_duration(seconds) if seconds else ""
    yield " Health retries:", str(health.retries or "")


def _swap(swap_bytes: int) -> str:
    return "unlimited" if swap_bytes == -1 else format_memory(swap_bytes) if swap_bytes else ""


def _mount(mount: Mount) -> str:
    source = f" {mount.source}" if mount.source else ""
    marks = [
        text
        for text, is_set in (
            ("read-only", mount.read_only),
            (f"driver {mount.volume_driver}", bool(mount.volume_driver)),
            ("roams", mount.roams),
        )
        if is_set
    ]
    suffix = f" ({', '.join(marks)})" if marks else ""
    return f"{mount.kind.name.lower()}{source} on {mount.target}{suffix}"


def _amounts(cpu_millis: int, memory_bytes: int) -> Iterable[Line]:
    yield " CPU:", format_cpus(cpu_millis) if cpu_millis else ""
    yield " Memory:", format_memory(memory_bytes) if memory_bytes else ""
