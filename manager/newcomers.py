"""Notice nodes that came, so that tasks are spread over them without anybody asking.

A node counts once it is ready and active for the first time in its life, or again after an
operator had paused or drained it. One that merely lost its session and is back does not: its
tasks were replaced because they were lost, and would be moved for nothing a second time.

Several nodes that come one after the other are one occasion: it begins when the last one has
been there for `SETTLE_S`, and goes on wave by wave until nothing is left to move. A new
leader cannot know what its predecessor began, so nodes that came lately count again.
"""

from manager.applied import Applied
from manager.view import ClusterView
from swarm.ids import NodeId
from swarm.specs import Availability
from swarm.states import NodeState

SETTLE_S = 5.0
WAVE_S = 2.0
LONGEST_WAVE_S = 60.0
LATELY_S = 600.0


class Newcomers:
    """What one term knows of nodes that came. Every method takes `now`."""

    def __init__(self, view: ClusterView, *, now: float) -> None:
        self._fit = {node_id for node_id in view.nodes if _is_fit(view, node_id)}
        self._away: set[NodeId] = set()
        """Nodes that were fit and would be but for their session."""
        self._due_at: float | None = None
        self._pause_s = WAVE_S
        since = max((_came_at(view, node_id) for node_id in self._fit), default=0.0)
        if since > now - LATELY_S and len(self._fit) > 1:
            self._due_at = now + SETTLE_S

    def observe(self, view: ClusterView, applied: Applied, *, now: float) -> None:
        """Take note of what changed about nodes."""
        for node_id in applied.nodes:
            if node_id not in view.nodes:
                self._fit.discard(node_id)
                self._away.discard(node_id)
            elif _is_fit(view, node_id):
                if node_id not in self._fit | self._away:
                    self._due_at = now + SETTLE_S
                self._fit.add(node_id)
                self._away.discard(node_id)
            else:
                self._lose(view, node_id)

    def next_deadline(self) -> float | None:
        """When the next wave is due, if any."""
        return self._due_at

    def moved(self, *, moves: int, held_back: int, now: float) -> None:
        """A wave is over; the last one moves nothing and holds nothing back.

        What is held back for long is looked at more and more seldom.
        """
        self._pause_s = WAVE_S if moves else min(self._pause_s * 2, LONGEST_WAVE_S)
        self._due_at = now + self._pause_s if moves or held_back else None

    def put_off(self, *, now: float) -> None:
        """The wave could not be decided: later, then."""
        self._due_at = now + WAVE_S

    def check(self) -> None:
        """Assert that no node is both here and away."""
        assert not self._fit & self._away

    def _lose(self, view: ClusterView, node_id: NodeId) -> None:
        """A node without a session comes back as it was; one that was paused comes anew."""
        if view.nodes[node_id].spec.availability is not Availability.ACTIVE:
            self._away.discard(node_id)
        elif node_id in self._fit:
            self._away.add(node_id)
        self._fit.discard(node_id)


def is_wanted(view: ClusterView) -> bool:
    """Whether the swarm's operator asked for it."""
    return view.cluster is not None and view.cluster.spec.rebalance_on_join


def _is_fit(view: ClusterView, node_id: NodeId) -> bool:
    is_active = view.nodes[node_id].spec.availability is Availability.ACTIVE
    return is_active and view.node_state(node_id) is NodeState.READY


def _came_at(view: ClusterView, node_id: NodeId) -> float:
    node = view.nodes[node_id]
    return max(node.created_at, node.availability_at)
