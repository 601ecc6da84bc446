"""Plan a global service: one running attempt on every node that admits it.

The replica of a node belongs to that node: when the node is down it is away, not moved, and
when the node comes back it may be found running as before. A node that is paused keeps what
it has. A node that admits the service but has no room gets a task without a node that says
so; such tasks are told apart by their ids, which are made of the node's and the attempt's.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from msgspec import structs

from manager.orchestrator.attempts import Attempt, Phase, in_order
from manager.orchestrator.draft import IN_TURN, Draft, Opening, Wait
from manager.orchestrator.draining import Whereabouts
from manager.orchestrator.moving import move
from manager.orchestrator.preempting import make_room_on
from manager.orchestrator.reaping import bury_gone, dismiss, history_limit, trim
from manager.orchestrator.replicas import Frame, Replica, Settled, Standing, settle
from manager.orchestrator.rollout import Course, frame_for
from manager.orchestrator.updating import roll
from manager.scheduler.asks import Ask, ask_of, ask_of_version
from manager.scheduler.fleet import Fleet
from manager.scheduler.placement import Claims, admitted_nodes, claims_at, without_room
from manager.view import ClusterView
from swarm.ids import NodeId
from swarm.objects import Service, SpecVersion
from swarm.states import TaskState


def plan_per_node(
    view: ClusterView, course: Course, attempts: list[Attempt], *, draft: Draft, fleet: Fleet
) -> list[Settled]:
    """Decide for all nodes, then start what has to start where there is room for it."""
    service = course.service
    admitted = admitted_nodes(fleet, ask_of(service))
    waiting, by_node = _sort_out(attempts, draft)
    whereabouts = Whereabouts(view, service)
    frame = frame_for(view, course, attempts, whereabouts, now=draft.now)
    settled: list[Settled] = []
    for node_id in sorted(admitted | by_node.keys()):
        replica = Replica(node_id=node_id, attempts=by_node.get(node_id, []))
        if node_id in admitted:
            settled.append(settle(replica, frame, draft))
        else:
            settled.append(_settle_unadmitted(replica, frame, draft))
    move(settled, frame, whereabouts, draft, max_unavailable=service.spec.max_unavailable)
    roll(settled, course, draft)
    nodes = [each.replica.node_id for each in settled if each.need is not None]
    asks = _Asks(view, service, fleet, nodes)
    for index, each in enumerate(settled):
        settled[index] = _in_turn_without_room(each, asks, draft)
        draft.call_for(settled[index].need)
    bury_gone(attempts, draft)
    _start(service, waiting, asks, draft)
    limit, begun = history_limit(view), draft.nodes_begun()
    for node_id, own in by_node.items():
        # A task that waits does not bear its node's name, so the last that does is still needed.
        trim(own, limit, draft, is_opened=node_id in begun, is_begun=node_id in begun)
    return settled


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
    """Nothing can start here, so nothing is stopped for a rollout either.

    A node in doubt will be back in a moment, or be down: a rollout is not over before that.
    """
    if replica.having(Phase.LIVE):
        found = settle(replica, frame, draft)
        is_failed = found.standing is Standing.REPLACING and found.need is not None
        if found.standing is not Standing.OLD and not is_failed:
            return structs.replace(found, need=None)
        assert found.holder is not None
        if not frame.stays(found.holder):
            return structs.replace(found, standing=Standing.MISPLACED, need=None)
        if found.holder.unsure:
            return Settled(replica=replica, standing=Standing.MOVING)
    elif replica.attempts and not frame.may_stay(replica.attempts[-1].task):
        draft.stop(replica.attempts[-1])
    is_leaving = bool(replica.having(Phase.LEAVING))
    return Settled(replica=replica, standing=Standing.MOVING if is_leaving else Standing.AWAY)


class _Asks:
    """What the versions of a service ask of nodes; which have no room for it, and why."""

    def __init__(
        self, view: ClusterView, service: Service, fleet: Fleet, nodes: Sequence[NodeId]
    ) -> None:
        self._view = view
        self._nodes = nodes
        self._service = service
        self._fleet = fleet
        self._refused: dict[int, dict[NodeId, str]] = {}
        self._known: dict[int, Ask] = {}

    def refusal(self, opening: Opening) -> str:
        """Why the node of the opening has no room for it; empty when it has."""
        version = self.version_of(opening)
        found = self._refused.get(version)
        if found is None:
            ask = self._ask(version)
            found = self._refused[version] = without_room(self._fleet, ask, self._nodes)
        return found.get(opening.node_id, "")

    def claims(self, opening: Opening) -> Claims:
        """What a task that starts there gets for its own."""
        ask = self._ask(self.version_of(opening))
        if not ask.generic:
            return ()
        row = np.array([self._fleet.rows[opening.node_id]], np.int64)
        (claims,) = claims_at(self._fleet, ask, row) or ((),)
        return claims

    def priority(self, opening: Opening) -> int:
        """The priority of what starts there."""
        return self._ask(self.version_of(opening)).priority

    def version_of(self, opening: Opening) -> int:
        """Of which version an opening's task will be."""
        return opening.version or self._service.spec_version

    def clear_room(self, draft: Draft) -> None:
        """Have tasks of lower priority give way where there is no room for what starts."""
        refused: defaultdict[int, list[NodeId]] = defaultdict(list)
        for opening in () if draft.hold else draft.openings:
            if self.priority(opening) >= draft.least_priority and self.refusal(opening):
                refused[self.version_of(opening)].append(opening.node_id)
        for version, nodes in sorted(refused.items()):
            room, _ = draft.addresses_for(version)
            if room > 0:
                make_room_on(self._view, self._fleet, self._ask(version), nodes, draft)

    def _ask(self, version: int) -> Ask:
        found = self._known.get(version)
        if found is None:
            known = self._view.version_of(self._service.id, version) or SpecVersion.of(
                self._service
            )
            found = self._known[version] = ask_of_version(known, self._service.spec.name)
        return found


def _in_turn_without_room(settled: Settled, asks: _Asks, draft: Draft) -> Settled:
    """Where there is no room for two, or no address, the old one has to stop before the new one.

    Not if the new one has started once, and failed: then the old one had better stay.
    """
    holder, need = settled.holder, settled.need
    if settled.standing is not Standing.REPLACING or not isinstance(need, Opening):
        return settled
    assert holder is not None
    is_short = bool(asks.refusal(need)) or draft.is_short_beside(asks.version_of(need), holder)
    if draft.hold or not is_short:
        return settled
    last = settled.replica.attempts[-1]
    if last is not holder and last.task.spec_version == asks.version_of(need):
        return structs.replace(settled, need=None)
    draft.stop(holder)
    return Settled(replica=settled.replica, standing=Standing.MOVING)


def _start(service: Service, waiting: list[Attempt], asks: _Asks, draft: Draft) -> None:
    """Start every opening on its node, or have it wait saying which node has no room."""
    asks.clear_room(draft)
    left = {attempt.task.id: attempt for attempt in waiting}
    for opening in draft.openings:
        # It has the id of what it waits to be. By its words it could be taken for another's,
        # whose turn would then come to make a task that exists already.
        known = left.pop(draft.name_of(opening), None)
        is_early = asks.priority(opening) < draft.least_priority
        room, lack = draft.addresses_for(asks.version_of(opening))
        message = draft.hold or (IN_TURN if is_early else lack if room <= 0 else "")
        message = message or asks.refusal(opening)
        if message and known is not None:
            draft.keep_waiting(Wait(task=known.task), message)
        elif message:
            draft.create(service, opening, NodeId(""), message)
        elif known is not None:
            draft.assign(Wait(task=known.task), opening.node_id, asks.claims(opening))
        else:
            draft.create(service, opening, opening.node_id, claims=asks.claims(opening))
    for attempt in left.values():
        draft.remove(attempt)
