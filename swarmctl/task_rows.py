"""Turn tasks into lines of `ps`: per replica the newest attempt, then the older ones below it.

A replica that keeps failing says how often it was tried, and when it is tried again: that is
decided by the same function as in the manager, from the restart policy of its version.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import structs

from swarm.api.v1 import control_pb2, objects_pb2
from swarm.quantities import format_elapsed
from swarmctl import rows
from swarmctl.rows import Detail
from swarmctl.tables import Listing

SHORT_ERROR = 30
YOUNG_S = 60.0
"""So long after its start, a task that was tried before still says so."""

TASKS = Listing(
    columns=(
        "ID", "Name", "Image", "Node", "DesiredState", "CurrentState", "Error", "Ports",
    ),
    headings={
        "ID": "ID",
        "Name": "NAME",
        "Run": "RUN",
        "Image": "IMAGE",
        "Node": "NODE",
        "DesiredState": "DESIRED STATE",
        "CurrentState": "CURRENT STATE",
        "Health": "HEALTH",
        "Attempt": "ATTEMPT",
        "Error": "ERROR",
        "Ports": "PORTS",
    },
)  # fmt: skip
TASKS_OF_RUNS = structs.replace(TASKS, columns=("ID", "Name", "Run", *TASKS.columns[2:]))


def listing(views: Iterable[control_pb2.TaskView]) -> Listing:
    """The columns for these tasks: with their runs where a schedule has fired."""
    return TASKS_OF_RUNS if any(view.task.run for view in views) else TASKS


def task_rows(
    views: Iterable[control_pb2.TaskView],
    detail: Detail,
    *,
    now: float,
    ports: Mapping[str, str] | None = None,
) -> Iterator[dict[str, str]]:
    """Lines of `service ps`; `ports` are those that services have of their nodes, by their ids.

    What a task says of its own ports goes before: it knows those that were left open.
    """
    replica = None
    for view in sorted(views, key=_order):
        task = view.task
        is_older = replica == (replica := _replica(task))
        name = (
            rows.task_name(task) if detail.named else f"{task.service_id}.{rows.replica_name(task)}"
        )
        node = view.node_hostname if detail.named and view.node_hostname else task.node_id
        is_up = view.observation.state == objects_pb2.TASK_STATE_RUNNING
        yield {
            "ID": detail.id(task.id),
            "Name": rf" \_ {name}" if is_older else name,
            "Run": str(task.run or ""),
            "Image": rows.image_name(view.spec.container.image, detail),
            "Node": node,
            "DesiredState": rows.task_desired(view).title(),
            "CurrentState": _current_state(view, now, is_newest=not is_older),
            "Health": rows.health(view.observation),
            "Attempt": str(task.attempt or ""),
            "Error": _quoted(rows.task_error(view), detail),
            "Ports": _ports(view, ports or {}) if is_up else "",
        }


def _ports(view: control_pb2.TaskView, ports: Mapping[str, str]) -> str:
    own = rows.printed_ports(view.observation.ports)
    return own or ports.get(view.task.service_id, "")


def _replica(task: objects_pb2.Task) -> tuple[str, int, int, str]:
    return (task.service_name, -task.run, task.slot, "" if task.slot else rows.replica_name(task))


def _order(view: control_pb2.TaskView) -> tuple[tuple[str, int, int, str], int, float, str]:
    """Newest run first; of a replica those that are wanted, then the newest."""
    task = view.task
    is_over = int(task.desired > objects_pb2.TASK_STATE_RUNNING)
    return (_replica(task), is_over, -task.created_at, task.id)


def _current_state(view: control_pb2.TaskView, now: float, *, is_newest: bool) -> str:
    """With the word on its health that Docker's `ps` has, and how often it was tried."""
    since = view.observation.at or view.task.updated_at or view.task.created_at
    text = f"{rows.task_state(view).title()} {rows.ago(since, now)}"
    notes: list[str] = []
    if word := rows.health(view.observation):
        notes.append(f"health: {word}" if word == "starting" else word)
    if is_newest and view.task.restarts:
        notes += _tries(view, now, since)
    return f"{text} ({', '.join(notes)})" if notes else text


def _tries(view: control_pb2.TaskView, now: float, since: float) -> Iterator[str]:
    has_ended = view.observation.state > objects_pb2.TASK_STATE_RUNNING
    if has_ended or now - since < YOUNG_S:
        yield f"attempt {max(view.task.attempt, len(view.task.restarts) + 1)}"
    if has_ended and view.task.desired <= objects_pb2.TASK_STATE_RUNNING:
        due = next_try_at(view)
        if due is None:
            yield "the last"
        elif due > now:
            yield f"next in {_lowered(format_elapsed(due - now))}"


def next_try_at(view: control_pb2.TaskView) -> float | None:
    """When an ended task is followed by another; `None` when it is not."""
    from manager.orchestrator.restarting import next_try
    from swarm.codec import from_message
    from swarm.objects import Task
    from swarm.specs import RestartPolicy
    from swarm.states import TaskState

    policy = from_message(RestartPolicy, view.spec.restart)
    state = TaskState(view.observation.state)
    return next_try(policy, from_message(Task, view.task), state, view.observation.at)


def _lowered(text: str) -> str:
    return f"{text[:1].lower()}{text[1:]}"


def _quoted(error: str, detail: Detail) -> str:
    if not error:
        return ""
    if not detail.full and len(error) > SHORT_ERROR:
        error = f"{error[: SHORT_ERROR - 1]}…"
    return f'"{error}"'
