"""Tell a decision to the log: the name of what happened, and what a reader needs of it.

Decisions are the log, so every kind of them has a line here, and the type checker knows when
one has not. Ledgers and services are told in a few words: they are looked at where they are. Many
decisions of one kind in one plan are one line that counts them: a hundred thousand lines would
tell nobody anything, and writing them would take longer than deciding did.
"""

from collections.abc import Iterator
from typing import assert_never

from msgspec import structs

from manager.decisions import (
    AssignTask,
    AttachTask,
    CreateTask,
    Decision,
    Evict,
    NumberNode,
    PlaceGuest,
    Plan,
    RemoveEndpoint,
    RemoveGuest,
    RemoveLedger,
    RemoveObserved,
    RemoveTask,
    RemoveVersion,
    SetDesired,
    UpdateMessage,
    WriteEndpoint,
    WriteLedger,
    WriteService,
)
from swarm.objects import Ledger, ServiceEndpoint
from swarm.states import RunState

Fields = dict[str, object]

FEW = 20
"""Up to so many decisions of a kind in one plan are told one by one."""


def summed(plan: Plan) -> Iterator[tuple[str, Fields]]:
    """The events of a plan, each with its fields."""
    kinds: dict[type, list[Decision]] = {}
    for decision in plan.decisions:
        kinds.setdefault(type(decision), []).append(decision)
    for decisions in kinds.values():
        if len(decisions) <= FEW:
            yield from map(told, decisions)
            continue
        thing, _, what = told(decisions[0])[0].partition(".")
        yield f"{thing}s.{what}", {"service_id": plan.service_id, "count": len(decisions)}


def placements(plan: Plan) -> int:
    """How many tasks the plan gives a node."""
    return sum(
        bool(each.task.node_id) if isinstance(each, CreateTask) else isinstance(each, AssignTask)
        for each in plan.decisions
    )


def told(decision: Decision) -> tuple[str, Fields]:  # one case a kind
    """The event's name and its fields."""
    match decision:
        case CreateTask(task=task):
            return "task.created", {
                "task_id": task.id,
                "service": task.service_name,
                "slot": task.slot,
                "run": task.run,
                "node_id": task.node_id,
                "attempt": task.attempt,
                "reason": task.message,
            }
        case WriteLedger(ledger=ledger):
            return "ledger.written", _of_ledger(ledger)
        case WriteService(service=service, revision=revision):
            return "service.changed", {
                "service_id": service.id,
                "revision": revision.number,
                "cause": revision.cause,
            }
        case SetDesired():
            return "task.asked_to_stop", _plain(decision)
        case Evict():
            return "task.evicted", _plain(decision)
        case AssignTask():
            return "task.assigned", _plain(decision)
        case AttachTask(task_id=task_id, attachments=attachments):
            found = (f"{each.network_id}={'/'.join(each.addresses)}" for each in attachments)
            return "task.attached", {"task_id": task_id, "networks": " ".join(found)}
        case UpdateMessage():
            return "task.kept_waiting", _plain(decision)
        case RemoveTask():
            return "task.removed", _plain(decision)
        case WriteEndpoint(endpoint=endpoint):
            return "endpoint.written", _of_endpoint(endpoint)
        case PlaceGuest(message=message):
            return "guest.refused" if message else "guest.placed", _plain(decision)
        case NumberNode():
            return "node.numbered", _plain(decision)
        case RemoveVersion() | RemoveLedger() | RemoveEndpoint() | RemoveGuest() | RemoveObserved():
            return _REMOVED[type(decision)], _plain(decision)
        case _:
            assert_never(decision)


_REMOVED: dict[type, str] = {
    RemoveVersion: "version.removed",
    RemoveLedger: "ledger.removed",
    RemoveEndpoint: "endpoint.removed",
    RemoveGuest: "guest.removed",
    RemoveObserved: "report.removed",
}


def _plain(decision: Decision) -> Fields:
    return {name: str(value) for name, value in structs.asdict(decision).items()}


def _of_endpoint(endpoint: ServiceEndpoint) -> Fields:
    return {
        "service_id": endpoint.service_id,
        "addresses": [each for one in endpoint.virtual_addresses for each in one.addresses],
        "ports": [f"{each.published}/{each.protocol.word}" for each in endpoint.ports],
    }


def _of_ledger(ledger: Ledger) -> Fields:
    fields: Fields = {"service_id": ledger.service_id}
    if ledger.rollout is not None:
        fields |= {"rollout": ledger.rollout.state.word, "version": ledger.rollout.spec_version}
    if ledger.runs:
        newest = ledger.runs[-1]
        going = sum(run.state is RunState.RUNNING for run in ledger.runs)
        fields |= {"run": newest.number, "state": newest.state.word, "going": going}
        fields |= {"completed": newest.completed, "total": newest.total}
    if ledger.replicas:
        fields["replicas"] = ledger.replicas
    return fields
