"""Create, change and remove services.

A service's name is taken in the same transaction as the service, so two services never share
one. A change says which version it was derived from, and is refused when someone changed
the service since. Only another task spec makes another version of the service: scaling it
leaves its tasks alone. Each change is a revision in the service's history, and a rollback is a
change like any other, but that its rollout is known to lead back. An update that changes nothing
is no revision, and lets a paused rollout go on; its version grows all the same, since clients of
Docker's API tell by it that they were heard. Removal deletes the service with its history and
frees its name; its tasks and stored specs are taken down by the planners, who see that their
service is gone.
"""

from msgspec import structs

from manager import layout
from manager.decisions import history_removals, service_writes
from manager.orchestrator import rollout
from manager.revising import is_rolled_out, revised, revision_of
from manager.store import Absent, Commit, Delete, Put, Unchanged
from manager.view import ClusterView
from swarm.codec import pack
from swarm.errors import Conflict, Invalid, Refused
from swarm.ids import ServiceId
from swarm.objects import Ledger, Revision, Rollout, Service
from swarm.specs import Global, GlobalJob, Replicated, ReplicatedJob, ServiceSpec
from swarm.states import RolloutState

KIND = "service"


def create(view: ClusterView, spec: ServiceSpec, service_id: ServiceId, *, now: float) -> Commit:
    """Store a new service; `Refused` when its name is taken."""
    check_name_is_free(view, spec.name)
    service = Service(id=service_id, spec=spec, created_at=now, updated_at=now, version_at=now)
    name = layout.name_key(KIND, spec.name)
    return Commit(
        (Absent(name), Absent(layout.service_key(service_id))),
        (
            Put(name, service_id.encode()),
            *service_writes(service, revision_of(service, "create")),
        ),
    )


def check_name_is_free(view: ClusterView, name: str) -> None:
    """`Refused` when a service bears that name."""
    holder = view.names.get((KIND, name))
    if holder is not None:
        raise Refused(
            f"service name {name} is already taken by service {holder}",
            hint=f"choose another name, or remove the other one: swarmctl service rm {name}",
        )


def update(
    view: ClusterView,
    service_id: ServiceId,
    version: int,
    spec: ServiceSpec,
    *,
    now: float,
    cause: str = "",
) -> Commit:
    """Store the next spec of a service; `Conflict` unless `version` is its present one.

    `cause` goes to its history; without one it is told by what changed.
    Until the present version is rolled out, a rollback still leads to where it led before.
    """
    service = view.services[service_id]
    check_change(view, service_id, version, spec)
    if spec == service.spec:
        return _unchanged(view, service_id, now=now)
    previous = service.spec if is_rolled_out(view, service) else service.previous_spec
    changed = revised(view, service, spec, previous=previous, now=now)
    return _replaced(view, service, changed, cause or _cause(service.spec, spec))


def rollback(
    view: ClusterView, service_id: ServiceId, version: int, revision: Revision | None, *, now: float
) -> Commit:
    """Bring back the previous spec, or that of `revision`; `version` 0 is whatever it is now."""
    service = view.services[service_id]
    spec = revision.spec if revision is not None else service.previous_spec
    name = service.spec.name
    if spec is None:
        raise Refused(
            f"service {name} has no previous spec to roll back to",
            hint=f"it was never updated; see swarmctl service history {name}",
        )
    check_change(view, service_id, version or known_version(view, service_id), spec)
    if spec == service.spec:
        raise Refused(
            f"service {name} is already as it is to be",
            hint=f"see swarmctl service history {name} for what it was",
        )
    changed = revised(view, service, spec, previous=service.spec, now=now)
    cause = f"rollback to revision {revision.number}" if revision is not None else "rollback"
    commit = _replaced(view, service, changed, cause)
    if changed.spec_version == service.spec_version or spec.is_job:  # a job starts over at once
        return commit
    record = rollout.rollback(changed, "rollback in progress", now=now)
    return _with_ledger(view, service_id, record, commit)


def promote(view: ClusterView, service_id: ServiceId, *, now: float) -> Commit:
    """Let a rollout go on: past its canaries, or after it was paused."""
    service, record = view.services[service_id], _present_rollout(view, service_id)
    if record is None or record.state not in _WAITING:
        state = "it has no rollout"
        if record is not None:
            state = f"its rollout is {record.state.word.replace('_', ' ')}"
        raise Refused(
            f"service {service.spec.name} has nothing to promote: {state}",
            hint="only a rollout that is paused, or whose canaries are up, waits for somebody",
        )
    return _let_go_on(view, service_id, record, now=now)


_MODES = {
    Replicated: "replicated",
    Global: "global",
    ReplicatedJob: "a replicated job",
    GlobalJob: "a global job",
}
_PAUSED = (RolloutState.PAUSED, RolloutState.ROLLBACK_PAUSED)
_WAITING = (RolloutState.CANARY, *_PAUSED)


def known_version(view: ClusterView, service_id: ServiceId) -> int:
    """The version that a change has to be derived from now."""
    return view.version(layout.service_key(service_id))


def check_change(view: ClusterView, service_id: ServiceId, version: int, spec: ServiceSpec) -> None:
    """Refuse a change that comes too late, or that no service can undergo."""
    service, known = view.services[service_id], known_version(view, service_id)
    if version != known:
        raise Conflict(
            f"service {service.spec.name}: update out of sequence: it was derived from version"
            f" {version}, and the service is at version {known}",
            hint="someone changed the service meanwhile: look at it and repeat the command",
        )
    if spec.name != service.spec.name:
        raise Invalid(
            f"name: service {service.spec.name} cannot be renamed to {spec.name}",
            hint="create a service with the new name and remove the old one",
        )
    if type(spec.mode) is not type(service.spec.mode):
        raise Invalid(
            f"mode: service {spec.name} is {_MODES[type(service.spec.mode)]} and cannot become "
            f"{_MODES[type(spec.mode)]}",
            hint="remove the service and create it anew",
        )


def remove(view: ClusterView, service_id: ServiceId) -> Commit:
    """Delete a service with its history and its login, whatever changed it last."""
    service = view.services[service_id]
    key, name = layout.service_key(service_id), layout.name_key(KIND, service.spec.name)
    return Commit(
        (Unchanged(key, view.version(key)),),
        (
            Delete(key),
            Delete(name),
            Delete(layout.ledger_key(service_id)),
            Delete(layout.login_key(service_id)),
            *history_removals(service),
        ),
    )


def _unchanged(view: ClusterView, service_id: ServiceId, *, now: float) -> Commit:
    """What an update to the same spec does: it resumes what is paused, as Docker's users know.

    It is no revision: one that changes nothing would make a rollback lead to nowhere.
    """
    record, key = _present_rollout(view, service_id), layout.service_key(service_id)
    again = Put(key, pack(view.services[service_id]))
    commit = Commit((Unchanged(key, view.version(key)),), (again,))
    if record is not None and record.state in _PAUSED:
        return _with_ledger(view, service_id, rollout.promoted(record, now=now), commit)
    return commit


def _present_rollout(view: ClusterView, service_id: ServiceId) -> Rollout | None:
    ledger = view.ledgers.get(service_id)
    record = ledger.rollout if ledger is not None else None
    is_present = (
        record is not None and record.spec_version == view.services[service_id].spec_version
    )
    return record if is_present else None


def _let_go_on(view: ClusterView, service_id: ServiceId, record: Rollout, *, now: float) -> Commit:
    key = layout.service_key(service_id)
    commit = Commit((Unchanged(key, view.version(key)),), ())
    return _with_ledger(view, service_id, rollout.promoted(record, now=now), commit)


def _cause(before: ServiceSpec, after: ServiceSpec) -> str:
    return "scale" if structs.replace(after, mode=before.mode) == before else "update"


def _replaced(view: ClusterView, before: Service, after: Service, cause: str) -> Commit:
    key = layout.service_key(before.id)
    is_new = after.spec_version != before.spec_version
    writes = service_writes(after, revision_of(after, cause), is_new_version=is_new)
    return Commit((Unchanged(key, view.version(key)),), tuple(writes))


def _with_ledger(
    view: ClusterView, service_id: ServiceId, record: Rollout, commit: Commit
) -> Commit:
    key = layout.ledger_key(service_id)
    known, version = view.ledgers.get(service_id), view.version(key)
    ledger = structs.replace(known or Ledger(service_id=service_id), rollout=record)
    return Commit(
        (*commit.compares, Unchanged(key, version) if version else Absent(key)),
        (*commit.operations, Put(key, pack(ledger))),
    )
