"""Serve the cluster's API: find what is meant, have it decided elsewhere, show the result.

Questions are answered from the view; changes wait until a leader is known, and are made by
it. A change addresses an id; a name or the beginning of an id does as well, as long as only
one object is meant.
"""

from collections.abc import AsyncIterator, Iterable
from contextlib import aclosing
from functools import partial
from random import Random
from typing import Any

from msgspec import Struct

from manager import layout
from manager.ca.vault import rotate, token_of
from manager.control import clusters, nodes
from manager.dispatch.subscriptions import Query
from manager.finding import find_node, find_service, find_task
from manager.io.contents import Contents
from manager.io.forecasts import Forecasts
from manager.io.leader import Leader
from manager.io.logs import LogBroker
from manager.io.looking import Looking
from manager.io.mirror import Mirror
from manager.io.network_checks import NetworkChecks
from manager.io.networks import Networks
from manager.io.programs import Programs
from manager.io.reach import origin
from manager.io.rendering import cluster_message, node_view, service_view, task_view
from manager.io.rollouts import Rollouts
from manager.io.services import Services
from manager.io.triggers import Triggers
from manager.io.watching import Watches
from manager.store import Commit
from swarm.api.v1 import control_pb2, control_pb2_grpc, objects_pb2
from swarm.codec import from_message
from swarm.errors import Invalid
from swarm.ids import NodeId, ServiceId
from swarm.objects import Cluster
from swarm.sealing import DataKey
from swarm.specs import ClusterSpec, NodeSpec, Role, ServiceSpec

Context = Any  # the generated servicers' own context type is private to their stubs


class Parts(Struct, frozen=True, kw_only=True):
    """What the API stands on. `address` is where callers reach this manager."""

    mirror: Mirror
    leader: Leader
    services: Services
    rollouts: Rollouts
    triggers: Triggers
    forecasts: Forecasts
    contents: Contents
    networks: Networks
    network_checks: NetworkChecks
    watches: Watches
    logs: LogBroker
    programs: Programs
    looking: Looking
    data_key: DataKey
    random: Random
    node_id: NodeId
    address: str


class Control(control_pb2_grpc.ControlServicer):
    """`swarm.api.v1.Control`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._view = parts.mirror.view

    # -- the swarm -----------------------------------------------------------------------

    async def GetCluster(
        self, request: control_pb2.GetClusterRequest, context: Context
    ) -> control_pb2.GetClusterResponse:
        """The swarm's settings, and who leads it."""
        return control_pb2.GetClusterResponse(
            cluster=cluster_message(clusters.present(self._view)),
            leader_id=self._leader_id(),
            version=self._view.version(layout.CLUSTER),
        )

    async def UpdateCluster(
        self, request: control_pb2.UpdateClusterRequest, context: Context
    ) -> control_pb2.UpdateClusterResponse:
        """Change the swarm's settings, and replace join tokens."""
        spec, roles = from_message(ClusterSpec, request.spec), [_role(r) for r in request.rotated]
        now, is_doubtful = self._now(), False

        def decide() -> Commit:
            nonlocal is_doubtful
            if is_doubtful and clusters.present(self._view).updated_at == now:
                return Commit()  # it happened after all
            clusters.check_version(self._view, request.version)
            is_doubtful = True
            rotated = partial(self._rotated, roles=roles, now=now) if roles else None
            return clusters.update(self._view, spec, now=now, rotate=rotated)

        await self._parts.services.commit(decide)
        return control_pb2.UpdateClusterResponse(
            cluster=cluster_message(clusters.present(self._view)),
            version=self._view.version(layout.CLUSTER),
        )

    async def GetJoinToken(
        self, request: control_pb2.GetJoinTokenRequest, context: Context
    ) -> control_pb2.GetJoinTokenResponse:
        """A role's join token, after replacing it if that is asked for."""
        role, key = _role(request.role), self._parts.data_key
        if request.rotate:
            await self._rotate(role)
        return control_pb2.GetJoinTokenResponse(
            token=token_of(clusters.present(self._view), role, key).text,
            manager_addr=self._parts.address,
        )

    # -- nodes ---------------------------------------------------------------------------

    async def ListNodes(
        self, request: control_pb2.ListNodesRequest, context: Context
    ) -> control_pb2.ListNodesResponse:
        """The nodes that are meant, or all."""
        found = [find_node(self._view, each) for each in request.nodes]
        chosen = dict.fromkeys(found) if request.nodes else sorted(self._view.nodes)
        return control_pb2.ListNodesResponse(nodes=[self._node(each) for each in chosen])

    async def UpdateNode(
        self, request: control_pb2.UpdateNodeRequest, context: Context
    ) -> control_pb2.UpdateNodeResponse:
        """Change what an operator decides about a node."""
        node_id, spec = find_node(self._view, request.node_id), from_message(NodeSpec, request.spec)

        def decide() -> Commit:
            found = find_node(self._view, node_id)
            return nodes.update(self._view, found, request.version, spec, now=self._now())

        await self._parts.services.commit(decide)
        return control_pb2.UpdateNodeResponse(node=self._node(node_id))

    async def RemoveNode(
        self, request: control_pb2.RemoveNodeRequest, context: Context
    ) -> control_pb2.RemoveNodeResponse:
        """Have the swarm refuse a node from now on."""
        node_id = find_node(self._view, request.node_id)

        def decide() -> Commit:
            if node_id not in self._view.nodes:
                return Commit()
            return nodes.remove(self._view, node_id, force=request.force)

        await self._parts.services.commit(decide)
        return control_pb2.RemoveNodeResponse()

    # -- services ------------------------------------------------------------------------

    async def CreateService(
        self, request: control_pb2.CreateServiceRequest, context: Context
    ) -> control_pb2.CreateServiceResponse:
        """Store a service."""
        service_id, warnings = await self._parts.services.create(
            from_message(ServiceSpec, request.spec),
            resolve_image=request.resolve_image,
            registry_auth=request.registry_auth,
        )
        return control_pb2.CreateServiceResponse(
            service=service_view(self._view, service_id), warnings=warnings
        )

    async def UpdateService(
        self, request: control_pb2.UpdateServiceRequest, context: Context
    ) -> control_pb2.UpdateServiceResponse:
        """Store a service's next spec."""
        service_id = find_service(self._view, request.service_id)
        warnings = await self._parts.services.update(
            service_id,
            request.version,
            from_message(ServiceSpec, request.spec),
            resolve_image=request.resolve_image,
            registry_auth=request.registry_auth,
        )
        find_service(self._view, service_id)  # it may be gone by now
        return control_pb2.UpdateServiceResponse(
            service=service_view(self._view, service_id), warnings=warnings
        )

    async def RemoveService(
        self, request: control_pb2.RemoveServiceRequest, context: Context
    ) -> control_pb2.RemoveServiceResponse:
        """Remove a service; its tasks are stopped afterwards."""
        await self._parts.services.remove(find_service(self._view, request.service_id))
        return control_pb2.RemoveServiceResponse()

    async def ListServices(
        self, request: control_pb2.ListServicesRequest, context: Context
    ) -> control_pb2.ListServicesResponse:
        """The services that are meant, or all in order of their names."""
        found = [find_service(self._view, each) for each in request.services]
        by_name = sorted(self._view.services.values(), key=lambda each: each.spec.name)
        chosen = dict.fromkeys(found) if request.services else [each.id for each in by_name]
        return control_pb2.ListServicesResponse(
            services=[service_view(self._view, each) for each in chosen]
        )

    async def ListTasks(
        self, request: control_pb2.ListTasksRequest, context: Context
    ) -> control_pb2.ListTasksResponse:
        """The tasks of these services, on these nodes, and these; all when nothing is named."""
        chosen = {find_task(self._view, each) for each in request.tasks}
        of_services = {
            task_id
            for each in request.services
            for task_id in self._view.tasks_of(find_service(self._view, each))
        }
        on_nodes = {
            task_id
            for each in request.nodes
            for task_id in self._view.tasks_on(find_node(self._view, each))
        }
        chosen |= of_services & on_nodes if request.services and request.nodes else of_services
        chosen |= on_nodes if not request.services else set()
        is_open = not (request.tasks or request.services or request.nodes)
        return control_pb2.ListTasksResponse(
            tasks=[
                task_view(self._view, each)
                for each in sorted(self._view.tasks if is_open else chosen)
            ]
        )

    async def RollbackService(
        self, request: control_pb2.RollbackServiceRequest, context: Context
    ) -> control_pb2.RollbackServiceResponse:
        """Bring back what a service was."""
        return await self._parts.rollouts.rollback(request)

    async def PromoteService(
        self, request: control_pb2.PromoteServiceRequest, context: Context
    ) -> control_pb2.PromoteServiceResponse:
        """Let a rollout go on."""
        return await self._parts.rollouts.promote(request)

    async def TriggerService(
        self, request: control_pb2.TriggerServiceRequest, context: Context
    ) -> control_pb2.TriggerServiceResponse:
        """Start a run of a scheduled job."""
        return await self._parts.triggers.trigger(request)

    async def ListRevisions(
        self, request: control_pb2.ListRevisionsRequest, context: Context
    ) -> control_pb2.ListRevisionsResponse:
        """What a service was, the newest first."""
        return await self._parts.rollouts.revisions(request)

    async def PlanService(
        self, request: control_pb2.PlanServiceRequest, context: Context
    ) -> control_pb2.PlanServiceResponse:
        """What creating or changing a service would do."""
        return await self._parts.forecasts.plan(request)

    async def ExplainPlacement(
        self, request: control_pb2.ExplainPlacementRequest, context: Context
    ) -> control_pb2.ExplainPlacementResponse:
        """What each node says of a task or a service."""
        return await self._parts.forecasts.explain(request)

    async def Rebalance(
        self, request: control_pb2.RebalanceRequest, context: Context
    ) -> control_pb2.RebalanceResponse:
        """Move tasks from full nodes to empty ones."""
        return await self._parts.forecasts.rebalance(request)

    # -- secrets and configs -------------------------------------------------------------

    async def CreateSecret(
        self, request: control_pb2.CreateSecretRequest, context: Context
    ) -> control_pb2.CreateSecretResponse:
        """Store a secret."""
        return await self._parts.contents.create_secret(request)

    async def UpdateSecret(
        self, request: control_pb2.UpdateSecretRequest, context: Context
    ) -> control_pb2.UpdateSecretResponse:
        """Replace a secret's data or labels."""
        return await self._parts.contents.update_secret(request)

    async def RemoveSecret(
        self, request: control_pb2.RemoveSecretRequest, context: Context
    ) -> control_pb2.RemoveSecretResponse:
        """Remove a secret that no service uses."""
        return await self._parts.contents.remove_secret(request)

    async def ListSecrets(
        self, request: control_pb2.ListSecretsRequest, context: Context
    ) -> control_pb2.ListSecretsResponse:
        """The secrets that are meant, or all; never their data."""
        return await self._parts.contents.list_secrets(request)

    async def CreateConfig(
        self, request: control_pb2.CreateConfigRequest, context: Context
    ) -> control_pb2.CreateConfigResponse:
        """Store a config."""
        return await self._parts.contents.create_config(request)

    async def UpdateConfig(
        self, request: control_pb2.UpdateConfigRequest, context: Context
    ) -> control_pb2.UpdateConfigResponse:
        """Replace a config's data or labels."""
        return await self._parts.contents.update_config(request)

    async def RemoveConfig(
        self, request: control_pb2.RemoveConfigRequest, context: Context
    ) -> control_pb2.RemoveConfigResponse:
        """Remove a config that no service uses."""
        return await self._parts.contents.remove_config(request)

    async def ListConfigs(
        self, request: control_pb2.ListConfigsRequest, context: Context
    ) -> control_pb2.ListConfigsResponse:
        """The configs that are meant, or all."""
        return await self._parts.contents.list_configs(request)

    # -- networks ------------------------------------------------------------------------

    async def CreateNetwork(
        self, request: control_pb2.CreateNetworkRequest, context: Context
    ) -> control_pb2.CreateNetworkResponse:
        """Make a network."""
        return await self._parts.networks.create(request)

    async def ListNetworks(
        self, request: control_pb2.ListNetworksRequest, context: Context
    ) -> control_pb2.ListNetworksResponse:
        """The networks that are meant, or all."""
        return await self._parts.networks.list(request)

    async def InspectNetwork(
        self, request: control_pb2.InspectNetworkRequest, context: Context
    ) -> control_pb2.InspectNetworkResponse:
        """A network, and who is in it."""
        return await self._parts.networks.inspect(request)

    async def RemoveNetwork(
        self, request: control_pb2.RemoveNetworkRequest, context: Context
    ) -> control_pb2.RemoveNetworkResponse:
        """Remove a network that nothing uses."""
        return await self._parts.networks.remove(request)

    async def PruneNetworks(
        self, request: control_pb2.PruneNetworksRequest, context: Context
    ) -> control_pb2.PruneNetworksResponse:
        """Remove every network that nothing uses."""
        return await self._parts.networks.prune(request)

    async def ConnectNetwork(
        self, request: control_pb2.ConnectNetworkRequest, context: Context
    ) -> control_pb2.ConnectNetworkResponse:
        """Put a running task into a network."""
        return await self._parts.networks.connect(request)

    async def DisconnectNetwork(
        self, request: control_pb2.DisconnectNetworkRequest, context: Context
    ) -> control_pb2.DisconnectNetworkResponse:
        """Take a task out of a network again."""
        return await self._parts.networks.disconnect(request)

    async def CheckNetwork(
        self, request: control_pb2.CheckNetworkRequest, context: Context
    ) -> AsyncIterator[control_pb2.NetworkReport]:
        """What each node of a network finds of all others."""
        caller, is_relayed = origin(context)
        reports = self._parts.network_checks.check(request, caller, is_relayed=is_relayed)
        async with aclosing(reports):
            async for each in reports:
                yield each

    # -- streams -------------------------------------------------------------------------

    async def WatchService(
        self, request: control_pb2.WatchServiceRequest, context: Context
    ) -> AsyncIterator[control_pb2.ServiceProgress]:
        """How far a service has come, whenever that changes."""
        service_id = ServiceId(request.service_id)
        if not self._view.tasks_of(service_id):  # a removed one's tasks may still be stopping
            service_id = find_service(self._view, request.service_id)
        async for progress in self._parts.watches.progress(service_id):
            yield progress

    async def WatchEvents(
        self, request: control_pb2.WatchEventsRequest, context: Context
    ) -> AsyncIterator[objects_pb2.Event]:
        """What happens in the swarm."""
        async for event in self._parts.watches.events(request.since):
            yield event

    async def ReadLogs(
        self, request: control_pb2.ReadLogsRequest, context: Context
    ) -> AsyncIterator[control_pb2.LogBatch]:
        """What tasks write."""
        if not request.services and not request.tasks:
            raise Invalid("services, tasks: name at least one whose logs to read")
        query = Query(
            services=frozenset(find_service(self._view, each) for each in request.services),
            tasks=frozenset(find_task(self._view, each) for each in request.tasks),
            follow=request.follow,
            tail=request.tail,
            since=request.since,
            stdout=request.stdout,
            stderr=request.stderr,
        )
        async for batch in self._parts.logs.read(query):
            yield batch

    # -- what runs -----------------------------------------------------------------------

    async def Exec(
        self, request_iterator: AsyncIterator[control_pb2.StreamInput], context: Context
    ) -> AsyncIterator[control_pb2.StreamOutput]:
        """Run a program in a task's container."""
        caller, is_relayed = origin(context)
        programs = self._parts.programs
        outputs = programs.run("exec", request_iterator, caller, is_relayed=is_relayed)
        async with aclosing(outputs):
            async for each in outputs:
                yield each

    async def Attach(
        self, request_iterator: AsyncIterator[control_pb2.StreamInput], context: Context
    ) -> AsyncIterator[control_pb2.StreamOutput]:
        """Join the streams of a task's own program."""
        caller, is_relayed = origin(context)
        programs = self._parts.programs
        outputs = programs.run("attach", request_iterator, caller, is_relayed=is_relayed)
        async with aclosing(outputs):
            async for each in outputs:
                yield each

    async def InspectTask(
        self, request: control_pb2.InspectTaskRequest, context: Context
    ) -> control_pb2.InspectTaskResponse:
        """A task, with what its node remembers of its health."""
        caller, is_relayed = origin(context)
        return await self._parts.looking.inspect(request, caller, is_relayed=is_relayed)

    async def ListProcesses(
        self, request: control_pb2.ListProcessesRequest, context: Context
    ) -> control_pb2.ListProcessesResponse:
        """The processes of a task."""
        caller, is_relayed = origin(context)
        return await self._parts.looking.processes(request, caller, is_relayed=is_relayed)

    async def PauseTask(
        self, request: control_pb2.PauseTaskRequest, context: Context
    ) -> control_pb2.PauseTaskResponse:
        """Hold a task still, or let it go on."""
        caller, is_relayed = origin(context)
        return await self._parts.looking.pause(request, caller, is_relayed=is_relayed)

    async def WatchStats(
        self, request: control_pb2.WatchStatsRequest, context: Context
    ) -> AsyncIterator[control_pb2.StatsBatch]:
        """What tasks use, again and again."""
        caller, is_relayed = origin(context)
        batches = self._parts.looking.stats(request, caller, is_relayed=is_relayed)
        async with aclosing(batches):
            async for each in batches:
                yield each

    # -- in between ----------------------------------------------------------------------

    async def _rotate(self, role: Role) -> None:
        def decide() -> Commit:
            cluster = clusters.present(self._view)
            return clusters.replaced(
                self._view, self._rotated(cluster, roles=[role], now=self._now())
            )

        await self._parts.services.commit(decide)

    def _rotated(self, cluster: Cluster, *, roles: Iterable[Role], now: float) -> Cluster:
        """`cluster` with other join tokens for `roles`."""
        key, random = self._parts.data_key, self._parts.random
        for role in roles:
            cluster = rotate(cluster, role, data_key=key, now=now, random=random)
        return cluster

    def _node(self, node_id: NodeId) -> control_pb2.NodeView:
        if node_id not in self._view.nodes:
            find_node(self._view, node_id)
        return node_view(self._view, node_id, leader_id=self._leader_id())

    def _leader_id(self) -> str:
        if self._parts.leader.leads:
            return self._parts.node_id
        holder = self._parts.leader.holder
        return holder.node_id if holder is not None else ""

    def _now(self) -> float:
        return self._parts.mirror.clock()


def _role(number: int) -> Role:
    try:
        return Role(number)
    except ValueError as err:
        raise Invalid(f"role: there is no role {number}") from err
