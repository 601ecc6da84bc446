"""Say what a node's networks ask of those who do the other parts of the work."""

from collections.abc import Mapping
from typing import Protocol

from agent.dns.asking import Asker
from agent.network.uplinks import Uplink
from agent.topology import Changes
from swarm.ids import NetworkId, TaskId
from swarm.objects import Attachment, Network
from swarm.specs import Port


class HostSide(Protocol):
    """The host's network namespace: published ports, the way out, and who may go where."""

    async def apply(self, changes: Changes) -> None:
        """Follow the records: publications, endpoints in the ingress network, peers, networks."""
        ...

    async def connect(self, uplink: Uplink) -> None:
        """A router's link is there: lead to it. Said again after each time it was made."""
        ...

    async def disconnect(self, network_id: NetworkId) -> None:
        """A router's link is gone, or about to go."""
        ...

    async def publish(
        self, task_id: TaskId, attachment: Attachment, ports: tuple[Port, ...]
    ) -> tuple[Port, ...]:
        """Lead `ports` (host mode only) of this node to a task's first attachment.

        Returns them with the published ones that they got. Raises Refused for a port that is
        taken, and leaves nothing of the others. Once more for a task changes what differs.
        """
        ...

    async def withdraw(self, task_id: TaskId) -> None:
        """Let go of a task's ports; content when there are none."""
        ...

    async def reconcile(self, *, is_all: bool = True) -> None:
        """Compare the kernel with what it should hold, and mend it.

        Unless what it should hold `is_all` known, nothing is taken away.
        """
        ...


class Bridge(Protocol):
    """The network that every node has by itself; its id is `bridge`."""

    def network(self) -> Network:
        """The network, with the subnets that were chosen for this node."""
        ...


class Encryption(Protocol):
    """What encrypts networks, where the kernel can."""

    @property
    def netns(self) -> int:
        """Open on the namespace whose packets are encrypted; -1 where the kernel has no way to."""
        ...

    def follow(self, changes: Changes) -> None:
        """Follow the records."""
        ...

    def reconcile(self) -> None:
        """Compare the kernel with what it should hold, and mend it."""
        ...


class Names(Protocol):
    """The name service of containers."""

    async def apply(self, changes: Changes, *, is_local: bool = False) -> None:
        """Follow the records; those that are `is_local` are of this node's own networks."""
        ...

    async def serve(self, task_id: TaskId, netns: int, asker: Asker) -> None:
        """Answer in a container's namespace, of which `netns` is a descriptor; kept by nobody."""
        ...

    async def release(self, task_id: TaskId) -> None:
        """The container is gone, and its namespace may go."""
        ...

    async def reconcile(
        self, known: Mapping[TaskId, tuple[Asker, int]], *, is_all: bool = True
    ) -> None:
        """These containers, with their pids, are to be answered, and no others if they are all."""
        ...
