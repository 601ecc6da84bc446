"""Serve agents whose containers are to be in the swarm's networks.

Any manager writes down what a node asks for, and waits until the leader has given addresses or
said why not. What is not given in time, or not at all, is taken back: nothing is held for nobody.
"""

import asyncio
from collections.abc import Callable

from manager.applied import Applied
from manager.control import guests
from manager.decoding import GuestKey
from manager.finding import find_network
from manager.io.mirror import Mirror
from manager.store import Commit
from swarm.api.v1 import dispatch_pb2
from swarm.errors import Conflict, Missing, Refused, Unavailable
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Guest

ATTEMPTS = 8
PLACED_WITHIN_S = 4.0


class Guests:
    """The guests that this manager is asked about."""

    def __init__(self, mirror: Mirror) -> None:
        self._mirror = mirror
        self._waiting: dict[GuestKey, set[asyncio.Event]] = {}
        mirror.listen(self._changed)

    async def attach(
        self, node_id: NodeId, request: dispatch_pb2.AttachGuestRequest
    ) -> dispatch_pb2.AttachGuestResponse:
        """Have a container of a node be in a network; gives its addresses there."""
        view = self._mirror.view
        network_id = self._network(request.network)
        if node_id not in view.nodes:
            raise Refused(f"node {node_id} was removed from the swarm")
        asked = Guest(
            id=TaskId(request.container_id),
            node_id=node_id,
            network_id=network_id,
            name=request.name,
            aliases=tuple(request.aliases),
            wanted=tuple(request.addresses),
        )
        key = (asked.id, network_id)

        def decide() -> Commit:
            if network_id not in view.networks:
                raise Missing(f"network {request.network} not found")
            return guests.admit(view, asked, now=self._mirror.clock())

        try:
            await self._commit(decide)
            placed = await self._placed(key)
        except Unavailable:
            await self._take_back(asked)
            raise
        if placed is None or not placed.addresses:
            await self._take_back(asked)
            why = placed.message if placed is not None else ""
            raise Refused(why or f"network {request.network} was removed meanwhile")
        return dispatch_pb2.AttachGuestResponse(network_id=network_id, addresses=placed.addresses)

    async def release(
        self, node_id: NodeId, request: dispatch_pb2.ReleaseGuestRequest
    ) -> dispatch_pb2.ReleaseGuestResponse:
        """Have it be there no more."""
        container_id, network_id = TaskId(request.container_id), NetworkId(request.network_id)

        def decide() -> Commit:
            return guests.release(self._mirror.view, node_id, container_id, network_id or None)

        await self._commit(decide)
        return dispatch_pb2.ReleaseGuestResponse()

    def _network(self, text: str) -> NetworkId:
        try:
            return find_network(self._mirror.view, text)
        except Missing as err:
            raise Missing(f"network {text} not found") from err

    async def _placed(self, key: GuestKey) -> Guest | None:
        """What the leader made of a guest; None when somebody has removed it."""
        view, wake = self._mirror.view, asyncio.Event()
        waiting = self._waiting.setdefault(key, set())
        waiting.add(wake)
        try:
            async with asyncio.timeout(PLACED_WITHIN_S):
                while (guest := view.guests.get(key)) is not None:
                    if guest.addresses or guest.message:
                        return guest
                    wake.clear()
                    await wake.wait()
        except TimeoutError as err:
            raise Unavailable(
                f"nobody gave the container an address within {PLACED_WITHIN_S:g} s",
                hint="the swarm may have no leader: look at its managers",
            ) from err
        finally:
            waiting.discard(wake)
            if not waiting:
                self._waiting.pop(key, None)
        return None

    async def _take_back(self, asked: Guest) -> None:
        """Leave nothing that whoever asked does not know of; what fails, the leader forgets."""

        def decide() -> Commit:
            known = self._mirror.view.guests.get((asked.id, asked.network_id))
            if known is None or known.addresses:
                return Commit()
            return guests.release(self._mirror.view, asked.node_id, asked.id, asked.network_id)

        try:
            await self._commit(decide)
        except (Conflict, Unavailable):
            return

    async def _commit(self, decide: Callable[[], Commit]) -> None:
        for _ in range(ATTEMPTS):
            commit = decide()
            if not commit.operations:
                return
            try:
                await self._mirror.commit(commit)
            except Conflict:
                await self._mirror.settle()
            else:
                return
        raise Unavailable("others keep changing the same objects", hint="try again")

    def _changed(self, applied: Applied) -> None:
        for key in self._waiting.keys() & applied.guests if self._waiting else ():
            for wake in self._waiting[key]:
                wake.set()
