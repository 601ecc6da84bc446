"""Carry sessions between nodes and managers.

A session is a stream in each direction: in order, nothing lost, until it breaks. When a
process dies the other side hears of it; when the link goes down nobody hears anything: what
is under way is lost and the stream stays silent for ever, so only heartbeats can tell.
"""

from collections.abc import Callable
from typing import Any, Protocol

from swarm.dispatch import FromAgent, FromManager
from swarm.ids import NodeId
from tests.sim.engine import Engine

Message = FromAgent | FromManager


class End(Protocol):
    """One end of a stream."""

    def hear(self, stream: "Stream", message: Any) -> None: ...
    def hung_up(self, stream: "Stream") -> None: ...


class Stream:
    """One session's stream between a node and a manager."""

    def __init__(self, network: "Network", node_id: NodeId, node: End, manager: End) -> None:
        self.node_id = node_id
        self.is_closed = False
        self._network = network
        self._is_stuck = False
        self._ends = {"node": node, "manager": manager}
        self._arrives = {"node": 0.0, "manager": 0.0}

    def to_manager(self, message: FromAgent) -> None:
        """Send from the node; a batch of statuses may come twice."""
        self._send("manager", message)

    def to_node(self, message: FromManager) -> None:
        """Send from the manager."""
        self._send("node", message)

    def close(self, *, by: str) -> None:
        """Hang up; the other side hears of it unless the link is down."""
        if self.is_closed:
            return
        other = "manager" if by == "node" else "node"
        self.is_closed = True
        self._later(other, lambda end: end.hung_up(self), even_closed=True)

    def _send(self, to: str, message: Message) -> None:
        if not self.is_closed:
            self._later(to, lambda end: end.hear(self, message))

    def _later(self, to: str, act: Callable[[End], None], *, even_closed: bool = False) -> None:
        engine = self._network.engine
        if self._network.is_cut(self.node_id):
            self._is_stuck = True
        at = max(engine.now + engine.latency(), self._arrives[to])
        self._arrives[to] = at

        def arrive() -> None:
            if self._network.is_cut(self.node_id):
                self._is_stuck = True
            if not self._is_stuck and (even_closed or not self.is_closed):
                act(self._ends[to])

        engine.after(at - engine.now, arrive)


class Network:
    """Which nodes are cut off."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self._cut: set[NodeId] = set()

    def cut(self, node_id: NodeId) -> None:
        """Take a node's link down."""
        self._cut.add(node_id)

    def mend(self, node_id: NodeId) -> None:
        """Bring it up again; streams of before stay dead."""
        self._cut.discard(node_id)

    def is_cut(self, node_id: NodeId) -> bool:
        """Whether a node's link is down."""
        return node_id in self._cut
