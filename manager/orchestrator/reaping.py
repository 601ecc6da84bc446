"""Forget what is over: attempts beyond the history, services that were removed, stray reports.

A replica keeps as many attempts as the swarm's history limit says, the running one
included. It always keeps the last one, for it decides whether another follows, and young
ones for a while: a commit that was given up and is done late must find the tasks that it
would make again. An attempt that may still run is never forgotten: it is asked to stop, and
goes when it has ended or when its node is down or gone.
"""

from collections.abc import Iterable, Sequence

from manager.decisions import Decision, NumberNode, Plan, RemoveObserved
from manager.networks.guests import forgotten
from manager.networks.numbers import free_number
from manager.orchestrator.attempts import Attempt, Phase
from manager.orchestrator.draft import Draft
from manager.view import ClusterView
from swarm.ids import NodeId, ServiceId
from swarm.specs import ClusterSpec
from swarm.states import RunState, TaskState


def history_limit(view: ClusterView) -> int:
    """How many attempts a replica keeps."""
    spec = view.cluster.spec if view.cluster is not None else ClusterSpec()
    return spec.task_history_limit


def dismiss(attempts: Iterable[Attempt], draft: Draft) -> None:
    """Stop attempts for ever, and forget those of which nothing can be left."""
    for attempt in attempts:
        if attempt.may_run:
            draft.stop(attempt, TaskState.REMOVE)
        else:
            draft.remove(attempt)


def bury_gone(attempts: Sequence[Attempt], draft: Draft, *, is_followed: bool = True) -> None:
    """Forget attempts whose node has left the swarm.

    The last of a slot is kept until another follows it: what follows is counted, and named, from
    the last attempt that is known, and a name must not come twice. One that waits for a node does
    not count, for it may be forgotten before it has one.
    """
    placed = placed_ones(attempts, draft)
    for attempt in placed if is_followed else placed[:-1]:
        if attempt.phase is Phase.GONE:
            draft.remove(attempt)


def placed_ones(attempts: Iterable[Attempt], draft: Draft) -> list[Attempt]:
    """The attempts that have a node, or had one, and that the plan does not forget."""
    return [
        each
        for each in attempts
        if each.phase is not Phase.WAITING and not draft.is_forgotten(each)
    ]


YOUNG_S = 10.0
"""Longer than etcd works on a request before it gives up itself."""


def trim(
    attempts: Sequence[Attempt],
    limit: int,
    draft: Draft,
    *,
    is_opened: bool,
    is_begun: bool = False,
) -> None:
    """Forget a replica's oldest ended attempts; `attempts` are oldest first.

    `is_opened` when the plan makes another one, and `is_begun` when that has a node, so
    that the last is not needed any more.
    """
    placed = placed_ones(attempts, draft)
    waiting = sum(each.phase is Phase.WAITING and not draft.is_forgotten(each) for each in attempts)
    excess = len(placed) + waiting + is_opened - limit
    for attempt in placed if is_begun else placed[:-1]:
        if excess > 0 and attempt.phase is Phase.ENDED:
            excess -= 1
            forgettable_at = attempt.task.created_at + YOUNG_S
            if forgettable_at <= draft.now:
                draft.remove(attempt)
            else:
                draft.wake(forgettable_at)


def forget_versions(
    view: ClusterView, service_id: ServiceId, attempts: Iterable[Attempt], draft: Draft
) -> None:
    """Forget the task specs that neither the service nor any of its tasks will refer to."""
    versions = view.versions_of(service_id)
    service = view.services.get(service_id)
    current = service.spec_version if service is not None else 0
    if not versions.keys() - {current}:
        return
    used = {each.task.spec_version for each in attempts if not draft.is_forgotten(each)}
    used |= draft.versions_begun()
    if service is not None and (ledger := view.ledgers.get(service_id)) is not None:
        used |= {run.spec_version for run in ledger.runs if run.state is RunState.RUNNING}
    for version in sorted(versions.keys() - used - {current}):
        draft.remove_version(version)


def plan_node(view: ClusterView, node_id: NodeId) -> Plan:
    """Forget what a node reported of tasks that do not exist any more, and guests of which
    nothing is left; number the node if need be."""
    strays = sorted(view.observations_on(node_id).keys() - view.tasks.keys())
    decisions: list[Decision] = [RemoveObserved(node_id, task_id) for task_id in strays]
    decisions += forgotten(view, node_id)
    node = view.nodes.get(node_id)
    if node is not None and not node.number:
        decisions.append(NumberNode(node_id, free_number(view)))
    return Plan(decisions=tuple(decisions))
