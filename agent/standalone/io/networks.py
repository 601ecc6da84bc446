"""Give containers that somebody runs their places in networks.

`Performing` asks for what one is to have before it is made (`lend`), has it connected while it
waits between its namespaces and its program (`attach`), and takes all back when its run has
ended (`release`). `shown` is what users see of it.
"""

from collections.abc import Callable

from msgspec import Struct

from agent.attachments import Connection
from agent.dns.asking import Asker
from agent.io.connections import Bridge, Connections
from agent.standalone.lending import Lent
from agent.standalone.record import Record
from swarm.api.v1 import containers_pb2 as pb
from swarm.errors import Refused
from swarm.ids import TaskId
from swarm.specs import BRIDGE, HOST, NONE, Port

_CONTAINER = "container:"


class Shown(Struct, frozen=True, kw_only=True):
    """How a container is connected, or asks to be while it does not run."""

    endpoints: tuple[pb.ContainerEndpoint, ...] = ()
    ports: tuple[Port, ...] = ()
    sandbox_key: str = ""


class Attaching:
    """The networks of containers. `find` gives another container by what people call it."""

    def __init__(
        self, connections: Connections, bridge: Bridge, *, find: Callable[[str], Record]
    ) -> None:
        self._connections = connections
        self._bridge = bridge
        self._find = find

    def check(self, record: Record) -> None:
        """Refuse to make a container that could never be connected."""

    async def lend(self, record: Record) -> Lent:
        """What one is to have before it is made; raises when that cannot be."""
        mode = record.spec.network_mode or BRIDGE
        if mode in (HOST, NONE):
            return Lent(on_host=mode == HOST, asks_us=False)
        if mode.startswith(_CONTAINER):
            other = self._find(mode.removeprefix(_CONTAINER))
            if not other.life.is_up:
                raise Refused(f"cannot join network of a non running container: {other.id}")
            return Lent(joins=f"/proc/{other.life.pid}/ns/net", joins_of=other.id, asks_us=False)
        if mode not in (BRIDGE, "default"):
            raise Refused(f"network {mode} not found")
        return Lent(attachments=(self._bridge.lend(TaskId(record.id)),))

    async def attach(self, record: Record, lent: Lent, netns: int) -> None:
        """Connect one that is about to run."""
        task_id = TaskId(record.id)
        wanted = Connection(
            attachments=lent.attachments,
            asker=Asker(
                task_id=task_id,
                networks=tuple(each.network_id for each in lent.attachments),
                servers=record.spec.container.dns_servers,
            ),
            ports=record.spec.ports,
            is_standalone=True,
        )
        await self._connections.attach(task_id, netns, wanted)

    async def release(self, container_id: str) -> None:
        """Take back all that it had; content when that was nothing."""
        await self._connections.release(TaskId(container_id))

    def shown(self, record: Record) -> Shown:
        """How it is connected."""
        return Shown()
