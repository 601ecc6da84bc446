"""Say how far a drain has come: what is left on a node, and what it waits for."""

from collections.abc import Iterable, Mapping, Sequence

from swarm.api.v1 import control_pb2, objects_pb2
from swarmctl.rows import task_name

_SHOWN = 5


def left(views: Iterable[control_pb2.TaskView]) -> list[control_pb2.TaskView]:
    """The tasks that a node still has to end, in the order of their names."""
    alive = [view for view in views if view.observation.state <= objects_pb2.TASK_STATE_RUNNING]
    return sorted(alive, key=lambda view: (view.task.service_name, view.task.slot, view.task.id))


def progress(views: Sequence[control_pb2.TaskView], total: int) -> str:
    """`3 of 25 tasks left: web.1, web.7, db.2`; those that wait for a replacement are marked."""
    named = [_name(view) for view in views[:_SHOWN]]
    more = [f"{len(views) - _SHOWN} more"] if len(views) > _SHOWN else []
    noun = "task" if total == 1 else "tasks"
    return f"{len(views)} of {total} {noun} left: {', '.join([*named, *more])}"


def shown_services(views: Sequence[control_pb2.TaskView]) -> list[str]:
    """The services of those tasks that are named."""
    return sorted({view.task.service_id for view in views[:_SHOWN]})


def reasons(
    views: Sequence[control_pb2.TaskView], others: Iterable[control_pb2.TaskView]
) -> list[str]:
    """Why those that are named stay: what their replacements wait for, as these say.

    Without a replacement of its own a task stays because too many of its service are down
    already (`--max-unavailable`), so it is told what the first of those waits for.
    """
    waiting: dict[str, dict[int, control_pb2.TaskView]] = {}
    for view in others:
        if not view.task.node_id and view.task.slot and view.task.message:
            waiting.setdefault(view.task.service_id, {})[view.task.slot] = view
    found = (_reason(view, waiting.get(view.task.service_id, {})) for view in views[:_SHOWN])
    return [f"  {reason}" for reason in found if reason]


def _reason(view: control_pb2.TaskView, waiting: Mapping[int, control_pb2.TaskView]) -> str:
    name = task_name(view.task)
    if (own := waiting.get(view.task.slot)) is not None:
        return f"{name} stays until it is replaced: {own.task.message}"
    if not waiting or view.task.desired > objects_pb2.TASK_STATE_RUNNING:
        return ""
    first = waiting[min(waiting)].task
    return f"{name} stays while {task_name(first)} is down: {first.message}"


def _name(view: control_pb2.TaskView) -> str:
    name = task_name(view.task)
    is_asked = view.task.desired > objects_pb2.TASK_STATE_RUNNING
    return f"{name} (stopping)" if is_asked else name
