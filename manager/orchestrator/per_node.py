"""Plan a global service: one running attempt on every node that admits it.

The replica of a node belongs to that node: when the node is down it is away, not moved, and
when the node comes back it may be found running as before. A node that is paused keeps what
it has. A node that admits the service but has no room gets a task without a node that says
so; such tasks are told apart by what they say, because they have nowhere else to bear the
node's name.
"""

from collections import defaultdict
from collections.abc import Iterable

from manager.orchestrator.attempts import Attempt, Phase, in_order
from manager.orchestrator.draft import Draft, Wait
from manager.orchestrator.draining import Whereabouts
from manager.orchestrator.reaping import bury_gone, dismiss, history_limit, trim
from manager.orchestrator.replicas import Frame, Replica, Settled, Standing, settle
from manager.orchestrator.updating import roll
from manager.scheduler.filters import ask_for
from manager.scheduler.fleet import Fleet
from manager.scheduler.placement import admitted_nodes, without_room
from manager.view import ClusterView
from swarm.ids import NodeId
from swarm.objects import Service
from swarm.states import TaskState


def plan_per_node(
    view: ClusterView, service: Service, attempts: list[Attempt], *, draft: Draft, fleet: Fleet
) -> None:
    """Decide for all nodes, then start what has to start where there is room for it."""
    admitted = admitted_nodes(fleet, ask_for(service.id, service.spec.task))
    waiting, by_node = _sort_out(attempts, draft)
    frame = Frame(service=service, now=draft.now, may_stay=Whereabouts(view, service).may_stay)
    settled: list[Settled] = []
    for node_id in sorted(admitted | by_node.keys()):
        replica = Replica(node_id=node_id, attempts=by_node.get(node_id, []))
        if node_id in admitted:
            settled.append(settle(replica, frame, draft))
        else:
            settled.append(_settle_unadmitted(replica, frame, draft))
    roll(settled, service.spec.update, draft, now=draft.now)
    bury_gone(attempts, draft)
    opened = {opening.node_id for opening in draft.openings}
    limit = history_limit(view)
    for node_id, own in by_node.items():
        trim(own, limit, draft, is_opened=node_id in opened)
    _start(service, waiting, draft, fleet)


def _sort_out(
    attempts: Iterable[Attempt], draft: Draft
) -> tuple[list[Attempt], dict[NodeId, list[Attempt]]]:
    waiting: list[Attempt] = []
    by_node: defaultdict[NodeId, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.task.slot != 0 or attempt.task.desired is TaskState.REMOVE:
            dismiss([attempt], draft)
        elif attempt.phase is Phase.WAITING:
            waiting.append(attempt)
        else:
            by_node[attempt.task.node_id].append(attempt)
    return waiting, {node_id: in_order(own) for node_id, own in by_node.items()}


def _settle_unadmitted(replica: Replica, frame: Frame, draft: Draft) -> Settled:
    """Nothing can start here, so nothing is stopped for a rollout either."""
    if replica.having(Phase.LIVE):
        found = settle(replica, frame, draft)
        if found.standing is not Standing.OLD:
            return found
    elif replica.attempts and not frame.may_stay(replica.attempts[-1].task):
        draft.stop(replica.attempts[-1])
    is_leaving = bool(replica.having(Phase.LEAVING))
    return Settled(replica=replica, standing=Standing.MOVING if is_leaving else Standing.AWAY)


def _start(service: Service, waiting: list[Attempt], draft: Draft, fleet: Fleet) -> None:
    """Start every opening on its node, or have it wait saying which node has no room."""
    saying: defaultdict[str, list[Attempt]] = defaultdict(list)
    for attempt in waiting:
        if attempt.task.spec_version == service.spec_version:
            saying[attempt.task.message].append(attempt)
        else:
            draft.remove(attempt)
    ask = ask_for(service.id, service.spec.task)
    refused = without_room(fleet, ask, (opening.node_id for opening in draft.openings))
    for opening in draft.openings:
        message = refused.get(opening.node_id, "")
        if message and saying[message]:
            saying[message].pop()
        elif message:
            draft.create(service, opening, NodeId(""), message)
        elif found := _waiting_for(fleet.name(opening.node_id), saying):
            draft.assign(Wait(task=found.task), opening.node_id)
        else:
            draft.create(service, opening, opening.node_id)
    for attempt in (each for left in saying.values() for each in left):
        draft.remove(attempt)


def _waiting_for(name: str, saying: dict[str, list[Attempt]]) -> Attempt | None:
    """A task that waits for room on the node of this name."""
    for message, attempts in saying.items():
        if attempts and message.endswith(f" on node {name})"):
            return attempts.pop()
    return None
