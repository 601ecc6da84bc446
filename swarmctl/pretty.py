"""Print objects for people, as `inspect --pretty` does: only what is set, indented by part."""

from collections.abc import Iterable

from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.objects import Node, Service
from swarm.quantities import format_cpus, format_duration, format_memory
from swarm.seccomp import UNCONFINED
from swarm.specs import ContainerSpec, Healthcheck, Mount, Replicated, TaskSpec
from swarmctl import rows
from swarmctl.times import rfc3339

Line = tuple[str, str]


def pretty_service(view: control_pb2.ServiceView) -> str:
    """A service for people."""
    service = from_message(Service, view.service)
    spec = service.spec
    mode = spec.mode
    lines: list[Line] = [
        ("ID:", service.id),
        ("Name:", spec.name),
        *_mapping("Labels:", spec.labels),
        ("Service Mode:", "Replicated" if isinstance(mode, Replicated) else "Global"),
    ]
    if isinstance(mode, Replicated):
        lines.append((" Replicas:", str(mode.replicas)))
    lines += [
        ("Running:", f"{view.running} of {view.wanted}"),
        ("Created:", rfc3339(service.created_at)),
        ("Updated:", rfc3339(service.updated_at)),
        ("UpdateConfig:", ""),
        (" Parallelism:", str(spec.update.parallelism)),
        (" Delay:", format_duration(spec.update.delay_s)),
        *_task(spec.task),
    ]
    return _text(lines)


def pretty_node(view: control_pb2.NodeView) -> str:
    """A node for people."""
    node = from_message(Node, view.node)
    description, row = node.description, rows.node_row(view, self_id="")
    lines: list[Line] = [
        ("ID:", node.id),
        ("Hostname:", description.hostname),
        *_mapping("Labels:", node.spec.labels),
        ("Joined at:", rfc3339(node.created_at)),
        ("Status:", ""),
        (" State:", row["Status"]),
        (" Availability:", row["Availability"]),
        (" Message:", view.message),
        (" Address:", description.addr),
    ]
    if row["ManagerStatus"]:
        lines += [
            ("Manager Status:", ""),
            (" Address:", view.manager_addr),
            (" Status:", row["ManagerStatus"]),
        ]
    resources = description.resources
    lines += [
        ("Platform:", ""),
        (" Operating System:", description.os),
        (" Architecture:", description.arch),
        ("Resources:", ""),
        (" CPUs:", format_cpus(resources.cpu_millis)),
        (" Memory:", format_memory(resources.memory_bytes)),
        ("Engine Version:", description.engine_version),
        *_mapping("Engine Labels:", description.engine_labels),
        *(("Security Option:", each) for each in description.security_options),
    ]
    return _text(lines)


def _task(task: TaskSpec) -> Iterable[Line]:
    yield "ContainerSpec:", ""
    yield from _container(task.container)
    limits, reserved = task.limits, task.reservations
    if any((limits.cpu_millis, limits.memory_bytes, limits.pids)):
        yield "Limits:", ""
        yield from _amounts(limits.cpu_millis, limits.memory_bytes)
        yield " Pids:", str(limits.pids or "")
        yield " Swap:", _swap(limits.swap_bytes)
    if reserved.cpu_millis or reserved.memory_bytes:
        yield "Reservations:", ""
        yield from _amounts(reserved.cpu_millis, reserved.memory_bytes)
    restart = task.restart
    yield "RestartPolicy:", ""
    yield " Condition:", restart.condition.name.lower().replace("_", "-")
    yield " Delay:", format_duration(restart.delay_s)
    yield " Max attempts:", str(restart.max_attempts)
    if restart.window_s:
        yield " Window:", format_duration(restart.window_s)
    placement = task.placement
    if placement.constraints or placement.max_replicas_per_node:
        yield "Placement:", ""
        yield " Constraints:", ", ".join(placement.constraints)
        yield " Max Replicas Per Node:", str(placement.max_replicas_per_node or "")
    yield "Networks:", ", ".join(task.networks)


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
    yield from _mapping(" Labels:", container.labels)
    yield from _mapping(" Sysctls:", container.sysctls)
    for limit in container.ulimits:
        yield " Ulimit:", f"{limit.name}={limit.soft}:{limit.hard}"
    for mount in container.mounts:
        yield " Mount:", _mount(mount)
    yield " TTY:", "true" if container.tty else ""
    yield " Stdin:", "open" if container.open_stdin else ""
    yield from _rights(container)
    yield from _health(container.health)


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
    suffix = " (read-only)" if mount.read_only else ""
    return f"{mount.kind.name.lower()}{source} on {mount.target}{suffix}"


def _amounts(cpu_millis: int, memory_bytes: int) -> Iterable[Line]:
    yield " CPU:", format_cpus(cpu_millis) if cpu_millis else ""
    yield " Memory:", format_memory(memory_bytes) if memory_bytes else ""


def _mapping(name: str, values: dict[str, str]) -> Iterable[Line]:
    if values:
        yield name, ", ".join(f"{key}={values[key]}" for key in sorted(values))


def _text(lines: Iterable[Line]) -> str:
    # A part's own heading has no value; a field without a value was never set.
    kept = [(name, value) for name, value in lines if value or not name.startswith(" ")]
    headings = {"UpdateConfig:", "ContainerSpec:", "Limits:", "Reservations:", "RestartPolicy:",
                "Placement:", "Status:", "Manager Status:", "Platform:", "Resources:"}  # fmt: skip
    shown = [(name, value) for name, value in kept if value or name in headings]
    return "".join(f"{name:<24}{value}".rstrip() + "\n" for name, value in shown)
