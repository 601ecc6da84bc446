"""Have containers of this node be guests of the swarm's networks.

Addresses there have one giver, the leader: a manager is asked for them, over the session that
there is, before a container starts or is connected. What nobody needs any more is told as soon as
somebody listens. What the managers believe of this node is looked at now and then, in the
topology: they are told of what is not so, and asked again for what is and they forgot.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

import structlog

from agent.attachments import Connection
from agent.images.io.locks import Locks
from agent.io.connections import Connections
from agent.standalone.io.managers import Dispatcher, ask
from agent.standalone.record import Record
from agent.topology import LOCAL_ID_LENGTH, Table, is_local
from swarm.api.v1 import dispatch_pb2
from swarm.errors import Missing, Refused, SwarmError, Unavailable
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.objects import Attachment
from swarm.standalone import ContainerNetwork
from swarm.topology import Endpoint

ASKED_WITHIN_S: Final = 8.0
HEARD_WITHIN_S: Final = 5.0
RELEASED_WITHIN_S: Final = 2.0
LOOK_S: Final = 30.0
AGAIN_S: Final = 2.0

Stay = tuple[TaskId, NetworkId]


class Guests:
    """This node's guests. What is asked for one container is asked in order: what an earlier run
    of it gives back never takes from a later one."""

    def __init__(
        self,
        table: Table,
        connections: Connections,
        *,
        node_id: NodeId,
        dispatcher: Dispatcher,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self._table = table
        self._connections = connections
        self._node_id = node_id
        self._dispatcher = dispatcher
        self._log = log
        self._wanted: set[Stay] = set()
        self._leaving: set[Stay] = set()
        self._coming: set[TaskId] = set()
        self._turns: Locks[TaskId] = Locks()
        self._stirred = asyncio.Event()

    def adopt(self, known: Iterable[Connection]) -> None:
        """These run, and are where an earlier agent connected them to."""
        self._wanted |= {
            (each.asker.task_id, at.network_id)
            for each in known
            if each.is_standalone
            for at in each.attachments
            if not is_local(at.network_id)
        }

    async def attach(self, record: Record, asked: ContainerNetwork) -> Attachment:
        """A container's place in a network of the swarm, which is known here by then."""
        if not self._node_id:
            raise Missing(f"network {asked.network} not found")
        task_id = TaskId(record.id)
        request = dispatch_pb2.AttachGuestRequest(
            container_id=record.id,
            name=record.name,
            network=asked.network,
            aliases=asked.aliases,
            addresses=[each for each in (asked.ipv4_address, asked.ipv6_address) if each],
        )
        async with self._turns.holding(task_id):
            self._coming.add(task_id)
            try:
                given = await self._attached(request)
            except SwarmError as err:
                raise _explained(err, asked.network) from err
            finally:
                self._coming.discard(task_id)
        return given

    def leave(self, container_id: TaskId, network_id: NetworkId | None = None) -> None:
        """A container is in a network no more, or in none."""
        for stay in [each for each in self._wanted if each[0] == container_id]:
            if network_id in (None, stay[1]):
                self._wanted.discard(stay)
                self._leaving.add(stay)
        self._stirred.set()

    async def run(self) -> None:
        """Tell of those that left, for ever."""
        while True:
            pause_s = AGAIN_S if self._leaving else LOOK_S
            try:
                async with asyncio.timeout(pause_s):
                    await self._stirred.wait()
            except TimeoutError:
                self._leaving |= self._strays()
                for lost in tuple(self._lost()):
                    await self._regain(lost)
            self._stirred.clear()
            for stay in sorted(self._leaving):
                await self._release(stay)

    async def _attached(self, request: dispatch_pb2.AttachGuestRequest) -> Attachment:
        answer = await ask(
            self._dispatcher,
            lambda stub, left_s: stub.AttachGuest(request, timeout=left_s),
            within_s=ASKED_WITHIN_S,
        )
        stay = (TaskId(request.container_id), NetworkId(answer.network_id))
        given = Attachment(
            network_id=stay[1],
            addresses=tuple(answer.addresses),
            aliases=tuple(request.aliases),
        )
        was_there = stay in self._wanted
        self._wanted.add(stay)
        self._leaving.discard(stay)
        try:
            await self._heard_of(stay, given.addresses)
        except BaseException:
            if not was_there:
                self.leave(*stay)
            raise
        return given

    async def _heard_of(self, stay: Stay, addresses: tuple[str, ...]) -> None:
        """Wait until the topology has come that says so, too."""

        def is_known() -> bool:
            found = self._table.endpoints(stay[0]).get(stay[1])
            return found is not None and found.addresses == addresses

        try:
            async with asyncio.timeout(HEARD_WITHIN_S):
                await self._connections.until(is_known)
        except TimeoutError as err:
            raise Unavailable("the managers did not tell of it in time", hint="try again") from err

    async def _release(self, stay: Stay) -> None:
        container_id, network_id = stay
        request = dispatch_pb2.ReleaseGuestRequest(container_id=container_id, network_id=network_id)
        async with self._turns.holding(container_id):
            if stay in self._wanted:
                self._leaving.discard(stay)
            if stay not in self._leaving or self._dispatcher() is None:
                return
            try:
                await ask(
                    self._dispatcher,
                    lambda stub, left_s: stub.ReleaseGuest(request, timeout=left_s),
                    within_s=RELEASED_WITHIN_S,
                )
            except SwarmError as err:
                self._log.debug("guest.not_released", container_id=container_id, reason=err.message)
                return
            self._leaving.discard(stay)

    # -- what the managers believe ---------------------------------------------------------------

    def _strays(self) -> set[Stay]:
        """What the managers say is here, and is not."""
        return {
            (record.task_id, record.network_id)
            for record in self._table.records.values()
            if isinstance(record, Endpoint)
            and record.node_id == self._node_id
            and len(record.task_id) == LOCAL_ID_LENGTH
            and record.task_id not in self._coming
        } - self._wanted

    def _lost(self) -> Iterator[tuple[Connection, Attachment]]:
        """What is here, and the managers do not say so: they let a node go that came back."""
        if self._dispatcher() is None:
            return
        for task_id, network_id in sorted(self._wanted):
            known = self._connections.connection(task_id)
            if known is None or network_id in self._table.endpoints(task_id):
                continue
            for each in known.attachments:
                if each.network_id == network_id and task_id not in self._coming:
                    yield known, each

    async def _regain(self, lost: tuple[Connection, Attachment]) -> None:
        """Have it be a guest again, at the addresses that it has."""
        known, at = lost
        container_id = known.asker.task_id
        request = dispatch_pb2.AttachGuestRequest(
            container_id=container_id,
            name=known.name,
            network=at.network_id,
            aliases=at.aliases,
            addresses=at.addresses,
        )
        async with self._turns.holding(container_id):
            if (container_id, at.network_id) not in self._wanted:
                return
            try:
                await self._attached(request)
            except Unavailable:
                return
            except SwarmError as err:
                self._wanted.discard((container_id, at.network_id))
                self._log.warning("guest.lost", container_id=container_id, reason=err.message)
            else:
                self._log.info("guest.regained", container_id=container_id)


def _explained(err: SwarmError, network: str) -> SwarmError:
    if isinstance(err, Refused | Unavailable):
        said = f"could not attach to network {network}: {err.message}"
        return type(err)(said, hint=err.hint)
    return err
