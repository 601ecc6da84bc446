"""Foretell what creating or changing a service would do.

The planners themselves are asked, on a copy of the cluster (see `manager.supposing`), until
nothing moves any more. What is told is the difference between the tasks that hold the
replicas' places now and those that would in the end; how a rollout gets there step by step
stands in the summary. A forecast is true of the moment it is made in: the revision it names
makes sure that what is applied is what was planned.
"""

from collections.abc import Iterator, Mapping

from msgspec import Struct, structs

from manager.control.networks import named
from manager.differences import FieldChange, field_changes
from manager.events import task_name
from manager.networks.addresses import Addresses
from manager.orchestrator.depending import unmet
from manager.orchestrator.scaling import replicas_of
from manager.scheduler.fleet import Fleet
from manager.supposing import Supposition, standing_of
from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId
from swarm.objects import Service, Task
from swarm.specs import Replicated, ServiceSpec, UpdateOrder
from swarm.states import RolloutState, TaskState

NEW = ServiceId("forecast")
"""The id of a service that is only thought of."""

Replica = tuple[int, int, NodeId]
"""A run, a slot and a node: what a task is one attempt at."""


class PlannedTask(Struct, frozen=True, kw_only=True):
    """What becomes of one replica: start, stop, replace (a new version), move or wait.

    One that waits has lost its place on `from_hostname`, or keeps the one on `hostname` until
    there is room for its replacement; or it has neither.
    """

    action: str
    name: str
    hostname: str = ""
    from_hostname: str = ""
    reason: str = ""


class Forecast(Struct, frozen=True, kw_only=True):
    """What would change; `revision` is the service's, 0 where there is none yet."""

    changes: tuple[FieldChange, ...]
    tasks: tuple[PlannedTask, ...]
    warnings: tuple[str, ...] = ()
    revision: int = 0
    is_new_version: bool = False


class Question(Struct, frozen=True, kw_only=True):
    """A service as it would be, with a copy of the cluster to try it in."""

    supposition: Supposition
    before: Service | None
    after: Service
    changes: tuple[FieldChange, ...] = ()


def question(
    view: ClusterView,
    fleet: Fleet,
    addresses: Addresses,
    service_id: ServiceId | None,
    spec: ServiceSpec,
    *,
    now: float,
) -> Question:
    """Take what a forecast needs out of the view. Answer it on any thread."""
    before = view.services.get(service_id) if service_id is not None else None
    after = _changed(before, spec, now) if before is not None else _made(spec, now)
    supposition = Supposition.of(view, fleet, addresses, after)
    changes = field_changes(
        named(view, before.spec) if before is not None else None, named(view, after.spec)
    )
    return Question(supposition=supposition, before=before, after=after, changes=changes)


def forecast(asked: Question, *, now: float) -> Forecast:
    """Try it, and tell the difference."""
    tried, after = asked.supposition, asked.after
    tried.begin(now=now)
    before, was_rolling = _places(tried.view, after.id), _is_rolling(tried.view, after.id)
    tried.put(after, now=now)
    tried.settle(now=now)
    is_new_version = asked.before is not None and after.spec_version != asked.before.spec_version
    tasks = (*_outcomes(tried, after, before), *_displaced(tried))
    return Forecast(
        changes=asked.changes,
        tasks=tasks,
        warnings=tuple(_warnings(asked, tasks, replaces=is_new_version and was_rolling)),
        revision=asked.before.revision if asked.before else 0,
        is_new_version=is_new_version,
    )


def _made(spec: ServiceSpec, now: float) -> Service:
    return Service(id=NEW, spec=spec, created_at=now, updated_at=now, version_at=now)


def _changed(before: Service, spec: ServiceSpec, now: float) -> Service:
    is_new_version = spec.task != before.spec.task
    is_changed = spec != before.spec
    return structs.replace(
        before,
        spec=spec,
        spec_version=before.spec_version + is_new_version,
        revision=before.revision + is_changed,
        previous_spec=before.spec if is_changed else before.previous_spec,
        updated_at=now if is_changed else before.updated_at,
        version_at=now if is_new_version else before.version_at,
    )


def _replica(task: Task) -> Replica:
    return task.run, task.slot, NodeId("") if task.slot else task.node_id


def _places(view: ClusterView, service_id: ServiceId) -> Mapping[Replica, Task]:
    """Who holds each replica's place: the attempt that is furthest."""
    found: dict[Replica, Task] = {}
    for task in view.tasks_of(service_id).values():
        if not standing_of(view, task):
            continue
        holder = found.get(_replica(task))
        if holder is None or _rank(view, holder) < _rank(view, task):
            found[_replica(task)] = task
    return found


def _rank(view: ClusterView, task: Task) -> tuple[TaskState, int]:
    return view.state(task), task.attempt


def _outcomes(
    tried: Supposition, service: Service, before: Mapping[Replica, Task]
) -> Iterator[PlannedTask]:
    view = tried.view
    after = _places(view, service.id)
    waiting = _waiting(view, service.id)
    for replica in sorted({*before, *after}):
        old, new = before.get(replica), after.get(replica)
        if new is None:
            assert old is not None
            if replica not in waiting:
                yield _planned(view, "stop", old)
        elif old is None:
            yield _planned(view, "start", new)
        elif old.id != new.id:
            action = "replace" if old.spec_version != new.spec_version else "move"
            yield _planned(view, action, new, origin=old)
    for replica, task in sorted(waiting.items()):
        if (staying := after.get(replica)) is not None:
            hostname = _hostname(view, staying.node_id)
            yield structs.replace(_planned(view, "wait", task), hostname=hostname)
        else:
            yield _planned(view, "wait", task, origin=before.get(replica))


def _waiting(view: ClusterView, service_id: ServiceId) -> Mapping[Replica, Task]:
    """Tasks that would have no node; those of a global service are told apart by their ids."""
    return {
        (task.run, task.slot, NodeId("") if task.slot else NodeId(task.id)): task
        for task in view.tasks_of(service_id).values()
        if task.desired <= TaskState.RUNNING and not task.node_id
    }


def _planned(
    view: ClusterView, action: str, task: Task, *, origin: Task | None = None
) -> PlannedTask:
    hostname = _hostname(view, task.node_id)
    name = task_name(task) if task.slot else f"{task.service_name}.{hostname or 'node'}"
    return PlannedTask(
        action=action,
        name=name,
        hostname=hostname,
        from_hostname=_hostname(view, origin.node_id) if origin is not None else "",
        reason=task.message if action == "wait" else task.eviction,
    )


def _displaced(tried: Supposition) -> Iterator[PlannedTask]:
    """Tasks of other services that would have to make room."""
    for task in sorted(tried.displaced, key=lambda each: (each.service_name, each.slot, each.id)):
        present = tried.view.tasks.get(task.id, task)
        reason = present.eviction or "makes room"
        yield structs.replace(_planned(tried.view, "stop", task), reason=reason)


def _hostname(view: ClusterView, node_id: NodeId) -> str:
    node = view.nodes.get(node_id)
    return (node.description.hostname or node_id) if node is not None else node_id


def _warnings(asked: Question, tasks: tuple[PlannedTask, ...], *, replaces: bool) -> Iterator[str]:
    view, spec = asked.supposition.view, asked.after.spec
    if any(each.action == "replace" for each in tasks):
        yield _manner(spec)
        if spec.update.canary:
            yield (
                f"the rollout holds after {_tasks(spec.update.canary)}, until"
                f" `swarmctl service promote {spec.name}`"
            )
    if _is_rolling(view, asked.after.id) and (awaited := unmet(view, asked.after)):
        yield f"{spec.name} {awaited}; nothing is replaced before that"
    if replaces:
        yield "an earlier rollout is not over: this one takes its place"
    if isinstance(spec.mode, Replicated) and spec.autoscale is not None:
        replicas = replicas_of(view, asked.after)
        if replicas != spec.mode.replicas:
            yield f"autoscaling decides the number of replicas: {replicas} at present"
    if spec.is_job and spec.schedule is not None:
        yield "tasks start when the schedule says so"
    if waiting := sum(each.action == "wait" for each in tasks):
        yield f"{_tasks(waiting)} would stay pending"


def _manner(spec: ServiceSpec) -> str:
    count = spec.update.parallelism
    at_a_time = f"{count} at a time" if count else "all at once"
    if spec.update.order is UpdateOrder.START_FIRST:
        return f"tasks are replaced {at_a_time}, each old one kept until its new one is up"
    return f"tasks are replaced {at_a_time}, each old one stopped before its new one starts"


def _is_rolling(view: ClusterView, service_id: ServiceId) -> bool:
    ledger = view.ledgers.get(service_id)
    rollout = ledger.rollout if ledger is not None else None
    return rollout is not None and rollout.state in (
        RolloutState.UPDATING,
        RolloutState.CANARY,
        RolloutState.PAUSED,
    )


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"
