"""Have containers of this node be guests of the swarm's networks.

Addresses there have one giver, the leader: a manager is asked for them, over the session that
there is, before a container starts or is connected. What nobody needs any more is told as soon as
somebody listens. What the managers believe of this node is looked at now and then, in the
topology: they are told of what is not so, whatever we or they forgot.
"""

import asyncio
from collections.abc import Iterable
from typing import Final, Protocol

import grpc
import structlog

from agent.attachments import Connection
from agent.io.connections import Connections
from agent.standalone.record import Record
from agent.topology import LOCAL_ID_LENGTH, Table, is_local
from swarm.api.v1 import dispatch_pb2, dispatch_pb2_grpc
from swarm.errors import Missing, Refused, SwarmError, Unavailable
from swarm.ids import NetworkId, NodeId, TaskId
from swarm.io.rpc import failure
from swarm.objects import Attachment
from swarm.standalone import ContainerNetwork
from swarm.topology import Endpoint

ASKED_WITHIN_S: Final = 8.0
HEARD_WITHIN_S: Final = 5.0
LOOK_S: Final = 30.0
AGAIN_S: Final = 2.0

Stay = tuple[TaskId, NetworkId]


class Dispatcher(Protocol):
    """How a manager is asked; None while none listens."""

    def __call__(self) -> "dispatch_pb2_grpc.DispatcherAsyncStub | None": ...


class Guests:
    """This node's guests."""

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
        dispatcher = self._dispatcher()
        if not self._node_id:
            raise Missing(f"network {asked.network} not found")
        if dispatcher is None:
            raise Unavailable(
                f"could not attach to network {asked.network}: no manager of the swarm answers",
                hint="addresses in the swarm's networks come from its managers; try again",
            )
        request = dispatch_pb2.AttachGuestRequest(
            container_id=record.id,
            name=record.name,
            network=asked.network,
            aliases=asked.aliases,
            addresses=[each for each in (asked.ipv4_address, asked.ipv6_address) if each],
        )
        task_id = TaskId(record.id)
        self._coming.add(task_id)
        try:
            answer = await dispatcher.AttachGuest(request, timeout=ASKED_WITHIN_S)
        except grpc.RpcError as err:
            raise _explained(failure(err), asked.network) from err
        finally:
            self._coming.discard(task_id)
        stay = (task_id, NetworkId(answer.network_id))
        self._wanted.add(stay)
        self._leaving.discard(stay)
        await self._heard_of(stay, tuple(answer.addresses), asked.network)
        return Attachment(
            network_id=stay[1], addresses=tuple(answer.addresses), aliases=asked.aliases
        )

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
            self._stirred.clear()
            for stay in sorted(self._leaving):
                await self._release(stay)

    async def _release(self, stay: Stay) -> None:
        dispatcher = self._dispatcher()
        if dispatcher is None or stay in self._wanted:
            self._leaving -= self._wanted
            return
        container_id, network_id = stay
        request = dispatch_pb2.ReleaseGuestRequest(container_id=container_id, network_id=network_id)
        try:
            await dispatcher.ReleaseGuest(request, timeout=ASKED_WITHIN_S)
        except grpc.RpcError as err:
            self._log.debug("guest.not_released", container_id=container_id, reason=str(err))
            return
        if stay not in self._wanted:
            self._leaving.discard(stay)

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

    async def _heard_of(self, stay: Stay, addresses: tuple[str, ...], network: str) -> None:
        """Wait until the topology has come that says so, too."""

        def is_known() -> bool:
            found = self._table.endpoints(stay[0]).get(stay[1])
            return found is not None and found.addresses == addresses

        try:
            async with asyncio.timeout(HEARD_WITHIN_S):
                await self._connections.until(is_known)
        except TimeoutError as err:
            self.leave(*stay)
            raise Unavailable(
                f"could not attach to network {network}: its managers did not tell of it in time",
                hint="try again",
            ) from err


def _explained(err: SwarmError, network: str) -> SwarmError:
    if isinstance(err, Refused):
        return Refused(f"could not attach to network {network}: {err.message}", hint=err.hint)
    return err
