"""Say how a container is, in Docker's words."""

from engine import times
from engine.replies import JsonObject
from swarm.api.v1 import containers_pb2 as pb
from swarm.api.v1 import control_pb2
from swarm.quantities import format_elapsed
from swarm.standalone import ContainerState
from swarm.states import HealthState

_UP = (ContainerState.RUNNING, ContainerState.PAUSED, ContainerState.RESTARTING)
_HEALTHS = {
    HealthState.NONE: "none",
    HealthState.STARTING: "starting",
    HealthState.HEALTHY: "healthy",
    HealthState.UNHEALTHY: "unhealthy",
}


def state_of(view: pb.ContainerView) -> ContainerState:
    """How far a container is."""
    return ContainerState(view.state)


def is_up(view: pb.ContainerView) -> bool:
    """Whether it counts as running, as one does that is about to be started again."""
    return state_of(view) in _UP


def health_of(view: pb.ContainerView) -> str:
    """`none`, `starting`, `healthy` or `unhealthy`."""
    return _HEALTHS[HealthState(view.health)] if view.has_healthcheck else "none"


def status(view: pb.ContainerView, *, now: float) -> str:
    """How a container is, in a line: `Up 2 hours (healthy)`, `Exited (0) 5 minutes ago`."""
    state = state_of(view)
    since = format_elapsed(now - view.started_at)
    ended = format_elapsed(now - view.finished_at)
    match state:
        case ContainerState.PAUSED:
            return f"Up {since} (Paused)"
        case ContainerState.RESTARTING:
            return f"Restarting ({view.exit_code}) {ended} ago"
        case ContainerState.RUNNING:
            health = health_of(view)
            if health == "none":
                return f"Up {since}"
            return f"Up {since} ({'health: starting' if health == 'starting' else health})"
        case ContainerState.REMOVING:
            return "Removal In Progress"
        case ContainerState.DEAD:
            return "Dead"
        case ContainerState.CREATED:
            return "Created"
        case ContainerState.EXITED:
            return f"Exited ({view.exit_code}) {ended} ago"


def write_state(
    view: pb.ContainerView, log: "list[control_pb2.HealthResult] | None" = None
) -> JsonObject:
    """How a container is, as its inspection says it."""
    state = state_of(view)
    found: JsonObject = {
        "Status": state.word,
        "Running": is_up(view),
        "Paused": state is ContainerState.PAUSED,
        "Restarting": state is ContainerState.RESTARTING,
        "OOMKilled": view.oom_killed,
        "Dead": state is ContainerState.DEAD,
        "Pid": view.pid,
        "ExitCode": view.exit_code,
        "Error": view.error,
        "StartedAt": times.stamp(view.started_at),
        "FinishedAt": times.stamp(view.finished_at),
    }
    if view.has_healthcheck:
        found["Health"] = {
            "Status": health_of(view),
            "FailingStreak": view.failing_streak,
            "Log": [_write_result(each) for each in log or ()],
        }
    return found


def _write_result(result: control_pb2.HealthResult) -> JsonObject:
    return {
        "Start": times.stamp(result.started_at),
        "End": times.stamp(result.finished_at),
        "ExitCode": result.exit_code,
        "Output": result.output,
    }
