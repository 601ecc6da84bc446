"""Start a run of a scheduled job by hand.

It is a firing like any other, but for the schedule: what that has decided stays as it is. A
job that forbids two runs at once refuses, rather than recording a run that nobody wanted.
"""

from manager import layout
from manager.orchestrator.schedules import begun, fire
from manager.store import Absent, Commit, Put, Unchanged
from manager.view import ClusterView
from swarm.codec import pack
from swarm.errors import Refused
from swarm.ids import ServiceId
from swarm.objects import Ledger
from swarm.specs import Concurrency
from swarm.states import RunState


def trigger(view: ClusterView, service_id: ServiceId, *, now: float) -> tuple[Commit, int]:
    """The commit that starts a run, and the run's number."""
    service = view.services[service_id]
    name, schedule = service.spec.name, service.spec.schedule
    if schedule is None:
        raise Refused(
            f"service {name} has no schedule, so there is no run to start",
            hint=f"to run an ordinary job again: swarmctl service update --force {name}",
        )
    ledger = begun(service, view.ledgers.get(service_id, Ledger(service_id=service_id)), now=now)
    going = [run.number for run in ledger.runs if run.state is RunState.RUNNING]
    if going and schedule.concurrency is Concurrency.FORBID:
        raise Refused(
            f"run {going[-1]} of service {name} is still going on, and its schedule forbids two",
            hint="wait for its end, or allow more: --schedule-concurrency allow",
        )
    ledger = fire(service, ledger, due_at=now, now=now)
    service_key, ledger_key = layout.service_key(service_id), layout.ledger_key(service_id)
    known = view.version(ledger_key)
    compares = (
        Unchanged(service_key, view.version(service_key)),
        Unchanged(ledger_key, known) if known else Absent(ledger_key),
    )
    return Commit(compares, (Put(ledger_key, pack(ledger)),)), ledger.last_run
