"""Decide which session speaks for a node, and until when its silence is forgiven.

Any message is a sign of life; three silent heartbeat periods end the session, whether its
stream is still open or not. A stream that ends is no silence: its host goes on and starts the
agent again, which takes a while where everything wants the processor. So an agent that restarts
and returns in time was never gone, and neither was one whose manager restarted: sessions that an
earlier process of this manager held are inherited with a full three periods. A newer session of
a node supersedes the older one. A node that says goodbye is gone at once: it leaves the swarm
and will not be back.

Silence counts only while we listened. What came while this process was busy or starved has
not been read yet, so time that it did not listen (`deaf`) is added to every deadline; after a
sleep as long as the silence that ends a session (a stopped virtual machine), all get the
full time. Nor is a session silent whose message has yet to be looked at (`delayed`).
"""

import math
from collections.abc import Iterable

from msgspec import Struct

from swarm.ids import NodeId

SILENT_PERIODS = 3
RETURN_S = 4.5
"""How long an agent may take to start again, at least."""
LISTENED_S = 0.25
"""How much listening one turn of the loop proves, however long it took."""
NODES_PER_SECOND = 1000


class Open(Struct, kw_only=True):
    """One node's session. `is_connected` until its stream ends, `has_left` after a goodbye."""

    session_id: str
    heartbeat_s: float
    deadline: float
    is_connected: bool = True
    has_left: bool = False


class Sessions:
    """The sessions of one manager. `now` is monotonic seconds."""

    def __init__(self) -> None:
        self.open: dict[NodeId, Open] = {}

    def begin(self, node_id: NodeId, session_id: str, *, heartbeat_s: float, now: float) -> str:
        """A node says hello; returns the id of the session that this one supersedes, or ''."""
        old = self.open.get(node_id)
        self.open[node_id] = Open(
            session_id=session_id,
            heartbeat_s=heartbeat_s,
            deadline=now + SILENT_PERIODS * heartbeat_s,
        )
        return old.session_id if old is not None and old.is_connected else ""

    def inherit(self, node_id: NodeId, session_id: str, *, heartbeat_s: float, now: float) -> None:
        """Wait for a node whose session an earlier process of this manager held."""
        self.begin(node_id, session_id, heartbeat_s=heartbeat_s, now=now)
        self.open[node_id].is_connected = False

    def heard(self, node_id: NodeId, session_id: str, *, now: float) -> bool:
        """Any message came in this session; False when it is not the node's any more."""
        found = self.open.get(node_id)
        if found is None or found.session_id != session_id or found.has_left:
            return False
        found.deadline = now + SILENT_PERIODS * found.heartbeat_s
        return True

    def delayed(self, node_id: NodeId, session_id: str) -> None:
        """What was `heard` last is not looked at yet: we read no more until `heard` again."""
        found = self.open.get(node_id)
        if found is not None and found.session_id == session_id and not found.has_left:
            found.deadline = math.inf

    def deaf(self, lag_s: float, *, now: float) -> None:
        """For the last `lag_s` nobody could be heard."""
        for each in self.open.values():
            if each.has_left:
                continue
            silence_s = SILENT_PERIODS * each.heartbeat_s
            least = now + silence_s if lag_s >= silence_s else 0.0
            each.deadline = max(each.deadline + lag_s, least)

    def disconnected(self, node_id: NodeId, session_id: str, *, now: float) -> None:
        """The stream ended: the node has what is left of its three periods, or a start's time."""
        found = self.open.get(node_id)
        if found is not None and found.session_id == session_id:
            found.is_connected = False
            if not found.has_left:
                found.deadline = max(found.deadline, now + RETURN_S)

    def end(self, node_id: NodeId, session_id: str) -> None:
        """The session is over: it moved to another manager, or its node was removed."""
        found = self.open.get(node_id)
        if found is not None and found.session_id == session_id:
            del self.open[node_id]

    def left(self, node_id: NodeId, session_id: str, *, now: float) -> None:
        """The node said goodbye: `departed` has it from now on."""
        found = self.open.get(node_id)
        if found is not None and found.session_id == session_id:
            found.has_left, found.deadline = True, min(found.deadline, now)

    def departed(self) -> tuple[tuple[NodeId, str], ...]:
        """The sessions that said goodbye since this was last asked, with their ids; they are over.

        Ask before `expired`, which would take their silence for a loss.
        """
        return self._ended(n for n, each in self.open.items() if each.has_left)

    def expired(self, *, now: float) -> tuple[tuple[NodeId, str], ...]:
        """The sessions that were silent for too long, with their ids; they are over.

        Say first for how long we were `deaf`.
        """
        return self._ended(n for n, each in self.open.items() if each.deadline <= now)

    def next_deadline(self) -> float | None:
        """When `expired` may have something to say."""
        return min((each.deadline for each in self.open.values()), default=None)

    def check(self) -> None:
        """Assert that every session has a period to measure silence by."""
        for node_id, each in self.open.items():
            assert each.heartbeat_s > 0, node_id
            assert each.session_id, node_id

    def _ended(self, nodes: Iterable[NodeId]) -> tuple[tuple[NodeId, str], ...]:
        return tuple((node_id, self.open.pop(node_id).session_id) for node_id in sorted(nodes))


def heartbeat_period(least_s: float, nodes: int) -> float:
    """How often to beat: what the operator set, slower for more than a thousand nodes."""
    return max(least_s, nodes / NODES_PER_SECOND)
