"""Say how a task's container is connected, on this node.

The swarm's networks and the addresses in them come with the task. The node's own bridge is
nobody else's business: whoever asks for no network at all is in it, and the node gives it an
address by itself. It comes last, so that another network is the way out where there is one.
"""

from msgspec import Struct
from msgspec.structs import replace

from agent.assignments import Wanted
from agent.dns.asking import Asker
from agent.topology import is_local
from swarm.ids import NetworkId, NodeId
from swarm.objects import Attachment
from swarm.specs import BRIDGE, HOST, NONE, Port, PublishMode
from swarm.topology import Endpoint


class Connection(Struct, frozen=True, kw_only=True):
    """A container's interfaces, its way out first; what it may ask for by name; and its ports
    of the node, which are concrete once it is connected.

    `macs` are the MAC addresses that were asked for. One that `is_standalone` is no task's: no
    manager ever speaks of it, and `name` is what it is called in networks of this node.
    """

    attachments: tuple[Attachment, ...]
    asker: Asker
    ports: tuple[Port, ...] = ()
    macs: dict[NetworkId, str] = {}
    is_standalone: bool = False
    name: str = ""


def endpoints(known: Connection, node_id: NodeId) -> tuple[Endpoint, ...]:
    """What others in networks of this node alone are told of a container that is no task's.

    In the bridge nobody has a name.
    """
    return tuple(
        Endpoint(
            network_id=each.network_id,
            task_id=known.asker.task_id,
            task_name=known.name,
            node_id=node_id,
            addresses=each.addresses,
            aliases=each.aliases,
            is_serving=True,
        )
        for each in known.attachments
        if known.is_standalone and is_local(each.network_id) and each.network_id != BRIDGE
    )


def is_connected(wanted: Wanted) -> bool:
    """Whether the container has a network of its own, and more in it than loopback."""
    return not {HOST, NONE} & {each.target for each in wanted.spec.networks}


def is_bridged(wanted: Wanted) -> bool:
    """Whether the container is in the node's own bridge."""
    targets = {each.target for each in wanted.spec.networks}
    return is_connected(wanted) and (BRIDGE in targets or not (targets or wanted.task.attachments))


def connection(wanted: Wanted, attachments: tuple[Attachment, ...], hostname: str) -> Connection:
    """How the container is to be connected; `attachments` are all that it has."""
    return Connection(
        attachments=attachments,
        asker=Asker(
            task_id=wanted.task.id,
            networks=tuple(each.network_id for each in attachments),
            hostname=hostname,
            servers=wanted.spec.container.dns_servers,
        ),
        ports=tuple(each for each in wanted.ports if each.mode is PublishMode.HOST),
    )


def amended(known: Connection, wanted: Wanted) -> Connection:
    """How a container that runs is to be connected, now that its task is in other networks.

    What it keeps stays in its place, and what is new comes last. An attachment without addresses
    waits for the managers to give it some.
    """
    given = {each.network_id: each for each in addressed(wanted)}
    kept = tuple(
        given.pop(each.network_id, each)
        for each in known.attachments
        if each.network_id in given or each.network_id == BRIDGE
    )
    attachments = (*kept, *given.values())
    asker = replace(known.asker, networks=tuple(each.network_id for each in attachments))
    return replace(known, attachments=attachments, asker=asker)


def addressed(wanted: Wanted) -> tuple[Attachment, ...]:
    """The task's attachments that have addresses."""
    return tuple(each for each in wanted.task.attachments if each.addresses)
