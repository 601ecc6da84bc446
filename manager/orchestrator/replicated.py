"""Plan a replicated service: so many slots, each with one running attempt, anywhere."""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain

from manager.orchestrator.attempts import Attempt, in_order
from manager.orchestrator.draft import IN_TURN, Draft, Opening, Wait
from manager.orchestrator.draining import Whereabouts
from manager.orchestrator.moving import move
from manager.orchestrator.preempting import make_room
from manager.orchestrator.reaping import bury_gone, dismiss, history_limit, trim
from manager.orchestrator.replicas import Frame, Replica, Settled, Standing, settle
from manager.orchestrator.rollout import Course, frame_for
from manager.orchestrator.scaling import free_slots, replicas_of, surplus
from manager.orchestrator.updating import roll
from manager.scheduler.asks import Ask, ask_of_version
from manager.scheduler.fleet import Fleet
from manager.scheduler.homes import homes_for
from manager.scheduler.placement import Claims, place
from manager.view import ClusterView
from swarm.ids import NodeId
from swarm.objects import Service, SpecVersion
from swarm.states import TaskState

FAILURES_WINDOW_S = 300.0
"""How long a failure on a node speaks against placing the same there."""


def plan_replicated(
    view: ClusterView, course: Course, attempts: list[Attempt], *, draft: Draft, fleet: Fleet
) -> list[Settled]:
    """Decide for all slots, then place whatever needs a node; tells how the slots stand then."""
    service = course.service
    slots = by_slot(attempts, draft)
    replicas = replicas_of(view, service)
    for slot in surplus(slots, replicas):
        dismiss(slots.pop(slot), draft)
    taken = {attempt.task.slot for attempt in attempts}
    for slot in free_slots(taken, replicas - len(slots)):
        slots[slot] = []
    whereabouts = Whereabouts(view, service)
    frame = frame_for(view, course, attempts, whereabouts, now=draft.now)
    settled = settle_slots(slots, frame, draft)
    draft.is_unsettled = is_unsettled(course, settled, draft)
    move(settled, frame, whereabouts, draft, max_unavailable=service.spec.max_unavailable)
    roll(settled, course, draft)
    for each in settled:
        draft.call_for(each.need)
    finish_slots(view, service, slots, attempts, draft=draft, fleet=fleet)
    return settled


def settle_slots(slots: Mapping[int, list[Attempt]], frame: Frame, draft: Draft) -> list[Settled]:
    """Decide for each slot on its own."""
    settled: list[Settled] = []
    for draft.slot in sorted(slots):
        settled.append(settle(Replica(slot=draft.slot, attempts=slots[draft.slot]), frame, draft))
    draft.slot = 0
    return settled


def is_unsettled(course: Course, settled: Iterable[Settled], draft: Draft) -> bool:
    """Whether slots wait for each other: for places in a rollout, for budgets, or for others."""
    if course.is_rolling or draft.hold:
        return True
    waiting = (Standing.OLD, Standing.MISPLACED, Standing.REPLACING)
    return any(each.standing in waiting for each in settled)


def finish_slots(
    view: ClusterView,
    service: Service,
    slots: Mapping[int, Sequence[Attempt]],
    attempts: Sequence[Attempt],
    *,
    draft: Draft,
    fleet: Fleet,
) -> None:
    """Start what these slots need, and forget what they need no more.

    `attempts` may be more than theirs: whatever speaks against a node has a say.
    """
    _place(view, service, attempts, draft, fleet)
    limit = history_limit(view)
    for slot, own in slots.items():
        is_opened, is_begun = draft.has_created(slot), draft.has_begun(slot)
        bury_gone(own, draft, is_followed=is_begun)
        if len(own) > 1 or is_opened:
            draft.slot = slot
            trim(own, limit, draft, is_opened=is_opened, is_begun=is_begun)
    draft.slot = 0


def by_slot(attempts: Iterable[Attempt], draft: Draft) -> dict[int, list[Attempt]]:
    """Attempts by slot, without slots that were given up and attempts that bear none.

    A slot is given up as a whole, also by a plan of which only a part was committed: what is
    left of its past would begin it anew beside the task that has yet to end.
    """
    slots: defaultdict[int, list[Attempt]] = defaultdict(list)
    given_up = {0}
    for attempt in attempts:
        slots[attempt.task.slot].append(attempt)
        if attempt.task.desired is TaskState.REMOVE:
            given_up.add(attempt.task.slot)
    for slot in sorted(slots.keys() & given_up):
        dismiss(slots.pop(slot), draft)
    return {slot: in_order(own) for slot, own in slots.items()}


def _place(
    view: ClusterView, service: Service, attempts: Sequence[Attempt], draft: Draft, fleet: Fleet
) -> None:
    """Place all that ask the same in one pass.

    A second pass would not see the first, so those that ask something else take turns: they are
    left for the next plan, as are those that are too many for one. Those of too low a priority
    wait for a turn of their own.
    """
    groups = _by_wish(service, draft)

    def turn(wish: tuple[int, NodeId]) -> tuple[int, bool, tuple[int, NodeId]]:
        # Others gave way to the version of the highest priority: a lower one in their place
        # would soon have to give way to them, and so on for ever.
        priority = _ask(view, service, wish[0]).priority
        return -priority, wish[0] != service.spec_version, wish

    for version, avoid in sorted(groups, key=turn if len(groups) > 1 else None):
        needs, ask = groups.pop((version, avoid)), _ask(view, service, version)
        hold = draft.hold or (IN_TURN if ask.priority < draft.least_priority else "")
        if hold:
            for need in needs:
                _give(draft, service, need, NodeId(""), reason=hold)
            continue
        room, reason = draft.addresses_for(version)  # nobody gives way to who finds no address
        most = min(draft.most, room)
        needs, over = needs[:most], needs[most:]
        last = _last_nodes(attempts) if ask.volumes else {}
        leaving = Counter(attempt.task.node_id for attempt in draft.stopped)
        avoided = frozenset((avoid,) if avoid else ())
        homes = homes_for(fleet, ask, list(map(_slot, needs)), last)
        placed = place(
            fleet,
            ask,
            len(needs),
            failures=_failures(attempts, version, draft.now),
            leaving=leaving,
            avoid=avoided,
            homes=homes,
        )
        waits = make_room(
            view, fleet, ask, placed, draft, leaving=leaving, avoid=avoided, homes=homes
        )
        reason, is_started = reason if room <= 0 else placed.reason, False
        for index, (need, node_id) in enumerate(zip(needs, placed.by_task, strict=True)):
            hold = waits.get(index, placed.reason_of(index))
            claims = placed.claims_of(index)
            lack = _give(draft, service, need, node_id, reason=hold, claims=claims)
            is_started |= bool(node_id) and not lack
            reason = reason or lack
        left = [*over, *chain.from_iterable(groups.values())]
        if is_started:
            draft.leave(map(_slot, left))
            return
        if waits:  # what is left waits with them, for as long as it takes
            draft.is_unsettled |= bool(left)
            return
        for need in over:
            _give(draft, service, need, NodeId(""), reason=reason)


def _ask(view: ClusterView, service: Service, version: int) -> Ask:
    found = view.version_of(service.id, version)
    return ask_of_version(found or SpecVersion.of(service), service.spec.name)


def _last_nodes(attempts: Iterable[Attempt]) -> dict[int, NodeId]:
    """Where each slot was last: its volume is there."""
    tasks = sorted(
        (each.task for each in attempts if each.task.node_id),
        key=lambda task: (task.attempt, task.created_at, task.id),
    )
    return {task.slot: task.node_id for task in tasks}


def _by_wish(service: Service, draft: Draft) -> dict[tuple[int, NodeId], list[Opening | Wait]]:
    """What needs a node, in order of slots, by the version it is of and the node it avoids."""
    needs: list[Opening | Wait] = [*draft.waits, *draft.openings]
    groups: defaultdict[tuple[int, NodeId], list[Opening | Wait]] = defaultdict(list)
    for need in sorted(needs, key=_slot):
        groups[_version(need) or service.spec_version, need.avoid].append(need)
    return groups


def _give(
    draft: Draft,
    service: Service,
    need: Opening | Wait,
    node_id: NodeId,
    *,
    reason: str,
    claims: Claims = (),
) -> str:
    """Start what is needed on a node, or have it wait; why it waits, if it does."""
    if isinstance(need, Opening):
        return draft.create(service, need, node_id, "" if node_id else reason, claims)
    if node_id:
        return draft.assign(need, node_id, claims)
    draft.keep_waiting(need, reason)
    return reason


def _slot(need: Opening | Wait) -> int:
    return need.slot if isinstance(need, Opening) else need.task.slot


def _version(need: Opening | Wait) -> int:
    return need.version if isinstance(need, Opening) else need.task.spec_version


def _failures(attempts: Iterable[Attempt], version: int, now: float) -> Counter[NodeId]:
    return Counter(
        attempt.task.node_id
        for attempt in attempts
        if attempt.state in (TaskState.FAILED, TaskState.REJECTED)
        and attempt.task.spec_version == version
        and now - attempt.at <= FAILURES_WINDOW_S
    )
