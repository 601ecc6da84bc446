"""Show containers as lines of `ps`, and select among them."""

import re
from collections.abc import Callable, Iterable, Mapping

from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import objects_pb2, specs_pb2
from swarm.codec import from_message
from swarm.errors import Invalid
from swarm.quantities import format_elapsed, format_size
from swarm.specs import Port
from swarm.standalone import ContainerState
from swarmctl.containers.ports import published
from swarmctl.filters import Test, has_label
from swarmctl.rows import Detail, ago
from swarmctl.tables import Listing
from swarmctl.times import stamp

_COMMAND = 20

CONTAINERS = Listing(
    columns=("ID", "Image", "Command", "RunningFor", "Status", "Ports", "Names"),
    headings={
        "ID": "CONTAINER ID",
        "Image": "IMAGE",
        "Command": "COMMAND",
        "RunningFor": "CREATED",
        "CreatedAt": "CREATED AT",
        "Status": "STATUS",
        "State": "STATE",
        "Ports": "PORTS",
        "Names": "NAMES",
        "Labels": "LABELS",
        "Mounts": "MOUNTS",
        "Networks": "NETWORKS",
        "LocalVolumes": "LOCAL VOLUMES",
        "Size": "SIZE",
    },
)
SIZED = Listing(columns=(*CONTAINERS.columns, "Size"), headings=CONTAINERS.headings)

_RUNNING = (pb.CONTAINER_STATE_RUNNING, pb.CONTAINER_STATE_PAUSED, pb.CONTAINER_STATE_RESTARTING)
_HEALTHS = ("none", "starting", "healthy", "unhealthy")


def container_row(view: pb.ContainerView, detail: Detail, *, now: float) -> dict[str, str]:
    """One line of `ps`."""
    command = " ".join(view.args)
    volumes = [each for each in view.mounts if each.kind == specs_pb2.MOUNT_KIND_VOLUME]
    return {
        "ID": detail.id(view.id),
        "Image": view.spec.container.image,
        "Command": f'"{command if detail.full else _cut(command)}"',
        "RunningFor": ago(view.created_at, now),
        "CreatedAt": stamp(view.created_at),
        "Status": status(view, now=now),
        "State": state_word(view),
        "Ports": ", ".join(published(from_message(Port, each)) for each in view.ports),
        "Names": view.name,
        "Labels": ",".join(f"{key}={value}" for key, value in sorted(view.labels.items())),
        "Mounts": ",".join(each.volume or each.source for each in view.mounts),
        "Networks": ",".join(each.network_name for each in view.endpoints)
        or view.spec.network_mode,
        "LocalVolumes": str(len(volumes)),
        "Size": f"{format_size(view.written_bytes)} (virtual {format_size(view.root_bytes)})",
    }


def state_word(view: pb.ContainerView) -> str:
    """`running`, `exited` and so on."""
    return ContainerState(view.state).word


def status(view: pb.ContainerView, *, now: float) -> str:
    """`Up 3 minutes (healthy)`, `Exited (1) 2 hours ago`."""
    up = format_elapsed(now - view.started_at)
    match view.state:
        case pb.CONTAINER_STATE_RUNNING:
            return f"Up {up}{_health(view)}"
        case pb.CONTAINER_STATE_PAUSED:
            return f"Up {up} (Paused)"
        case pb.CONTAINER_STATE_RESTARTING:
            return f"Restarting ({view.exit_code}) {ago(view.finished_at, now)}"
        case pb.CONTAINER_STATE_EXITED:
            return f"Exited ({view.exit_code}) {ago(view.finished_at, now)}"
        case pb.CONTAINER_STATE_REMOVING:
            return "Removal In Progress"
        case _:
            return state_word(view).title()


def is_up(view: pb.ContainerView) -> bool:
    """Whether `ps` shows it unasked."""
    return view.state in _RUNNING


def tests(known: Iterable[pb.ContainerView]) -> Mapping[str, Test[pb.ContainerView]]:
    """What `--filter` of `ps` may ask; `known` are all containers, which some of it refers to."""
    everyone = tuple(known)

    def created(name: str) -> float:
        found = [each for each in everyone if each.name == name or each.id.startswith(name)]
        if not found:
            raise Invalid(f"--filter: no such container: {name}", hint="name one of `ps -a`")
        return found[0].created_at

    return {
        "id": lambda view, text: view.id.startswith(text),
        "name": lambda view, text: bool(re.search(text, view.name)),
        "label": lambda view, text: has_label(view.labels, text),
        "status": lambda view, text: state_word(view) == _known(text, _STATES),
        "health": lambda view, text: _health_word(view) == _known(text, _HEALTHS),
        "exited": lambda view, text: (
            view.state == pb.CONTAINER_STATE_EXITED and str(view.exit_code) == text
        ),
        "ancestor": lambda view, text: (
            view.spec.container.image in (text, f"{text}:latest")
            or view.image_id.removeprefix("sha256:").startswith(text.removeprefix("sha256:"))
        ),
        "before": lambda view, text: view.created_at < created(text),
        "since": lambda view, text: view.created_at > created(text),
        "volume": lambda view, text: any(
            text in (each.volume, each.target) for each in view.mounts
        ),
        "network": lambda view, text: any(
            text == each.network_name or each.network_id.startswith(text) for each in view.endpoints
        ),
        "publish": _on_port(lambda port: port.published),
        "expose": lambda view, text: any(
            text in (each, each.partition("/")[0]) for each in view.spec.exposed
        ),
        "is-task": lambda view, text: bool(view.task_id) == (text.lower() in ("true", "1")),
    }


_STATES = tuple(each.word for each in ContainerState)


def _on_port(number: Callable[[specs_pb2.Port], int]) -> Test[pb.ContainerView]:
    def test(view: pb.ContainerView, text: str) -> bool:
        wanted = text.partition("/")[0]
        return any(str(number(port)) == wanted for port in view.ports)

    return test


def _known(text: str, words: tuple[str, ...]) -> str:
    if text.lower() not in words:
        raise Invalid(f"--filter: {text!r} is none of {', '.join(words)}", hint="use one of those")
    return text.lower()


def _health_word(view: pb.ContainerView) -> str:
    if not view.health:
        return "none"
    return objects_pb2.HealthState.Name(view.health).removeprefix("HEALTH_STATE_").lower()


def _health(view: pb.ContainerView) -> str:
    word = _health_word(view)
    text = "health: starting" if word == "starting" else word
    return f" ({text})" if view.health else ""


def _cut(text: str) -> str:
    return text if len(text) <= _COMMAND else f"{text[: _COMMAND - 1]}…"
