"""Serve Docker's API over a socket, in front of a real manager and a scripted node.

What swarmd does is done by its own relay; whether the node is in the swarm is `role`. The agent's
services on the node are small fakes that keep what they are told in memory.
"""

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc.aio
import httpx
import structlog

from engine.config import Config
from engine.io.backends import Backends
from engine.io.dispatch import Dispatch
from engine.io.routes import ROUTES
from engine.io.server import Server
from swarm.api.v1 import (
    containers_pb2,
    containers_pb2_grpc,
    daemon_pb2,
    daemon_pb2_grpc,
    localnetworks_pb2,
    localnetworks_pb2_grpc,
    objects_pb2,
    specs_pb2,
    volumes_pb2,
    volumes_pb2_grpc,
)
from swarm.errors import Missing, Refused, Unavailable
from swarm.io import tls
from swarm.io.rpc import ErrorInterceptor
from swarm.specs import BRIDGE, HOST, NONE, Role
from swarmd.io.relay import Relay
from tests.manager.io.swarm import Swarm, found_swarm, swarming
from tests.sim.fake_store import FakeStore

LOG = structlog.stdlib.get_logger()
VERSION = "v1.47"


class Daemon(daemon_pb2_grpc.DaemonServicer):
    """swarmd, as far as it is asked what its node is, and told to enter and leave."""

    def __init__(self) -> None:
        self.role: Role | None = Role.MANAGER
        self.asked: list[Any] = []
        self.silent: set[str] = set()
        self.looks = 0

    async def GetStatus(self, request: Any, context: Any) -> daemon_pb2.GetStatusResponse:
        self.looks += 1
        if self.role is None:
            return daemon_pb2.GetStatusResponse()
        return daemon_pb2.GetStatusResponse(
            node_id="manager-1", cluster_id="cluster", role=specs_pb2.Role.ValueType(self.role)
        )

    async def Init(self, request: daemon_pb2.InitRequest, context: Any) -> Any:
        self.asked.append(request)
        self.role = Role.MANAGER
        return daemon_pb2.InitResponse(node_id="manager-1")

    async def Join(self, request: daemon_pb2.JoinRequest, context: Any) -> Any:
        self.asked.append(request)
        if request.manager_addr in self.silent:
            raise Unavailable("nobody answers")
        self.role = Role.WORKER
        return daemon_pb2.JoinResponse(node_id="worker-1")

    async def Leave(self, request: daemon_pb2.LeaveRequest, context: Any) -> Any:
        self.asked.append(request)
        self.role = None
        return daemon_pb2.LeaveResponse()


class Networks(localnetworks_pb2_grpc.LocalNetworksServicer):
    """This node's own networks."""

    def __init__(self) -> None:
        self.networks: dict[str, localnetworks_pb2.LocalNetwork] = {}
        for name in (BRIDGE, HOST, NONE):
            self.add(specs_pb2.NetworkSpec(name=name, driver=specs_pb2.NETWORK_DRIVER_BRIDGE))

    def add(self, spec: specs_pb2.NetworkSpec) -> localnetworks_pb2.LocalNetwork:
        """A network that is there now."""
        made = localnetworks_pb2.LocalNetwork(
            network=objects_pb2.Network(id=secrets.token_hex(32), spec=spec, created_at=1.0),
            driver={HOST: "host", NONE: "null"}.get(spec.name, "bridge"),
        )
        made.network.subnets.extend(spec.subnets)
        self.networks[made.network.id] = made
        return made

    def named(self, name: str) -> localnetworks_pb2.LocalNetwork:
        """The network with that name."""
        return next(each for each in self.networks.values() if each.network.spec.name == name)

    async def ListLocalNetworks(self, request: Any, context: Any) -> Any:
        return localnetworks_pb2.ListLocalNetworksResponse(networks=self.networks.values())

    async def CreateLocalNetwork(self, request: Any, context: Any) -> Any:
        if any(each.network.spec.name == request.spec.name for each in self.networks.values()):
            raise Refused(f"network with name {request.spec.name} already exists")
        return localnetworks_pb2.CreateLocalNetworkResponse(network=self.add(request.spec))

    async def RemoveLocalNetwork(self, request: Any, context: Any) -> Any:
        if self.networks[request.network].users:
            raise Refused("it has active endpoints")
        del self.networks[request.network]
        return localnetworks_pb2.RemoveLocalNetworkResponse()


class Volumes(volumes_pb2_grpc.VolumesServicer):
    """This node's volumes."""

    def __init__(self) -> None:
        self.volumes: dict[str, volumes_pb2.Volume] = {}

    async def ListVolumes(self, request: Any, context: Any) -> Any:
        return volumes_pb2.ListVolumesResponse(volumes=self.volumes.values())

    async def InspectVolume(self, request: Any, context: Any) -> Any:
        if request.name not in self.volumes:
            raise Missing(f"no such volume: {request.name}")
        return volumes_pb2.InspectVolumeResponse(volume=self.volumes[request.name])

    async def CreateVolume(self, request: Any, context: Any) -> Any:
        name, labels = request.name or secrets.token_hex(32), dict(request.labels)
        if not request.name:
            labels["com.docker.volume.anonymous"] = ""
        made = volumes_pb2.Volume(
            name=name, driver="local", labels=labels, options=request.options, created_at=5.0
        )
        self.volumes[name] = made
        return volumes_pb2.CreateVolumeResponse(volume=made)

    async def RemoveVolume(self, request: Any, context: Any) -> Any:
        if request.name not in self.volumes and not request.force:
            raise Missing(f"no such volume: {request.name}")
        self.volumes.pop(request.name, None)
        return volumes_pb2.RemoveVolumeResponse()

    async def PruneVolumes(self, request: Any, context: Any) -> Any:
        for name in request.names:
            del self.volumes[name]
        return volumes_pb2.PruneVolumesResponse(removed=request.names, reclaimed_bytes=7)


class Containers(containers_pb2_grpc.ContainersServicer):
    """This node's containers, as far as networks are concerned."""

    def __init__(self) -> None:
        self.views: list[containers_pb2.ContainerView] = []
        self.asked: list[Any] = []
        self.happened: list[objects_pb2.Event] = []
        self.listens = asyncio.Event()

    async def ListContainers(self, request: Any, context: Any) -> Any:
        return containers_pb2.ListContainersResponse(containers=self.views)

    async def InspectContainer(self, request: Any, context: Any) -> Any:
        for view in self.views:
            if request.container in (view.id, view.name):
                return containers_pb2.InspectContainerResponse(container=view)
        raise Missing(f"No such container: {request.container}")

    async def ConnectContainer(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return containers_pb2.ConnectContainerResponse()

    async def DisconnectContainer(self, request: Any, context: Any) -> Any:
        self.asked.append(request)
        return containers_pb2.DisconnectContainerResponse()

    async def WatchNodeEvents(self, request: Any, context: Any) -> AsyncIterator[Any]:
        """What happened since then, once it may be heard of."""
        await self.listens.wait()
        for event in self.happened:
            if request.since and event.at >= request.since:
                yield event
        await asyncio.Event().wait()


class World:
    """The node, its manager, and a client."""

    def __init__(self, swarm: Swarm, client: httpx.AsyncClient) -> None:
        self.swarm = swarm
        self.client = client
        self.daemon = Daemon()
        self.networks = Networks()
        self.volumes = Volumes()
        self.containers = Containers()

    async def ask(
        self, method: str, path: str, body: Any = None, *, expects: int = 200, **params: Any
    ) -> Any:
        """One request; what its answer holds, which has to have the status that one `expects`."""
        answer = await self.client.request(
            method, f"/{VERSION}{path}", json=body, params=params or None
        )
        assert answer.status_code == expects, (answer.status_code, answer.text)
        is_json = answer.headers.get("content-type", "").startswith("application/json")
        return answer.json() if is_json else answer.content

    async def get(self, path: str, **params: Any) -> Any:
        """Ask for something that is there."""
        return await self.ask("GET", path, **params)

    async def refused(self, method: str, path: str, body: Any = None, **params: Any) -> str:
        """The words of a refusal, with its status before them."""
        answer = await self.client.request(
            method, f"/{VERSION}{path}", json=body, params=params or None
        )
        assert answer.status_code >= 400, answer.text
        return f"{answer.status_code} {answer.json()['message']}"


Story = Callable[[World], Awaitable[None]]


def tell(tmp_path: Path, story: Story) -> None:
    """Run a story, within a minute."""

    async def play() -> None:
        async with living(tmp_path) as world, asyncio.timeout(60):
            await story(world)

    asyncio.run(play())


@asynccontextmanager
async def living(tmp_path: Path) -> AsyncIterator[World]:
    """All of it, until the end of the block."""
    swarmd, agent = str(tmp_path / "swarmd.sock"), str(tmp_path / "agent.sock")
    tmp_path.mkdir(exist_ok=True)
    door = socket.socket(socket.AF_UNIX)
    door.bind(str(tmp_path / "docker.sock"))
    door.listen()
    transport = httpx.AsyncHTTPTransport(uds=str(tmp_path / "docker.sock"))
    async with (
        swarming(FakeStore(), found_swarm(tmp_path)) as swarm,
        httpx.AsyncClient(transport=transport, base_url="http://docker", timeout=30) as client,
    ):
        world = World(swarm, client)
        to_manager = tls.channel(swarm.address, swarm.members.identity)

        async def dial() -> grpc.aio.Channel:
            if world.daemon.role is None:
                raise Refused("this node is not part of a swarm")
            if world.daemon.role is Role.WORKER:
                raise Refused("a worker may not call")
            return to_manager

        servers = [
            await _served(swarmd, world.daemon, Relay({"swarm.api.v1.Control": dial})),
            await _served(agent, world.networks, world.volumes, world.containers),
        ]
        backends = Backends(swarmd_socket=swarmd, agent_socket=agent)
        dispatch = Dispatch(ROUTES, config=_config(tmp_path), backends=backends, log=LOG)
        server = Server(dispatch.answer, log=LOG)
        server.listen(door)
        try:
            yield world
        finally:
            await server.close()
            await dispatch.close()
            await backends.close()
            for each in servers:
                await each.stop(None)
            await to_manager.close()


_ADDERS: dict[type[Any], Callable[[Any, Any], None]] = {
    Daemon: daemon_pb2_grpc.add_DaemonServicer_to_server,
    Networks: localnetworks_pb2_grpc.add_LocalNetworksServicer_to_server,
    Volumes: volumes_pb2_grpc.add_VolumesServicer_to_server,
    Containers: containers_pb2_grpc.add_ContainersServicer_to_server,
}


async def _served(path: str, *services: Any) -> grpc.aio.Server:
    server = grpc.aio.server(interceptors=(ErrorInterceptor(LOG),))
    for each in services:
        if isinstance(each, Relay):
            server.add_generic_rpc_handlers((each,))
        else:
            _ADDERS[type(each)](each, server)
    server.add_insecure_port(f"unix:{path}")
    await server.start()
    return server


def _config(tmp_path: Path) -> Config:
    return Config(
        swarmd_socket=str(tmp_path / "swarmd.sock"),
        agent_socket=str(tmp_path / "agent.sock"),
        identity=str(tmp_path),
        data_root=str(tmp_path),
        run_root=str(tmp_path),
        hostname="here",
    )
