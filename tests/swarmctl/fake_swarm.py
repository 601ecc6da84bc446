# ruff: noqa: N802 - gRPC names the methods
"""A swarm in a thread: a real gRPC server on a Unix socket that records what it is asked.

It keeps services, nodes and tasks as the managers would present them, so that a command is
tested against answers of the right shape, and it fails as the daemon fails: with the error in
the trailing metadata.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Condition, Event
from typing import Any

import grpc

from swarm import faults
from swarm.api.v1 import (
    builds_pb2_grpc,
    containers_pb2_grpc,
    control_pb2,
    control_pb2_grpc,
    daemon_pb2,
    daemon_pb2_grpc,
    images_pb2,
    images_pb2_grpc,
    localnetworks_pb2_grpc,
    objects_pb2,
    specs_pb2,
    volumes_pb2,
    volumes_pb2_grpc,
)
from swarm.codec import to_message
from swarm.errors import Conflict, Invalid, KernelRefused, Missing, Refused, SwarmError, Unavailable
from swarm.specs import ServiceSpec
from tests.swarmctl.fake_containers import FakeContainers
from tests.swarmctl.fake_stores import FakeStores

_STATUS = {
    Invalid: grpc.StatusCode.INVALID_ARGUMENT,
    Missing: grpc.StatusCode.NOT_FOUND,
    Refused: grpc.StatusCode.FAILED_PRECONDITION,
    Conflict: grpc.StatusCode.ABORTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    KernelRefused: grpc.StatusCode.FAILED_PRECONDITION,
}

NODE_ID = "n" * 24 + "1"

Program = Callable[[Iterator[control_pb2.StreamInput]], Iterator[control_pb2.StreamOutput]]
"""What a container does with its input."""


class FakeSwarm(
    FakeContainers,
    FakeStores,
    control_pb2_grpc.ControlServicer,
    daemon_pb2_grpc.DaemonServicer,
    images_pb2_grpc.ImagesServicer,
):
    """`requests` holds every message received; `refuse` makes the next calls of a method fail."""

    def __init__(self) -> None:
        super().__init__()
        self.server: grpc.Server | None = None
        self.requests: list[Any] = []
        self.methods: list[str] = []
        self._asked = Condition()
        self.failures: dict[str, SwarmError] = {}
        self.services: dict[str, control_pb2.ServiceView] = {}
        self.nodes: list[control_pb2.NodeView] = []
        self.tasks: list[control_pb2.TaskView] = []
        self.images: list[images_pb2.Image] = []
        self.volumes: list[volumes_pb2.Volume] = []
        self.rolled: list[str] = []
        self.progress: list[control_pb2.ServiceProgress] = []
        self.progress_of_calls: list[list[control_pb2.ServiceProgress]] = []
        self.events: list[objects_pb2.Event] = []
        self.logs: list[control_pb2.LogBatch] = []
        self.programs: list[Program] = []
        self.inputs: list[control_pb2.StreamInput] = []
        self.left = Event()
        self.processes = control_pb2.ListProcessesResponse()
        self.stats: list[control_pb2.StatsBatch] = []
        self.history: list[dict[str, object]] = []
        self.layer_bytes: list[int] = []
        self.pulls: list[images_pb2.PullImageResponse] = []
        self.uploaded = b""
        self.node_id = NODE_ID
        self.health: list[control_pb2.HealthResult] = []
        self.unreachable = ""
        self.endless = False
        self.conflicts = 0
        self.revisions: list[objects_pb2.Revision] = []
        self.secrets: list[control_pb2.SecretView] = []
        self.configs: list[control_pb2.ConfigView] = []
        self.networks: list[control_pb2.NetworkView] = []
        self.members: dict[str, control_pb2.InspectNetworkResponse] = {}
        self.reports: list[control_pb2.NetworkReport] = []
        self.connected = control_pb2.ConnectNetworkResponse(addresses=["10.0.1.9"])
        self.cluster_spec = specs_pb2.ClusterSpec(task_history_limit=9, heartbeat_s=1)
        self.plan = control_pb2.PlanServiceResponse()
        self.explanation = control_pb2.ExplainPlacementResponse()
        self.waves: list[control_pb2.RebalanceResponse] = []
        self.tasks_of_calls: list[list[control_pb2.TaskView]] = []

    def refuse(self, method: str, error: SwarmError) -> None:
        self.failures[method] = error

    def asked(self, kind: type[Any]) -> list[Any]:
        return [each for each in self.requests if isinstance(each, kind)]

    def stop_serving(self) -> None:
        """Go away in the middle of every call."""
        assert self.server is not None
        self.server.stop(grace=None)

    def wait_for(self, method: str) -> None:
        """Return once `method` was called."""
        with self._asked:
            assert self._asked.wait_for(lambda: method in self.methods, timeout=60), method

    def add_service(self, spec: ServiceSpec, *, service_id: str, running: int = 0) -> None:
        service = objects_pb2.Service(
            id=service_id, spec=to_message(spec), spec_version=1, created_at=1e9, updated_at=1.1e9
        )
        wanted = spec.mode.replicas if hasattr(spec.mode, "replicas") else 1
        self.services[service_id] = control_pb2.ServiceView(
            service=service, version=7, wanted=wanted, running=running
        )

    def _fail(self, context: grpc.ServicerContext, error: SwarmError) -> None:
        fail(context, error)

    def _take(self, method: str, request: Any, context: grpc.ServicerContext) -> None:
        with self._asked:
            self.requests.append(request)
            self.methods.append(method)
            self._asked.notify_all()
        error = self.failures.get(method)
        if error is not None:
            fail(context, error)

    # Daemon

    def GetStatus(self, request: Any, context: Any) -> Any:
        self._take("GetStatus", request, context)
        return daemon_pb2.GetStatusResponse(
            node_id=self.node_id,
            cluster_id="c" * 25 if self.node_id else "",
            role=specs_pb2.ROLE_MANAGER,
            advertise_addr="10.0.0.1:2377",
            metrics_addr="127.0.0.1:9323",
            data_root="/var/lib/swarmd",
            run_root="/run/swarmd",
            version="0.1.0",
            parts=[daemon_pb2.Part(name="agent", pid=12, since=1e9, restarts=2)],
        )

    def Init(self, request: Any, context: Any) -> Any:
        self._take("Init", request, context)
        return daemon_pb2.InitResponse(
            node_id=NODE_ID,
            cluster_id="c" * 25,
            worker_token="SWMTKN-1-worker",
            manager_addr="10.0.0.1:2377",
            metrics_addr="127.0.0.1:9323",
        )

    def Join(self, request: Any, context: Any) -> Any:
        self._take("Join", request, context)
        return daemon_pb2.JoinResponse(node_id=NODE_ID, role=specs_pb2.ROLE_WORKER)

    def Leave(self, request: Any, context: Any) -> Any:
        self._take("Leave", request, context)
        return daemon_pb2.LeaveResponse()

    # Control

    def GetJoinToken(self, request: Any, context: Any) -> Any:
        self._take("GetJoinToken", request, context)
        role = specs_pb2.Role.Name(request.role).removeprefix("ROLE_").lower()
        rotated = "-new" if request.rotate else ""
        return control_pb2.GetJoinTokenResponse(
            token=f"SWMTKN-1-{role}{rotated}", manager_addr="10.0.0.1:2377"
        )

    def GetCluster(self, request: Any, context: Any) -> Any:
        self._take("GetCluster", request, context)
        return control_pb2.GetClusterResponse(
            cluster=objects_pb2.Cluster(id="c" * 25, spec=self.cluster_spec)
        )

    def UpdateCluster(self, request: Any, context: Any) -> Any:
        self._take("UpdateCluster", request, context)
        self.cluster_spec = request.spec
        return control_pb2.UpdateClusterResponse()

    def ListNodes(self, request: Any, context: Any) -> Any:
        self._take("ListNodes", request, context)
        found = [view for view in self.nodes if _is_meant(view.node, request.nodes)]
        for name in request.nodes:
            if not any(_is_meant(view.node, [name]) for view in self.nodes):
                fail(context, Missing(f"no such node: {name}"))
        return control_pb2.ListNodesResponse(nodes=found)

    def UpdateNode(self, request: Any, context: Any) -> Any:
        self._take("UpdateNode", request, context)
        return control_pb2.UpdateNodeResponse(node=self.nodes[0])

    def RemoveNode(self, request: Any, context: Any) -> Any:
        self._take("RemoveNode", request, context)
        return control_pb2.RemoveNodeResponse()

    def InspectTask(self, request: Any, context: Any) -> Any:
        self._take("InspectTask", request, context)
        [view] = [each for each in self.tasks if each.task.id.startswith(request.task)]
        return control_pb2.InspectTaskResponse(
            task=view, health_log=self.health, unreachable=self.unreachable
        )

    def CreateService(self, request: Any, context: Any) -> Any:
        self._take("CreateService", request, context)
        view = control_pb2.ServiceView(
            service=objects_pb2.Service(id="s" * 25, spec=request.spec), version=3
        )
        return control_pb2.CreateServiceResponse(service=view)

    def UpdateService(self, request: Any, context: Any) -> Any:
        self._take("UpdateService", request, context)
        view = self.services[request.service_id]
        if self.conflicts:
            self.conflicts -= 1
            view.version += 1
            fail(context, Conflict("update out of sequence"))
        view.service.spec.CopyFrom(request.spec)
        return control_pb2.UpdateServiceResponse(service=view)

    def PromoteService(self, request: Any, context: Any) -> Any:
        self._take("PromoteService", request, context)
        return control_pb2.PromoteServiceResponse(service=self.services[request.service_id])

    def ListRevisions(self, request: Any, context: Any) -> Any:
        self._take("ListRevisions", request, context)
        return control_pb2.ListRevisionsResponse(revisions=self.revisions)

    def RollbackService(self, request: Any, context: Any) -> Any:
        self._take("RollbackService", request, context)
        return control_pb2.RollbackServiceResponse(service=self.services[request.service_id])

    def TriggerService(self, request: Any, context: Any) -> Any:
        self._take("TriggerService", request, context)
        return control_pb2.TriggerServiceResponse(run=7)

    def PlanService(self, request: Any, context: Any) -> Any:
        self._take("PlanService", request, context)
        return self.plan

    def ExplainPlacement(self, request: Any, context: Any) -> Any:
        self._take("ExplainPlacement", request, context)
        return self.explanation

    def Rebalance(self, request: Any, context: Any) -> Any:
        self._take("Rebalance", request, context)
        return self.waves.pop(0) if self.waves else control_pb2.RebalanceResponse()

    def RemoveService(self, request: Any, context: Any) -> Any:
        self._take("RemoveService", request, context)
        return control_pb2.RemoveServiceResponse()

    def ListServices(self, request: Any, context: Any) -> Any:
        self._take("ListServices", request, context)
        for name in request.services:
            if not any(name in (v.service.id, v.service.spec.name) for v in self.services.values()):
                fail(context, Missing(f"no such service: {name}"))
        found = [
            view
            for view in self.services.values()
            if not request.services
            or {view.service.id, view.service.spec.name} & set(request.services)
        ]
        return control_pb2.ListServicesResponse(services=found)

    def ListTasks(self, request: Any, context: Any) -> Any:
        self._take("ListTasks", request, context)
        if self.tasks_of_calls:
            self.tasks = self.tasks_of_calls.pop(0)
        wanted = {*request.services}
        known = {view.task.id for view in self.tasks}
        for name in request.tasks:
            if name not in known:
                fail(context, Missing(f"task {name!r} not found"))
        return control_pb2.ListTasksResponse(
            tasks=[
                view
                for view in self.tasks
                if (not wanted or {view.task.service_id, view.task.service_name} & wanted)
                and (not request.nodes or view.task.node_id in request.nodes)
            ]
        )

    def WatchService(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("WatchService", request, context)
        calls = self.progress_of_calls
        yield from calls.pop(0) if calls else self.progress
        if not calls:
            self._linger(context)

    def WatchEvents(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("WatchEvents", request, context)
        yield from self.events
        if self.endless:
            self._linger(context)

    def ReadLogs(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("ReadLogs", request, context)
        yield from self.logs

    def Exec(self, requests: Any, context: Any) -> Iterator[Any]:
        first = next(requests)
        self._take("Exec", first, context)
        return self._played(requests, context)

    def Attach(self, requests: Any, context: Any) -> Iterator[Any]:
        first = next(requests)
        self._take("Attach", first, context)
        return self._played(requests, context)

    def _played(self, requests: Any, context: Any) -> Iterator[Any]:
        context.add_callback(self.left.set)
        program = self.programs.pop(0)
        yield from program(self._heard(requests))
        for _ in self._heard(requests):
            pass  # like a manager, it hears its caller out

    def _heard(self, requests: Any) -> Iterator[Any]:
        for each in requests:
            with self._asked:
                self.inputs.append(each)
                self._asked.notify_all()
            yield each

    def wait_for_input(self, kind: str) -> Any:
        """The first input of its kind, once it is here."""

        def found() -> Any:
            return next((x for x in self.inputs if x.WhichOneof("message") == kind), None)

        with self._asked:
            assert self._asked.wait_for(found, timeout=60), kind
            return found()

    def ListProcesses(self, request: Any, context: Any) -> Any:
        self._take("ListProcesses", request, context)
        return self.processes

    def PauseTask(self, request: Any, context: Any) -> Any:
        self._take("PauseTask", request, context)
        return control_pb2.PauseTaskResponse()

    def WatchStats(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("WatchStats", request, context)
        yield from self.stats
        if not request.once:
            self._linger(context)

    # Images

    def LoadImage(self, requests: Any, context: Any) -> Any:
        error = self.failures.get("LoadImage")
        if error is not None:
            next(requests)
            fail(context, error)
        self.uploaded = b"".join(each.chunk for each in requests)
        return images_pb2.LoadImageResponse(references=["docker.io/library/app:1"])

    def ImportImage(self, requests: Any, context: Any) -> Any:
        first = next(requests)
        self._take("ImportImage", first, context)
        self.uploaded = first.chunk + b"".join(each.chunk for each in requests)
        return images_pb2.ImportImageResponse(id="sha256:" + "a" * 64)

    def PullImage(self, request: Any, context: Any) -> Iterator[Any]:
        self._take("PullImage", request, context)
        yield from self.pulls

    def ListImages(self, request: Any, context: Any) -> Any:
        self._take("ListImages", request, context)
        return images_pb2.ListImagesResponse(images=self.images)

    def InspectImage(self, request: Any, context: Any) -> Any:
        self._take("InspectImage", request, context)
        if not self.images:
            fail(context, Missing(f"no such image: {request.name}"))
        return images_pb2.InspectImageResponse(
            image=self.images[0],
            config_json=json.dumps(
                {"architecture": "amd64", "os": "linux", "config": {"Cmd": ["sh"]}}
                | ({"history": self.history} if self.history else {})
            ).encode(),
            layer_bytes=self.layer_bytes,
            manifest_json=b'{"layers": [{"digest": "sha256:1", "size": 3}]}',
        )

    def RemoveImage(self, request: Any, context: Any) -> Any:
        self._take("RemoveImage", request, context)
        return images_pb2.RemoveImageResponse(untagged=[request.name], deleted=["sha256:abc"])

    def TagImage(self, request: Any, context: Any) -> Any:
        self._take("TagImage", request, context)
        return images_pb2.TagImageResponse()

    def _linger(self, context: grpc.ServicerContext) -> None:
        """Keep the stream open until the caller goes away."""
        gone = Event()
        if context.add_callback(gone.set):
            gone.wait(20)


def fail(context: grpc.ServicerContext, error: SwarmError) -> None:
    """Abort as the daemon does."""
    context.set_trailing_metadata([(faults.KEY, faults.encode(error))])
    context.abort(_STATUS[type(error)], error.message)


def _is_meant(node: Any, names: Any) -> bool:
    return not names or any(
        node.id.startswith(name) or node.description.hostname == name for name in names
    )


@contextmanager
def serving(path: Path, swarm: FakeSwarm | None = None) -> Iterator[FakeSwarm]:
    """A fake swarm that listens on `path` until the block ends."""
    swarm = swarm or FakeSwarm()
    pool = ThreadPoolExecutor(8)
    server = swarm.server = grpc.server(pool)
    control_pb2_grpc.add_ControlServicer_to_server(swarm, server)
    daemon_pb2_grpc.add_DaemonServicer_to_server(swarm, server)
    images_pb2_grpc.add_ImagesServicer_to_server(swarm, server)
    volumes_pb2_grpc.add_VolumesServicer_to_server(swarm, server)
    containers_pb2_grpc.add_ContainersServicer_to_server(swarm, server)
    builds_pb2_grpc.add_BuildsServicer_to_server(swarm, server)
    localnetworks_pb2_grpc.add_LocalNetworksServicer_to_server(swarm, server)
    server.add_insecure_port(f"unix://{path}")
    server.start()
    try:
        yield swarm
    finally:
        server.stop(grace=0.2).wait()
        pool.shutdown()
