"""Hold back what would start before what it depends on is there.

A replica that would start waits, as a task without a node that says what for; what runs goes
on running, and nothing is stopped for a rollout meanwhile. A service that does not exist is
not met: it may be created later, in any order. Services in a circle would wait for ever, so
`manager.control.dependencies` refuses those.
"""

from manager.orchestrator.scaling import replicas_of
from manager.view import ClusterView
from manager.wanting import wanted_replicas
from swarm.ids import ServiceId
from swarm.objects import Ledger, Run, Service
from swarm.specs import Dependency, DependencyCondition, Replicated, TaskSpec
from swarm.states import HealthState, RunState, TaskState


def unmet(view: ClusterView, service: Service, spec: TaskSpec | None = None) -> str:
    """What a service waits for, by its own task spec or an earlier one; empty for nothing."""
    for dependency in (spec or service.spec.task).depends_on:
        if reason := _unmet(view, dependency):
            return reason
    return ""


def _unmet(view: ClusterView, dependency: Dependency) -> str:
    name = dependency.service
    found = view.services.get(ServiceId(view.names.get(("service", name), "")))
    wish = f"waits for {name} {_WISHES[dependency.condition]}"
    if found is None:
        return f"{wish}: there is no such service"
    if dependency.condition is DependencyCondition.COMPLETE:
        reason = _why_not_complete(view, found)
    elif found.spec.is_job:
        reason = _why_not_begun(view, found)
    else:
        reason = _why_not_up(view, found, dependency.condition)
    return f"{wish}: {reason}" if reason else ""


_WISHES = {
    DependencyCondition.RUNNING: "to run",
    DependencyCondition.HEALTHY: "to be healthy",
    DependencyCondition.COMPLETE: "to complete",
}


def _why_not_up(view: ClusterView, service: Service, condition: DependencyCondition) -> str:
    wanted = _wanted(view, service)
    if wanted < 1:
        return "it is to have no tasks"
    running = sum(
        count
        for (desired, _, state), count in view.tally(service.id).items()
        if desired <= TaskState.RUNNING and state is TaskState.RUNNING
    )
    if condition is DependencyCondition.HEALTHY and running >= wanted:
        running = _healthy(view, service)
    verb = "is" if running == 1 else "are"
    return f"{running} of {wanted} tasks {verb}" if running < wanted else ""


def _wanted(view: ClusterView, service: Service) -> int:
    if isinstance(service.spec.mode, Replicated):
        return replicas_of(view, service)
    return wanted_replicas(view, service)


def _healthy(view: ClusterView, service: Service) -> int:
    found = 0
    for task in view.tasks_of(service.id).values():
        seen = view.observation(task)
        if seen is not None and task.desired <= TaskState.RUNNING:
            is_up = seen.state is TaskState.RUNNING
            found += is_up and seen.health is HealthState.HEALTHY
    return found


def _why_not_complete(view: ClusterView, service: Service) -> str:
    if not service.spec.is_job:
        return "it is no job"
    run = _last_run(view.ledgers.get(service.id), service)
    if run is None:
        return "it has not run yet"
    if run.state is RunState.COMPLETE:
        return ""
    told = f"{run.completed} of {run.total} tasks are done"
    return f"{told}, and it failed" if run.state is RunState.FAILED else told


def _why_not_begun(view: ClusterView, service: Service) -> str:
    if any(state is TaskState.RUNNING for _, _, state in view.tally(service.id)):
        return ""
    return _why_not_complete(view, service)


def _last_run(ledger: Ledger | None, service: Service) -> Run | None:
    """The run that tells how a job stands: of a scheduled one the last that ended by itself."""
    runs = ledger.runs if ledger is not None else ()
    if service.spec.schedule is None:
        return next((run for run in runs if run.spec_version == service.spec_version), None)
    own_ends = (RunState.COMPLETE, RunState.FAILED)
    ended = [run for run in runs if run.state in own_ends]
    going = [run for run in runs if run.state is RunState.RUNNING]
    return next(reversed(ended or going), None)
