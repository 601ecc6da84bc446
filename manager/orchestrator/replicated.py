"""Plan a replicated service: so many slots, each with one running attempt, anywhere."""

from collections import Counter, defaultdict
from collections.abc import Iterable

from manager.orchestrator.attempts import Attempt, in_order
from manager.orchestrator.draft import Draft, Opening, Wait
from manager.orchestrator.draining import Whereabouts
from manager.orchestrator.reaping import bury_gone, dismiss, history_limit, trim
from manager.orchestrator.replicas import Frame, Replica, settle
from manager.orchestrator.scaling import free_slots, surplus
from manager.orchestrator.updating import roll
from manager.scheduler.filters import ask_for
from manager.scheduler.fleet import Fleet
from manager.scheduler.placement import place
from manager.view import ClusterView
from swarm.ids import NodeId
from swarm.objects import Service
from swarm.states import TaskState

FAILURES_WINDOW_S = 300.0
"""How long a failure on a node speaks against placing the same there."""


def plan_replicated(
    view: ClusterView,
    service: Service,
    attempts: list[Attempt],
    *,
    replicas: int,
    draft: Draft,
    fleet: Fleet,
) -> None:
    """Decide for all slots, then place whatever needs a node in one pass."""
    slots = _slots(attempts, draft)
    for slot in surplus(slots, replicas):
        dismiss(slots.pop(slot), draft)
    taken = {attempt.task.slot for attempt in attempts}
    for slot in free_slots(taken, replicas - len(slots)):
        slots[slot] = []
    frame = Frame(service=service, now=draft.now, may_stay=Whereabouts(view, service).may_stay)
    settled = [
        settle(Replica(slot=slot, attempts=slots[slot]), frame, draft) for slot in sorted(slots)
    ]
    roll(settled, service.spec.update, draft, now=draft.now)
    bury_gone(attempts, draft)
    opened = {opening.slot for opening in draft.openings}
    limit = history_limit(view)
    for slot, own in slots.items():
        if len(own) > 1 or slot in opened:
            trim(own, limit, draft, is_opened=slot in opened)
    _place(service, attempts, draft, fleet)


def _slots(attempts: Iterable[Attempt], draft: Draft) -> dict[int, list[Attempt]]:
    """Attempts by slot, without those that are to be removed or bear no slot."""
    slots: defaultdict[int, list[Attempt]] = defaultdict(list)
    for attempt in attempts:
        if attempt.task.slot == 0 or attempt.task.desired is TaskState.REMOVE:
            dismiss([attempt], draft)
        else:
            slots[attempt.task.slot].append(attempt)
    return {slot: in_order(own) for slot, own in slots.items()}


def _place(service: Service, attempts: list[Attempt], draft: Draft, fleet: Fleet) -> None:
    needs: list[Opening | Wait] = sorted((*draft.waits, *draft.openings), key=_slot)
    if not needs:
        return
    placed = place(
        fleet,
        ask_for(service.id, service.spec.task),
        len(needs),
        failures=_failures(attempts, service.spec_version, draft.now),
        leaving=Counter(attempt.task.node_id for attempt in draft.stopped),
    )
    nodes = [*placed.nodes, *[NodeId("")] * (len(needs) - len(placed.nodes))]
    for need, node_id in zip(needs, nodes, strict=True):
        if isinstance(need, Opening):
            draft.create(service, need, node_id, "" if node_id else placed.reason)
        elif node_id:
            draft.assign(need, node_id)
        else:
            draft.keep_waiting(need, placed.reason)


def _slot(need: Opening | Wait) -> int:
    return need.slot if isinstance(need, Opening) else need.task.slot


def _failures(attempts: Iterable[Attempt], version: int, now: float) -> Counter[NodeId]:
    return Counter(
        attempt.task.node_id
        for attempt in attempts
        if attempt.state in (TaskState.FAILED, TaskState.REJECTED)
        and attempt.task.spec_version == version
        and now - attempt.at <= FAILURES_WINDOW_S
    )
