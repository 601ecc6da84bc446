"""Show services as Docker's API does.

A rollout that is over is told of only until the service is changed again, as Docker forgets it
then: a client that waits for what it has just asked for would take the last one's end for its own.
Rollouts that wait for somebody to look at their canaries count as paused, which is what they are.
"""

from collections.abc import Iterable

from engine.networks.showing import with_prefix
from engine.replies import JsonObject
from engine.services.endpoints import write_endpoint, write_ports
from engine.services.specs import write_spec
from engine.stored import described, present
from engine.times import stamp
from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.objects import Ledger, Network, Rollout, Service, ServiceEndpoint, Task
from swarm.specs import GlobalJob, ReplicatedJob
from swarm.states import RolloutState

_STATES = {
    RolloutState.UPDATING: "updating",
    RolloutState.CANARY: "paused",
    RolloutState.PAUSED: "paused",
    RolloutState.COMPLETED: "completed",
    RolloutState.ROLLBACK_STARTED: "rollback_started",
    RolloutState.ROLLBACK_PAUSED: "rollback_paused",
    RolloutState.ROLLBACK_COMPLETED: "rollback_completed",
}


def service_json(
    view: control_pb2.ServiceView, *, defaults: bool = False, status: bool = False
) -> JsonObject:
    """A service; with `status` how many of its tasks run."""
    service = from_message(Service, view.service)
    ledger = from_message(Ledger, view.ledger)
    previous = service.previous_spec
    return described(
        service.id,
        version=view.version,
        created_at=service.created_at,
        updated_at=service.updated_at,
    ) | present(
        Spec=write_spec(service.spec, defaults=defaults),
        PreviousSpec=None if previous is None else write_spec(previous, defaults=defaults),
        Endpoint=_endpoint(service, view),
        UpdateStatus=_update_status(service, ledger.rollout),
        ServiceStatus=_status(service, view) if status else None,
        JobStatus={
            "JobIteration": {"Index": iteration_of(service, ledger)},
            "LastExecution": stamp(_last_execution(service, ledger)),
        }
        if service.spec.is_job
        else None,
    )


def iteration_of(service: Service, ledger: Ledger) -> int:
    """Which of a job's runs is told of: the firing of its schedule, or without one its version."""
    return ledger.last_run if service.spec.schedule is not None else service.spec_version


def iteration_of_task(task: Task) -> int:
    """The run of its job that a task belongs to."""
    return task.run or task.spec_version


def networks_of(view: control_pb2.ServiceView) -> dict[str, Network]:
    """The networks that a service refers to, by id."""
    found = (from_message(Network, each) for each in view.networks)
    return {each.id: each for each in found}


def _endpoint(service: Service, view: control_pb2.ServiceView) -> JsonObject:
    """How the service is reached, as was decided; before that, as is wanted."""
    decided = from_message(ServiceEndpoint, view.endpoint)
    addresses = list(_virtual_addresses(decided, networks_of(view)))
    found: JsonObject = {"Spec": write_endpoint(service.spec.endpoint)}
    if ports := write_ports(decided.ports or service.spec.endpoint.ports):
        found["Ports"] = ports
    if addresses:
        found["VirtualIPs"] = addresses
    return found


def _virtual_addresses(
    decided: ServiceEndpoint, networks: dict[str, Network]
) -> Iterable[JsonObject]:
    for each in decided.virtual_addresses:
        for address in each.addresses:
            if each.network_id in networks:
                network = networks[each.network_id]
                yield {"NetworkID": each.network_id, "Addr": with_prefix(network, address)}


def _update_status(service: Service, rollout: Rollout | None) -> JsonObject | None:
    if rollout is None or rollout.spec_version != service.spec_version:
        return None
    if rollout.state.is_over and rollout.completed_at < service.updated_at:
        return None
    return present(
        State=_STATES[rollout.state],
        StartedAt=stamp(rollout.started_at) if rollout.started_at else None,
        CompletedAt=stamp(rollout.completed_at) if rollout.completed_at else None,
        Message=rollout.message,
    )


def _status(service: Service, view: control_pb2.ServiceView) -> JsonObject:
    """How many tasks run of those that are to run at a time.

    Managers count those of a job that completed as running. To a replicated job's clients what is
    to run stays as it was asked for, to a global one's it is what did not complete.
    """
    running, desired = view.running, view.wanted
    match service.spec.mode:
        case ReplicatedJob(max_concurrent=at_once, total=total):
            running, desired = running - view.completed, min(at_once or total, total)
        case GlobalJob():
            running, desired = running - view.completed, view.total - view.completed
        case _:
            pass
    return {
        "RunningTasks": max(running, 0),
        "DesiredTasks": max(desired, 0),
        "CompletedTasks": view.completed,
    }


def _last_execution(service: Service, ledger: Ledger) -> float:
    runs = [run.started_at for run in ledger.runs if run.started_at]
    return max(runs) if runs else service.version_at
