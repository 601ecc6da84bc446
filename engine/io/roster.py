"""Ask the swarm what it thinks of a node that holds a certificate.

A certificate is good for months, and its node may have been removed or demoted since. Managers
know, and the engine beside one asks it; beside a worker nobody may ask, and the certificate alone
counts there. An answer is good for `FRESH_S`, and while no manager answers for `STALE_S`: then it
is better to let nobody in than somebody who was removed.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from msgspec import Struct

from swarm.api.v1 import control_pb2
from swarm.errors import Missing, Unavailable
from swarm.ids import NodeId
from swarm.peers import Peer, limited
from swarm.specs import Role

if TYPE_CHECKING:
    from swarm.api.v1.control_pb2_grpc import ControlAsyncStub

FRESH_S = 2.0
STALE_S = 60.0
_ROOM = 4096

Ask = Callable[[NodeId], Awaitable[Role]]
"""The role that the swarm wants a node to have. Raises `Missing` when it was removed."""


class _Known(Struct, frozen=True):
    role: Role | None
    at: float


class Roster:
    """What is known of nodes. `now` is monotonic seconds."""

    def __init__(self, ask: Ask, *, now: Callable[[], float]) -> None:
        self._ask = ask
        self._now = now
        self._known: dict[NodeId, _Known] = {}

    async def judge(self, peer: Peer, *, own_role: Role) -> Peer:
        """The peer as the swarm wants it now, seen from a node in `own_role`.

        Raises `Refused` when it was removed, and `Unavailable` while nobody knows.
        """
        if own_role is not Role.MANAGER:
            return peer
        known = self._known.get(peer.node_id)
        if known is None or self._now() - known.at > FRESH_S:
            known = await self._learn(peer.node_id, known)
        return limited(peer, known.role)

    async def _learn(self, node_id: NodeId, known: _Known | None) -> _Known:
        asked_at = self._now()
        try:
            role = await self._ask(node_id)
        except Missing:
            role = None
        except Unavailable:
            if known is None or asked_at - known.at > STALE_S:
                raise
            return known
        if len(self._known) >= _ROOM:
            self._known.clear()
        self._known[node_id] = _Known(role, asked_at)
        return self._known[node_id]


def asking(control: "ControlAsyncStub") -> Ask:
    """Ask a manager."""

    async def ask(node_id: NodeId) -> Role:
        answer = await control.ListNodes(control_pb2.ListNodesRequest(nodes=[node_id]))
        for each in answer.nodes:
            # Another node may be called what this one's id was.
            if each.node.id == node_id:
                return Role(each.node.spec.role)
        raise Missing(f"node {node_id} is not part of this swarm")

    return ask
