"""Count how far a job is: what its ledger says is over, and what runs meanwhile.

Tasks of slots that are over are forgotten sooner or later, so they are never what is counted.
Of a scheduled job the run that is told of is the newest that is going on, or else the newest
that was not skipped.
"""

from msgspec import Struct

from manager.orchestrator.schedules import next_firing
from manager.view import ClusterView
from swarm.objects import Run, Service
from swarm.specs import ReplicatedJob
from swarm.states import RunState, TaskState


class JobCounts(Struct, frozen=True, kw_only=True):
    """`completed` of `total` slots or nodes of `run`, and `active` tasks that run now."""

    run: Run | None = None
    total: int = 0
    completed: int = 0
    active: int = 0
    next_firing_at: float = 0.0

    @property
    def failure(self) -> str:
        """Why the run can never complete; empty while it can."""
        return self.run.message if self.run is not None else ""


def count_job(view: ClusterView, service: Service) -> JobCounts:
    """How far a job is; `run` is None before it was planned for the first time."""
    run = _told_of(view, service)
    mode = service.spec.mode
    total = mode.total if isinstance(mode, ReplicatedJob) and not service.spec.schedule else 0
    active = sum(
        count
        for (desired, _, state), count in view.tally(service.id).items()
        if desired <= TaskState.RUNNING and state is TaskState.RUNNING
    )
    return JobCounts(
        run=run,
        total=run.total if run is not None else total,
        completed=run.completed if run is not None else 0,
        active=active,
        next_firing_at=next_firing(service.spec.schedule, view.ledgers.get(service.id)) or 0.0,
    )


def _told_of(view: ClusterView, service: Service) -> Run | None:
    ledger = view.ledgers.get(service.id)
    runs = ledger.runs if ledger is not None else ()
    if service.spec.schedule is None:
        current = [run for run in runs if run.spec_version == service.spec_version]
        return current[-1] if current and not current[-1].number else None
    going = [run for run in runs if run.state is RunState.RUNNING]
    others = [run for run in runs if run.state is not RunState.SKIPPED]
    return next(reversed(going or others or runs), None)
