"""Measure how far a service has come, as a user waiting for it wants to know.

A task that ended well and will not run again counts as running: it did what was asked. A
task on a node that is DOWN does not count, whatever was heard of it last. The reasons why
tasks wait or fail come with how many share them, the commonest first; an earlier failure
speaks for a replica until its next attempt is up.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable

from msgspec import Struct, field

from manager.job_counts import count_job
from manager.orchestrator.depending import unmet
from manager.orchestrator.restarting import Never, after_end
from manager.view import ClusterView
from manager.wanting import wanted_replicas
from swarm.ids import ServiceId
from swarm.objects import Rollout, Service, Task
from swarm.specs import (
    ReplicatedJob,
    RestartCondition,
)
from swarm.states import NodeState, RolloutState, TaskState

PROBLEMS = 5

_REPLACING = (RolloutState.UPDATING, RolloutState.ROLLBACK_STARTED)
_ENDED = (TaskState.COMPLETE, TaskState.FAILED, TaskState.REJECTED)


class Progress(Struct, frozen=True, kw_only=True):
    """`running` and `done` are of the current version; `running` includes `done`.

    `serving` is what runs of any version and is not to stop: what a rollout leaves up. What
    ended well does not serve.

    `states` counts the wanted tasks by observed state; `old` are alive but not wanted any
    more, or of an earlier version. Of a job, only what is done counts as running; what runs is
    `active`. `failure` says why what was asked for can never be reached: nothing that is missing
    is tried again. `rollout` is that of the present version, if it needed one.
    """

    wanted: int = 0
    running: int = 0
    serving: int = 0
    done: int = 0
    states: dict[str, int] = field(default_factory=dict[str, int])
    problems: tuple[str, ...] = ()
    removed: bool = False
    old: int = 0
    rollout: Rollout | None = None
    active: int = 0
    failure: str = ""

    @property
    def is_converged(self) -> bool:
        """Whether all that is wanted runs, nothing else does, and nothing is watched any more."""
        is_over = self.rollout is None or self.rollout.state.is_over
        return self.running >= self.wanted and not self.old and is_over


def measure(view: ClusterView, service_id: ServiceId) -> Progress:
    """Count the service's tasks; cheap while all of them run."""
    service = view.services.get(service_id)
    if service is not None and service.spec.is_job:
        return _measure_job(view, service)
    version = service.spec_version if service else 0
    states: Counter[str] = Counter()
    running = serving = done = old = 0
    for (desired, of_version, state), count in view.tally(service_id).items():
        wanted = desired <= TaskState.RUNNING and service is not None
        if wanted:
            states[state.word] += count
            serving += count if state is TaskState.RUNNING else 0
        if wanted and of_version == version:
            running += count if state is TaskState.RUNNING else 0
            done += count if _is_done(service, state) else 0
        elif not state.is_terminal:
            old += count
    expected = wanted_replicas(view, service) if service else 0
    missing = expected - running - done
    found = _problems(view, service) if missing > 0 and service is not None else _Problems()
    rollout = _rollout(view, service) if service is not None else None
    is_over = rollout is None or rollout.state.is_over
    return Progress(
        wanted=expected,
        running=running + done,
        serving=serving,
        done=done,
        states=dict(states),
        problems=found.ranked,
        removed=service is None,
        old=old,
        rollout=rollout,
        failure=_given_up(found, missing) if is_over and not old else "",
    )


def _measure_job(view: ClusterView, service: Service) -> Progress:
    """A job with a schedule is as wanted at once; one without when all of it is done."""
    counts, is_scheduled = count_job(view, service), service.spec.schedule is not None
    states: Counter[str] = Counter()
    old = 0
    for (desired, version, state), count in view.tally(service.id).items():
        is_current = is_scheduled or version == service.spec_version
        if desired <= TaskState.RUNNING and is_current:
            states[state.word] += count
        elif not state.is_terminal:
            old += count
    if counts.completed:
        states[TaskState.COMPLETE.word] = counts.completed
    # Its run hears of another number of replicas only when the service is planned again.
    is_replicated = isinstance(service.spec.mode, ReplicatedJob)
    is_told = counts.run is not None and not is_replicated
    total = counts.total if is_told else wanted_replicas(view, service)
    is_settled = is_scheduled or counts.completed >= total
    return Progress(
        wanted=0 if is_scheduled else total,
        running=0 if is_scheduled else min(counts.completed, total),
        done=counts.completed,
        active=counts.active,
        states=dict(states),
        problems=() if is_settled else problems(view, service),
        old=0 if is_scheduled else old,
        failure="" if is_settled else counts.failure,
    )


def _rollout(view: ClusterView, service: Service) -> Rollout | None:
    """The rollout of the present version, once it has begun."""
    ledger = view.ledgers.get(service.id)
    rollout = ledger.rollout if ledger is not None else None
    is_present = rollout is not None and rollout.spec_version == service.spec_version
    return rollout if is_present else None


class _Problems(Struct, frozen=True, kw_only=True):
    """Why replicas are not up, the commonest reason first, and how many are never tried again."""

    ranked: tuple[str, ...] = ()
    over: int = 0


def problems(view: ClusterView, service: Service) -> tuple[str, ...]:
    """Why replicas wait or fail, the commonest reason first; before all, what they depend on."""
    return _problems(view, service).ranked


def _problems(view: ClusterView, service: Service) -> _Problems:
    attempts: defaultdict[tuple[int, int, str], list[Task]] = defaultdict(list)
    for task in _suspects(view, service):
        if task.desired is not TaskState.REMOVE:
            attempts[task.run, task.slot, "" if task.slot else task.node_id].append(task)
    reasons = Counter(
        reason for tasks in attempts.values() if (reason := _why_not(view, service, tasks))
    )
    if reason := unmet(view, service):
        reasons[reason] = len(attempts) + 1  # what runs of an earlier version waits for it too
    ranked = sorted(reasons.items(), key=lambda each: (-each[1], each[0]))
    return _Problems(
        ranked=tuple(reason for reason, _ in ranked[:PROBLEMS]),
        over=sum(_is_never_tried_again(view, service, tasks[-1]) for tasks in attempts.values()),
    )


def _is_never_tried_again(view: ClusterView, service: Service, task: Task) -> bool:
    """Whether a replica's newest attempt ended, and its restart policy wants no other."""
    seen = view.observation(task)
    if seen is None or seen.state not in _ENDED or task.desired > TaskState.RUNNING:
        return False
    if task.spec_version != service.spec_version:
        return False  # it is about to be replaced
    restart = service.spec.task.restart
    return after_end(restart, task, seen.state, seen.at) == Never(done=False)


def _given_up(found: _Problems, missing: int) -> str:
    if missing <= 0 or found.over < missing:
        return ""
    tasks = "its task was" if missing == 1 else f"{missing} of its tasks were"
    why = f" ({found.ranked[0]})" if found.ranked else ""
    return f"{tasks} tried as often as the restart policy allows{why}"


def _suspects(view: ClusterView, service: Service) -> Iterable[Task]:
    """The tasks of replicas that could have a problem, which are few among many."""
    troubled = list(view.troubled(service.id))
    if any(task.run or not task.slot for task in troubled):
        return view.tasks_of(service.id).values()
    slots = sorted({task.slot for task in troubled})
    return (task for slot in slots for task in view.tasks_in(service.id, slot))


def _is_done(service: Service | None, state: TaskState) -> bool:
    return (
        service is not None
        and state is TaskState.COMPLETE
        and (service.spec.is_job or service.spec.task.restart.condition is not RestartCondition.ANY)
    )


def _why_not(view: ClusterView, service: Service, tasks: list[Task]) -> str:
    """Why this replica is not up; empty when it is, or when it is just on its way."""
    tasks.sort(key=lambda task: (task.attempt, task.created_at, task.id))
    if _is_replaced(view, service, tasks[-1]):
        return ""
    state = view.state(tasks[-1])
    is_lost = not state.is_terminal and _is_lost(view, tasks[-1])
    if not is_lost and (state is TaskState.RUNNING or _is_done(service, state)):
        return ""
    if reason := _reason(view, tasks[-1]):
        return reason
    own = [task for task in tasks[:-1] if task.spec_version == tasks[-1].spec_version]
    return next((reason for task in reversed(own) if (reason := _failure(view, task))), "")


def _is_replaced(view: ClusterView, service: Service, task: Task) -> bool:
    """Whether it is of an earlier version and about to go: why it failed is no news any more."""
    if service.spec.is_job or task.spec_version == service.spec_version:
        return False
    rollout = _rollout(view, service)
    return rollout is None or rollout.state in _REPLACING


def _reason(view: ClusterView, task: Task) -> str:
    if not task.node_id:
        return task.message
    if view.state(task).is_terminal:
        return _failure(view, task)
    if _is_lost(view, task):
        node = view.nodes.get(task.node_id)
        return f"node {(node and node.description.hostname) or task.node_id} is down"
    return ""


def _is_lost(view: ClusterView, task: Task) -> bool:
    return bool(task.node_id) and view.node_state(task.node_id) is NodeState.DOWN


def _failure(view: ClusterView, task: Task) -> str:
    seen = view.observation(task)
    if seen is None or seen.state not in (TaskState.FAILED, TaskState.REJECTED):
        return ""
    if seen.error or seen.message:
        return seen.error or seen.message
    return f"the task's process ended with exit code {seen.exit_code}"
