"""Serve the networks of this node alone, on the agent's own socket, which only root can open.

One is there for containers as soon as it is written down, and gone for them before it is for the
kernel.
"""

from agent.io.connections import Connections
from agent.standalone.io.endpoints import Endpoints
from agent.standalone.io.journal import Journal
from agent.standalone.io.lives import Lives
from agent.standalone.io.local_networks import LocalNetworks, Place
from agent.topology import Changes
from swarm.api.v1 import localnetworks_pb2 as pb
from swarm.api.v1 import localnetworks_pb2_grpc
from swarm.codec import from_message, to_message
from swarm.ids import TaskId
from swarm.io.rpc import Context
from swarm.specs import NetworkSpec


class LocalNetworksService(localnetworks_pb2_grpc.LocalNetworksServicer):
    """The LocalNetworks service of localnetworks.proto."""

    def __init__(
        self,
        networks: LocalNetworks,
        connections: Connections,
        lives: Lives,
        endpoints: Endpoints,
        journal: Journal,
    ) -> None:
        self._networks = networks
        self._connections = connections
        self._lives = lives
        self._endpoints = endpoints
        self._journal = journal

    async def CreateLocalNetwork(
        self, request: pb.CreateLocalNetworkRequest, context: Context
    ) -> pb.CreateLocalNetworkResponse:
        network, warnings = await self._networks.create(from_message(NetworkSpec, request.spec))
        await self._connections.follow_here(Changes(put=(network,)))
        place = self._networks.find(network.id)
        self._tell(place, "create")
        return pb.CreateLocalNetworkResponse(network=self._view(place), warnings=warnings)

    async def ListLocalNetworks(
        self, request: pb.ListLocalNetworksRequest, context: Context
    ) -> pb.ListLocalNetworksResponse:
        return pb.ListLocalNetworksResponse(networks=map(self._view, self._networks.all()))

    async def RemoveLocalNetwork(
        self, request: pb.RemoveLocalNetworkRequest, context: Context
    ) -> pb.RemoveLocalNetworkResponse:
        place = self._networks.find(request.network)
        self._networks.remove(place, name_of=self._name_of)
        await self._connections.follow_here(Changes(gone=(place.network,)))
        self._tell(place, "destroy")
        return pb.RemoveLocalNetworkResponse()

    def _view(self, place: Place) -> pb.LocalNetwork:
        shown = pb.LocalNetwork(
            network=to_message(place.network),
            driver=place.driver,
            endpoints=self._endpoints.members(place),
            users=self._endpoints.users(place),
        )
        shown.network.id = place.id
        return shown

    def _name_of(self, container_id: TaskId) -> str:
        record = self._lives.record(container_id)
        return record.name if record is not None else container_id

    def _tell(self, place: Place, action: str) -> None:
        attributes = {"name": place.name, "type": place.driver}
        self._journal.tell("network", action, place.id, attributes, name=place.name)
