"""Find who can talk to a node: this manager, or the one that holds its session.

Any manager answers for any node. What has to reach an agent that is connected elsewhere is
handed to that manager once, with the name of the first caller; a call that was handed on
already and does not find the agent says so instead of travelling on.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio

from manager.control.targets import unreachable
from manager.io.calls import RELAYED
from manager.io.conversations import Conversations
from manager.io.mirror import Mirror
from swarm.api.v1 import control_pb2_grpc
from swarm.errors import Unavailable
from swarm.ids import NodeId
from swarm.io.rpc import failure, peer

BACK_S = 3.0

Dial = Callable[[str], grpc.aio.Channel]
Metadata = tuple[tuple[str, str], ...]


class Reach:
    """Whom to ask about a node. `node_id` is this manager's own."""

    def __init__(
        self, mirror: Mirror, conversations: Conversations, *, node_id: NodeId, dial: Dial
    ) -> None:
        self.conversations = conversations
        self._mirror = mirror
        self._node_id = node_id
        self._dial = dial

    async def elsewhere(self, node_id: NodeId, *, is_relayed: bool) -> str:
        """The address of the manager to ask about a node, empty when it is this one.

        A node whose session broke a moment ago, or whose manager has just started, is about
        to come back: it is given a little time.
        """
        view, here = self._mirror.view, self.conversations
        session = view.sessions.get(node_id)
        is_ours = session is not None and session.manager_id == self._node_id
        if here.is_here(node_id) or (is_ours and await here.arrival(node_id, within_s=BACK_S)):
            return ""
        session = view.sessions.get(node_id)
        address = view.managers.get(session.manager_id, "") if session is not None else ""
        if session is None or not address or session.manager_id == self._node_id:
            hint = "`swarmctl node ls` shows the nodes"
            raise Unavailable(unreachable(view, node_id), hint=hint)
        if is_relayed:
            raise Unavailable(f"node {node_id} is changing its manager", hint="try again")
        return address

    def others(self) -> tuple[str, ...]:
        """The addresses of the other managers that hold sessions."""
        view = self._mirror.view
        holders = {each.manager_id for each in view.sessions.values()} - {self._node_id}
        return tuple(sorted(view.managers[each] for each in holders if each in view.managers))

    @asynccontextmanager
    async def asking(
        self, address: str, caller: str
    ) -> AsyncGenerator["tuple[control_pb2_grpc.ControlAsyncStub, Metadata]"]:
        """The other manager's API, and what to call it with; its errors arrive as ours."""
        async with self._dial(address) as channel:
            try:
                yield control_pb2_grpc.ControlStub(channel), ((RELAYED, caller),)
            except grpc.RpcError as err:
                raise failure(err) from err


def origin(context: Any) -> tuple[str, bool]:
    """The node that asked first, and whether another manager handed its call to us."""
    for key, value in context.invocation_metadata() or ():
        if key == RELAYED:
            return str(value), True
    return str(peer().node_id), False
