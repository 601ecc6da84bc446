"""Serve networks: make, show and remove them, and connect running tasks to them.

Before a network is made, its nodes-to-be are asked whether they reach something else by its
addresses: of those that were chosen for it others are chosen then, and those that its operator
gave are refused. A commit whose answer was lost is looked for before it is done again.
"""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

from manager.applied import Applied
from manager.control import connecting, members, networks
from manager.control.preflights import hit_subnets, ready_nodes
from manager.finding import find_network, find_task
from manager.io.mirror import Mirror
from manager.io.preflights import Preflights
from manager.io.rendering import members_message, network_view
from manager.io.services import Services
from manager.networks.pools import Taken
from manager.store import Commit
from swarm.api.v1 import control_pb2
from swarm.codec import from_message
from swarm.errors import Conflict, Missing, Refused
from swarm.ids import NetworkId, TaskId, make_id
from swarm.objects import Event, Network
from swarm.specs import NetworkSpec

CHOICES = 8
"""How often other addresses are chosen before it is given up."""
CONNECTED_WITHIN_S = 3.0


class Networks:
    """What operators do about networks."""

    def __init__(
        self,
        mirror: Mirror,
        services: Services,
        preflights: Preflights,
        tell: Callable[[Event], None],
        *,
        random: Random,
    ) -> None:
        self._mirror = mirror
        self._services = services
        self._preflights = preflights
        self._tell = tell
        self._random = random
        self._waiting: dict[TaskId, set[asyncio.Event]] = {}
        mirror.listen(self._changed)

    async def create(
        self, request: control_pb2.CreateNetworkRequest
    ) -> control_pb2.CreateNetworkResponse:
        """Make a network that no host is in the way of."""
        spec = from_message(NetworkSpec, request.spec)
        network_id = NetworkId(make_id(self._random))
        elsewhere = await self._asked(spec, network_id)
        view = self._mirror.view

        def decide() -> Commit:
            if network_id in view.networks:
                return Commit()
            now = self._mirror.clock()
            return networks.create(view, spec, network_id, now=now, elsewhere=elsewhere)[1]

        await self._services.commit(decide)
        made = network_view(view, network_id, networks.Users())
        return control_pb2.CreateNetworkResponse(network=made)

    async def list(
        self, request: control_pb2.ListNetworksRequest
    ) -> control_pb2.ListNetworksResponse:
        """The networks that are meant, or all in order of their names."""
        view = self._mirror.view
        found = dict.fromkeys(find_network(view, each) for each in request.networks)
        by_name = sorted(view.networks.values(), key=lambda each: each.spec.name)
        chosen = found if request.networks else [each.id for each in by_name]
        used = networks.users_of_all(view)
        return control_pb2.ListNetworksResponse(
            networks=[network_view(view, each, used[each]) for each in chosen]
        )

    async def inspect(
        self, request: control_pb2.InspectNetworkRequest
    ) -> control_pb2.InspectNetworkResponse:
        """A network, and who is in it."""
        view = self._mirror.view
        network_id = find_network(view, request.network)
        tasks = networks.tasks_in(view, network_id)
        answer = members_message(view, members.members_of(view, network_id, tasks))
        used = networks.users(view, network_id, tasks)
        answer.network.CopyFrom(network_view(view, network_id, used))
        return answer

    async def remove(
        self, request: control_pb2.RemoveNetworkRequest
    ) -> control_pb2.RemoveNetworkResponse:
        """Remove a network that nothing uses."""
        view, network_id = self._mirror.view, find_network(self._mirror.view, request.network)

        def decide() -> Commit:
            return networks.remove(view, network_id) if network_id in view.networks else Commit()

        await self._services.commit(decide)
        return control_pb2.RemoveNetworkResponse()

    async def prune(
        self, request: control_pb2.PruneNetworksRequest
    ) -> control_pb2.PruneNetworksResponse:
        """Remove every network that nothing uses, one by one."""
        view, removed = self._mirror.view, list[str]()
        for network_id in networks.unused(
            view,
            labels=tuple(request.labels),
            not_labels=tuple(request.not_labels),
            until=request.until,
        ):
            name = view.networks[network_id].spec.name if network_id in view.networks else ""
            try:
                await self.remove(control_pb2.RemoveNetworkRequest(network=network_id))
            except (Refused, Missing):
                continue  # somebody uses it after all, or has removed it
            removed.append(name)
        return control_pb2.PruneNetworksResponse(removed=removed)

    async def connect(
        self, request: control_pb2.ConnectNetworkRequest
    ) -> control_pb2.ConnectNetworkResponse:
        """Put a running task into an attachable network, and wait for its address."""
        view = self._mirror.view
        network_id, task_id = find_network(view, request.network), find_task(view, request.task)
        is_doubtful = False

        def decide() -> Commit:
            nonlocal is_doubtful
            task = view.tasks.get(task_id)
            attachments = task.attachments if task is not None else ()
            if is_doubtful and any(each.network_id == network_id for each in attachments):
                return Commit()
            is_doubtful = True
            now = self._mirror.clock()
            return connecting.connect(view, network_id, task_id, request.aliases, now=now)

        await self._services.commit(decide)
        self._told(network_id, task_id, "connect")
        addresses = await self._addresses(network_id, task_id)
        message = "" if addresses else _waits(view.networks.get(network_id), request.task)
        return control_pb2.ConnectNetworkResponse(addresses=addresses, message=message)

    async def disconnect(
        self, request: control_pb2.DisconnectNetworkRequest
    ) -> control_pb2.DisconnectNetworkResponse:
        """Take a task out of a network that it was connected to."""
        view = self._mirror.view
        network_id, task_id = find_network(view, request.network), find_task(view, request.task)
        is_doubtful, is_done = False, False

        def decide() -> Commit:
            nonlocal is_doubtful, is_done
            force, now = request.force or is_doubtful, self._mirror.clock()
            is_doubtful = True
            commit = connecting.disconnect(view, network_id, task_id, force=force, now=now)
            is_done |= bool(commit.operations)
            return commit

        await self._services.commit(decide)
        if is_done:
            self._told(network_id, task_id, "disconnect")
        return control_pb2.DisconnectNetworkResponse()

    async def _asked(self, spec: NetworkSpec, network_id: NetworkId) -> Sequence[Taken]:
        """What hosts reach by addresses that the network might get; `Refused` if it has to."""
        view, elsewhere = self._mirror.view, list[Taken]()
        for _ in range(CHOICES):
            now = self._mirror.clock()
            network, _ = networks.create(view, spec, network_id, now=now, elsewhere=elsewhere)
            subnets = tuple(each.subnet for each in network.subnets)
            answers = await self._preflights.ask(ready_nodes(view), subnets=subnets)
            found = hit_subnets(view, answers, subnets)
            if not found:
                break
            elsewhere += found
        return elsewhere

    async def _addresses(self, network_id: NetworkId, task_id: TaskId) -> tuple[str, ...]:
        """What the leader gives the task; nothing if that takes too long."""
        view, wake = self._mirror.view, asyncio.Event()
        waiting = self._waiting.setdefault(task_id, set())
        waiting.add(wake)
        try:
            async with asyncio.timeout(CONNECTED_WITHIN_S):
                while not (found := connecting.addresses_in(view, network_id, task_id)):
                    if task_id not in view.tasks:
                        raise Conflict("the task was removed meanwhile")
                    wake.clear()
                    await wake.wait()
        except TimeoutError:
            return ()
        finally:
            waiting.discard(wake)
            if not waiting:
                self._waiting.pop(task_id, None)
        return found

    def _changed(self, applied: Applied) -> None:
        if self._waiting:
            for task_id in self._waiting.keys() & set(applied.tasks):
                for wake in self._waiting[task_id]:
                    wake.set()

    def _told(self, network_id: NetworkId, task_id: TaskId, action: str) -> None:
        network, task = (
            self._mirror.view.networks.get(network_id),
            self._mirror.view.tasks.get(task_id),
        )
        if network is not None and task is not None:
            now = self._mirror.clock()
            self._tell(connecting.connection_event(network, task, action, now=now))


def _waits(network: Network | None, task: str) -> str:
    name = network.spec.name if network is not None else "the network"
    return (
        f"task {task} has no address in network {name} yet; it gets one as soon as there is one "
        f"(swarmctl network inspect -v {name})"
    )
