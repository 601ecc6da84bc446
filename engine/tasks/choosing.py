"""Choose the tasks that a filter selects.

Which services and nodes are meant is asked of the managers beforehand. Labels are those of a task's
service. A task is up to date when it is of its service's present version.
"""

from collections.abc import Iterable, Mapping

from engine.filters import Filters, check, has_labels, truth
from engine.tasks.showing import desired_word
from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.errors import Invalid
from swarm.objects import Observation, Service, Task
from swarm.states import TaskState

UP_TO_DATE = ("_up-to-date", "up-to-date")
KNOWN = frozenset(
    ("desired-state", "id", "label", "name", "node", "runtime", "service", *UP_TO_DATE)
)


def choose(
    views: Iterable[control_pb2.TaskView], filters: Filters, services: Mapping[str, Service]
) -> list[control_pb2.TaskView]:
    """Those that pass all `filters`; `services` are those there are, by id."""
    check(filters, KNOWN)
    for value in filters.get("desired-state", ()):
        if value.lower() not in {each.word for each in TaskState}:
            raise Invalid(f"Invalid desired-state filter: '{value}'")
    current = any(truth(filters, each) is True for each in UP_TO_DATE)
    return [
        view
        for view in views
        if _passes(view, filters, services.get(view.task.service_id), current=current)
    ]


def _passes(
    view: control_pb2.TaskView, filters: Filters, service: Service | None, *, current: bool
) -> bool:
    task = view.task
    if current and (service is None or service.spec_version != task.spec_version):
        return False
    if filters.get("label"):
        labels = service.spec.labels if service is not None else dict[str, str]()
        if not has_labels(labels, filters):
            return False
    return all(_has(view, key, values, service) for key, values in filters.items() if values)


def _has(
    view: control_pb2.TaskView, key: str, values: Iterable[str], service: Service | None
) -> bool:
    match key:
        case "id":
            return any(view.task.id.startswith(each) for each in values)
        case "name":
            return any(_name(view).startswith(each) for each in values)
        case "runtime":
            return any(each in ("", "container") for each in values)
        case "desired-state":
            is_job = service is not None and service.spec.is_job
            seen = from_message(Observation, view.observation)
            task = from_message(Task, view.task)
            word = desired_word(task, seen, is_job=is_job)
            return any(each.lower() == word for each in values)
        case _:
            return True


def _name(view: control_pb2.TaskView) -> str:
    task = view.task
    return f"{task.service_name}.{task.slot or task.node_id}.{task.id}"
