"""Tell the living nodes from the lost ones.

A node is READY while it has a session, and DOWN at once when its session ends: the manager
that held it has already waited three heartbeats, or heard it say goodbye. Silence is no
evidence when the listener is new or gone: after a change of leader, and when a manager
vanished with all its sessions, the silent nodes get `grace_s` to be heard elsewhere. The
leader must not mistake its own ignorance for a dead cluster.
"""

from collections.abc import Iterable

from manager.applied import Applied
from manager.view import ClusterView
from swarm.ids import NodeId


class Liveness:
    """When the benefit of the doubt ends, for each node that has it."""

    def __init__(self, *, grace_s: float) -> None:
        self.grace_s = grace_s
        self._until: dict[NodeId, float] = {}

    def elected(self, view: ClusterView, *, now: float) -> tuple[NodeId, ...]:
        """Start a term: the nodes to doubt (`view.doubt`), each with a full grace period."""
        silent = tuple(sorted(view.nodes.keys() - view.sessions.keys()))
        self._until = dict.fromkeys(silent, now + self.grace_s)
        return silent

    def observe(self, view: ClusterView, applied: Applied, *, now: float) -> None:
        """Follow the view: who is newly doubted gets a grace period, who is not loses it."""
        self._follow(view, applied.nodes, now)

    def expired(self, *, now: float) -> tuple[NodeId, ...]:
        """The nodes whose grace is over: give them up (`view.give_up`)."""
        over = tuple(sorted(node for node, until in self._until.items() if until <= now))
        for node_id in over:
            del self._until[node_id]
        return over

    def next_deadline(self) -> float | None:
        """When `expired` will have something to say."""
        return min(self._until.values(), default=None)

    def check(self, view: ClusterView) -> None:
        """Assert that every doubt has an end and that no one else is waited for."""
        assert self._until.keys() == view.doubted

    def _follow(self, view: ClusterView, nodes: Iterable[NodeId], now: float) -> None:
        for node_id in nodes:
            if node_id in view.doubted:
                self._until.setdefault(node_id, now + self.grace_s)
            else:
                self._until.pop(node_id, None)
