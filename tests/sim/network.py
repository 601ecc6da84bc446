"""Carry sessions between nodes and managers, and say who cannot reach whom.

A session is a stream in each direction: in order, nothing lost, until it breaks. When a
process dies the other side hears of it; when a link goes down in a direction nobody hears
anything of what was sent that way: it stays silent for ever, or, where the cut `keeps`, comes
late and in order once it is mended, as TCP sends again. Messages of one stream are thus never
reordered and never repeated by the network; those of different streams are, and so are the
answers of etcd, each of which takes its own time.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Protocol

from msgspec import Struct

from swarm.dispatch import FromAgent, FromManager
from swarm.ids import NodeId
from tests.sim.engine import Engine

Message = FromAgent | FromManager
ANYONE = "*"
ETCD = "etcd"


class Cut(Struct, frozen=True, eq=False):
    """From `source` nothing reaches `target`; either may be ANYONE."""

    source: str
    target: str
    keeps: bool = False

    def separates(self, source: str, target: str) -> bool:
        """Whether it is on the way."""
        return self.source in (source, ANYONE) and self.target in (target, ANYONE)


class End(Protocol):
    """One end of a stream."""

    def hear(self, stream: "Stream", message: Any) -> None: ...
    def hung_up(self, stream: "Stream") -> None: ...


class Stream:
    """One session's stream between a node and a manager."""

    def __init__(
        self, network: "Network", node_id: NodeId, manager_id: NodeId, node: End, manager: End
    ) -> None:
        self.node_id = node_id
        self.is_closed = False
        self._network = network
        self._node = _Way(self, (manager_id, node_id), node)
        self._manager = _Way(self, (node_id, manager_id), manager)

    def to_manager(self, message: FromAgent) -> None:
        """Send from the node."""
        self._manager.send(message)

    def to_node(self, message: FromManager) -> None:
        """Send from the manager."""
        self._node.send(message)

    def close(self, *, by: str) -> None:
        """Hang up; the other side hears of it unless the link is down."""
        if self.is_closed:
            return
        self.is_closed = True
        (self._manager if by == "node" else self._node).hang_up()

    def sever(self) -> None:
        """The host at one end is no more: nobody is told anything."""
        self.is_closed = self._node.is_stuck = self._manager.is_stuck = True


class _Way:
    """One direction of a stream."""

    def __init__(self, stream: Stream, ends: tuple[str, str], end: End) -> None:
        self.is_stuck = False
        self._stream = stream
        self._network = stream._network
        self._ends = ends
        self._end = end
        self._arrives = 0.0
        self._under_way: deque[tuple[Any, bool]] = deque()
        self._is_held = False

    def send(self, message: Any) -> None:
        if not self._stream.is_closed:
            self._put(message, is_end=False)

    def hang_up(self) -> None:
        self._put(None, is_end=True)

    def _put(self, message: Any, *, is_end: bool) -> None:
        self._under_way.append((message, is_end))
        if not self._is_held:
            self._send_one()

    def _send_one(self) -> None:
        engine = self._network.engine
        self._arrives = max(engine.now + engine.latency(), self._arrives)
        engine.after(self._arrives - engine.now, self._arrive)

    def _arrive(self) -> None:
        cut = self._network.between(*self._ends)
        if cut is not None and not cut.keeps:
            self.is_stuck = True
        if self.is_stuck or self._is_held or not self._under_way:
            return
        if cut is not None:
            self._is_held = True
            self._network.held.append(self._release)
            return
        message, is_end = self._under_way.popleft()
        if is_end:
            self._end.hung_up(self._stream)
        elif not self._stream.is_closed:
            self._end.hear(self._stream, message)

    def _release(self) -> None:
        """The way is free again: what was held arrives, in order."""
        self._is_held = False
        for _ in self._under_way:
            self._send_one()


class Network:
    """Which ways are cut."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.held: list[Callable[[], None]] = []
        self._cuts: list[Cut] = []

    def cut(self, source: str, target: str, *, keeps: bool = False) -> Cut:
        """Take a way down until `mend` is called with what this returns."""
        cut = Cut(source, target, keeps)
        self._cuts.append(cut)
        return cut

    def mend(self, cut: Cut) -> None:
        """Bring a way up again."""
        if cut in self._cuts:
            self._cuts.remove(cut)
            self._release()

    def mend_all(self) -> None:
        """Bring all ways up again."""
        self._cuts.clear()
        self._release()

    def between(self, source: str, target: str) -> Cut | None:
        """What is in the way from one to the other, if anything is."""
        for cut in self._cuts:
            if cut.separates(source, target):
                return cut
        return None

    def is_cut(self, one: str, other: str) -> bool:
        """Whether either way is down."""
        return bool(self._cuts) and (
            self.between(one, other) is not None or self.between(other, one) is not None
        )

    def _release(self) -> None:
        held, self.held = self.held, []
        for release in held:
            release()
