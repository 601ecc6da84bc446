"""Choose which slots a replicated service keeps.

Slots keep their numbers: growing takes the smallest free ones, and shrinking gives up what
costs least. Replicas that wait for a node go first, then those that do not run, then, one
after the other, the highest slot on the node that runs most of the service.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from heapq import heapify, heapreplace

from manager.orchestrator.attempts import Attempt, Phase
from manager.view import ClusterView
from swarm.ids import NodeId
from swarm.objects import Service
from swarm.specs import Replicated
from swarm.states import TaskState

Slots = Mapping[int, Sequence[Attempt]]


def replicas_of(view: ClusterView, service: Service) -> int:
    """How many replicas there ought to be: the operator's number, or what autoscaling says."""
    mode, autoscale = service.spec.mode, service.spec.autoscale
    replicas = mode.replicas if isinstance(mode, Replicated) else 0
    if autoscale is None:
        return replicas
    ledger = view.ledgers.get(service.id)
    if ledger is not None and ledger.replicas > 0:
        replicas = ledger.replicas
    return min(max(replicas, autoscale.least), autoscale.most)


def surplus(slots: Slots, replicas: int) -> list[int]:
    """The slots to give up so that `replicas` are left."""
    excess = len(slots) - replicas
    if excess <= 0:
        return []
    idle = sorted(
        (slot for slot in slots if _runs_on(slots[slot]) is None),
        key=lambda slot: (_has_node(slots[slot]), -slot),
    )
    chosen = idle[:excess]
    return chosen + _from_fullest_nodes(slots, set(idle), excess - len(chosen))


def free_slots(taken: Iterable[int], count: int) -> list[int]:
    """The smallest slot numbers that nothing bears, not even a task on its way out."""
    used, slot, found = set(taken), 0, list[int]()
    while len(found) < count:
        slot += 1
        if slot not in used:
            found.append(slot)
    return found


def _from_fullest_nodes(slots: Slots, idle: set[int], count: int) -> list[int]:
    by_node: defaultdict[NodeId, list[int]] = defaultdict(list)
    for slot in sorted(slots.keys() - idle):
        if (node_id := _runs_on(slots[slot])) is not None:
            by_node[node_id].append(slot)
    heap = [(-len(own), -own[-1], node_id) for node_id, own in by_node.items()]
    heapify(heap)
    chosen: list[int] = []
    while len(chosen) < count:
        _, _, node_id = heap[0]
        own = by_node[node_id]
        chosen.append(own.pop())
        heapreplace(heap, (-len(own), -own[-1] if own else 0, node_id))
    return chosen


def _runs_on(attempts: Sequence[Attempt]) -> NodeId | None:
    for attempt in attempts:
        if attempt.phase is Phase.LIVE and attempt.state is TaskState.RUNNING:
            return attempt.task.node_id
    return None


def _has_node(attempts: Sequence[Attempt]) -> bool:
    """Whether the replica is further than waiting for a node."""
    is_waiting = any(attempt.phase is Phase.WAITING for attempt in attempts)
    return not is_waiting or any(attempt.phase is Phase.LIVE for attempt in attempts)
