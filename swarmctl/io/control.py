"""Ask the cluster, through this host's node daemon, which relays to a manager.

Names, id prefixes and ids are interchangeable on the command line, but a change addresses an
id: what a name means is looked up first, so that two commands cannot mean different things.
"""

from collections.abc import Generator, Iterable, Iterator

from google.protobuf.message import Message

from swarm.api.v1 import control_pb2 as pb
from swarm.api.v1 import objects_pb2
from swarm.errors import Missing
from swarmctl.io.channel import Channel, Patience

_TIMEOUT_S = 30.0
# To pin an image a manager may have to ask a slow registry.
_CHANGE_TIMEOUT_S = 90.0


class Control:
    """The calls of `swarm.api.v1.Control`."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def cluster(self) -> pb.GetClusterResponse:
        """The swarm's own object, without its secrets."""
        return pb.GetClusterResponse.FromString(self._call("GetCluster", pb.GetClusterRequest()))

    def update_cluster(self, request: pb.UpdateClusterRequest) -> pb.UpdateClusterResponse:
        """Change the swarm's own settings."""
        return pb.UpdateClusterResponse.FromString(self._call("UpdateCluster", request))

    def join_token(self, request: pb.GetJoinTokenRequest) -> pb.GetJoinTokenResponse:
        """A role's join token and where to join."""
        return pb.GetJoinTokenResponse.FromString(self._call("GetJoinToken", request))

    def nodes(self, names: Iterable[str] = ()) -> tuple[pb.NodeView, ...]:
        """The nodes with these names, or all."""
        answer = self._call("ListNodes", pb.ListNodesRequest(nodes=names))
        return tuple(pb.ListNodesResponse.FromString(answer).nodes)

    def node(self, name: str) -> pb.NodeView:
        """The one node that `name` means."""
        found = self.nodes([name])
        if not found:
            raise Missing(f"no such node: {name}", hint="`swarmctl node ls` lists them")
        return found[0]

    def update_node(self, request: pb.UpdateNodeRequest) -> pb.NodeView:
        """Change role, availability or labels."""
        return pb.UpdateNodeResponse.FromString(self._call("UpdateNode", request)).node

    def remove_node(self, node_id: str, *, force: bool) -> None:
        """Have the swarm refuse this node from now on."""
        self._call("RemoveNode", pb.RemoveNodeRequest(node_id=node_id, force=force))

    def create_service(self, request: pb.CreateServiceRequest) -> pb.CreateServiceResponse:
        """Store a service."""
        answer = self._call("CreateService", request, timeout_s=_CHANGE_TIMEOUT_S)
        return pb.CreateServiceResponse.FromString(answer)

    def update_service(self, request: pb.UpdateServiceRequest) -> pb.UpdateServiceResponse:
        """Store a service's next spec, derived from the version that it names."""
        answer = self._call("UpdateService", request, timeout_s=_CHANGE_TIMEOUT_S)
        return pb.UpdateServiceResponse.FromString(answer)

    def rollback_service(self, request: pb.RollbackServiceRequest) -> pb.ServiceView:
        """Go back to a service's previous spec, or to a revision of its history."""
        answer = self._call("RollbackService", request, timeout_s=_CHANGE_TIMEOUT_S)
        return pb.RollbackServiceResponse.FromString(answer).service

    def promote_service(self, service_id: str) -> pb.ServiceView:
        """Let a service's rollout go on."""
        answer = self._call("PromoteService", pb.PromoteServiceRequest(service_id=service_id))
        return pb.PromoteServiceResponse.FromString(answer).service

    def revisions(self, service_id: str) -> tuple[objects_pb2.Revision, ...]:
        """What a service was, the newest first."""
        answer = self._call("ListRevisions", pb.ListRevisionsRequest(service_id=service_id))
        return tuple(pb.ListRevisionsResponse.FromString(answer).revisions)

    def trigger_service(self, service_id: str) -> int:
        """Start a run of a scheduled job; tells its number."""
        answer = self._call("TriggerService", pb.TriggerServiceRequest(service_id=service_id))
        return pb.TriggerServiceResponse.FromString(answer).run

    def remove_service(self, service_id: str) -> None:
        """Remove a service; its tasks are stopped afterwards."""
        self._call("RemoveService", pb.RemoveServiceRequest(service_id=service_id))

    def services(self, names: Iterable[str] = ()) -> tuple[pb.ServiceView, ...]:
        """The services with these names, or all."""
        answer = self._call("ListServices", pb.ListServicesRequest(services=names))
        return tuple(pb.ListServicesResponse.FromString(answer).services)

    def service(self, name: str) -> pb.ServiceView:
        """The one service that `name` means."""
        found = self.services([name])
        if not found:
            raise Missing(f"no such service: {name}", hint="`swarmctl service ls` lists them")
        return found[0]

    def secrets(self, names: Iterable[str] = ()) -> tuple[pb.SecretView, ...]:
        """The secrets with these names, or all, without their data."""
        answer = self._call("ListSecrets", pb.ListSecretsRequest(secrets=names))
        return tuple(pb.ListSecretsResponse.FromString(answer).secrets)

    def configs(self, names: Iterable[str] = ()) -> tuple[pb.ConfigView, ...]:
        """The configs with these names, or all."""
        answer = self._call("ListConfigs", pb.ListConfigsRequest(configs=names))
        return tuple(pb.ListConfigsResponse.FromString(answer).configs)

    def plan_service(self, request: pb.PlanServiceRequest) -> pb.PlanServiceResponse:
        """What creating or changing a service would do."""
        answer = self._call("PlanService", request, timeout_s=_CHANGE_TIMEOUT_S)
        return pb.PlanServiceResponse.FromString(answer)

    def explain_placement(self, request: pb.ExplainPlacementRequest) -> pb.ExplainPlacementResponse:
        """Why a task is where it is, and what each node says."""
        return pb.ExplainPlacementResponse.FromString(self._call("ExplainPlacement", request))

    def rebalance(self, request: pb.RebalanceRequest) -> pb.RebalanceResponse:
        """Move tasks from full nodes to empty ones."""
        return pb.RebalanceResponse.FromString(self._call("Rebalance", request))

    def tasks(self, request: pb.ListTasksRequest) -> tuple[pb.TaskView, ...]:
        """Tasks by service, node or id."""
        return tuple(pb.ListTasksResponse.FromString(self._call("ListTasks", request)).tasks)

    def watch_service(
        self, service_id: str, *, patience: Patience = lambda: None
    ) -> Generator[pb.ServiceProgress | None, None, None]:
        """How far a service is, at once and on each change; `None` when patience ends."""
        request = pb.WatchServiceRequest(service_id=service_id)
        data: bytes = request.SerializeToString()
        for each in self._channel.stream("Control/WatchService", data, patience=patience):
            yield None if each is None else pb.ServiceProgress.FromString(each)

    def events(
        self, *, since: float, patience: Patience = lambda: None
    ) -> Iterator[objects_pb2.Event | None]:
        """What happens in the cluster; `None` when patience ends."""
        data: bytes = pb.WatchEventsRequest(since=since).SerializeToString()
        for each in self._channel.stream("Control/WatchEvents", data, patience=patience):
            yield None if each is None else objects_pb2.Event.FromString(each)

    def logs(self, request: pb.ReadLogsRequest) -> Iterator[pb.LogBatch]:
        """Lines that tasks wrote, in batches."""
        data: bytes = request.SerializeToString()
        answers = self._channel.stream("Control/ReadLogs", data)
        return (pb.LogBatch.FromString(each) for each in answers if each is not None)

    def inspect_task(self, task: str) -> pb.InspectTaskResponse:
        """A task in full."""
        answer = self._call("InspectTask", pb.InspectTaskRequest(task=task))
        return pb.InspectTaskResponse.FromString(answer)

    def processes(self, task: str) -> pb.ListProcessesResponse:
        """The processes of the container of `task`."""
        answer = self._call("ListProcesses", pb.ListProcessesRequest(task=task))
        return pb.ListProcessesResponse.FromString(answer)

    def pause(self, task: str, *, paused: bool) -> None:
        """Hold a task's processes still, or let them go on."""
        self._call("PauseTask", pb.PauseTaskRequest(task=task, paused=paused))

    def stats(
        self, request: pb.WatchStatsRequest, *, patience: Patience = lambda: None
    ) -> Iterator[pb.StatsBatch | None]:
        """What tasks use, node by node; `None` when patience ends."""
        data: bytes = request.SerializeToString()
        for each in self._channel.stream("Control/WatchStats", data, patience=patience):
            yield None if each is None else pb.StatsBatch.FromString(each)

    def _call(self, method: str, request: Message, *, timeout_s: float = _TIMEOUT_S) -> bytes:
        data: bytes = request.SerializeToString()
        return self._channel.unary(f"Control/{method}", data, timeout_s=timeout_s)
