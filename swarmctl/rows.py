"""Turn what managers and agents answer into rows of text.

One row per thing, with every placeholder that `--format` may ask for. Times become ages
relative to `now`; ids and texts are cut unless the whole is asked for.
"""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from msgspec import Struct, structs

from swarm.api.v1 import control_pb2, images_pb2, objects_pb2, specs_pb2
from swarm.errors import Invalid
from swarm.images.reference import parse_reference
from swarm.quantities import format_elapsed, format_size
from swarmctl.tables import Listing

SHORT_ID = 12

NODES = Listing(
    columns=("Mark", "Hostname", "Status", "Availability", "ManagerStatus", "EngineVersion"),
    headings={
        "ID": "ID",
        "Mark": "ID",
        "Self": "SELF",
        "Hostname": "HOSTNAME",
        "Status": "STATUS",
        "Availability": "AVAILABILITY",
        "ManagerStatus": "MANAGER STATUS",
        "EngineVersion": "ENGINE VERSION",
        "Address": "ADDRESS",
        "Taints": "TAINTS",
    },
    drawn=("Mark",),
)
SERVICES = Listing(
    columns=("ID", "Name", "Mode", "Replicas", "Image", "Ports"),
    headings={
        "ID": "ID",
        "Name": "NAME",
        "Mode": "MODE",
        "Replicas": "REPLICAS",
        "Image": "IMAGE",
        "Ports": "PORTS",
    },
)
IMAGES = Listing(
    columns=("Repository", "Tag", "ID", "CreatedSince", "Size"),
    headings={
        "Repository": "REPOSITORY",
        "Tag": "TAG",
        "Digest": "DIGEST",
        "ID": "IMAGE ID",
        "CreatedSince": "CREATED",
        "CreatedAt": "CREATED AT",
        "Size": "SIZE",
    },
)
IMAGES_WITH_DIGESTS = structs.replace(
    IMAGES, columns=("Repository", "Tag", "Digest", "ID", "CreatedSince", "Size")
)


class Detail(Struct, frozen=True, kw_only=True):
    """How much a row tells: whole ids and texts (`full`), names instead of ids (`named`)."""

    full: bool = False
    named: bool = True

    def id(self, text: str) -> str:
        """An id as this detail shows it."""
        return text if self.full else text.removeprefix("sha256:")[:SHORT_ID]


def node_row(view: control_pb2.NodeView, *, self_id: str) -> dict[str, str | bool]:
    """One line of `node ls`."""
    node = view.node
    return {
        "ID": node.id,
        "Mark": f"{node.id} *" if node.id == self_id else node.id,
        "Self": node.id == self_id,
        "Hostname": node.description.hostname,
        "Status": node_state(view).title(),
        "Availability": availability(node.spec).title(),
        "ManagerStatus": manager_status(view),
        "EngineVersion": node.description.engine_version,
        "Address": node.description.addr,
        "Taints": ", ".join(map(taint, node.spec.taints)),
    }


def node_state(view: control_pb2.NodeView) -> str:
    """`ready`, `down` and so on."""
    return objects_pb2.NodeState.Name(view.state).removeprefix("NODE_STATE_").lower()


def service_row(view: control_pb2.ServiceView, detail: Detail) -> dict[str, str]:
    """One line of `service ls`."""
    spec = view.service.spec
    replicas = replicas_of(view)
    if spec.task.placement.max_replicas_per_node:
        replicas += f" (max {spec.task.placement.max_replicas_per_node} per node)"
    return {
        "ID": detail.id(view.service.id),
        "Name": spec.name,
        "Mode": mode(spec).replace("-", " "),
        "Replicas": replicas,
        "Image": image_name(spec.task.container.image, detail),
        "Ports": ports(view),
    }


def replicas_of(view: control_pb2.ServiceView) -> str:
    """`2/3`; of a job how many of those at a time run, and how many completed."""
    spec = view.service.spec
    match mode(spec):
        case "replicated-job":
            total = spec.replicatedjob.total
            at_once = min(spec.replicatedjob.max_concurrent or total, total)
        case "global-job":
            total = at_once = view.wanted
        case _:
            return f"{view.running}/{view.wanted}"
    # Those that completed count as running in what the manager says.
    running = max(view.running - view.completed, 0)
    return f"{running}/{at_once} ({view.completed}/{total} completed)"


def mode(spec: specs_pb2.ServiceSpec) -> str:
    """The mode as users type it."""
    found: str = spec.WhichOneof("mode") or "replicated"
    return f"{found.removesuffix('job')}-job" if found.endswith("job") else found


def ports(view: control_pb2.ServiceView) -> str:
    """What a service publishes on every node; numbers that were left open are as decided."""
    decided, asked = view.endpoint.ports, view.service.spec.endpoint.ports
    return printed_ports(
        port for port in decided or asked if port.mode == specs_pb2.PUBLISH_MODE_INGRESS
    )


def host_ports(view: control_pb2.ServiceView) -> str:
    """What a service publishes on those nodes that run a task of it."""
    asked = view.service.spec.endpoint.ports
    return printed_ports(port for port in asked if port.mode == specs_pb2.PUBLISH_MODE_HOST)


def printed_ports(found: Iterable[specs_pb2.Port]) -> str:
    """`*:8080->80/tcp`, each port that has a number outside; neighbours as `*:80-82->80-82/tcp`."""
    runs: list[tuple[specs_pb2.Port, int]] = []
    for port in sorted(found, key=lambda each: (each.ip, each.protocol, each.published)):
        if not port.published:
            continue
        if runs and _follows(port, *runs[-1]):
            runs[-1] = runs[-1][0], runs[-1][1] + 1
        else:
            runs.append((port, 1))
    return ", ".join(_run_of_ports(first, count) for first, count in runs)


def _follows(port: specs_pb2.Port, first: specs_pb2.Port, count: int) -> bool:
    is_like = (port.ip, port.protocol) == (first.ip, first.protocol)
    steps = port.published - first.published, port.target - first.target
    return is_like and steps == (count, count)


def _run_of_ports(first: specs_pb2.Port, count: int) -> str:
    published, target = (
        f"{start}-{start + count - 1}" if count > 1 else str(start)
        for start in (first.published, first.target)
    )
    host = f"[{first.ip}]" if ":" in first.ip else first.ip or "*"
    return f"{host}:{published}->{target}/{_protocol(first.protocol)}"


def taint(message: specs_pb2.Taint) -> str:
    """A taint as users type it."""
    from swarm.codec import from_message
    from swarm.specs import Taint
    from swarm.wishes import print_taint

    return print_taint(from_message(Taint, message))


def image_rows(
    images: Iterable[images_pb2.Image], detail: Detail, *, now: float
) -> Iterator[dict[str, str]]:
    """Lines of `image ls`: one per name, newest image first."""
    for image in sorted(images, key=lambda each: (-each.created_at, each.id)):
        for name in sorted(image.references) or ["<none>"]:
            repository, tag = _repository_and_tag(name)
            yield {
                "Repository": repository,
                "Tag": tag,
                "Digest": image.digest or "<none>",
                "ID": detail.id(image.id),
                "CreatedSince": ago(image.created_at, now) if image.created_at else "N/A",
                "CreatedAt": datetime.fromtimestamp(image.created_at, UTC).isoformat(" "),
                "Size": format_size(image.size_bytes),
            }


def availability(spec: specs_pb2.NodeSpec) -> str:
    """`active`, `pause` or `drain`."""
    return specs_pb2.Availability.Name(spec.availability).removeprefix("AVAILABILITY_").lower()


def role(spec: specs_pb2.NodeSpec) -> str:
    """`worker` or `manager`."""
    return specs_pb2.Role.Name(spec.role).removeprefix("ROLE_").lower()


def manager_status(view: control_pb2.NodeView) -> str:
    """`Leader`, `Reachable`, `Unreachable`, or nothing for a worker."""
    if view.is_leader:
        return "Leader"
    if view.node.spec.role != specs_pb2.ROLE_MANAGER:
        return ""
    return "Reachable" if view.state == objects_pb2.NODE_STATE_READY else "Unreachable"


def task_name(task: objects_pb2.Task) -> str:
    """`web.3`, or `web.<node>` for a task of a global service: its own id while it has none."""
    return f"{task.service_name}.{replica_name(task)}"


def replica_name(task: objects_pb2.Task) -> str:
    """What tells a task from the others of its service, but for other attempts at the same."""
    return str(task.slot) if task.slot else task.node_id or task.id


def task_state(view: control_pb2.TaskView) -> str:
    """What the task does, as last reported; before any report, how far it has been brought."""
    if view.observation.task_id:
        return state_word(view.observation.state)
    return "assigned" if view.task.node_id else "pending"


def health(seen: objects_pb2.Observation) -> str:
    """`starting`, `healthy` or `unhealthy`; empty without a check, and once the task has ended."""
    if not seen.health or seen.state > objects_pb2.TASK_STATE_RUNNING:
        return ""
    return objects_pb2.HealthState.Name(seen.health).removeprefix("HEALTH_STATE_").lower()


def task_desired(view: control_pb2.TaskView) -> str:
    """What the task should be doing; what came to its good end is not to run again."""
    is_done = view.observation.state == objects_pb2.TASK_STATE_COMPLETE
    if is_done and view.task.desired == objects_pb2.TASK_STATE_RUNNING:
        return state_word(objects_pb2.TASK_STATE_COMPLETE)
    return state_word(view.task.desired)


def task_error(view: control_pb2.TaskView) -> str:
    """Why the task waits or ended, if it is not well, or why it had to go."""
    seen = view.observation
    if seen.error:
        return seen.error
    if seen.state == objects_pb2.TASK_STATE_FAILED:
        return "out of memory" if seen.oom_killed else f"task: non-zero exit ({seen.exit_code})"
    if seen.state == objects_pb2.TASK_STATE_PREPARING and seen.message.startswith("waiting"):
        return seen.message
    if view.task.eviction and view.task.desired > objects_pb2.TASK_STATE_RUNNING:
        return view.task.eviction
    return "" if view.task.node_id else view.task.message


def image_name(text: str, detail: Detail) -> str:
    """The familiar name; its digest only where everything is shown."""
    try:
        reference = parse_reference(text)
    except Invalid:
        return text
    if detail.full or not reference.tag:
        return reference.familiar
    return f"{reference.familiar_name}:{reference.tag}"


def _protocol(number: specs_pb2.Protocol.ValueType) -> str:
    return specs_pb2.Protocol.Name(number).removeprefix("PROTOCOL_").lower()


def state_word(state: objects_pb2.TaskState.ValueType) -> str:
    """A state as users read it."""
    return objects_pb2.TaskState.Name(state).removeprefix("TASK_STATE_").lower()


def ago(at: float, now: float) -> str:
    """`3 minutes ago`."""
    text = format_elapsed(now - at)
    return f"{text[0].lower()}{text[1:]} ago"


def _repository_and_tag(name: str) -> tuple[str, str]:
    try:
        reference = parse_reference(name)
    except Invalid:
        return name, "<none>"
    return reference.familiar_name, reference.tag or "<none>"
