"""Serve this host's node daemon to swarmctl: messages in, the node's verbs, messages out."""

import time

from manager.control.clusters import filled
from swarm import __version__, codec
from swarm.api.v1 import daemon_pb2, daemon_pb2_grpc, specs_pb2
from swarm.io.rpc import Context
from swarm.specs import Availability, ClusterSpec
from swarmd.io.node import Node


class DaemonService(daemon_pb2_grpc.DaemonServicer):
    """The Daemon service of daemon.proto."""

    def __init__(self, node: Node) -> None:
        self._node = node

    async def GetStatus(
        self, request: daemon_pb2.GetStatusRequest, context: Context
    ) -> daemon_pb2.GetStatusResponse:
        settings, membership = self._node.settings, self._node.membership
        response = daemon_pb2.GetStatusResponse(
            metrics_addr=settings.metrics_addr,
            data_root=settings.data_root,
            run_root=settings.run_root,
            userns_remap=settings.userns_remap,
            docker_socket=str(settings.docker_door or ""),
            docker_addr=settings.docker_addr,
            version=__version__,
        )
        if membership is not None:
            response.node_id = membership.node_id
            response.cluster_id = membership.cluster_id
            response.role = specs_pb2.Role.ValueType(membership.role)
            response.advertise_addr = membership.advertise_addr
        elapsed = time.time() - time.monotonic()
        for name, life in self._node.supervisor.lives.items():
            response.parts.add(
                name=name, pid=life.pid, since=life.started_at + elapsed, restarts=life.restarts
            )
        return response

    async def Init(
        self, request: daemon_pb2.InitRequest, context: Context
    ) -> daemon_pb2.InitResponse:
        spec = ClusterSpec()
        if request.HasField("spec"):
            spec = filled(codec.from_message(ClusterSpec, request.spec), spec)
        entered = await self._node.init(
            spec,
            advertise=request.advertise_addr,
            listen=request.listen_addr,
            data_path=request.data_path_addr,
            availability=Availability(request.availability),
        )
        return daemon_pb2.InitResponse(
            node_id=entered.membership.node_id,
            cluster_id=entered.membership.cluster_id,
            worker_token=entered.worker_token,
            manager_addr=entered.membership.advertise_addr,
            metrics_addr=self._node.settings.metrics_addr,
        )

    async def Join(
        self, request: daemon_pb2.JoinRequest, context: Context
    ) -> daemon_pb2.JoinResponse:
        entered = await self._node.join(
            request.token,
            request.manager_addr,
            advertise=request.advertise_addr,
            listen=request.listen_addr,
            data_path=request.data_path_addr,
            availability=Availability(request.availability),
        )
        return daemon_pb2.JoinResponse(
            node_id=entered.membership.node_id,
            role=specs_pb2.Role.ValueType(entered.membership.role),
        )

    async def Leave(
        self, request: daemon_pb2.LeaveRequest, context: Context
    ) -> daemon_pb2.LeaveResponse:
        await self._node.leave(force=request.force)
        return daemon_pb2.LeaveResponse()
