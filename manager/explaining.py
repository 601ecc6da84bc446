"""Say what each node has against a task, or how many more of its kind would fit there.

The scheduler's own filters are asked, so an explanation cannot differ from the decision. A
node is told with the first filter that refuses it, in the scheduler's order. Of a task that
runs, the node that it runs on is not judged as a place for another: it is why it is there that
is told, as far as it is true today.
"""

from collections.abc import Iterator

from msgspec import Struct

from manager.events import task_name
from manager.job_counts import count_job
from manager.orchestrator.depending import unmet
from manager.orchestrator.restarting import Never, after_end
from manager.orchestrator.scaling import replicas_of
from manager.progress import measure
from manager.scheduler.asks import Ask, ask_of, ask_of_version
from manager.scheduler.fleet import Fleet
from manager.scheduler.homes import Home, home_of
from manager.scheduler.verdicts import Verdict, verdicts
from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId, TaskId
from swarm.objects import Service, Task
from swarm.specs import Replicated, Strategy
from swarm.states import NodeState, RolloutState, TaskState

NO_LIMIT = -1
"""The room of a node on which nothing limits how many fit."""
_SHOWN = 3


class NodeVerdict(Struct, frozen=True, kw_only=True):
    """What one node says; `filter` names what refuses, `tasks` of the service are there now."""

    node_id: NodeId
    hostname: str
    admits: bool
    filter: str = ""
    detail: str = ""
    tasks: int = 0
    room: int = 0


class Explanation(Struct, frozen=True, kw_only=True):
    """Why in a sentence or two, and then node by node."""

    service_name: str
    summary: str
    verdicts: tuple[NodeVerdict, ...]


def explain(
    view: ClusterView,
    fleet: Fleet,
    service_id: ServiceId,
    *,
    task_id: TaskId | None = None,
    node_id: NodeId | None = None,
) -> Explanation:
    """Explain a service or one task of it, on all nodes or on one. Changes nothing."""
    service = view.services.get(service_id)
    task = view.tasks[task_id] if task_id is not None else None
    ask = _ask(view, service, service_id, task)
    if task is not None:
        summary = _of_task(view, fleet, ask, task)
    else:
        assert service is not None
        summary = _of_service(view, service)
    found = tuple(_verdicts(view, fleet, ask, task, node_id))
    name = service.spec.name if service is not None else ask.name
    return Explanation(service_name=name, summary=summary, verdicts=found)


def _ask(
    view: ClusterView, service: Service | None, service_id: ServiceId, task: Task | None
) -> Ask:
    """What is asked of a node: by the task's own version, or by a new task."""
    if task is not None:
        version = view.version_of(service_id, task.spec_version)
        if version is not None:
            return ask_of_version(version, task.service_name)
        return Ask(service_id=service_id, name=task.service_name)
    assert service is not None
    return ask_of(service)


# -- node by node ------------------------------------------------------------------------


def _verdicts(
    view: ClusterView, fleet: Fleet, ask: Ask, task: Task | None, node_id: NodeId | None
) -> Iterator[NodeVerdict]:
    stands = task is not None and bool(task.node_id) and not view.state(task).is_terminal
    own = task.node_id if task is not None and stands else None
    home = _home(view, fleet, ask, task) if task is not None else None
    found = verdicts(fleet, ask, home=home)
    for each in sorted(found, key=lambda one: (fleet.name(one.node_id), one.node_id)):
        if node_id is None or each.node_id == node_id:
            yield _verdict(fleet, each, is_own=each.node_id == own)


def _verdict(fleet: Fleet, said: Verdict, *, is_own: bool) -> NodeVerdict:
    room = NO_LIMIT if said.room is None else said.room
    return NodeVerdict(
        node_id=said.node_id,
        hostname=fleet.name(said.node_id),
        admits=said.admits or is_own,
        filter="" if is_own else said.filter,
        detail="has the task" if is_own else said.detail,
        tasks=said.tasks,
        room=room if said.admits else 0,
    )


def _home(view: ClusterView, fleet: Fleet, ask: Ask, task: Task) -> Home | None:
    """Where the task has to go because of a volume: where its replica was last."""
    if not task.slot:
        return None
    attempts = [
        each
        for each in view.tasks_of(task.service_id).values()
        if (each.run, each.slot) == (task.run, task.slot) and each.node_id
    ]
    newest = max(attempts, key=lambda each: each.attempt, default=None)
    return home_of(fleet, ask, task.slot, newest.node_id if newest is not None else None)


# -- in a sentence -----------------------------------------------------------------------


def _of_task(view: ClusterView, fleet: Fleet, ask: Ask, task: Task) -> str:
    name, state = task_name(task), view.state(task)
    if not task.node_id:
        return f"{name} is pending: {task.message or 'it has not been placed yet'}"
    where = _name(fleet, task.node_id)
    seen = view.observation(task)
    if state.is_terminal:
        why = (seen.error or task.eviction or seen.message) if seen is not None else ""
        told = f"{name} was on {where} and ended {state.word}"
        return f"{told}: {why}{_follows(view, task)}" if why else f"{told}{_follows(view, task)}"
    if view.node_state(task.node_id) is not NodeState.READY:
        return f"{name} is on {where}, which is not heard of: nobody knows whether it runs"
    if task.desired > TaskState.RUNNING:
        why = f": {task.eviction}" if task.eviction else ""
        return f"{name} was asked to stop on {where}{why}"
    doing = "runs" if state is TaskState.RUNNING else f"is {state.word}"
    if task.eviction:
        return f"{name} {doing} on {where} until its replacement is up: {task.eviction}"
    return f"{name} {doing} on {where}{_reason(view, fleet, ask, task)}"


def _follows(view: ClusterView, task: Task) -> str:
    """Whether another attempt follows one that failed, if that is to be expected."""
    service, seen = view.services.get(task.service_id), view.observation(task)
    if service is None or seen is None or task.desired > TaskState.RUNNING:
        return ""
    if service.spec.is_job or task.spec_version != service.spec_version:
        return ""
    following = after_end(service.spec.task.restart, task, seen.state, seen.at)
    is_over = following == Never(done=False)
    return "; its restart policy allows no other attempt" if is_over else ""


def _reason(view: ClusterView, fleet: Fleet, ask: Ask, task: Task) -> str:
    """Why there, compared with the other nodes that would admit it now."""
    service = view.services.get(task.service_id)
    if service is None or not isinstance(service.spec.mode, Replicated):
        return ", as one task of its service does on every node that admits it"
    others = [
        each
        for each in verdicts(fleet, ask)
        if each.admits and each.room != 0 and each.node_id != task.node_id
    ]
    if not others:
        return ": no other node admits it now"
    if ask.strategy is Strategy.BINPACK:
        return ": its service fills one node before the next"
    here = int(fleet.tasks_of(ask.service_id)[fleet.rows[task.node_id]])
    emptiest = min(others, key=lambda each: (each.tasks, each.node_id))
    if here - 1 <= emptiest.tasks:
        return f": no node that admits it runs fewer tasks of {ask.name}"
    return (
        f", as {_tasks(here)} of {ask.name} do; {fleet.name(emptiest.node_id)} runs"
        f" {emptiest.tasks}: `swarmctl rebalance` spreads what may be moved"
    )


def _of_service(view: ClusterView, service: Service) -> str:
    wanted = [
        task
        for task in view.tasks_of(service.id).values()
        if task.desired <= TaskState.RUNNING
        and not view.state(task).is_terminal
        and (not task.node_id or task.node_id in view.nodes)
    ]
    pending = [task for task in wanted if not task.node_id]
    messages = sorted({task.message for task in pending if task.message})
    parts = [f"{service.spec.name} {_how_far(view, service, wanted)}"]
    if pending:
        shown = "; ".join(messages[:_SHOWN])
        parts.append(f"{_tasks(len(pending))} pending{f': {shown}' if shown else ''}")
    parts += _failures(view, service, told=messages)
    parts += _from_ledger(view, service)
    return "; ".join(parts)


def _how_far(view: ClusterView, service: Service, wanted: list[Task]) -> str:
    running = sum(view.state(task) is TaskState.RUNNING for task in wanted)
    if service.spec.is_job and (counts := count_job(view, service)).run is not None:
        return f"completed {counts.completed} of {_tasks(counts.total)}, and runs {running}"
    told = f"runs {_tasks(running)}"
    if isinstance(service.spec.mode, Replicated):
        told += f" of {replicas_of(view, service)}"
    return told


def _failures(view: ClusterView, service: Service, *, told: list[str]) -> Iterator[str]:
    """What a rollout waits for, or why what was placed is not up; `told` is known of the rest."""
    found = measure(view, service.id)
    if found.failure:
        yield found.failure
        return
    awaited = unmet(view, service)
    if awaited in found.problems and awaited not in told:
        yield f"it {awaited}"
    failed = [each for each in found.problems if each not in (*told, awaited)]
    if failed:
        yield f"its tasks fail: {'; '.join(failed[:_SHOWN])}"


def _from_ledger(view: ClusterView, service: Service) -> Iterator[str]:
    ledger = view.ledgers.get(service.id)
    if ledger is None:
        return
    rollout = ledger.rollout
    if rollout is not None and not rollout.state.is_over:
        told = f"its rollout is {rollout.state.word.replace('_', ' ')}"
        is_said = bool(rollout.message) and rollout.state is not RolloutState.UPDATING
        yield f"{told}: {rollout.message}" if is_said else told
    if service.spec.autoscale is not None and ledger.scale_message:
        yield f"autoscaling: {ledger.scale_message}"


def _name(fleet: Fleet, node_id: NodeId) -> str:
    return fleet.name(node_id) if node_id in fleet.rows else f"node {node_id}, which left"


def _tasks(count: int) -> str:
    return "1 task" if count == 1 else f"{count} tasks"
