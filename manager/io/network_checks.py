"""Have every node of a network probe every other, and pass on what they find.

The nodes of this manager's sessions are asked here, those of others by their managers, all at
once: a report is passed on as it comes. A node that says nothing has a report that says so.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable

from manager.control.members import PeerMember, peers_of
from manager.control.networks import tasks_in
from manager.control.targets import unreachable
from manager.finding import find_network
from manager.io.mirror import Mirror
from manager.io.reach import Reach
from swarm.api.v1 import control_pb2, dispatch_pb2
from swarm.errors import SwarmError
from swarm.ids import NodeId
from swarm.states import NodeState

REPORTED_WITHIN_S = 20.0
AT_ONCE = 64
"""How many nodes probe at a time: each of them sends to all others."""


class NetworkChecks:
    """Checks of networks. `node_id` is this manager's own node."""

    def __init__(self, mirror: Mirror, reach: Reach) -> None:
        self._mirror = mirror
        self._reach = reach

    async def check(
        self, request: control_pb2.CheckNetworkRequest, caller: str, *, is_relayed: bool
    ) -> AsyncGenerator[control_pb2.NetworkReport]:
        """The reports of the nodes that have tasks in the network, or guests."""
        view = self._mirror.view
        network_id = find_network(view, request.network)
        peers = peers_of(view, network_id, tasks_in(view, network_id))
        here = [each for each in peers if self._reach.conversations.is_here(each.node_id)]
        reports: asyncio.Queue[control_pb2.NetworkReport | None] = asyncio.Queue()
        asked: list[Callable[[], Awaitable[None]]] = [
            _Asking(self, network_id, peer, peers, reports).run for peer in here
        ]
        if not is_relayed:
            asked += [
                _Relaying(self._reach, address, request, caller, reports).run
                for address in self._reach.others()
            ]
            held = {session.node_id for session in view.sessions.values()}
            for peer in peers:
                if peer not in here and peer.node_id not in held:
                    reports.put_nowait(self.silent(peer.node_id))
        room = asyncio.Semaphore(AT_ONCE)
        running = asyncio.ensure_future(_all(asked, room, reports))
        try:
            while (report := await reports.get()) is not None:
                yield self._named(report)
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)

    async def ask(
        self, network_id: str, peer: PeerMember, peers: list[PeerMember]
    ) -> control_pb2.NetworkReport:
        """What one node finds of the others that are up."""
        others = [
            each.node_id
            for each in peers
            if each.node_id != peer.node_id and each.state is not NodeState.DOWN
        ]
        question = dispatch_pb2.Question(
            network_check=dispatch_pb2.NetworkCheckQuestion(network_id=network_id, node_ids=others)
        )
        try:
            conversation = await self._reach.conversations.open(peer.node_id, question)
        except SwarmError as err:
            return control_pb2.NetworkReport(node_id=peer.node_id, unreachable=err.message)
        try:
            async with asyncio.timeout(REPORTED_WITHIN_S):
                answer = await conversation.next()
        except TimeoutError:
            said = f"it did not report within {REPORTED_WITHIN_S:.0f} s"
            return control_pb2.NetworkReport(node_id=peer.node_id, unreachable=said)
        except SwarmError as err:
            return control_pb2.NetworkReport(node_id=peer.node_id, unreachable=err.message)
        finally:
            conversation.close()
        report = answer.network_report
        report.node_id = peer.node_id
        return report

    def silent(self, node_id: NodeId) -> control_pb2.NetworkReport:
        """The report of a node that has no session."""
        said = unreachable(self._mirror.view, node_id)
        return control_pb2.NetworkReport(node_id=node_id, unreachable=said)

    def _named(self, report: control_pb2.NetworkReport) -> control_pb2.NetworkReport:
        """The report with the names of nodes."""
        report.hostname = self._hostname(report.node_id)
        for peer in report.peers:
            peer.hostname = self._hostname(peer.node_id)
        return report

    def _hostname(self, node_id: str) -> str:
        node = self._mirror.view.nodes.get(NodeId(node_id))
        return node.description.hostname if node is not None else ""


class _Asking:
    """One of our nodes."""

    def __init__(
        self,
        checks: NetworkChecks,
        network_id: str,
        peer: PeerMember,
        peers: list[PeerMember],
        reports: "asyncio.Queue[control_pb2.NetworkReport | None]",
    ) -> None:
        self._checks = checks
        self._network_id = network_id
        self._peer = peer
        self._peers = peers
        self._reports = reports

    async def run(self) -> None:
        report = await self._checks.ask(self._network_id, self._peer, self._peers)
        self._reports.put_nowait(report)


class _Relaying:
    """Another manager's nodes."""

    def __init__(
        self,
        reach: Reach,
        address: str,
        request: control_pb2.CheckNetworkRequest,
        caller: str,
        reports: "asyncio.Queue[control_pb2.NetworkReport | None]",
    ) -> None:
        self._reach = reach
        self._address = address
        self._request = request
        self._caller = caller
        self._reports = reports

    async def run(self) -> None:
        try:
            async with self._reach.asking(self._address, self._caller) as (stub, metadata):
                async for report in stub.CheckNetwork(self._request, metadata=metadata):
                    self._reports.put_nowait(report)
        except SwarmError as err:
            said = f"the manager at {self._address} did not answer: {err.message}"
            self._reports.put_nowait(control_pb2.NetworkReport(unreachable=said))


async def _all(
    asked: list[Callable[[], Awaitable[None]]],
    room: asyncio.Semaphore,
    reports: "asyncio.Queue[control_pb2.NetworkReport | None]",
) -> None:
    """Run them, some at a time, and say when there is no more to come."""

    async def one(run: Callable[[], Awaitable[None]]) -> None:
        async with room:
            await run()

    try:
        async with asyncio.TaskGroup() as group:
            for each in asked:
                group.create_task(one(each))
    finally:
        reports.put_nowait(None)
