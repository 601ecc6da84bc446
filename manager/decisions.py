"""Name what the leader may decide, and turn a service's decisions into one commit.

A commit carries what it was decided on: the service as it was, each task that it changes,
and that those it creates are not there. Whoever changed one of them first makes it a
conflict, and we look again; so does a commit of our own that was given up and done late. The order
of the operations allows a plan that is too large for one transaction to be cut anywhere:
stops come before starts, so no prefix of a plan runs a replica twice.
"""

from collections.abc import Iterable, Iterator, Mapping

from msgspec import Struct, structs

from manager import layout
from manager.networks.numbers import number_key, take_number
from manager.store import (
    Absent,
    Change,
    Commit,
    Compare,
    Delete,
    DeletePrefix,
    Operation,
    Put,
    Unchanged,
)
from manager.view import ClusterView
from swarm.codec import pack
from swarm.ids import NetworkId, NodeId, ServiceId, TaskId
from swarm.objects import (
    Attachment,
    Ledger,
    Revision,
    Service,
    ServiceEndpoint,
    SpecVersion,
    Task,
)
from swarm.specs import GenericResource
from swarm.states import TaskState

KEPT_REVISIONS = 20
"""How many specs the history of a service goes back."""


class SetDesired(Struct, frozen=True):
    """Want the task to stop; `eviction`, if any, says in whose favour."""

    task_id: TaskId
    desired: TaskState
    eviction: str = ""


class AssignTask(Struct, frozen=True):
    """Give a waiting task its node, what is its own there, and its addresses."""

    task_id: TaskId
    node_id: NodeId
    claims: tuple[GenericResource, ...] = ()
    attachments: tuple[Attachment, ...] = ()


class AttachTask(Struct, frozen=True):
    """Give a task addresses in the networks that somebody connected it to."""

    task_id: TaskId
    attachments: tuple[Attachment, ...]


class UpdateMessage(Struct, frozen=True):
    """Say anew why a task waits."""

    task_id: TaskId
    message: str


class Evict(Struct, frozen=True):
    """Want the task to run elsewhere, for `reason`; it may stay until its replacement is up."""

    task_id: TaskId
    reason: str


class CreateTask(Struct, frozen=True):
    """Start another attempt; it has its node already unless none fits."""

    task: Task


class RemoveTask(Struct, frozen=True):
    """Forget a task that nothing is left of, and what was observed of it."""

    task_id: TaskId


class RemoveVersion(Struct, frozen=True):
    """Forget a task spec that no task refers to."""

    service_id: ServiceId
    version: int


class WriteLedger(Struct, frozen=True):
    """Remember this of a service until the next plan."""

    ledger: Ledger


class RemoveLedger(Struct, frozen=True):
    """Remember no more of a service that is gone."""

    service_id: ServiceId


class WriteEndpoint(Struct, frozen=True):
    """Have a service reached so from now on.

    Names of ports that were chosen for it are taken, and those that it needs no more are freed.
    """

    endpoint: ServiceEndpoint
    takes: tuple[str, ...] = ()
    frees: tuple[str, ...] = ()


class RemoveEndpoint(Struct, frozen=True):
    """Have a service reached no more: nothing is left of it."""

    service_id: ServiceId
    frees: tuple[str, ...] = ()


class WriteService(Struct, frozen=True):
    """Change a service as an operator would; `revision` goes to its history."""

    service: Service
    revision: Revision


class NumberNode(Struct, frozen=True):
    """Give a node its number: one that was made before nodes had any."""

    node_id: NodeId
    number: int


class PlaceGuest(Struct, frozen=True):
    """Give a guest its addresses in a network, or say in a message why it has none."""

    container_id: TaskId
    network_id: NetworkId
    addresses: tuple[str, ...] = ()
    message: str = ""


class RemoveGuest(Struct, frozen=True):
    """Forget a guest of which nothing is left."""

    container_id: TaskId
    network_id: NetworkId


class RemoveObserved(Struct, frozen=True):
    """Forget a report of a task that does not exist."""

    node_id: NodeId
    task_id: TaskId


Decision = (
    SetDesired
    | Evict
    | AssignTask
    | AttachTask
    | UpdateMessage
    | CreateTask
    | RemoveTask
    | RemoveVersion
    | WriteLedger
    | RemoveLedger
    | WriteService
    | WriteEndpoint
    | RemoveEndpoint
    | PlaceGuest
    | RemoveGuest
    | RemoveObserved
    | NumberNode
)


class Plan(Struct, frozen=True, kw_only=True):
    """What to change now, and when to plan again although nothing happened.

    `wakes` says of what: of single slots, and of all there is as slot 0. `rest` are slots that
    were left for the next plan, so
    that no plan takes too long. While it `is_unsettled`, slots wait for each other: what happens
    to one of them may be what another waits for.
    """

    service_id: ServiceId = ServiceId("")
    decisions: tuple[Decision, ...] = ()
    wake_at: float | None = None
    wakes: Mapping[int, float] = {}
    rest: frozenset[int] = frozenset()
    is_unsettled: bool = False


_ORDER = (
    WriteLedger,
    WriteService,
    WriteEndpoint,
    SetDesired,
    Evict,
    AssignTask,
    AttachTask,
    UpdateMessage,
    CreateTask,
    RemoveTask,
    RemoveVersion,
    RemoveLedger,
    RemoveEndpoint,
    PlaceGuest,
    RemoveGuest,
    RemoveObserved,
    NumberNode,
)


_PLACES: dict[type, int] = {kind: place for place, kind in enumerate(_ORDER)}

AT_ONCE = 1_000
"""How many decisions one commit carries: etcd is at its best, and nobody waits for long."""


def commits_for(view: ClusterView, plan: Plan, *, now: float) -> Iterator[Commit]:
    """Turn a plan that was made on `view` into commits, one after the other.

    Each is made when it is asked for: the one before has to be in the view by then, and may
    have set others to work. All rely on the service as it was when the first was asked for.
    What changes the service itself is never cut.
    """
    ordered = sorted(plan.decisions, key=lambda each: _PLACES[type(each)])
    at_once = AT_ONCE
    if len(ordered) > at_once:
        # All of one node in one commit: its agent hears of it in one message, not in many.
        ordered.sort(key=lambda each: (_PLACES[type(each)], _node_of(view, each)))
    if any(type(each) is WriteService for each in ordered):
        at_once = len(ordered)
    shared = (_expected(view, layout.service_key(plan.service_id)),) if plan.service_id else ()
    relied = (*shared, *_scaled(view, plan))
    for start in range(0, len(ordered), max(1, at_once)):
        batch = ordered[start : start + at_once]
        yield _commit(view, relied, batch, now)
        if any(type(each) is WriteLedger for each in batch):
            relied = (*shared, *_scaled(view, plan))  # our own hand


def _node_of(view: ClusterView, decision: Decision) -> NodeId:
    match decision:
        case CreateTask(task=task):
            return task.node_id
        case AssignTask(node_id=node_id) | RemoveObserved(node_id=node_id):
            return node_id
        case _:
            changed = _changed_task(view, decision)
            return changed.node_id if changed is not None else NodeId("")


def commit_for(view: ClusterView, plan: Plan, *, now: float) -> Commit:
    """Turn a plan that was made on `view`, unchanged since, into a commit without a fence."""
    ordered = sorted(plan.decisions, key=lambda each: _PLACES[type(each)])
    shared = (_expected(view, layout.service_key(plan.service_id)),) if plan.service_id else ()
    return _commit(view, (*shared, *_scaled(view, plan)), ordered, now)


def _scaled(view: ClusterView, plan: Plan) -> Iterator[Compare]:
    """That a service which scales itself has not done so since: its new tasks bear names by it."""
    service = view.services.get(plan.service_id)
    if service is not None and service.spec.autoscale is not None:
        yield _expected(view, layout.ledger_key(service.id))


def _commit(
    view: ClusterView, shared: tuple[Compare, ...], decisions: Iterable[Decision], now: float
) -> Commit:
    compares = list(shared)
    operations: list[Operation] = []
    for decision in decisions:
        if type(decision) is CreateTask:
            created = decision.task
            key = layout.task_key(created.service_id, created.id)
            compares.append(Absent(key))
            operations.append(Put(key, pack(created)))
            continue
        task = _changed_task(view, decision)
        if task is not None:
            compares.append(_expected(view, layout.task_key(task.service_id, task.id)))
        else:
            compares += [each for each in _relied_on(view, decision) if each not in shared]
        operations.extend(_operations(view, decision, task, now))
    return Commit(tuple(compares), tuple(operations))


def _relied_on(view: ClusterView, decision: Decision) -> Iterator[Compare]:
    """What has to be as it was known, besides tasks and the service itself."""
    match decision:
        case WriteLedger(ledger=ledger):
            yield _expected(view, layout.ledger_key(ledger.service_id))
        case WriteEndpoint(endpoint=endpoint, takes=takes, frees=frees):
            yield _expected(view, layout.endpoint_key(endpoint.service_id))
            yield from (Absent(layout.name_key(layout.PORT_NAMES, name)) for name in takes)
            for name in frees:
                yield _expected(view, layout.name_key(layout.PORT_NAMES, name))
        case RemoveEndpoint(frees=frees):
            for name in frees:
                yield _expected(view, layout.name_key(layout.PORT_NAMES, name))
        case PlaceGuest() | RemoveGuest():
            yield _expected(view, _guest_key(decision))
        case NumberNode(node_id=node_id, number=number):
            yield _expected(view, layout.node_key(node_id))
            yield _expected(view, number_key(number))
        case _:
            return


def changes_made(commit: Commit, revision: int) -> tuple[Change, ...]:
    """What a commit that succeeded at `revision` changed, to be applied ahead of the watch."""
    changes: list[Change] = []
    for operation in commit.operations:
        assert not isinstance(operation, DeletePrefix), "what it deleted is not known here"
        value = operation.value if isinstance(operation, Put) else None
        changes.append(Change(operation.key, value, revision))
    return tuple(changes)


def _expected(view: ClusterView, key: str) -> Compare:
    version = view.version(key)
    return Unchanged(key, version) if version else Absent(key)


def _changed_task(view: ClusterView, decision: Decision) -> Task | None:
    """The task that a decision changes, as it was when it was decided."""
    if isinstance(
        decision, SetDesired | Evict | AssignTask | AttachTask | UpdateMessage | RemoveTask
    ):
        return view.tasks[decision.task_id]
    return None


def _operations(
    view: ClusterView, decision: Decision, task: Task | None, now: float
) -> Iterator[Operation]:
    match decision, task:
        case SetDesired(desired=desired, eviction=eviction), Task():
            reason = eviction or task.eviction
            yield _put(structs.replace(task, desired=desired, eviction=reason, updated_at=now))
        case AssignTask() | AttachTask(), Task():
            yield _put(_assigned(decision, task, now))
        case Evict(reason=reason), Task():
            yield _put(structs.replace(task, eviction=reason, updated_at=now))
        case WriteLedger(ledger=ledger), _:
            yield Put(layout.ledger_key(ledger.service_id), pack(ledger))
        case RemoveLedger() | RemoveVersion() | RemoveObserved() | RemoveGuest(), _:
            yield Delete(_forgotten(decision))
        case WriteEndpoint() | RemoveEndpoint(), _:
            yield from _endpoint_writes(decision)
        case WriteService(service=service, revision=revision), _:
            yield from service_writes(service, revision)
        case UpdateMessage(message=message), Task():
            yield _put(structs.replace(task, message=message, updated_at=now))
        case RemoveTask(), Task():
            yield Delete(layout.task_key(task.service_id, task.id))
            if task.node_id:
                yield Delete(layout.observed_key(task.node_id, task.id))
        case PlaceGuest(), _:
            yield _placed(view, decision, now)
        case NumberNode(node_id=node_id, number=number), _:
            numbered = structs.replace(view.nodes[node_id], number=number)
            yield Put(layout.node_key(node_id), pack(numbered))
            yield take_number(number, node_id)[1]
        case _:
            raise AssertionError(f"{decision} is about no task")


def _assigned(decision: AssignTask | AttachTask, task: Task, now: float) -> Task:
    if isinstance(decision, AttachTask):
        return structs.replace(task, attachments=decision.attachments, updated_at=now)
    return structs.replace(
        task,
        node_id=decision.node_id,
        claims=decision.claims,
        attachments=decision.attachments,
        message="",
        updated_at=now,
    )


def _forgotten(decision: RemoveLedger | RemoveVersion | RemoveObserved | RemoveGuest) -> str:
    """The key of what there is to be no more."""
    match decision:
        case RemoveLedger(service_id=service_id):
            return layout.ledger_key(service_id)
        case RemoveVersion(service_id=service_id, version=version):
            return layout.version_key(service_id, version)
        case RemoveObserved(node_id=node_id, task_id=task_id):
            return layout.observed_key(node_id, task_id)
        case RemoveGuest():
            return _guest_key(decision)


def _placed(view: ClusterView, decision: PlaceGuest, now: float) -> Operation:
    guest = structs.replace(
        view.guests[decision.container_id, decision.network_id],
        addresses=decision.addresses,
        message=decision.message,
        updated_at=now,
    )
    return Put(_guest_key(decision), pack(guest))


def _guest_key(decision: PlaceGuest | RemoveGuest) -> str:
    return layout.guest_key(decision.container_id, decision.network_id)


def _endpoint_writes(decision: WriteEndpoint | RemoveEndpoint) -> Iterator[Operation]:
    if isinstance(decision, RemoveEndpoint):
        yield Delete(layout.endpoint_key(decision.service_id))
    else:
        endpoint = decision.endpoint
        yield Put(layout.endpoint_key(endpoint.service_id), pack(endpoint))
        for name in decision.takes:
            yield Put(layout.name_key(layout.PORT_NAMES, name), endpoint.service_id.encode())
    for name in decision.frees:
        yield Delete(layout.name_key(layout.PORT_NAMES, name))


def service_writes(
    service: Service, revision: Revision, *, is_new_version: bool = True
) -> Iterator[Operation]:
    """The writes of a changed service: itself, its task spec's version, and its history."""
    if is_new_version:
        version = SpecVersion.of(service)
        yield Put(layout.version_key(service.id, service.spec_version), pack(version))
    yield Put(layout.service_key(service.id), pack(service))
    yield Put(layout.revision_key(service.id, revision.number), pack(revision))
    forgotten = revision.number - KEPT_REVISIONS
    if forgotten > 0:
        yield Delete(layout.revision_key(service.id, forgotten))


def history_removals(service: Service) -> Iterator[Operation]:
    """The removal of what `service_writes` has kept of a service's history."""
    oldest = max(1, service.revision - KEPT_REVISIONS + 1)
    for number in range(oldest, service.revision + 1):
        yield Delete(layout.revision_key(service.id, number))


def _put(task: Task) -> Put:
    return Put(layout.task_key(task.service_id, task.id), pack(task))
